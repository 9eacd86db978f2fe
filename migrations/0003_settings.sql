-- Settings of the platform, and the history of every change, a model's included.

CREATE TABLE platform_settings (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    settings json NOT NULL  -- protocol/toy_settings.py: PlatformSettings
);

CREATE TABLE settings_history (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope text NOT NULL CHECK (scope IN ('platform', 'model')),
    owner_id public_id CHECK ((owner_id IS NOT NULL) = (scope = 'model')),
    name text NOT NULL,
    old json NOT NULL,
    new json NOT NULL,
    who text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON settings_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The history of changes: limits on devices, too; and a device whose last command failed.

ALTER TABLE settings_history
    DROP CONSTRAINT settings_history_scope_check,
    DROP CONSTRAINT settings_history_check,
    ADD CONSTRAINT settings_history_scope_check CHECK (scope IN ('platform', 'model', 'device')),
    ADD CONSTRAINT settings_history_owner_check
        CHECK ((owner_id IS NOT NULL) = (scope <> 'platform'));
CREATE INDEX settings_history_by_owner ON settings_history (owner_id, change_id)
    WHERE owner_id IS NOT NULL;

ALTER TABLE devices
    DROP CONSTRAINT devices_status_check,
    ADD CONSTRAINT devices_status_check CHECK (status IN ('connected', 'disconnected', 'error'));
DROP INDEX devices_connected;
CREATE INDEX devices_connected ON devices (owner_id) WHERE status <> 'disconnected';

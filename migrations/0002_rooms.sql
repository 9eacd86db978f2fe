-- Who and what there is: users, models, rooms, broadcasts, tip menus, viewers' wishes.

CREATE TABLE users (
    user_id public_id PRIMARY KEY,
    username text NOT NULL CHECK (length(username) BETWEEN 1 AND 64),
    membership_tier text NOT NULL CHECK (membership_tier IN
        ('FREE', 'VIP_SILVER', 'VIP_GOLD', 'VIP_PLATINUM', 'VIP_DIAMOND'))
);

CREATE TABLE models (
    model_id public_id PRIMARY KEY,
    display_name text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 64),
    settings json NOT NULL  -- protocol/toy_settings.py: ModelSettings
);

CREATE TABLE rooms (
    room_id public_id PRIMARY KEY,
    model_id public_id NOT NULL UNIQUE REFERENCES models  -- a model has one room
);

CREATE TABLE broadcasts (
    broadcast_id public_id PRIMARY KEY,
    room_id public_id NOT NULL REFERENCES rooms,
    lovense_mode text NOT NULL CHECK (lovense_mode IN ('EXTENSION', 'CAM_KIT')),
    toys_paused boolean NOT NULL DEFAULT false,  -- the model stopped all toys: holds over a crash
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz CHECK (ended_at >= started_at)
);
CREATE UNIQUE INDEX broadcasts_one_open ON broadcasts (room_id) WHERE ended_at IS NULL;

CREATE TABLE tip_menu_rows (
    model_id public_id NOT NULL REFERENCES models,
    row_id public_id NOT NULL,
    tip_amount integer NOT NULL CHECK (tip_amount BETWEEN 1 AND 99999),
    vibration json NOT NULL,  -- protocol/vibration.py: Vibration
    description text NOT NULL CHECK (length(description) <= 200),
    active boolean NOT NULL,
    position integer NOT NULL CHECK (position >= 0),
    PRIMARY KEY (model_id, row_id)
);
CREATE UNIQUE INDEX tip_menu_one_row_per_amount ON tip_menu_rows (model_id, tip_amount)
    WHERE active;

CREATE TABLE viewer_preferences (
    user_id public_id PRIMARY KEY,
    react_to_my_tips boolean NOT NULL,
    feel_all_tips boolean NOT NULL
);

"""The SQL of performance menus and subscriptions, by name. The rest: queries.py."""

from typing import Final

_MENU: Final = """
SELECT m.menu_id, m.model_id, m.name, m.description, m.queue_mode, m.visibility, m.card_style,
       m.active,
       ARRAY(SELECT w.user_id::text FROM menu_whitelists w WHERE w.menu_id = m.menu_id
             ORDER BY w.place) AS whitelist
FROM menus m"""

LOAD_MENUS: Final = f"{_MENU} WHERE m.model_id = $1 ORDER BY m.seq"

LOAD_MENU: Final = f"{_MENU} WHERE m.menu_id = $1"

_ITEM: Final = """
SELECT i.menu_id, i.item_id, i.version, i.name, i.description, i.token_value, i.bonus_points,
       i.vibration, i.start_offset_ms, i.duration_sec, i.active, i.position, i.category, i.icon,
       i.max_daily_purchases
FROM menu_items i"""

LOAD_ITEMS: Final = f"""{_ITEM} JOIN menus m ON m.menu_id = i.menu_id
WHERE m.model_id = $1 ORDER BY i.position, i.seq"""

LOAD_ITEMS_OF_MENU: Final = f"{_ITEM} WHERE i.menu_id = $1 ORDER BY i.position, i.seq"

OWNER_OF_MENU: Final = "SELECT model_id::text FROM menus WHERE menu_id = $1"

SAVE_MENU: Final = """
INSERT INTO menus (menu_id, model_id, name, description, queue_mode, visibility, card_style, active)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (menu_id) DO UPDATE
SET name = excluded.name, description = excluded.description, queue_mode = excluded.queue_mode,
    visibility = excluded.visibility, card_style = excluded.card_style, active = excluded.active"""

REMOVE_MENUS: Final = "DELETE FROM menus WHERE model_id = $1 AND menu_id = ANY ($2::text[])"

CLEAR_WHITELIST: Final = "DELETE FROM menu_whitelists WHERE menu_id = $1"

SAVE_WHITELIST: Final = """
INSERT INTO menu_whitelists (menu_id, user_id, place)
SELECT $1, u.user_id, u.place FROM unnest($2::text[]) WITH ORDINALITY u(user_id, place)"""

SAVE_ITEM: Final = """
INSERT INTO menu_items (menu_id, item_id, version, name, description, token_value, bonus_points,
                        vibration, start_offset_ms, duration_sec, active, position, category, icon,
                        max_daily_purchases)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (menu_id, item_id) DO UPDATE
SET version = excluded.version, name = excluded.name, description = excluded.description,
    token_value = excluded.token_value, bonus_points = excluded.bonus_points,
    vibration = excluded.vibration, start_offset_ms = excluded.start_offset_ms,
    duration_sec = excluded.duration_sec, active = excluded.active, position = excluded.position,
    category = excluded.category, icon = excluded.icon,
    max_daily_purchases = excluded.max_daily_purchases"""

REMOVE_ITEMS: Final = "DELETE FROM menu_items WHERE menu_id = $1 AND item_id = ANY ($2::text[])"

# ---- subscriptions -----------------------------------------------------------------------------

SAVE_SUBSCRIPTION: Final = """
INSERT INTO subscriptions (user_id, model_id, active_until)
SELECT $1, m.model_id, $3 FROM models m WHERE m.model_id = $2
ON CONFLICT (user_id, model_id) DO UPDATE SET active_until = excluded.active_until
RETURNING true"""

IS_SUBSCRIBER: Final = """
SELECT EXISTS (SELECT FROM subscriptions
               WHERE user_id = $1 AND model_id = $2 AND active_until > now())"""

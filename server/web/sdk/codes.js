// Made by `python -m server.documents` from protocol/errors.py and protocol/frames.py; not edited
// by hand.

/** Error code -> whether the same request may succeed later, who caused it, words to show. */
export const ERRORS = {
  MALFORMED_FRAME: { retry: false, cause: "client", text: "The message cannot be decoded." },
  UNKNOWN_FRAME: { retry: false, cause: "client", text: "No such message type." },
  INVALID_FIELD: { retry: false, cause: "client", text: "A field is missing or not allowed." },
  BODY_TOO_LARGE: { retry: false, cause: "client", text: "The request is too large." },
  NOT_FOUND: { retry: false, cause: "client", text: "There is nothing at this address." },
  METHOD_NOT_ALLOWED: { retry: false, cause: "client", text: "Not allowed at this address." },
  REQUEST_TIMEOUT: { retry: true, cause: "client", text: "The body did not come in time." },
  RANGE_NOT_SATISFIABLE: { retry: false, cause: "client", text: "The file does not have this range." },
  TOKEN_MISSING: { retry: false, cause: "client", text: "A bearer token is required." },
  TOKEN_INVALID: { retry: false, cause: "client", text: "The token is not valid." },
  TOKEN_EXPIRED: { retry: false, cause: "client", text: "The token has expired; get a new one." },
  FORBIDDEN: { retry: false, cause: "client", text: "The token does not allow this." },
  WRONG_ROOM: { retry: false, cause: "client", text: "The token is for another room." },
  RATE_LIMITED: { retry: true, cause: "client", text: "Too many requests; wait and try again." },
  TOO_MANY_CONNECTIONS: { retry: true, cause: "client", text: "This user has too many connections; close one." },
  SERVER_BUSY: { retry: true, cause: "server", text: "Too many are joining; come back." },
  ROOM_UNKNOWN: { retry: false, cause: "client", text: "There is no such room." },
  ROOM_OFFLINE: { retry: true, cause: "state", text: "The room is not live." },
  ROOM_BUSY: { retry: true, cause: "server", text: "The room is busy; try again." },
  ROOM_FAILED: { retry: true, cause: "server", text: "The room is down; try again later." },
  BROADCAST_STALE: { retry: false, cause: "state", text: "That broadcast has ended." },
  BROADCAST_ACTIVE: { retry: false, cause: "state", text: "A broadcast is already running." },
  SECOND_MODEL_PAGE: { retry: false, cause: "state", text: "The model's page is already open elsewhere." },
  INTEGRATION_CONFLICT: { retry: false, cause: "state", text: "This broadcast runs on another integration." },
  USER_UNKNOWN: { retry: false, cause: "client", text: "There is no such user." },
  TIP_UNKNOWN: { retry: false, cause: "client", text: "There is no such tip." },
  TIP_CONFLICT: { retry: false, cause: "client", text: "This tipId was used for another tip." },
  INSUFFICIENT_TOKENS: { retry: false, cause: "state", text: "Not enough tokens." },
  TRANSFER_CONFLICT: { retry: false, cause: "client", text: "This id was used for another transfer." },
  ACCOUNT_UNKNOWN: { retry: false, cause: "client", text: "There is no such account." },
  HOLD_UNKNOWN: { retry: false, cause: "client", text: "There is no such hold." },
  HOLD_ENDED: { retry: false, cause: "state", text: "The hold has ended in another way." },
  REFUND_EXCEEDS: { retry: false, cause: "state", text: "More than what is left of the tip after earlier refunds." },
  REFUND_UNCOVERED: { retry: false, cause: "state", text: "The model or the platform no longer has these tokens." },
  REFUND_MOVED: { retry: true, cause: "state", text: "Another refund of this tip came in between; try again." },
  WEBHOOK_UNKNOWN: { retry: false, cause: "client", text: "There is no such webhook." },
  DELIVERY_UNKNOWN: { retry: false, cause: "client", text: "There is no such delivery." },
  TOO_MANY_WEBHOOKS: { retry: false, cause: "state", text: "There are as many webhooks as there may be; delete one first." },
  TOO_MANY_STREAMS: { retry: true, cause: "server", text: "Too many event streams are open; try again later." },
  EVENTS_ARCHIVED: { retry: false, cause: "state", text: "Events after this one were moved away with their month." },
  LEDGER_UNAVAILABLE: { retry: true, cause: "server", text: "The outcome is unknown; send the same tipId again." },
  PREFERENCE_HIDDEN: { retry: false, cause: "state", text: "This preference is not available now; nothing was changed." },
  SETTING_UNKNOWN: { retry: false, cause: "client", text: "There is no such setting." },
  ROOM_TAKEN: { retry: false, cause: "client", text: "The room is another model's." },
  MODEL_HAS_ROOM: { retry: false, cause: "client", text: "The model has another room." },
  LOVENSE_DISABLED: { retry: true, cause: "state", text: "Toys are switched off on the whole platform." },
  TOYS_PAUSED: { retry: true, cause: "state", text: "All toys are stopped; resume first." },
  TOYS_BUSY: { retry: true, cause: "state", text: "A toy plays, or tips wait for it; try again." },
  TOY_UNAVAILABLE: { retry: true, cause: "state", text: "The model's page is not open, or has no connected toy." },
  ROW_NOT_PLAYABLE: { retry: false, cause: "state", text: "The model's own levels cannot express this row." },
  DEAD_LETTER_UNKNOWN: { retry: false, cause: "client", text: "There is no such dead letter." },
  DEAD_LETTER_DECIDED: { retry: false, cause: "state", text: "This dead letter was requeued or dismissed already." },
  SKIPPED_EVENT_UNKNOWN: { retry: false, cause: "client", text: "This consumer has not skipped such an event." },
  DEVICE_UNKNOWN: { retry: false, cause: "client", text: "There is no such device." },
  MESSAGE_UNKNOWN: { retry: false, cause: "client", text: "There is no such message." },
  MESSAGE_CONFLICT: { retry: false, cause: "client", text: "This requestId was used for another message." },
  TEMPLATE_UNKNOWN: { retry: false, cause: "client", text: "There is no such template." },
  NO_TEMPLATE: { retry: false, cause: "state", text: "No active template fits; write the message yourself." },
  MENU_ROW_UNKNOWN: { retry: false, cause: "client", text: "The tip menu has no such row." },
  MENU_MISMATCH: { retry: false, cause: "state", text: "These are not the rows of the menu; read it again." },
  TIP_AMOUNT_TAKEN: { retry: false, cause: "state", text: "Another active row of the menu has this amount." },
  PATTERN_UNKNOWN: { retry: false, cause: "client", text: "There is no such stored pattern." },
  LIMIT_REACHED: { retry: false, cause: "state", text: "No more of these fit; remove one first." },
  MENU_UNKNOWN: { retry: false, cause: "client", text: "There is no such menu." },
  MENU_ITEM_UNKNOWN: { retry: false, cause: "client", text: "The menu has no such item." },
  MENU_ITEM_INACTIVE: { retry: true, cause: "state", text: "The menu or the item is not on offer now." },
  MENU_ITEM_CHANGED: { retry: false, cause: "state", text: "The item has changed since it was shown; read it again." },
  MENU_HIDDEN: { retry: false, cause: "state", text: "This menu is not for this user." },
  DAILY_LIMIT_REACHED: { retry: true, cause: "state", text: "The user has bought as many of these today as one may." },
  PURCHASE_UNKNOWN: { retry: false, cause: "client", text: "There is no such purchase." },
  PURCHASE_CONFLICT: { retry: false, cause: "client", text: "This idempotencyKey was used for another purchase." },
  STAGE_FULL: { retry: true, cause: "server", text: "As many performances wait as may wait; nothing was held." },
  STAGE_BUSY: { retry: true, cause: "state", text: "Another performance is running." },
  STAGE_NOT_NEXT: { retry: true, cause: "state", text: "Another performance is next." },
  STAGE_WRONG_STATE: { retry: false, cause: "state", text: "The purchase is not in a state for this." },
  STAGE_PERFORMING: { retry: true, cause: "state", text: "A performance is running; finish or abandon it first." },
  VENDOR_REFUSED: { retry: false, cause: "server", text: "The toy's vendor refused; the operator has to mend it." },
  VENDOR_UNAVAILABLE: { retry: true, cause: "server", text: "The toy's vendor does not answer as it should; try again." },
  INTERNAL: { retry: true, cause: "server", text: "The server failed; it has been logged." },
};

/** Name -> close code, who caused it, words to show. */
export const CLOSES = {
  GOING_AWAY: { code: 4000, cause: "server", text: "the server is going away; come back" },
  SLOW_CONSUMER: { code: 4001, cause: "client", text: "too slow to take what the room sends" },
  HEARTBEAT_LOST: { code: 4002, cause: "client", text: "no sign of life" },
  CONNECT_TIMEOUT: { code: 4003, cause: "client", text: "no connect message in time" },
  TOKEN_EXPIRED: { code: 4004, cause: "client", text: "the token has expired; come back with a new one" },
  ROOM_RESTARTING: { code: 4005, cause: "server", text: "the room restarts; come back" },
  FLOOD: { code: 4006, cause: "client", text: "too many messages; come back" },
  ROOM_FAILED: { code: 4007, cause: "server", text: "the room rests after repeated failures; come back" },
  SERVER_BUSY: { code: 4008, cause: "server", text: "too many are joining; come back" },
  TOO_MANY_CONNECTIONS: { code: 4009, cause: "client", text: "this user has too many connections; come back" },
  TOKEN_INVALID: { code: 4500, cause: "client", text: "the token is not valid" },
  WRONG_ROOM: { code: 4501, cause: "client", text: "the token is for another room" },
  SECOND_MODEL_PAGE: { code: 4502, cause: "state", text: "the model's page is already open" },
  INTEGRATION_CONFLICT: { code: 4503, cause: "state", text: "the broadcast runs on another integration" },
  BAD_FRAMES: { code: 4504, cause: "client", text: "too many messages that cannot be understood" },
  ROOM_UNKNOWN: { code: 4505, cause: "client", text: "there is no such room" },
  KICKED: { code: 4507, cause: "state", text: "removed from the room" },
};

/** Events that have an offset of their own, so that a jump is a loss. */
export const HISTORY_EVENTS = ["tipNotice", "publicMessage"];

/**
 * Whether a client that was closed with `code` comes back. Codes outside 4000-4999 are the
 * network's or the protocol's own, not a decision of the server: it does.
 *
 * @param {number} code
 * @returns {boolean}
 */
export function reconnects(code) {
  return !(code > 4499 && code <= 4999);
}

"""Every error code and every close code of Tiproom, one table each.

Both tables generate docs/protocol.md and the page's copy (server/web/sdk/codes.js), so that a
client decides by data: an error says whether trying again makes sense; a close code says by its
range whether to come back (4000-4499: reconnect, 4500-4999: do not).
"""

from enum import IntEnum, StrEnum
from typing import Final, Literal

import msgspec

Cause = Literal["client", "server", "state"]


class ErrorCode(StrEnum):
    """Stable names: a client may switch on them; they never change their meaning."""

    MALFORMED_FRAME = "MALFORMED_FRAME"
    UNKNOWN_FRAME = "UNKNOWN_FRAME"
    INVALID_FIELD = "INVALID_FIELD"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    RANGE_NOT_SATISFIABLE = "RANGE_NOT_SATISFIABLE"
    TOKEN_MISSING = "TOKEN_MISSING"
    TOKEN_INVALID = "TOKEN_INVALID"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"
    FORBIDDEN = "FORBIDDEN"
    WRONG_ROOM = "WRONG_ROOM"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    SERVER_BUSY = "SERVER_BUSY"
    ROOM_UNKNOWN = "ROOM_UNKNOWN"
    ROOM_OFFLINE = "ROOM_OFFLINE"
    ROOM_BUSY = "ROOM_BUSY"
    ROOM_FAILED = "ROOM_FAILED"
    BROADCAST_STALE = "BROADCAST_STALE"
    BROADCAST_ACTIVE = "BROADCAST_ACTIVE"
    SECOND_MODEL_PAGE = "SECOND_MODEL_PAGE"
    INTEGRATION_CONFLICT = "INTEGRATION_CONFLICT"
    USER_UNKNOWN = "USER_UNKNOWN"
    TIP_UNKNOWN = "TIP_UNKNOWN"
    TIP_CONFLICT = "TIP_CONFLICT"
    INSUFFICIENT_TOKENS = "INSUFFICIENT_TOKENS"
    TRANSFER_CONFLICT = "TRANSFER_CONFLICT"
    ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"
    HOLD_UNKNOWN = "HOLD_UNKNOWN"
    HOLD_ENDED = "HOLD_ENDED"
    REFUND_EXCEEDS = "REFUND_EXCEEDS"
    REFUND_UNCOVERED = "REFUND_UNCOVERED"
    REFUND_MOVED = "REFUND_MOVED"
    WEBHOOK_UNKNOWN = "WEBHOOK_UNKNOWN"
    DELIVERY_UNKNOWN = "DELIVERY_UNKNOWN"
    TOO_MANY_WEBHOOKS = "TOO_MANY_WEBHOOKS"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    EVENTS_ARCHIVED = "EVENTS_ARCHIVED"
    LEDGER_UNAVAILABLE = "LEDGER_UNAVAILABLE"
    PREFERENCE_HIDDEN = "PREFERENCE_HIDDEN"
    SETTING_UNKNOWN = "SETTING_UNKNOWN"
    ROOM_TAKEN = "ROOM_TAKEN"
    MODEL_HAS_ROOM = "MODEL_HAS_ROOM"
    MENU_ROW_UNKNOWN = "MENU_ROW_UNKNOWN"
    MENU_MISMATCH = "MENU_MISMATCH"
    TIP_AMOUNT_TAKEN = "TIP_AMOUNT_TAKEN"
    PATTERN_UNKNOWN = "PATTERN_UNKNOWN"
    LIMIT_REACHED = "LIMIT_REACHED"
    LOVENSE_DISABLED = "LOVENSE_DISABLED"
    TOYS_PAUSED = "TOYS_PAUSED"
    TOYS_BUSY = "TOYS_BUSY"
    TOY_UNAVAILABLE = "TOY_UNAVAILABLE"
    ROW_NOT_PLAYABLE = "ROW_NOT_PLAYABLE"
    DEAD_LETTER_UNKNOWN = "DEAD_LETTER_UNKNOWN"
    DEAD_LETTER_DECIDED = "DEAD_LETTER_DECIDED"
    SKIPPED_EVENT_UNKNOWN = "SKIPPED_EVENT_UNKNOWN"
    DEVICE_UNKNOWN = "DEVICE_UNKNOWN"
    MESSAGE_UNKNOWN = "MESSAGE_UNKNOWN"
    MESSAGE_CONFLICT = "MESSAGE_CONFLICT"
    TEMPLATE_UNKNOWN = "TEMPLATE_UNKNOWN"
    NO_TEMPLATE = "NO_TEMPLATE"
    MENU_UNKNOWN = "MENU_UNKNOWN"
    MENU_ITEM_UNKNOWN = "MENU_ITEM_UNKNOWN"
    MENU_ITEM_INACTIVE = "MENU_ITEM_INACTIVE"
    MENU_ITEM_CHANGED = "MENU_ITEM_CHANGED"
    MENU_HIDDEN = "MENU_HIDDEN"
    DAILY_LIMIT_REACHED = "DAILY_LIMIT_REACHED"
    PURCHASE_UNKNOWN = "PURCHASE_UNKNOWN"
    PURCHASE_CONFLICT = "PURCHASE_CONFLICT"
    STAGE_FULL = "STAGE_FULL"
    STAGE_BUSY = "STAGE_BUSY"
    STAGE_NOT_NEXT = "STAGE_NOT_NEXT"
    STAGE_WRONG_STATE = "STAGE_WRONG_STATE"
    STAGE_PERFORMING = "STAGE_PERFORMING"
    VENDOR_REFUSED = "VENDOR_REFUSED"
    VENDOR_UNAVAILABLE = "VENDOR_UNAVAILABLE"
    INTERNAL = "INTERNAL"


class ErrorRule(msgspec.Struct, frozen=True):
    """How one error is answered. `retry`: the same request may succeed later, unchanged."""

    http_status: int
    cause: Cause
    retry: bool
    text: str


ERRORS: Final[dict[ErrorCode, ErrorRule]] = {
    ErrorCode.MALFORMED_FRAME: ErrorRule(400, "client", False, "The message cannot be decoded."),
    ErrorCode.UNKNOWN_FRAME: ErrorRule(400, "client", False, "No such message type."),
    ErrorCode.INVALID_FIELD: ErrorRule(422, "client", False, "A field is missing or not allowed."),
    ErrorCode.BODY_TOO_LARGE: ErrorRule(413, "client", False, "The request is too large."),
    ErrorCode.NOT_FOUND: ErrorRule(404, "client", False, "There is nothing at this address."),
    ErrorCode.METHOD_NOT_ALLOWED: ErrorRule(405, "client", False, "Not allowed at this address."),
    ErrorCode.REQUEST_TIMEOUT: ErrorRule(408, "client", True, "The body did not come in time."),
    ErrorCode.RANGE_NOT_SATISFIABLE: ErrorRule(
        416, "client", False, "The file does not have this range."
    ),
    ErrorCode.TOKEN_MISSING: ErrorRule(401, "client", False, "A bearer token is required."),
    ErrorCode.TOKEN_INVALID: ErrorRule(401, "client", False, "The token is not valid."),
    ErrorCode.TOKEN_EXPIRED: ErrorRule(
        401, "client", False, "The token has expired; get a new one."
    ),
    ErrorCode.FORBIDDEN: ErrorRule(403, "client", False, "The token does not allow this."),
    ErrorCode.WRONG_ROOM: ErrorRule(403, "client", False, "The token is for another room."),
    ErrorCode.RATE_LIMITED: ErrorRule(
        429, "client", True, "Too many requests; wait and try again."
    ),
    ErrorCode.TOO_MANY_CONNECTIONS: ErrorRule(
        429, "client", True, "This user has too many connections; close one."
    ),
    ErrorCode.SERVER_BUSY: ErrorRule(503, "server", True, "Too many are joining; come back."),
    ErrorCode.ROOM_UNKNOWN: ErrorRule(404, "client", False, "There is no such room."),
    ErrorCode.ROOM_OFFLINE: ErrorRule(409, "state", True, "The room is not live."),
    ErrorCode.ROOM_BUSY: ErrorRule(503, "server", True, "The room is busy; try again."),
    ErrorCode.ROOM_FAILED: ErrorRule(503, "server", True, "The room is down; try again later."),
    ErrorCode.BROADCAST_STALE: ErrorRule(409, "state", False, "That broadcast has ended."),
    ErrorCode.BROADCAST_ACTIVE: ErrorRule(409, "state", False, "A broadcast is already running."),
    ErrorCode.SECOND_MODEL_PAGE: ErrorRule(
        409, "state", False, "The model's page is already open elsewhere."
    ),
    ErrorCode.INTEGRATION_CONFLICT: ErrorRule(
        409, "state", False, "This broadcast runs on another integration."
    ),
    ErrorCode.USER_UNKNOWN: ErrorRule(404, "client", False, "There is no such user."),
    ErrorCode.TIP_UNKNOWN: ErrorRule(404, "client", False, "There is no such tip."),
    ErrorCode.TIP_CONFLICT: ErrorRule(409, "client", False, "This tipId was used for another tip."),
    ErrorCode.INSUFFICIENT_TOKENS: ErrorRule(402, "state", False, "Not enough tokens."),
    ErrorCode.TRANSFER_CONFLICT: ErrorRule(
        409, "client", False, "This id was used for another transfer."
    ),
    ErrorCode.ACCOUNT_UNKNOWN: ErrorRule(404, "client", False, "There is no such account."),
    ErrorCode.HOLD_UNKNOWN: ErrorRule(404, "client", False, "There is no such hold."),
    ErrorCode.HOLD_ENDED: ErrorRule(409, "state", False, "The hold has ended in another way."),
    ErrorCode.REFUND_EXCEEDS: ErrorRule(
        409, "state", False, "More than what is left of the tip after earlier refunds."
    ),
    ErrorCode.REFUND_UNCOVERED: ErrorRule(
        409, "state", False, "The model or the platform no longer has these tokens."
    ),
    ErrorCode.REFUND_MOVED: ErrorRule(
        409, "state", True, "Another refund of this tip came in between; try again."
    ),
    ErrorCode.WEBHOOK_UNKNOWN: ErrorRule(404, "client", False, "There is no such webhook."),
    ErrorCode.DELIVERY_UNKNOWN: ErrorRule(404, "client", False, "There is no such delivery."),
    ErrorCode.TOO_MANY_WEBHOOKS: ErrorRule(
        409, "state", False, "There are as many webhooks as there may be; delete one first."
    ),
    ErrorCode.TOO_MANY_STREAMS: ErrorRule(
        503, "server", True, "Too many event streams are open; try again later."
    ),
    ErrorCode.EVENTS_ARCHIVED: ErrorRule(
        410, "state", False, "Events after this one were moved away with their month."
    ),
    ErrorCode.LEDGER_UNAVAILABLE: ErrorRule(
        503, "server", True, "The outcome is unknown; send the same tipId again."
    ),
    ErrorCode.PREFERENCE_HIDDEN: ErrorRule(
        409, "state", False, "This preference is not available now; nothing was changed."
    ),
    ErrorCode.SETTING_UNKNOWN: ErrorRule(422, "client", False, "There is no such setting."),
    ErrorCode.ROOM_TAKEN: ErrorRule(409, "client", False, "The room is another model's."),
    ErrorCode.MODEL_HAS_ROOM: ErrorRule(409, "client", False, "The model has another room."),
    ErrorCode.LOVENSE_DISABLED: ErrorRule(
        409, "state", True, "Toys are switched off on the whole platform."
    ),
    ErrorCode.TOYS_PAUSED: ErrorRule(409, "state", True, "All toys are stopped; resume first."),
    ErrorCode.TOYS_BUSY: ErrorRule(
        409, "state", True, "A toy plays, or tips wait for it; try again."
    ),
    ErrorCode.TOY_UNAVAILABLE: ErrorRule(
        409, "state", True, "The model's page is not open, or has no connected toy."
    ),
    ErrorCode.ROW_NOT_PLAYABLE: ErrorRule(
        409, "state", False, "The model's own levels cannot express this row."
    ),
    ErrorCode.DEAD_LETTER_UNKNOWN: ErrorRule(404, "client", False, "There is no such dead letter."),
    ErrorCode.DEAD_LETTER_DECIDED: ErrorRule(
        409, "state", False, "This dead letter was requeued or dismissed already."
    ),
    ErrorCode.SKIPPED_EVENT_UNKNOWN: ErrorRule(
        404, "client", False, "This consumer has not skipped such an event."
    ),
    ErrorCode.DEVICE_UNKNOWN: ErrorRule(404, "client", False, "There is no such device."),
    ErrorCode.MESSAGE_UNKNOWN: ErrorRule(404, "client", False, "There is no such message."),
    ErrorCode.MESSAGE_CONFLICT: ErrorRule(
        409, "client", False, "This requestId was used for another message."
    ),
    ErrorCode.TEMPLATE_UNKNOWN: ErrorRule(404, "client", False, "There is no such template."),
    ErrorCode.NO_TEMPLATE: ErrorRule(
        409, "state", False, "No active template fits; write the message yourself."
    ),
    ErrorCode.MENU_ROW_UNKNOWN: ErrorRule(404, "client", False, "The tip menu has no such row."),
    ErrorCode.MENU_MISMATCH: ErrorRule(
        409, "state", False, "These are not the rows of the menu; read it again."
    ),
    ErrorCode.TIP_AMOUNT_TAKEN: ErrorRule(
        409, "state", False, "Another active row of the menu has this amount."
    ),
    ErrorCode.PATTERN_UNKNOWN: ErrorRule(404, "client", False, "There is no such stored pattern."),
    ErrorCode.LIMIT_REACHED: ErrorRule(
        409, "state", False, "No more of these fit; remove one first."
    ),
    ErrorCode.MENU_UNKNOWN: ErrorRule(404, "client", False, "There is no such menu."),
    ErrorCode.MENU_ITEM_UNKNOWN: ErrorRule(404, "client", False, "The menu has no such item."),
    ErrorCode.MENU_ITEM_INACTIVE: ErrorRule(
        409, "state", True, "The menu or the item is not on offer now."
    ),
    ErrorCode.MENU_ITEM_CHANGED: ErrorRule(
        409, "state", False, "The item has changed since it was shown; read it again."
    ),
    ErrorCode.MENU_HIDDEN: ErrorRule(403, "state", False, "This menu is not for this user."),
    ErrorCode.DAILY_LIMIT_REACHED: ErrorRule(
        409, "state", True, "The user has bought as many of these today as one may."
    ),
    ErrorCode.PURCHASE_UNKNOWN: ErrorRule(404, "client", False, "There is no such purchase."),
    ErrorCode.PURCHASE_CONFLICT: ErrorRule(
        409, "client", False, "This idempotencyKey was used for another purchase."
    ),
    ErrorCode.STAGE_FULL: ErrorRule(
        503, "server", True, "As many performances wait as may wait; nothing was held."
    ),
    ErrorCode.STAGE_BUSY: ErrorRule(409, "state", True, "Another performance is running."),
    ErrorCode.STAGE_NOT_NEXT: ErrorRule(409, "state", True, "Another performance is next."),
    ErrorCode.STAGE_WRONG_STATE: ErrorRule(
        409, "state", False, "The purchase is not in a state for this."
    ),
    ErrorCode.STAGE_PERFORMING: ErrorRule(
        409, "state", True, "A performance is running; finish or abandon it first."
    ),
    ErrorCode.VENDOR_REFUSED: ErrorRule(
        502, "server", False, "The toy's vendor refused; the operator has to mend it."
    ),
    ErrorCode.VENDOR_UNAVAILABLE: ErrorRule(
        503, "server", True, "The toy's vendor does not answer as it should; try again."
    ),
    ErrorCode.INTERNAL: ErrorRule(500, "server", True, "The server failed; it has been logged."),
}


class Refusal(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Why a request was not done. `field`: dotted path of the offending field. `detail`: a short
    reason in plain words; it never quotes what the client sent, nor internals."""

    code: ErrorCode
    field: str | None = None
    detail: str | None = None
    retry_after_s: float | None = None

    @property
    def text(self) -> str:
        """The reason for people: the detail, else the table's sentence."""
        return self.detail or ERRORS[self.code].text


class Refused(Exception):
    """Raised where a request ends early; carries the answer to send. Not named an error: a refusal
    is an answer, not a fault of ours."""

    def __init__(
        self,
        code: ErrorCode,
        field: str | None = None,
        detail: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(code.value)
        self.refusal = Refusal(code, field, detail, retry_after_s)


class CloseCode(IntEnum):
    """WebSocket close codes of our own range. Below 4500 the client reconnects."""

    GOING_AWAY = 4000
    SLOW_CONSUMER = 4001
    HEARTBEAT_LOST = 4002
    CONNECT_TIMEOUT = 4003
    TOKEN_EXPIRED = 4004
    ROOM_RESTARTING = 4005
    FLOOD = 4006
    ROOM_FAILED = 4007
    SERVER_BUSY = 4008
    TOO_MANY_CONNECTIONS = 4009
    TOKEN_INVALID = 4500
    WRONG_ROOM = 4501
    SECOND_MODEL_PAGE = 4502
    INTEGRATION_CONFLICT = 4503
    BAD_FRAMES = 4504
    ROOM_UNKNOWN = 4505
    KICKED = 4507


class CloseRule(msgspec.Struct, frozen=True):
    """What one close code means; `text` goes out as the close reason (<= 123 bytes, with what
    protocol/reconnect.py adds). `crowd`: many are closed in the same moment, so that each is told
    when to come back; `rest_s`: nobody comes back sooner."""

    cause: Cause
    text: str
    crowd: bool = False
    rest_s: float = 0.0


CLOSE_RECONNECT_MAX: Final = 4499
FLOOD_REST_S: Final = 10.0
CONNECTIONS_REST_S: Final = 30.0
"""By then a lost connection of the same user may have been noticed."""
FAILED_ROOM_REST_S: Final = 10.0
"""A room that crashed too often stays closed this long before anyone may open it again."""

CLOSES: Final[dict[CloseCode, CloseRule]] = {
    CloseCode.GOING_AWAY: CloseRule("server", "the server is going away; come back", crowd=True),
    CloseCode.SLOW_CONSUMER: CloseRule("client", "too slow to take what the room sends"),
    CloseCode.HEARTBEAT_LOST: CloseRule("client", "no sign of life"),
    CloseCode.CONNECT_TIMEOUT: CloseRule("client", "no connect message in time"),
    CloseCode.TOKEN_EXPIRED: CloseRule("client", "the token has expired; come back with a new one"),
    CloseCode.ROOM_RESTARTING: CloseRule("server", "the room restarts; come back", crowd=True),
    CloseCode.FLOOD: CloseRule("client", "too many messages; come back", rest_s=FLOOD_REST_S),
    CloseCode.ROOM_FAILED: CloseRule(
        "server",
        "the room rests after repeated failures; come back",
        crowd=True,
        rest_s=FAILED_ROOM_REST_S,
    ),
    CloseCode.SERVER_BUSY: CloseRule("server", "too many are joining; come back", crowd=True),
    CloseCode.TOO_MANY_CONNECTIONS: CloseRule(
        "client", "this user has too many connections; come back", rest_s=CONNECTIONS_REST_S
    ),
    CloseCode.TOKEN_INVALID: CloseRule("client", "the token is not valid"),
    CloseCode.WRONG_ROOM: CloseRule("client", "the token is for another room"),
    CloseCode.SECOND_MODEL_PAGE: CloseRule("state", "the model's page is already open"),
    CloseCode.INTEGRATION_CONFLICT: CloseRule("state", "the broadcast runs on another integration"),
    CloseCode.BAD_FRAMES: CloseRule("client", "too many messages that cannot be understood"),
    CloseCode.ROOM_UNKNOWN: CloseRule("client", "there is no such room"),
    CloseCode.KICKED: CloseRule("state", "removed from the room"),
}


def reconnects(code: int) -> bool:
    """Whether a client closed with `code` comes back. Codes outside our range (1000-2999) do:
    they are the network's, not a decision of ours."""
    return not CLOSE_RECONNECT_MAX < code <= 4999

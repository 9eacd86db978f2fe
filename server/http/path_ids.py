"""The ids that a path carries: what can be one, and the answer where there is none."""

from typing import Annotated, Any, Final

from msgspec import Meta

from protocol.errors import ErrorCode
from protocol.tip_activated import ID_LENGTH_MAX, Id

ACCOUNT_ID_PATTERN: Final = (
    r"^(?:escrow|revenue|issuance|(?:user|model):[A-Za-z0-9][A-Za-z0-9._:-]{0,63})$(?!\n)"
)
AccountId = Annotated[
    str, Meta(pattern=ACCOUNT_ID_PATTERN, max_length=len("model:") + ID_LENGTH_MAX)
]
"""`user:{userId}`, `model:{modelId}`, `escrow`, `revenue` or `issuance`."""

_KINDS: Final[dict[str, Any]] = {"account_id": AccountId}

NO_SUCH: Final = {
    "account_id": ErrorCode.ACCOUNT_UNKNOWN,
    "consumer": ErrorCode.SKIPPED_EVENT_UNKNOWN,
    "device_id": ErrorCode.DEVICE_UNKNOWN,
    "hold_id": ErrorCode.HOLD_UNKNOWN,
    "message_id": ErrorCode.MESSAGE_UNKNOWN,
    "item_id": ErrorCode.MENU_ITEM_UNKNOWN,
    "letter_id": ErrorCode.DEAD_LETTER_UNKNOWN,
    "menu_id": ErrorCode.MENU_UNKNOWN,
    "model_id": ErrorCode.USER_UNKNOWN,
    "pattern_id": ErrorCode.PATTERN_UNKNOWN,
    "purchase_id": ErrorCode.PURCHASE_UNKNOWN,
    "record_id": ErrorCode.DEAD_LETTER_UNKNOWN,
    "room_id": ErrorCode.ROOM_UNKNOWN,
    "row_id": ErrorCode.MENU_ROW_UNKNOWN,
    "seq": ErrorCode.DELIVERY_UNKNOWN,
    "template_id": ErrorCode.TEMPLATE_UNKNOWN,
    "tip_id": ErrorCode.TIP_UNKNOWN,
    "user_id": ErrorCode.USER_UNKNOWN,
    "webhook_id": ErrorCode.WEBHOOK_UNKNOWN,
}
"""NOT_FOUND for any other."""


def kind_of(name: str) -> Any:
    """The type of the ids that `name` stands for in a path."""
    return _KINDS.get(name, Id)

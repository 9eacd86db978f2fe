"""Settings of the toy layer: the platform's, which are global, and one model's.

Spec: settings. Neither reaches into the other. A change is given as a mapping of wire names to
values; `change_platform` and `change_model` return the whole new settings or refuse, naming
every bad field, and leave the old ones as they were.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import AMOUNT_MAX, LovenseMode, ViewerSyncMode
from protocol.vibration import STRENGTH_MAX, PresetName

CAM_SITE_NAME: Final = "XXXChatNow"
"""`lovenseCamSiteName`: a constant by specification, shown and not editable."""


class QueueMode(StrEnum):
    """In which order waiting activations play; see actors/room/activation_queue.py."""

    FIFO = "fifo"
    PRIORITY = "priority"
    BATCH = "batch"


class PlatformSettings(
    msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """Global. `enableLovense` is the kill switch: false stops every dispatch at once."""

    enable_lovense: bool = False
    lovense_cam_site_name: Literal["XXXChatNow"] = CAM_SITE_NAME
    lovense_max_activation_duration: Annotated[int, Meta(ge=1, le=3600)] = 30
    """Seconds; every vibration is cut to it."""
    lovense_default_intensity: Annotated[int, Meta(ge=1, le=STRENGTH_MAX)] = 10
    lovense_rate_limit_per_min: Annotated[int, Meta(ge=1, le=600)] = 30
    """Activations per model in any 60 s; over it they wait."""
    lovense_queue_mode: QueueMode = QueueMode.FIFO
    lovense_enable_auto_connect: bool = True
    lovense_min_tip_for_activation: Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] = 10
    lovense_require_tip_menu: bool = False
    lovense_log_activations: bool = True
    """Extra log lines only; the audit is never off."""


class ModelSettings(
    msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """One model's own. `lovenseMode` takes effect with the next broadcast."""

    lovense_mode: LovenseMode = LovenseMode.EXTENSION
    viewer_sync_mode: ViewerSyncMode = ViewerSyncMode.OFF
    default_preset: PresetName | None = None
    """Plays for a plain tip over the minimum, instead of the platform's default level."""
    auto_connect: bool = True
    tip_menu_enabled: bool = True
    toy_control_in_private: bool = False
    toy_control_in_group: bool = False
    tip_threshold: Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] | None = None
    """Tokens; a model may ask for more than the platform's minimum, never for less."""


S = TypeVar("S", PlatformSettings, ModelSettings)

_NAME: Final = re.compile(r"[A-Za-z]\w{0,63}", re.ASCII)
_NOT_EDITABLE: Final = frozenset({"lovenseCamSiteName"})


def change_platform(
    settings: PlatformSettings, change: dict[str, Any]
) -> PlatformSettings | list[Refusal]:
    """The settings after `change`, or one refusal for each bad field."""
    return _change(settings, change)


def change_model(settings: ModelSettings, change: dict[str, Any]) -> ModelSettings | list[Refusal]:
    """The settings after `change`, or one refusal for each bad field."""
    return _change(settings, change)


def difference(old: S, new: S) -> dict[str, tuple[Any, Any]]:
    """Wire name -> (old, new) of each field that differs; for the history of changes."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    return {name: (before[name], after[name]) for name in after if before[name] != after[name]}


def _change(settings: S, change: dict[str, Any]) -> S | list[Refusal]:
    kind = type(settings)
    current: dict[str, Any] = msgspec.to_builtins(settings)
    refusals: list[Refusal] = []
    for name, value in change.items():
        if name not in current:
            # The name is the sender's own text: it is given back only where it looks like one.
            named = name if _NAME.fullmatch(name) else None
            refusals.append(Refusal(ErrorCode.SETTING_UNKNOWN, named))
        elif name in _NOT_EDITABLE:
            refusals.append(Refusal(ErrorCode.INVALID_FIELD, name, "This setting is a constant."))
        else:
            try:
                msgspec.convert({**current, name: value}, kind)
            except msgspec.ValidationError:
                refusals.append(Refusal(ErrorCode.INVALID_FIELD, name, "Not an allowed value."))
    return refusals or msgspec.convert({**current, **change}, kind)

"""What may happen to a frame on its way to a member who reads too slowly (spec 7, slow members).

*Never dropped* is everything that is not named here: commands, money, answers. *Latest only* is a
whole state that replaces the one before: of what waits, the newest is enough. *Sampled* is what
one can do without: under pressure it is left out, and the member is told how much.
"""

from enum import StrEnum
from typing import Any, Final

from protocol import frames


class DeliveryClass(StrEnum):
    NEVER_DROPPED = "never_dropped"
    LATEST_ONLY = "latest_only"
    SAMPLED = "sampled"


class Delivery:
    """How one kind of frame is delivered. Compared by identity: of one that is LATEST_ONLY, a
    newer frame takes the place of an older one. `stoppable`: a stop that comes later makes it
    void, so that it must not arrive after it. `patient`: in a large room it may wait a moment for
    another event to leave with."""

    __slots__ = ("delivery_class", "patient", "stoppable")

    def __init__(
        self, delivery_class: DeliveryClass, *, stoppable: bool = False, patient: bool = False
    ) -> None:
        self.delivery_class = delivery_class
        self.stoppable = stoppable
        self.patient = patient


NEVER_DROPPED: Final = Delivery(DeliveryClass.NEVER_DROPPED)
SAMPLED: Final = Delivery(DeliveryClass.SAMPLED)
COMMAND: Final = Delivery(DeliveryClass.NEVER_DROPPED, stoppable=True)

_BY_TYPE: Final[dict[type, Delivery]] = {
    frames.Command: COMMAND,
    frames.ToyTestCommand: COMMAND,
    frames.PublicMessage: Delivery(DeliveryClass.NEVER_DROPPED, patient=True),
    **{
        kind: Delivery(DeliveryClass.LATEST_ONLY, patient=True)
        for kind in (frames.PresenceChanged, frames.TypingChanged, frames.MoodChanged)
    },
    **{
        kind: Delivery(DeliveryClass.LATEST_ONLY)
        for kind in (
            frames.RoomChanged,
            frames.SelfChanged,
            frames.QueueChanged,
            frames.ModelToysChanged,
            frames.StageChanged,
        )
    },
}


def delivery_of(frame: Any) -> Delivery:
    """By its type; NEVER_DROPPED for one that is not named."""
    return _BY_TYPE.get(type(frame), NEVER_DROPPED)

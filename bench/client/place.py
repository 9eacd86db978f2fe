"""Where a client is in its room's history: the epoch, and the offset up to which it has all. Every
history event is taken exactly once, and what was lost is known. Pure."""

from protocol.frames import HistoryEvent, Resume, Snapshot


class Place:
    """Nowhere, until the first snapshot."""

    def __init__(self) -> None:
        self._epoch: str | None = None
        self._offset = 0

    @property
    def resume(self) -> Resume | None:
        """For `connect`; None before a snapshot."""
        return None if self._epoch is None else Resume(self._epoch, self._offset)

    def restart(self, snapshot: Snapshot) -> int | None:
        """Take a snapshot, its missed events with it. How many events were lost; None: some
        perhaps, the room itself has started anew."""
        before, self._epoch = self._epoch, snapshot.epoch
        had, self._offset = self._offset, snapshot.offset
        if before is None or snapshot.recovered:
            return 0
        return snapshot.offset - had if before == snapshot.epoch else None

    def advance(self, event: HistoryEvent) -> int:
        """Take the next event: how many before it were lost; -1: it is here already.

        Raises ValueError for one of another epoch than the snapshot's: the server is at fault.
        """
        if event.epoch != self._epoch:
            raise ValueError("an event of another epoch than the snapshot's")
        if event.offset <= self._offset:
            return -1
        lost = event.offset - self._offset - 1
        self._offset = event.offset
        return lost

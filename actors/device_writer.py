"""Device writer: takes what rooms hear of their members' toys without making them wait."""

from typing import Final

import structlog
import trio

from actors.ports import DevicesSeen, DeviceStore, StoreUnavailable

RETRY_S: Final = 1.0
OWNERS_PER_WRITE_MAX: Final = 500


class DeviceWriter:
    """Implements actors.ports.DeviceLog. What is lost with the process, the pages report again."""

    def __init__(self, store: DeviceStore) -> None:
        self._store = store
        self._newest: dict[str, DevicesSeen] = {}
        self._arrived = trio.Event()
        self._writing = False
        self._idle = trio.lowlevel.ParkingLot()
        self._log = structlog.get_logger("tiproom.devices")

    @property
    def waiting(self) -> int:
        """Owners whose toys are not stored as they are now."""
        return len(self._newest)

    def write(self, seen: DevicesSeen) -> None:
        self._newest[seen.owner_id] = seen
        self._arrived.set()

    async def flush(self) -> None:
        """Wait until all that was written so far is stored, or was refused."""
        while self._newest or self._writing:
            await self._idle.park()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        task_status.started()
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            while self._newest:
                await self._write_some()
            self._idle.unpark_all()

    async def _write_some(self) -> None:
        owners = list(self._newest)[:OWNERS_PER_WRITE_MAX]
        batch = [self._newest.pop(owner_id) for owner_id in owners]
        self._writing = True
        try:
            await self._store.save_seen(batch)
        except StoreUnavailable:
            for seen in batch:  # what came meanwhile is newer
                self._newest.setdefault(seen.owner_id, seen)
            self._log.error("devices_not_stored", owners=len(self._newest))
            await trio.sleep(RETRY_S)
        except Exception:
            self._log.exception("devices_set_aside", owners=len(batch))
        finally:
            self._writing = False

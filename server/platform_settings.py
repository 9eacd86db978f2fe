"""The platform's settings while they change. The kill switch waits for nothing: neither for the
database nor for another change."""

from collections.abc import Iterable
from typing import Any

import msgspec
import trio

from actors.ports import RoomRef, SettingsStore, StoreUnavailable
from actors.room.messages import PlatformSettingsChanged
from protocol.errors import ErrorCode, Refusal, Refused
from protocol.toy_settings import PlatformSettings, change_platform, difference


class BadChange(Exception):
    """One refusal for each bad field; nothing was changed."""

    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__(f"{len(refusals)} refusals")
        self.refusals = refusals


class PlatformChanges:
    """The only writer of the platform's settings; tells the rooms that are awake."""

    def __init__(
        self, rooms: Iterable[RoomRef], store: SettingsStore, current: PlatformSettings
    ) -> None:
        self._rooms = rooms
        self._store = store
        self._told = current
        """What the rooms go by."""
        self._offs = 0
        """How often the toys were switched off; a change that began before the last of them must
        not switch them on again."""
        self._off_unstored = False
        """Switched off, and the database may not know it."""
        # Read, change, write, tell: a second change in between would undo the first.
        self._one_change = trio.Lock()

    async def change(self, change: dict[str, Any], who: str) -> PlatformSettings:
        """The settings after `change` (wire names). Every live room has heard of them, ahead of
        what waits there. Raises BadChange; StoreUnavailable when nothing is changed for the
        rooms; Refused with LEDGER_UNAVAILABLE when the toys are off but that is not stored."""
        if change.get("enableLovense") is not False:
            return await self._store_and_tell(change, who)
        self._tell(_changed(self._told, change))
        self._offs += 1
        self._off_unstored = True
        try:
            return await self._store_and_tell(change, who)
        except StoreUnavailable as error:
            raise Refused(
                ErrorCode.LEDGER_UNAVAILABLE,
                detail="All live rooms were told, but it is not stored: send it again.",
            ) from error

    async def _store_and_tell(self, change: dict[str, Any], who: str) -> PlatformSettings:
        offs = self._offs
        async with self._one_change:
            stored = await self._store.load_platform_settings()
            new = _changed(self._kept_off(stored), change)
            await self._store.save_platform_settings(new, difference(stored, new), who)
            if "enableLovense" in change and offs == self._offs:
                self._off_unstored = False
            self._tell(self._kept_off(new))
        return new

    def _kept_off(self, settings: PlatformSettings) -> PlatformSettings:
        if not self._off_unstored:
            return settings
        return msgspec.structs.replace(settings, enable_lovense=False)

    def _tell(self, settings: PlatformSettings) -> None:
        self._told = settings
        for room in self._rooms:
            room.tell_first(PlatformSettingsChanged(settings))


def _changed(settings: PlatformSettings, change: dict[str, Any]) -> PlatformSettings:
    new = change_platform(settings, change)
    if isinstance(new, list):
        raise BadChange(new)
    return new

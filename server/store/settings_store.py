"""Settings of the platform and of models, with who changed what and when."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from actors.ports import ModelRecord
from protocol.errors import ErrorCode, Refused
from protocol.toy_settings import ModelSettings, PlatformSettings
from server.store import queries
from server.store.database import Connection, Database

Changes = dict[str, tuple[Any, Any]]
"""Wire name -> (old, new): protocol.toy_settings.difference."""


class SettingChange(msgspec.Struct, frozen=True, rename="camel"):
    """One change of one setting. `scope`: `platform`, `model` (a row of a tip menu or a pattern,
    too) or `device` (a limit on a toy); `ownerId`: the model, or the device's owner. `who`: the
    user who changed it. `at`: UTC."""

    change_id: int
    scope: str
    owner_id: str | None
    name: str
    old: Any
    new: Any
    who: str
    at: datetime


class PostgresSettings:
    """Implements actors.ports.SettingsStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_platform_settings(self) -> PlatformSettings:
        """The defaults until they were set for the first time."""
        return await self._database.run(_load_platform_settings)

    async def initialise_platform_settings(self, settings: PlatformSettings) -> None:
        """Only if they were never set; no history."""
        await self._database.run(_initialise_platform_settings, settings)

    async def save_platform_settings(
        self, settings: PlatformSettings, changes: Changes, who: str
    ) -> None:
        """See the port."""
        await self._database.run(_save_platform_settings, settings, changes, who)

    async def load_model(self, model_id: str) -> ModelRecord | None:
        """See the port."""
        return await self._database.run(_load_model, model_id)

    async def save_model_settings(
        self, model_id: str, settings: ModelSettings, changes: Changes, who: str
    ) -> None:
        """See the port. Raises Refused with NOT_FOUND for a model who is not registered."""
        await self._database.run(_save_model_settings, model_id, settings, changes, who)

    async def load_changes(
        self, scopes: Sequence[str], owner_id: str | None, before: int | None, limit: int
    ) -> list[SettingChange]:
        """The newest first, at most `limit`; of `scopes`, all where none is named; of one owner,
        where one is; older than the change `before`."""
        return await self._database.run(_load_changes, scopes, owner_id, before, limit)


async def _load_changes(
    connection: Connection,
    scopes: Sequence[str],
    owner_id: str | None,
    before: int | None,
    limit: int,
) -> list[SettingChange]:
    rows = await connection.fetch(
        queries.LOAD_SETTINGS_HISTORY, list(scopes), owner_id, before, limit
    )
    return [
        SettingChange(
            **{
                **dict(row),
                "old": msgspec.json.decode(row["old"]),
                "new": msgspec.json.decode(row["new"]),
            }
        )
        for row in rows
    ]


async def _load_platform_settings(connection: Connection) -> PlatformSettings:
    stored = await connection.fetchval(queries.LOAD_PLATFORM_SETTINGS)
    if stored is None:
        return PlatformSettings()
    return msgspec.json.decode(stored, type=PlatformSettings)


async def _initialise_platform_settings(connection: Connection, settings: PlatformSettings) -> None:
    await connection.execute(queries.INITIALISE_PLATFORM_SETTINGS, _json(settings))


async def _save_platform_settings(
    connection: Connection, settings: PlatformSettings, changes: Changes, who: str
) -> None:
    async with connection.transaction():
        await connection.execute(queries.SAVE_PLATFORM_SETTINGS, _json(settings))
        await record_changes(connection, "platform", None, changes, who)


async def _load_model(connection: Connection, model_id: str) -> ModelRecord | None:
    row = await connection.fetchrow(queries.LOAD_MODEL, model_id)
    if row is None:
        return None
    settings = msgspec.json.decode(row["settings"], type=ModelSettings)
    return ModelRecord(settings, tuple(row["room_ids"]))


async def _save_model_settings(
    connection: Connection, model_id: str, settings: ModelSettings, changes: Changes, who: str
) -> None:
    async with connection.transaction():
        if not await connection.fetchval(queries.SAVE_MODEL_SETTINGS, model_id, _json(settings)):
            raise Refused(ErrorCode.NOT_FOUND)
        await record_changes(connection, "model", model_id, changes, who)


async def record_changes(
    connection: Connection, scope: str, owner_id: str | None, changes: Changes, who: str
) -> None:
    """In the transaction of the change itself. `scope`: `platform`; `model` with her id; `device`
    with its owner's."""
    await connection.execute(
        queries.RECORD_SETTINGS,
        scope,
        owner_id,
        list(changes),
        [_json(old) for old, _ in changes.values()],
        [_json(new) for _, new in changes.values()],
        who,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()

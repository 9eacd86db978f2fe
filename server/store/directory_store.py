"""Models and their rooms, as the platform registers them."""

import msgspec

from protocol.errors import ErrorCode, Refused
from protocol.toy_settings import ModelSettings
from server.store import queries
from server.store.database import Connection, Database


class PostgresDirectory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def save_model(self, model_id: str, display_name: str, room_id: str) -> None:
        """Register a model and her one room, or change her name; nothing else of her changes.
        `display_name`: 1..64 characters without NUL. Raises Refused, and changes nothing:
        ROOM_TAKEN for another model's room, MODEL_HAS_ROOM for a second room of hers."""
        await self._database.run(_save_model, model_id, display_name, room_id)


async def _save_model(
    connection: Connection, model_id: str, display_name: str, room_id: str
) -> None:
    settings = msgspec.json.encode(ModelSettings()).decode()
    async with connection.transaction():
        await connection.execute(queries.SAVE_MODEL, model_id, display_name, settings)
        if await connection.fetchval(queries.CLAIM_ROOM, room_id, model_id):
            return
        owner = await connection.fetchval(queries.ROOM_OWNER, room_id)
        if owner is None:
            raise Refused(ErrorCode.MODEL_HAS_ROOM, "roomId")
        if owner != model_id:
            raise Refused(ErrorCode.ROOM_TAKEN, "roomId")

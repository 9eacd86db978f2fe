"""Message templates. An edit makes a new version, and a removed one stays for its messages."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import asyncpg

from protocol.errors import ErrorCode, Refused
from protocol.message_templates import (
    TEMPLATES_MAX,
    ShippedTemplate,
    Template,
    TemplateDraft,
    variables_of,
)
from protocol.mood_messages import MessageType, Mood
from protocol.tip_activated import MembershipTier
from server.store import message_queries as queries
from server.store.database import Connection, Database
from server.store.rows import read_rows

VERSIONS_SHOWN_MAX = 100


class PostgresTemplates:
    """Whoever changes one has it told to those who keep them in memory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_page(
        self,
        message_type: MessageType | None,
        mood: Mood | None,
        tier: MembershipTier | None,
        after: str | None,
        limit: int,
    ) -> list[Template]:
        """Those in force, by templateId."""
        rows = await self._database.run(
            _fetch, queries.LIST_TEMPLATES, after, message_type, mood, tier, limit
        )
        return read_templates(rows)

    async def load_versions(self, template_id: str) -> list[Template]:
        """All that one has been, the newest first. Raises Refused with TEMPLATE_UNKNOWN."""
        rows = await self._database.run(
            _fetch, queries.LOAD_TEMPLATE_VERSIONS, template_id, VERSIONS_SHOWN_MAX
        )
        if not rows:
            raise Refused(ErrorCode.TEMPLATE_UNKNOWN)
        return read_templates(rows)

    async def add(self, draft: TemplateDraft, who: str) -> Template:
        """Raises Refused with LIMIT_REACHED."""
        template_id = f"template-{uuid4().hex}"
        await self._database.run(_add, [(template_id, draft)], who)
        return (await self.load_versions(template_id))[0]

    async def add_shipped(self, templates: Sequence[ShippedTemplate], who: str) -> int:
        """Those that were never there; how many. Raises Refused with LIMIT_REACHED, and then none
        is added."""
        named = [(each.template_id, each.template) for each in templates]
        return await self._database.run(_add, named, who)

    async def replace(self, template_id: str, draft: TemplateDraft, who: str) -> Template:
        """Its next version. Raises Refused with TEMPLATE_UNKNOWN."""
        await self._database.run(_replace, template_id, draft, who)
        return (await self.load_versions(template_id))[0]

    async def remove(self, template_id: str) -> None:
        """Raises Refused with TEMPLATE_UNKNOWN."""
        await self._database.run(_remove, template_id)


def read_templates(rows: Sequence[asyncpg.Record]) -> list[Template]:
    return read_rows(
        [{**dict(row), "variables": variables_of(row["content"])} for row in rows], Template
    )


async def _add(
    connection: Connection, templates: Sequence[tuple[str, TemplateDraft]], who: str
) -> int:
    async with connection.transaction():
        await connection.execute(queries.LOCK_TEMPLATES)
        added = 0
        for template_id, draft in templates:
            added += await _insert(connection, template_id, 1, draft, who)
        if added and await connection.fetchval(queries.COUNT_TEMPLATES) > TEMPLATES_MAX:
            detail = f"There may be {TEMPLATES_MAX} templates; remove one first."
            raise Refused(ErrorCode.LIMIT_REACHED, detail=detail)
    return added


async def _replace(
    connection: Connection, template_id: str, draft: TemplateDraft, who: str
) -> None:
    async with connection.transaction():
        await connection.execute(queries.LOCK_TEMPLATES)
        version = await connection.fetchval(queries.END_TEMPLATE, template_id)
        if version is None:
            raise Refused(ErrorCode.TEMPLATE_UNKNOWN)
        await _insert(connection, template_id, version + 1, draft, who)


async def _remove(connection: Connection, template_id: str) -> None:
    async with connection.transaction():
        await connection.execute(queries.LOCK_TEMPLATES)
        if await connection.fetchval(queries.END_TEMPLATE, template_id) is None:
            raise Refused(ErrorCode.TEMPLATE_UNKNOWN)


async def _insert(
    connection: Connection, template_id: str, version: int, draft: TemplateDraft, who: str
) -> bool:
    added = await connection.fetchval(
        queries.ADD_TEMPLATE,
        template_id,
        version,
        draft.name,
        draft.message_type,
        draft.mood,
        draft.tier,
        draft.content,
        tuple(dict.fromkeys(draft.tags)),
        draft.active,
        who,
    )
    return added is not None


async def _fetch(connection: Connection, query: str, *args: Any) -> list[asyncpg.Record]:
    return await connection.fetch(query, *args)

"""The roster of a room: who is here, those who matter first; its pages, and what changed in it.

A join costs a place in a sorted list, whatever the size of the room; changes are gathered and told
together, so that a crowd that joins costs the room O(n).
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from typing import Final

import msgspec

from protocol.frames import MemberView
from protocol.tip_activated import MembershipTier

CHANGES_MAX: Final = 32
"""Listed in one change list. Of a crowd those who matter are; the others are counted."""

_ROLES: Final = {"model": 0, "moderator": 1}
_VIP, _TIPPER, _OTHER = 2, 3, 4

_Key = tuple[int, str, int]
"""Rank, folded name, memberId: the order of the roster."""


class Changes(msgspec.Struct, frozen=True):
    """Since the last ones: who came or is not as before, who went (memberIds), and how many more of
    both are not listed."""

    here: tuple[MemberView, ...]
    gone: tuple[int, ...]
    omitted: int


class Roster:
    """Members by a name of their own for the asker (a userId, say), which is never shown."""

    __slots__ = ("_before", "_last_id", "_members", "_order")

    def __init__(self) -> None:
        self._members: dict[str, MemberView] = {}
        self._order: list[tuple[_Key, MemberView]] = []
        self._before: dict[str, MemberView | None] = {}
        """Who has changed since the last changes were taken -> as they were then."""
        self._last_id = 0

    @property
    def changed(self) -> bool:
        return bool(self._before)

    def put(
        self, name: str, *, username: str, role: str, tier: MembershipTier, tipper: bool, away: bool
    ) -> None:
        """Here, and like this. Who went and came between two change lists keeps the memberId."""
        old = self._members.get(name)
        known = old or self._before.get(name)
        if known is None:
            self._last_id += 1
        view = MemberView(
            id=self._last_id if known is None else known.id,
            username=username,
            role=role,  # type: ignore[arg-type]  # one of the literal's
            membership_tier=tier,
            tipper=tipper,
            state="away" if away else "online",
        )
        if view == old:
            return
        self._before.setdefault(name, old)
        if old is not None:
            self._remove_from_order(old)
        self._members[name] = view
        insort(self._order, (_key(view), view), key=_key_of)

    def remove(self, name: str) -> None:
        """Gone; who was not here is no matter."""
        old = self._members.pop(name, None)
        if old is not None:
            self._before.setdefault(name, old)
            self._remove_from_order(old)

    def member(self, name: str) -> MemberView | None:
        return self._members.get(name)

    def page(self, after: str | None, limit: int) -> tuple[tuple[MemberView, ...], str | None]:
        """The next `limit` members behind the cursor `after`, and the cursor of the page behind
        them, None on the last. A member who moves between two pages may be on both or on none.
        Raises ValueError for what is no cursor."""
        start = 0 if after is None else bisect_right(self._order, _read_cursor(after), key=_key_of)
        found = self._order[start : start + limit]
        is_last = start + limit >= len(self._order)
        return tuple(view for _, view in found), None if is_last else _cursor(found[-1][0])

    def take_changes(self) -> Changes:
        """What differs from what was told last; it is told now."""
        changed = []
        for name, before in self._before.items():
            now = self._members.get(name)
            shown = now or before
            if now != before and shown is not None:
                changed.append((_key(shown), shown, now is None))
        self._before = {}
        listed = heapq.nsmallest(CHANGES_MAX, changed, key=lambda each: each[0])
        return Changes(
            here=tuple(view for _, view, is_gone in listed if not is_gone),
            gone=tuple(view.id for _, view, is_gone in listed if is_gone),
            omitted=len(changed) - len(listed),
        )

    def __len__(self) -> int:
        return len(self._members)

    def _remove_from_order(self, view: MemberView) -> None:
        at = bisect_left(self._order, _key(view), key=_key_of)
        assert self._order[at][1] is view
        del self._order[at]


def _key(view: MemberView) -> _Key:
    if view.role in _ROLES:
        rank = _ROLES[view.role]
    elif view.membership_tier.is_vip:
        rank = _VIP
    else:
        rank = _TIPPER if view.tipper else _OTHER
    return rank, view.username.casefold(), view.id


def _key_of(entry: tuple[_Key, MemberView]) -> _Key:
    return entry[0]


def _cursor(key: _Key) -> str:
    rank, folded_name, member_id = key
    return f"{rank}.{member_id}.{folded_name}"


def _read_cursor(cursor: str) -> _Key:
    rank, member_id, folded_name = cursor.split(".", 2)
    return int(rank), folded_name, int(member_id)

"""Three menus to start from (spec 5), as data: what a model may send, and so checked in the same
way. The demo loads them for its model."""

from importlib.resources import files
from typing import Final

import msgspec

from protocol.performance_menu_edit import ItemDraft, MenuDraft

NAMES: Final = ("quick_fun", "private_energy", "vip_experience")


class ReadyMenu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    menu: MenuDraft
    items: tuple[ItemDraft, ...]


def load_ready_menus() -> tuple[ReadyMenu, ...]:
    """In the order of NAMES."""
    folder = files(__name__)
    return tuple(
        msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=ReadyMenu)
        for name in NAMES
    )

"""The message templates that come with Tiproom: in the demo at once, elsewhere when staff ask for
them (`POST /admin/message-templates/shipped`)."""

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from protocol.message_templates import ShippedTemplate

WHO: Final = "tiproom"
"""Who made them, in the record."""


@cache
def shipped_templates() -> tuple[ShippedTemplate, ...]:
    """Read from the package, once."""
    data = files("server").joinpath("message_templates.json").read_bytes()
    return msgspec.json.decode(data, type=tuple[ShippedTemplate, ...])

"""Templates of messages: validation, variables, choice. Read `choose`, then `fill`.

A template is for one message type, and for one mood and one tier or for any. Its text has
variables, `{{username}}`; a value is put in as it is and never looked at again, so that a username
of `{{amount}}` stays a username. Nothing is escaped here: whoever shows a text escapes it, for only
there it is known into what.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from protocol.errors import ErrorCode, Refusal
from protocol.mood_messages import CONTENT_MAX, MessageType, Mood
from protocol.tip_activated import NO_NUL_PATTERN, Id, MembershipTier

TEMPLATES_MAX: Final = 1_000
"""In force at once: all of them are kept in memory."""
RECENT_MAX: Final = 5
"""The same template comes to a viewer once in so many messages, where there is another."""

_VARIABLE: Final = re.compile(r"\{\{([A-Za-z]+)\}\}", re.ASCII)
_LEFTOVER: Final = re.compile(r"\{\{|\}\}")

VARIABLES: Final[dict[MessageType, frozenset[str]]] = {
    MessageType.PUBLIC_MICRO: frozenset({"username", "modelName", "amount", "itemName"}),
    MessageType.PRIVATE_CUSTOM: frozenset({"username", "modelName"}),
    MessageType.ESCALATION_AUTO: frozenset({"username", "modelName"}),
}
"""What a template of each type may name. `username` is the viewer's, `modelName` the model's."""

TEMPLATE_CONTENT_MAX: Final = 300
_LONGEST_VALUE: Final = 200
"""Of an item's name; usernames and model names are shorter."""
VARIABLES_MAX: Final = (CONTENT_MAX - TEMPLATE_CONTENT_MAX) // _LONGEST_VALUE
"""In one template, repeats counted: so whatever is put in, the message is not too long."""

Tag = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$(?!\n)", max_length=32)]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=10)]
Name = Annotated[str, Meta(min_length=1, max_length=80, pattern=NO_NUL_PATTERN)]
TemplateContent = Annotated[
    str, Meta(min_length=1, max_length=TEMPLATE_CONTENT_MAX, pattern=NO_NUL_PATTERN)
]


class TemplateDraft(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A template as staff send it, whole. `mood`, `tier`: null stands for any."""

    name: Name
    message_type: MessageType
    mood: Mood | None
    tier: MembershipTier | None
    content: TemplateContent
    tags: Tags = ()
    active: bool = True


class ShippedTemplate(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One of those that come with Tiproom: a draft with an id that stays."""

    template_id: Id
    template: TemplateDraft


class Template(msgspec.Struct, frozen=True, rename="camel"):
    """A template in force. `usage`: messages made of this version; `successes`: those of them that
    were read. `lastUsedAt`: UTC, null before the first."""

    template_id: Id
    version: int
    name: str
    message_type: MessageType
    mood: Mood | None
    tier: MembershipTier | None
    content: str
    variables: tuple[str, ...]
    tags: Tags
    active: bool
    usage: int
    successes: int
    last_used_at: datetime | None
    changed_by: str
    changed_at: datetime

    @property
    def success(self) -> Fraction:
        """How likely the next one is read: successes of uses, begun with one of two (Laplace's rule
        of succession), so that a new template is neither the best nor never tried."""
        return Fraction(self.successes + 1, self.usage + 2)


# ---- text ------------------------------------------------------------------------------------


def variables_of(content: str) -> tuple[str, ...]:
    """The names in it, each once, in order of appearance."""
    return tuple(dict.fromkeys(_VARIABLE.findall(content)))


def check(draft: TemplateDraft) -> list[Refusal]:
    """What its fields do not say each by themselves: one INVALID_FIELD for each fault of the
    text."""
    faults: list[str] = []
    allowed = VARIABLES[draft.message_type]
    if not set(variables_of(draft.content)) <= allowed:
        faults.append(f"It may name {', '.join(sorted(allowed))}, and no other.")
    if len(_VARIABLE.findall(draft.content)) > VARIABLES_MAX:
        faults.append(f"It may name at most {VARIABLES_MAX} variables.")
    if _LEFTOVER.search(_VARIABLE.sub("", draft.content)):
        faults.append("Double braces enclose the name of a variable, and nothing else.")
    return [Refusal(ErrorCode.INVALID_FIELD, "content", fault) for fault in faults]


def fill(content: str, values: Mapping[str, str]) -> str:
    """The text with its variables replaced, in one pass: what is put in is not looked at again.
    Raises KeyError for one without a value, which `check` rules out."""
    return _VARIABLE.sub(lambda found: values[found[1]], content)


# ---- choice ----------------------------------------------------------------------------------


def choose(
    templates: Iterable[Template],
    message_type: MessageType,
    mood: Mood,
    tier: MembershipTier,
    recent: Sequence[str],
) -> Template | None:
    """The template for the next message to a viewer; `recent`: templateIds of the last ones that
    the viewer got, the newest first, of which RECENT_MAX count. None: no active one fits.

    What fits most closely goes first (mood and tier, mood, tier, neither); among equals the most
    successful, then the least recently used. One that the viewer had within five is passed over,
    also for one that fits less closely; if there is no other, the one he had longest ago.
    """
    fitting = [
        template
        for template in templates
        if template.active
        and template.message_type is message_type
        and template.mood in (mood, None)
        and template.tier in (tier, None)
    ]
    had = recent[:RECENT_MAX]
    fresh = [template for template in fitting if template.template_id not in had]
    if fresh:
        return min(fresh, key=_rank)
    return max(fitting, key=lambda each: had.index(each.template_id), default=None)


def _rank(template: Template) -> tuple[bool, bool, Fraction, float, str]:
    """The smallest is the best; the id makes it one."""
    used = template.last_used_at
    return (
        template.mood is None,
        template.tier is None,
        -template.success,
        float("-inf") if used is None else used.timestamp(),
        template.template_id,
    )

"""What was sent, against the struct that it should be: every bad field named, not only the first.

msgspec stops at the first fault, which is right for frames that a program writes. What a person
has filled in is answered whole, so that it need not be sent again for each fault.
"""

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import msgspec

from protocol.codec import field_path
from protocol.errors import ErrorCode, Refusal

T = TypeVar("T", bound=msgspec.Struct)

REFUSALS_MAX: Final = 100
"""Of one body; a hundred wrong names are no person's mistake."""

_NOT_ALLOWED: Final = "Not an allowed value."
_NAME: Final = re.compile(r"[A-Za-z]\w{0,63}", re.ASCII)


def validate(raw: object, kind: type[T]) -> T | list[Refusal]:
    """The `kind` that decoded JSON is, or one INVALID_FIELD for each bad field, by its dotted path:
    at most REFUSALS_MAX. In a list the first bad element is named. Strict: "5" is no number."""
    faults = list(_faults(raw, kind, ""))
    if not faults:
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:  # fields that are good each, and not together
            faults = [(field_path(error) or "", _NOT_ALLOWED)]
    return [
        Refusal(ErrorCode.INVALID_FIELD, path or None, detail)
        for path, detail in faults[:REFUSALS_MAX]
    ]


def _faults(value: object, kind: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and detail of all that is wrong with `value`, which is at `path`."""
    choices = _structs_in(kind)
    if not choices or not isinstance(value, dict):
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            yield _join(path, field_path(error)), _NOT_ALLOWED
        return
    struct = _chosen(value, choices)
    if struct is None:
        yield _join(path, choices[0].__struct_config__.tag_field), _NOT_ALLOWED
        return
    config = struct.__struct_config__
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    if config.forbid_unknown_fields:
        for name in value:
            if name not in fields and name != config.tag_field:
                # The name is the sender's own text: given back only where it looks like one.
                yield _join(path, name if _NAME.fullmatch(name) else None), "No such field."
    for name, field in fields.items():
        if name in value:
            yield from _faults(value[name], field.type, _join(path, name))
        elif field.required:
            yield _join(path, name), "This field is missing."


def _structs_in(kind: Any) -> list[type[msgspec.Struct]]:
    """The structs that a value of this type may be."""
    if get_origin(kind) is Annotated:
        return _structs_in(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [struct for member in get_args(kind) for struct in _structs_in(member)]
    return [kind] if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else []


def _chosen(
    value: dict[str, Any], choices: list[type[msgspec.Struct]]
) -> type[msgspec.Struct] | None:
    """The one that the value's tag names; None if it names none."""
    tag_field = choices[0].__struct_config__.tag_field
    if tag_field is None:
        return choices[0]
    tag = value.get(tag_field)
    return next((each for each in choices if each.__struct_config__.tag == tag), None)


def _join(path: str, rest: str | None) -> str:
    if not rest:
        return path
    return f"{path}{rest}" if not path or rest.startswith("[") else f"{path}.{rest}"

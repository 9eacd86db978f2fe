"""Structs as documents show them: what is inside, and what the source says of each field."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from types import ModuleType

import msgspec
from msgspec import inspect as types

StructClass = type[msgspec.Struct]


def doc_of(kind: StructClass) -> str:
    """Its docstring as a reader of the wire needs it; empty where there is none."""
    return wire_names(inspect.cleandoc(kind.__doc__)) if kind.__doc__ else ""


def field_notes(kind: StructClass) -> dict[str, str]:
    """Field -> the string below it in the source: Python keeps it nowhere at run time."""
    return _notes_in(sys.modules[kind.__module__]).get(kind.__name__, {})


@cache
def _notes_in(module: ModuleType) -> dict[str, dict[str, str]]:
    """Class -> field -> the string below it."""
    classes = (
        node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)
    )
    return {definition.name: dict(_notes_of(definition)) for definition in classes}


def _notes_of(definition: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, below in pairwise(definition.body):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                yield name, wire_names(" ".join(text.split()))


def wire_names(text: str) -> str:
    """Docstrings speak Python; a reader of the protocol sees camel case, and null for None."""
    text = re.sub(
        r"`[a-z]+(?:_[a-z]+)+`",
        lambda name: re.sub(r"_([a-z])", lambda letter: letter[1].upper(), name[0]),
        text,
    )
    return re.sub(r"\bNone\b", "null", text)


def nested(kinds: Sequence[StructClass]) -> list[StructClass]:
    """Every struct inside `kinds` that is none of them, in the order of first use."""
    found: dict[StructClass, None] = {}

    def visit(kind: StructClass) -> None:
        info = types.type_info(kind)
        assert isinstance(info, types.StructType)
        for field in info.fields:
            for inner in _structs_in(field.type):
                if inner not in found and inner not in kinds:
                    found[inner] = None
                    visit(inner)

    for kind in kinds:
        visit(kind)
    return list(found)


def _structs_in(kind: types.Type) -> Iterator[StructClass]:
    match kind:
        case types.StructType(cls):
            yield cls
        case types.UnionType(members):
            for member in members:
                yield from _structs_in(member)
        case types.VarTupleType(item_type=inner) | types.DictType(value_type=inner):
            yield from _structs_in(inner)

"""What is left for the garbage collector, which the server runs rarely: until it does, a cycle is
memory that grows with every tip or every member who has gone."""

import gc
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from enum import Enum
from types import FunctionType, ModuleType


@contextmanager
def nothing_left_for_the_collector(but: Collection[str] = ()) -> Iterator[None]:
    """What happens inside leaves no cycle, but for objects of these kinds. Do it once before, for
    what is made once."""
    gc.collect()
    gc.freeze()  # what others have made: a thread of theirs may end meanwhile
    gc.disable()
    try:
        yield
        # Not by DEBUG_SAVEALL, which sees nothing of a cycle through a generator.
        before = _kinds()
        gc.collect()
        freed = before - _kinds()
    finally:
        gc.enable()
        gc.unfreeze()
    for kind in (*_UNTRACKED, *but):
        del freed[kind]
    assert not freed, f"left to the collector: {dict(freed)}"


_UNTRACKED = ("tuple", "dict")
"""A collection also loses sight of those that can be in no cycle."""


def _kinds() -> Counter[str]:
    return Counter(type(each).__qualname__ for each in gc.get_objects())


def reachable(root: object) -> Counter[str]:
    """How many objects of each kind somebody holds; but for numbers, and what everybody has."""
    seen = {id(root): root}
    waiting = [root]
    while waiting:
        for each in gc.get_referents(waiting.pop()):
            if id(each) not in seen and not isinstance(each, _SHARED):
                seen[id(each)] = each
                waiting.append(each)
    return Counter(type(each).__qualname__ for each in seen.values())


_SHARED = (int, float, type, ModuleType, FunctionType, Enum)

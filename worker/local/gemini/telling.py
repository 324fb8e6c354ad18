"""Tool calls that a client tells of in words: the service takes none that it did not make itself in this session. Pure.

A model understands such sentences; the dialogue's brain needs items.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from worker.local.conversation import Item

__all__ = ["told_item"]

CALLED = re.compile(r"\(The tool (\w+) was called with (.*); its result is still to come\.\)", re.S)
CAME = re.compile(r"The result of (\w+), which was pending \(.*?\): (.*)", re.S)


def told_item(text: str, items: Iterable[Item], new_id: Callable[[str], str]) -> Item | None:
    """Return the call, or the output of the last call of its name, that a text tells of; None for other texts."""
    if called := CALLED.fullmatch(text):
        return Item(
            new_id("item"), "function_call", name=called[1], call_id=new_id("told"), arguments=called[2], answered=True
        )
    if came := CAME.fullmatch(text):
        calls = [item for item in items if item.kind == "function_call" and item.name == came[1]]
        if calls:
            return Item(new_id("item"), "function_call_output", call_id=calls[-1].call_id, output=came[2])
    return None

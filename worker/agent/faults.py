"""What is wrong in an agent file, in one line: the key's path, what is allowed, and the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, cast, get_args

from pydantic import BaseModel

__all__ = ["fault_line"]


def fault_line(detail: Any, model: type[BaseModel], place: str, also: Sequence[str] = ()) -> str:
    """Return the line for one of pydantic's details. place: stands before the key. also: keys that no field has."""
    keys: list[str | int] = list(detail["loc"])
    where = f"{place}{_dotted(keys)}"
    if detail["type"] != "extra_forbidden":
        message = detail["msg"]
        own = message.removeprefix("Value error, ")
        return f"{where}: {own if own != message else message[:1].lower() + message[1:]}{_but(detail)}"
    table = _table(model, keys[:-1])
    allowed = [*table.model_fields, *(also if table is model else [])]
    near = difflib.get_close_matches(str(keys[-1]), allowed, 1)
    hint = f"did you mean {near[0]}?" if near else f"allowed are: {', '.join(allowed)}"
    return f"{where}: there is no such key; {hint}"


def _dotted(keys: Sequence[str | int]) -> str:
    """A key's path as TOML's reader counts: the first table of a list is [1]."""
    parts = [f"[{key + 1}]" if isinstance(key, int) else f".{key}" for key in keys]
    return "".join(parts).removeprefix(".")


def _but(detail: Any) -> str:
    """What stands there: a table that is wrong as a whole would only be repeated, with all that is in it."""
    if isinstance(detail["input"], dict) or detail["type"] == "missing":
        return ""
    text = repr(detail["input"])
    return f", not {text if len(text) <= 60 else text[:57] + '...'}"


def _table(model: type[BaseModel], keys: Sequence[str | int]) -> type[BaseModel]:
    """The table that a path of keys leads to: through lists and tables with free keys, too."""
    table, at = model, cast("Any", model)
    for key in keys:
        if isinstance(at, type) and issubclass(at, BaseModel):
            at = at.model_fields[str(key)].annotation
        else:
            at = get_args(at)[1 if isinstance(key, str) else 0]
        if getattr(at, "__origin__", None) not in (tuple, list, dict):
            table = at = next(_models(at))
    return table


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The tables in an optional one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)

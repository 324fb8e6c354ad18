"""The tool calls that one tool call takes: what it needs of other tools, in order. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tools.define.spec import ToolSpec
from tools.errors import ToolDefinitionError

MOST_STEPS = 8


@dataclass(frozen=True, slots=True)
class Step:
    """One tool call of a chain.

    key: "" for the tool that the model called, else unique in the chain. given: its own arguments.
    needs: parameter -> key of the step whose result it takes.
    """

    key: str
    spec: ToolSpec
    given: Mapping[str, Any]
    needs: Mapping[str, str]


def check(spec: ToolSpec, find: Callable[[str], ToolSpec | None], above: tuple[str, ...] = ()) -> None:
    """Raise `ToolDefinitionError` where what a tool needs isn't there, needs itself, or would lack an argument."""
    where = f"tool {spec.source}"
    if spec.name in above:
        raise ToolDefinitionError(f"{where} needs itself: {' -> '.join((*above, spec.name))}")
    for parameter, needs in spec.signature.needs.items():
        other = find(needs.tool)
        if other is None:
            raise ToolDefinitionError(f"{where}: {parameter} needs the tool {needs.tool}: load it with this one")
        if other.signature.digits:
            raise ToolDefinitionError(
                f"{where}: {parameter}: {needs.tool} takes what the caller types, which is for the tool alone that the"
                " model calls: let that one take it"
            )
        properties = other.signature.parameters["properties"]
        own = spec.signature.parameters["properties"]
        for theirs, ours in needs.given.items():
            if theirs not in properties or ours not in own:
                missing = f"{needs.tool} has no parameter {theirs}" if theirs not in properties else f"no {ours} here"
                raise ToolDefinitionError(f"{where}: {parameter}: {missing}: correct the Needs(...)")
        for name in other.signature.parameters["required"]:
            if needs.given.get(name, name) not in own:
                raise ToolDefinitionError(
                    f"{where}: {parameter}: {needs.tool} wants {name}, which is no parameter here: add it, or write"
                    f" Needs({needs.tool!r}, {name}=...) with the name of one that is"
                )
        check(other, find, (*above, spec.name))


def wants_queue(spec: ToolSpec, find: Callable[[str], ToolSpec | None]) -> bool:
    """Return whether a tool always runs as a job: it says so, or one does that it needs."""
    return any(one.queued for one in wanted_by(spec, find))


def wanted_by(spec: ToolSpec, find: Callable[[str], ToolSpec | None]) -> list[ToolSpec]:
    """Return a tool and all that it needs: what runs when it is called."""
    found = {spec.name: spec}
    for needs in spec.signature.needs.values():
        other = find(needs.tool)
        if other is not None and other.name not in found:
            found |= {one.name: one for one in wanted_by(other, find)}
    return list(found.values())


def chain(spec: ToolSpec, arguments: Mapping[str, Any], find: Callable[[str], ToolSpec | None]) -> list[Step]:
    """Return the steps of a tool call, those that are needed first; the last one is the called tool's own.

    arguments: what the model sent, as JSON holds it. Raises `ToolDefinitionError` past `MOST_STEPS`.
    """
    steps: dict[tuple[str, str], Step] = {}

    def add(of: ToolSpec, given: Mapping[str, Any], root: bool) -> str:
        identity = (of.name, json.dumps(given, sort_keys=True))
        if not root and identity in steps:
            return steps[identity].key
        needs: dict[str, str] = {}
        for parameter, need in of.signature.needs.items():
            other = find(need.tool)
            if other is None:
                raise ToolDefinitionError(f"tool {of.source}: {parameter} needs {need.tool}, which isn't loaded")
            theirs = {name: need.given.get(name, name) for name in other.signature.parameters["properties"]}
            passed = {name: given[ours] for name, ours in theirs.items() if ours in given}
            needs[parameter] = add(other, passed, root=False)
        if len(steps) >= MOST_STEPS:
            raise ToolDefinitionError(f"tool {spec.source} needs more than {MOST_STEPS - 1} other tool calls")
        key = "" if root else f"{of.name}-{len(steps)}"
        steps[identity if not root else ("", "")] = Step(key, of, given, needs)
        return key

    add(spec, arguments, root=True)
    return list(steps.values())

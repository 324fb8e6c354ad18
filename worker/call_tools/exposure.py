"""How a session is told of tools: each as a function of its own, or a catalog in which it looks them up. Pure.

With few tools the first is shorter and surer; with many, their schemas would fill the model's context before the
caller has said a word: then three functions stand for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tools.define.schema import nearest
from tools.define.spec import ToolSpec
from tools.tool_call.outcome import failure

__all__ = [
    "DESCRIBE_TOOL",
    "LIST_TOOLS",
    "REGISTRY",
    "RUN_TOOL",
    "Exposure",
    "ToolView",
    "tokens_of",
    "view_of",
]

Exposure = Literal["direct", "registry", "auto"]

LIST_TOOLS: Final = "list_tools"
DESCRIBE_TOOL: Final = "describe_tool"
RUN_TOOL: Final = "run_tool"
MOST_FUNCTIONS = 120
"""Of tools; OpenAI takes 128 functions for a session, and a call has some of its own."""
CHARS_PER_TOKEN = 4
"""Of JSON in English; enough for a choice between two ways."""
SUMMARY_CHARS = 160
"""Of a tool's description in the list: its first line, as far as this."""

DISCOVERY = """\
Your tools stand in a catalog. To use one:
1. list_tools says which there are.
2. describe_tool gives a tool's parameters and its version.
3. run_tool runs it with arguments that fit these parameters.
What you have listed or described in this conversation you need not look up again, unless you are told that the tools \
have changed. Never make up a tool's name, and never speak of tools or catalogs to the caller."""
"""Stands at the end of the instructions where the session has the catalog's functions."""

CHANGED = "The tools have changed (version {version}). Call list_tools again before the next tool."
"""Told to the model in mid call, where its functions stay the same and what is behind them does not."""


def _function(name: str, description: str, properties: Mapping[str, Any], *required: str) -> Mapping[str, Any]:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


_NAME = {"type": "string", "description": "The tool's name, as list_tools gives it."}
REGISTRY: Final[tuple[Mapping[str, Any], ...]] = (
    _function(LIST_TOOLS, "List the tools that there are: name and purpose of each.", {}),
    _function(DESCRIBE_TOOL, "Get a tool's parameters and its version.", {"name": _NAME}, "name"),
    _function(
        RUN_TOOL,
        "Run a tool.",
        {
            "name": _NAME,
            "arguments": {"type": "object", "description": "What describe_tool says that it takes."},
            "version": {"type": "string", "description": "The version that describe_tool gave."},
        },
        "name",
        "arguments",
    ),
)
"""The functions that stand for a whole catalog."""


def tokens_of(functions: Iterable[Mapping[str, Any]]) -> int:
    """About how many tokens the functions take of the model's context."""
    return sum(len(json.dumps(one, separators=(",", ":"))) for one in functions) // CHARS_PER_TOKEN


@dataclass(frozen=True, slots=True)
class ToolView:
    """What one session is offered at one time. `version` counts the changes within a call, from 1."""

    specs: Mapping[str, ToolSpec]
    """The tools by name, in order."""
    registry: bool
    """Whether the session has the catalog's functions in place of the tools themselves."""
    version: int = 1
    apart: frozenset[str] = frozenset()
    """Tools that are functions of the session in any case, since others' answers name them."""

    @property
    def functions(self) -> tuple[Mapping[str, Any], ...]:
        """The session's functions for these tools."""
        names = self.apart if self.registry else self.specs
        own = tuple(spec.as_function() for name, spec in self.specs.items() if name in names)
        return (*REGISTRY, *own) if self.registry else own

    def instructions(self, own: str) -> str:
        """The agent's instructions, with the order of discovery where the model has to know it."""
        return f"{own.rstrip()}\n\n{DISCOVERY}".lstrip() if self.registry else own

    @property
    def announcement(self) -> str | None:
        """What the model has to be told of a change beside the session's settings."""
        return CHANGED.format(version=self.version) if self.registry else None

    # --- one function stands for many ---------------------------------------------------------------------------------

    def unwrap(self, name: str, arguments: str) -> tuple[str, str]:
        """The tool and the arguments that a function call means; a call that can't be understood stays as it is."""
        if name != RUN_TOOL:
            return name, arguments
        wanted = _read(arguments)
        return (name, arguments) if self._fault(wanted) is not None else (wanted.name, wanted.arguments)

    def wrap(self, name: str, arguments: str) -> tuple[str, str]:
        """The function call that `unwrap` came from, for a session that has to be told of it again."""
        if not self.registry or name not in self.specs or name in self.apart:
            return name, arguments
        try:
            inner: Any = json.loads(arguments or "{}")
        except ValueError:
            inner = arguments
        return RUN_TOOL, json.dumps({"name": name, "arguments": inner})

    def answer(self, name: str, arguments: str) -> str | None:
        """The output (JSON) of a call that the catalog answers by itself; None for what is a tool's matter."""
        if name in self.specs or name not in (LIST_TOOLS, DESCRIBE_TOOL, RUN_TOOL):
            return None
        if name == LIST_TOOLS:
            listed = [_listed(spec) for name, spec in self.specs.items() if name not in self.apart]
            return _dump({"version": self.version, "tools": listed})
        wanted = _read(arguments)
        if name == RUN_TOOL:
            return self._fault(wanted)
        if wanted.fault:
            return failure("invalid", wanted.fault).output
        spec = self.specs.get(wanted.name)
        if spec is None:
            return failure("unknown_tool", self.no_such(wanted.name)).output
        function = spec.as_function()
        shown = {key: function[key] for key in ("name", "description", "parameters")}
        return _dump({**shown, "version": spec.version})

    def no_such(self, name: str) -> str:
        """Words for a name that is no tool here."""
        near = nearest(name, list(self.specs))
        hint = f"Did you mean '{near}'?" if near else f"The tools are: {', '.join(self.specs) or 'none'}."
        return f"There is no tool '{name[:64]}'. {hint}"

    def _fault(self, wanted: _Wanted) -> str | None:
        """The output for a run_tool that names no tool, or one that has changed since it was described."""
        if wanted.fault:
            return failure("invalid", wanted.fault).output
        spec = self.specs.get(wanted.name)
        if spec is None:
            return failure("unknown_tool", self.no_such(wanted.name)).output
        if wanted.version and wanted.version != spec.version:
            words = f"'{spec.name}' is of version {spec.version} now. Call describe_tool again, then run_tool."
            return failure("invalid", words).output
        return None


def view_of(
    specs: Iterable[ToolSpec],
    exposure: Exposure,
    *,
    most_tokens: int,
    version: int = 1,
    apart: frozenset[str] = frozenset(),
) -> ToolView:
    """Return the view of these tools; `auto` takes the registry where they are larger than `most_tokens`.

    So does any exposure where they are more than a provider takes: it would refuse the session.
    """
    found = {spec.name: spec for spec in specs}
    large = exposure == "auto" and tokens_of(spec.as_function() for spec in found.values()) > most_tokens
    large = large or len(found) > MOST_FUNCTIONS
    return ToolView(found, exposure == "registry" or large, version, apart)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the arguments of describe_tool or run_tool say; `fault`: what is wrong with them, in words."""

    name: str = ""
    arguments: str = "{}"
    version: str = ""
    fault: str = field(default="")


def _read(arguments: str) -> _Wanted:
    try:
        values = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return _Wanted(fault="The arguments are not valid JSON. Send one JSON object.")
    if not isinstance(values, dict):
        return _Wanted(fault="The arguments have to be a JSON object.")
    known = ("name", "arguments", "version")
    for key in values:
        if key not in known:
            near = nearest(str(key), known)
            hint = f"did you mean '{near}'?" if near else "put what the tool takes into the field 'arguments'"
            return _Wanted(fault=f"There is no field '{str(key)[:64]}' ({hint}).")
    name, inner, version = values.get("name"), values.get("arguments"), values.get("version")
    if not isinstance(name, str) or not name:
        return _Wanted(fault="The field 'name' is missing: the tool's name, as list_tools gives it.")
    text = inner if isinstance(inner, str) else _dump({} if inner is None else inner)
    return _Wanted(name, text, version if isinstance(version, str) else "")


def _listed(spec: ToolSpec) -> dict[str, str]:
    return {"name": spec.name, "description": spec.description.strip().partition("\n")[0][:SUMMARY_CHARS]}


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

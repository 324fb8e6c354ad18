"""A server's tools as tools of ours: what it lists, by what the agent file says of each. Needs no SDK.

What can't be a tool is left out, with a line for the operator; the others are there all the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from tools.define.spec import Effects, Remote, ToolSpec
from tools.mcp.asking import Listed, Run
from tools.mcp.naming import function_names
from tools.mcp.recipe import in_words, remote_spec
from tools.mcp.schema import BrokenSchema, json_signature
from tools.mcp.server import McpServer

DESCRIPTION_CHARS = 2000
"""Every session is told of it."""
MOST_TOOLS = 1000


@dataclass(slots=True)
class Offered:
    """What a server offers us. left_out: a line for each of its tools that is none of ours, and why."""

    specs: list[ToolSpec] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def offered_by(server: McpServer, listed: Iterable[Listed], run: Run) -> Offered:
    """Return the tools that a server offers; `run` runs their calls."""
    found = Offered()
    allowed = {}
    for tool in listed:
        if not server.allows(tool.name) or (server.read_only and not tool.read_only):
            continue
        if tool.name in allowed:
            found.left_out.append(f"{tool.name[:64]!r} is listed twice: the first counts")
            continue
        allowed[tool.name] = tool
    for name in list(allowed)[MOST_TOOLS:]:
        del allowed[name]
        found.left_out.append(f"{name[:64]!r} is over {MOST_TOOLS} tools: choose with allowed_tools")
    names = function_names(server.label, allowed)
    for name, tool in allowed.items():
        if not name.strip():
            found.left_out.append("a tool has no name")
            continue
        try:
            found.specs.append(_spec(server, tool, names[name], run))
        except BrokenSchema as error:
            found.left_out.append(f"{name[:64]!r}: its schema {error}")
    return found


def effects_of(server: McpServer, tool: Listed) -> Effects:
    """Return what a run of a tool means: the agent file's word, else the server's hints where they are trusted."""
    said = server.options(tool.name).effects
    if said is not None:
        return said
    return "idempotent" if server.trust_annotations and (tool.read_only or tool.idempotent) else "once"


def _spec(server: McpServer, tool: Listed, name: str, run: Run) -> ToolSpec:
    options, effects = server.options(tool.name), effects_of(server, tool)
    signature = json_signature(tool.schema)
    words = (options.description or tool.description).strip()[:DESCRIPTION_CHARS]
    description = words or f"{in_words(tool.name)} ({server.description or server.label})"
    shown = json.dumps([name, description, signature.parameters, effects], sort_keys=True)
    version = hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return remote_spec(server, Remote(server.label, tool.name, version), name, effects, run, description, signature)

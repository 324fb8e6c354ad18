"""The names under which a model knows a server's tools: legal for every provider, and each of them once. Pure.

OpenAI takes 64 letters, digits, `_` and `-`; Gemini wants a letter or `_` first, which a label's first letter is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from tools.mcp.server import SEPARATOR

LONGEST = 64
DIGEST = 8

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")


def function_names(label: str, tools: Iterable[str]) -> dict[str, str]:
    """Return tool -> name for a server's tools, in order; one that is named twice counts once.

    What had to be changed to be legal gives way to what hadn't, and gets a digest where two would be alike: the names
    don't depend on the order in which a server lists its tools.
    """
    own = list(dict.fromkeys(tools))
    plain = {tool: _plain(label, tool) for tool in own}
    legal = {name for tool, name in plain.items() if name == label + SEPARATOR + tool}
    changed = [name for tool, name in plain.items() if name != label + SEPARATOR + tool]
    found = {}
    for tool, name in plain.items():
        alone = name == label + SEPARATOR + tool or (name not in legal and changed.count(name) == 1)
        found[tool] = name if alone and len(name) <= LONGEST else _with_digest(name, tool)
    return found


def _plain(label: str, tool: str) -> str:
    return label + SEPARATOR + _FORBIDDEN.sub("_", tool)


def _with_digest(name: str, tool: str) -> str:
    digest = hashlib.sha256(tool.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    return f"{name[: LONGEST - DIGEST - 1]}_{digest}"

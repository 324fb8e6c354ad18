"""How offhook was installed, for remedies that work there: `uv sync` needs a clone, a wheel has extras.

The wheel's origin stands in its direct_url.json (PEP 610), and who installed it in its INSTALLER (PEP 376).
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

CLONE = Path(__file__).parents[1]


def remedy(extra: str) -> str:
    """Return the command that installs an optional part: `embedded`, `dashboard`, `mcp`, `otel` or `sealed`."""
    if (CLONE / "uv.lock").is_file():
        return f"uv sync --group {extra}"
    try:
        found = distribution("offhook")
    except PackageNotFoundError:
        return f"pip install 'offhook[{extra}]'"
    program = "uv pip" if (found.read_text("INSTALLER") or "").strip() == "uv" else "pip"
    return f"{program} install 'offhook[{extra}]{_origin(found.read_text('direct_url.json'))}'"


def _origin(direct_url: str | None) -> str:
    """Where a wheel came from that is on no index, as a requirement says it (PEP 508)."""
    try:
        url = json.loads(direct_url or "{}").get("url", "")
    except (ValueError, AttributeError):
        return ""
    return f" @ {url}" if url else ""

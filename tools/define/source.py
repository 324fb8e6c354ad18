"""Where a function stands, in words that its author can go to: a tool file's module has a name that nobody wrote."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

FILE_MODULE = "offhook_tools_"
"""What the names of modules begin with that were loaded from a file's path."""


def place_of(function: Callable[..., Any]) -> str:
    """Return `package.module:name`, or `path/to/file.py:name` for a function of a tool file."""
    return f"{module_place(function.__module__)}:{function.__qualname__}"


def module_place(name: str) -> str:
    """Return the name of a module, or its file's path where it was loaded by that."""
    file = getattr(sys.modules.get(name), "__file__", None) if name.startswith(FILE_MODULE) else None
    return name if file is None else str(file)

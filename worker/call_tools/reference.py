"""Functions of the operator's, by `module:function` or `file.py:function`: hooks, and rules for approvals."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tools.define.approval import Approval
from worker.errors import AgentFileError

__all__ = ["load_function", "policy_of"]


def policy_of(approval: Approval) -> Approval:
    """Return a policy with its rule loaded, where it names one. Raises `AgentFileError`."""
    if isinstance(approval, str) and ":" in approval:
        return load_function(approval, "tools.approval", ("call", "facts"))
    return approval


@functools.cache
def load_function(reference: str, key: str, takes: tuple[str, ...]) -> Callable[..., Any]:
    """Import a function that takes these arguments. key: where it was named, for the error.

    Raises `AgentFileError` saying what to mend.
    """
    where = f"{key} = {reference!r}"
    target, _, name = reference.rpartition(":")
    if not target or not name.isidentifier():
        raise AgentFileError(f'{where}: write "module:function" or "file.py:function"')
    try:
        module = _from_file(Path(target)) if target.endswith(".py") else importlib.import_module(target)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may do anything while it is imported, sys.exit too
        raise AgentFileError(f"{where}: importing it raised {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise AgentFileError(f"{where}: there is no function {name} in {target}")
    try:
        inspect.signature(found).bind(*takes)
    except TypeError:
        raise AgentFileError(f"{where}: it has to take ({', '.join(takes)})") from None
    function: Callable[..., Any] = found
    return function


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"offhook_hook_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

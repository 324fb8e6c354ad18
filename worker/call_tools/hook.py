"""The operator's own function that says which tools a call is offered: by number, caller, tenant, feature flag, time.

    def tools_for(dialled: str, caller: str, agent: str, time: datetime) -> list[str] | None:
        return ["order_status"] if 9 <= time.hour < 17 else []

It returns names or tool functions, None for all; it may be async. A sync one runs in a thread.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from tools.define.spec import ATTRIBUTE, ToolSpec
from tools.foreign import is_our_stop
from worker.errors import AgentFileError

__all__ = ["Hook", "ask", "load_hook"]

Hook = Callable[[str, str, str, datetime], Any]
BOUND_S = 1.0
"""The caller hears it ring meanwhile."""


@functools.cache
def load_hook(reference: str) -> Hook:
    """Import `module:function` or `file.py:function`. Raises `AgentFileError` saying what to mend."""
    where = f"tools.hook = {reference!r}"
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
        inspect.signature(found).bind("", "", "", None)
    except TypeError:
        raise AgentFileError(f"{where}: it has to take (dialled, caller, agent, time)") from None
    hook: Hook = found
    return hook


async def ask(hook: Hook, dialled: str, caller: str, agent: str, time: datetime) -> tuple[str, ...] | None:
    """Return the names that the hook gives; None for all.

    Raises what the hook raises (RuntimeError for what is no Exception, such as SystemExit), TimeoutError when it takes
    longer than `BOUND_S`, and TypeError for what isn't a list of names or tools.
    """
    async with asyncio.timeout(BOUND_S):
        try:
            if inspect.iscoroutinefunction(hook):
                given = await hook(dialled, caller, agent, time)
            else:
                given = await asyncio.to_thread(hook, dialled, caller, agent, time)
        except Exception:
            raise
        except BaseException as error:
            if is_our_stop(error):
                raise
            raise RuntimeError(f"the hook raised {type(error).__name__}") from error
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"the hook returned a {type(given).__name__}; it has to return a list of names, or None")
    return tuple(_name_of(one) for one in given)


def _name_of(one: object) -> str:
    if isinstance(one, str):
        return one
    spec = getattr(one, ATTRIBUTE, one)
    if isinstance(spec, ToolSpec):
        return spec.name
    raise TypeError(f"the hook returned a {type(one).__name__} in its list; it takes names and tool functions")


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"offhook_hook_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

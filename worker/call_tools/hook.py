"""The operator's own function that says which tools a call is offered: by number, caller, tenant, feature flag, time.

    def tools_for(dialled: str, caller: str, agent: str, time: datetime) -> list[str] | None:
        return ["order_status"] if 9 <= time.hour < 17 else []

It returns names or tool functions, None for all; it may be async. A sync one runs in a thread.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tools.define.spec import ATTRIBUTE, ToolSpec
from tools.foreign import is_our_stop
from worker.call_tools.reference import load_function

__all__ = ["Hook", "ask", "load_hook"]

Hook = Callable[[str, str, str, datetime], Any]
BOUND_S = 1.0
"""The caller hears it ring meanwhile."""


def load_hook(reference: str) -> Hook:
    """Import `module:function` or `file.py:function`. Raises `AgentFileError` saying what to mend."""
    return load_function(reference, "tools.hook", ("dialled", "caller", "agent", "time"))


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

"""To try a tool as a call would run it, in a test of its author's.

    from tools.testing import run_tool

    def test_an_order_is_found() -> None:
        outcome = run_tool(order_status, {"order": "427"})
        assert outcome.status == "ok" and outcome.value["status"] == "shipped"

`mode="queued"` starts a redis-server and a real tool worker for that one call (about 1 s): the arguments go through
JSON and the tool runs in a fork, as it will in production.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.machinery import PathFinder
from typing import Any, Literal

from tools.define.spec import ATTRIBUTE, ToolSpec
from tools.errors import ToolDefinitionError
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.queue.sealed_digits import new_key
from tools.rig import RedisServer, tool_worker
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import Outcome
from tools.tool_call.request import ToolRequest


@dataclass(frozen=True, slots=True)
class Tried:
    """How a tool call in a test ended.

    status, output, detail: as in `tools.outcome.Outcome`. value: the output, read. progress: what it reported.
    outcome: all of it.
    """

    status: str
    output: str
    detail: str
    value: Any
    progress: tuple[str, ...]
    outcome: Outcome = field(repr=False)


def run_tool(
    function: Callable[..., Any],
    arguments: Mapping[str, Any] | str = "{}",
    *,
    mode: Literal["inline", "queued"] = "inline",
    caller: str = "+15550100",
    dialled: str = "+15550199",
    facts: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    typed: Mapping[str, str] | None = None,
) -> Tried:
    """Run one tool call to its end; `function` has `@tool` on it, `arguments` are what the model would send.

    facts: what else the INVITE said, by the names of `ToolContext`: display_name, diverted_from, headers, ...
    typed: what the caller types, by parameter.

    Never raises for the tool's fault: that is a status. Raises `ToolDefinitionError` for what is no tool, and (queued)
    for a tool that another process can't import. Works with and without an event loop running.
    """
    spec = getattr(function, ATTRIBUTE, None)
    if not isinstance(spec, ToolSpec):
        raise ToolDefinitionError(f"{function!r} is no tool: put @tool (from tools import tool) above it")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    request = ToolRequest(
        call_id="test",
        tool_call_id="1",
        name=spec.name,
        arguments=text,
        caller=caller,
        dialled=dialled,
        facts=facts or {},
        typed=typed or {},
    )

    def body() -> Tried:
        if mode == "inline":
            return asyncio.run(_try(spec, request, timeout, None))
        digits = new_key() if typed else None
        with RedisServer.temporary() as redis, tool_worker(redis.url, [reference_to(function)], digits):
            return asyncio.run(_try(spec, request, timeout, QueueSettings(url=redis.url, digits=digits)))

    with ThreadPoolExecutor(1) as thread:  # a loop may run in this one
        return thread.submit(body).result()


async def _try(spec: ToolSpec, request: ToolRequest, timeout: float | None, queue: QueueSettings | None) -> Tried:
    heard: list[str] = []
    spec = replace(spec, mode="queued" if queue else "inline")
    inline = InlineRunner()
    queued = QueuedRunner(queue) if queue else None
    try:
        catalog = Catalog([spec], inline=inline, queued=queued, most_s=timeout)
        outcome = await catalog.run(request, on_progress=lambda _request, text: heard.append(text))
    finally:
        await inline.aclose()
        if queued:
            await queued.aclose()
    value = json.loads(outcome.output)
    return Tried(outcome.status, outcome.output, outcome.detail, value, tuple(heard), outcome)


def reference_to(function: Callable[..., Any]) -> str:
    """Return the reference by which another process loads this tool: its module's name, else its file."""
    if "." in function.__qualname__:
        raise ToolDefinitionError(
            f"tool {function.__qualname__}: a tool worker can't import it: define it at the top level of a module"
        )
    file = inspect.getfile(function)
    named = function.__module__ if _found_on_path(function.__module__) == file else file
    return f"{named}:{function.__name__}"


def _found_on_path(module: str) -> str | None:
    """Return the file that a new process would import; `find_spec` would tell of what is imported here already."""
    path: Sequence[str] | None = None
    found = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        found = PathFinder.find_spec(".".join(parts[:count]), path)
        if found is None:
            return None
        path = found.submodule_search_locations
    return found.origin if found else None

"""The recipe of one remote tool, by the agent file's options for it. Both sides of the queue make theirs here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tools.define.context import ToolContext
from tools.define.signature import Signature
from tools.define.spec import Effects, Remote, ToolSpec
from tools.errors import EffectUnknown
from tools.mcp.asking import AnswerLost, Ask, Run
from tools.mcp.server import McpServer, McpTool


def remote_spec(
    server: McpServer, remote: Remote, name: str, effects: Effects, run: Run, description: str, signature: Signature
) -> ToolSpec:
    """Return the recipe of one remote tool by the agent file's options for it."""
    options = server.options(remote.tool)
    return ToolSpec(
        name=name,
        description=description,
        function=_function_of(server, remote.tool, effects, options.timeout, run),
        signature=signature,
        mode=options.mode,
        timeout_s=options.timeout,
        filler=options.filler,
        grace_s=options.grace,
        on_hangup=options.on_hangup,
        on_barge_in=options.on_barge_in,
        effects=effects,
        retries=retries_of(options, effects),
        backoff_s=options.backoff,
        cache_s=None if effects == "once" else options.cache,
        notify=options.notify,
        summary=options.summary if options.summary is not None else in_words(remote.tool),
        approval=options.approval,
        remote=remote,
    )


def in_words(tool: str) -> str:
    """Return a tool's name as words."""
    return " ".join(tool.replace("_", " ").replace("-", " ").replace(".", " ").split())[:80]


def retries_of(options: McpTool, effects: Effects) -> int:
    """Return the further tries of a tool: idempotent ones alone have any."""
    return 0 if effects != "idempotent" else 1 if options.retries is None else options.retries


def _function_of(
    server: McpServer, tool: str, effects: Effects, limit_s: float, run: Run
) -> Callable[..., Awaitable[Any]]:
    """Return the function of a remote tool's `ToolSpec`: it takes `arguments` and `context`."""

    async def remote(arguments: Mapping[str, Any], context: ToolContext) -> Any:
        try:
            return await run(server, Ask(tool=tool, arguments=arguments, context=context, limit_s=limit_s))
        except AnswerLost as error:
            if effects == "once":
                raise EffectUnknown(f"mcp {server.label}: {error}") from None
            raise

    return remote

"""What a worker starts without: room for the calls that are wanted, Redis, tool workers, the provider, MCP servers."""

from __future__ import annotations

from tools.errors import QueueUnavailable
from tools.queue.queued import QueuedRunner
from worker.agent.remote import ask_servers
from worker.embedded.services import try_redis
from worker.realtime.base import RealtimeRefused, SessionConfig
from worker.realtime.choose import codec_for, connection_for
from worker.realtime.link import plain_formats
from worker.realtime.reach import reach
from worker.service.checks.finding import Finding, Look, Site
from worker.settings.settings import Settings
from worker.settings.values import reveal, without_password

__all__ = ["BESIDE"]

REACH_S = 8.0
SHOWN = 8
"""Tools of a server that a finding names."""
MEND_REALTIME = "correct OFFHOOK_REALTIME, OFFHOOK_REALTIME_URL, OFFHOOK_REALTIME_MODEL or the key"


async def check_capacity(site: Site) -> list[Finding]:
    """Whether the build carries as many calls as are wanted."""
    wanted, capacity = site.settings.max_calls, site.capacity
    if wanted is None or capacity is None or wanted <= capacity:
        return []
    text = f"OFFHOOK_MAX_CALLS={wanted}, but this build carries {capacity} calls at once"
    mend = "set it lower, build pjsua2 with docker/build-pjsua2, or start more workers"
    return [Finding("wrong", "capacity", text, mend)]


async def check_redis(site: Site) -> list[Finding]:
    """The Redis of REDIS_URL, and whether tool workers are at it where any tool wants one."""
    url = reveal(site.settings.redis_url)
    if url is None:
        return []
    wrong = await try_redis(url)
    if wrong is not None:
        words, mend = wrong
        return [Finding("wrong", "redis", f"{without_password(url)}: {words}", mend)]
    found = [Finding("ok", "redis", f"{without_password(url)} answers")]
    return found + (await _tool_workers(site, without_password(url)) if site.loaded is not None else [])


async def _tool_workers(site: Site, where: str) -> list[Finding]:
    queued = [spec.name for spec in site.loaded.specs() if spec.queued] if site.loaded is not None else []
    runner = QueuedRunner(site.settings.queue_settings())
    try:
        workers = await runner.workers()
    except QueueUnavailable as error:
        return [Finding("wrong", "redis", f"{where}: {error}", "start it, or correct REDIS_URL")]
    finally:
        await runner.aclose()
    if workers:
        return [Finding("ok", "tool worker", f"{workers} at {where}")]
    text = f"no tool worker is at {where}"
    if not queued:
        return [Finding("note", "tool worker", text, "start `offhook tool-worker` for tools that run long")]
    mend = "start `offhook tool-worker` with the same REDIS_URL and agent file"
    return [Finding("wrong", "tool worker", f"{text}: nobody would run {', '.join(queued)}", mend)]


async def check_realtime(site: Site) -> list[Finding]:
    """Whether the provider begins a session; the embedded one is looked after by `check_children`."""
    settings = site.settings
    if settings.needs_local_realtime():
        return []
    if not site.sessions:
        return await _reach(settings)
    provider = settings.provider()
    connection = connection_for(provider, codec_for(provider), lambda event: None)
    where = f"{provider.name} at {provider.address}, model {provider.model}"
    try:
        sent, received = plain_formats(connection.codec.capabilities)
        config = SessionConfig(instructions="Say nothing.", input_format=sent, output_format=received)
        await connection.open(config, timeout_s=REACH_S)
    except RealtimeRefused as error:
        return [Finding("wrong", "realtime", str(error), MEND_REALTIME)]
    finally:
        await connection.close()
    return [Finding("ok", "realtime", f"{where}: a session was opened")]


async def _reach(settings: Settings) -> list[Finding]:
    """Whether the provider's server is there at all: no session is asked for."""
    try:
        await reach(settings.provider(), REACH_S)
    except RealtimeRefused as error:
        return [Finding("wrong", "realtime", str(error), MEND_REALTIME)]
    return []


async def check_mcp(site: Site) -> list[Finding]:
    """The MCP servers: which answer, and what they offer. A worker's own log tells of them once it is up."""
    if site.agents is None or site.loaded is None or not site.sessions:
        return []
    found = []
    for answer in await ask_servers(site.agents, site.loaded.secrets):
        server = answer.server
        where = f"{server.label} at {server.where}"
        if answer.wrong:
            found.append(Finding("wrong", "mcp", f"{where} {answer.wrong}", answer.mend))
            continue
        names = [spec.remote.tool for spec in answer.specs if spec.remote is not None]
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        inline = sum(spec.mode == "inline" for spec in answer.specs)
        text = f"{where}: {len(names)} tools ({inline} inline), protocol {answer.protocol}: {shown or 'none'}"
        found.append(Finding("ok", "mcp", text) if names else Finding("note", "mcp", text, "look at allowed_tools"))
        found += [Finding("note", "mcp", f"{server.label}: {line}", "") for line in answer.left_out[:SHOWN]]
    for server in site.agents.mcp_servers():
        if server.run_by == "provider":
            found.append(Finding("ok", "mcp", f"{server.label} at {server.where}: the provider speaks with it"))
    return found


BESIDE: tuple[Look, ...] = (check_capacity, check_redis, check_realtime, check_mcp)

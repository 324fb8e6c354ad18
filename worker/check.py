"""`offhook check`: what is configured, what is reachable, what this machine can carry, and how to mend what is wrong.

Each check returns findings; none raises for what it finds. Nothing is registered and no call is made.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal

from worker.errors import HostError, OperatorError
from worker.settings.settings import Settings, reveal, unknown_variables, without_password

Level = Literal["ok", "note", "wrong"]
REACH_S = 8.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    level: wrong makes `offhook check` end with 1. about: settings, agent, sip, redis, realtime, ...
    text: how it stands. mend: what to do about it, empty where there is nothing to do.
    """

    level: Level
    about: str
    text: str
    mend: str = ""


def run_check(settings: Settings) -> int:
    """Look at everything and print it; return the exit code: 0, or 1 if something is wrong."""
    findings = asyncio.run(find(settings))
    width = max(len(finding.about) for finding in findings)
    for finding in findings:
        print(f"{finding.level:<5}  {finding.about:<{width}}  {finding.text}")
        if finding.mend:
            print(f"{'':<5}  {'':<{width}}  -> {finding.mend}")
    wrong = sum(finding.level == "wrong" for finding in findings)
    print(f"\n{wrong} wrong" if wrong else "\nall is well")
    return 1 if wrong else 0


async def find(settings: Settings) -> list[Finding]:
    """Return all findings, in the order in which they are shown."""
    checks: list[Callable[[Settings], Awaitable[list[Finding]]]] = [
        check_settings,
        check_agent,
        check_later,
        check_sip,
        check_redis,
        check_realtime,
        check_http,
    ]
    return [finding for one in checks for finding in await one(settings)]


async def check_settings(settings: Settings) -> list[Finding]:
    """Python, and variables that look like settings and are none."""
    version = ".".join(str(number) for number in sys.version_info[:3])
    found = [Finding("ok", "python", version)]
    found += [Finding("note", "settings", line, "correct or unset it") for line in unknown_variables()]
    if settings.recordings is not None:
        found.append(Finding("ok", "recordings", str(settings.recordings)))
    return found


async def check_agent(settings: Settings) -> list[Finding]:
    """The agent file, and whether its tools load."""
    from tools.define.loading import load_tools
    from tools.errors import ToolDefinitionError
    from worker.agent.agent_file import load_agent_file

    try:
        file = load_agent_file(settings.agent)
    except OperatorError as error:
        return [Finding("wrong", "agent", line, "correct the file") for line in error.lines]
    text = f"{file.path}, {len(file.routes)} routes"
    try:
        specs = load_tools(file.tool_modules())
    except ToolDefinitionError as error:
        return [
            Finding("ok", "agent", text),
            Finding("wrong", "tools", str(error), "correct the tool or tools.modules"),
        ]
    queued = sum(spec.queued for spec in specs)
    return [Finding("ok", "agent", text), Finding("ok", "tools", f"{len(specs)}, {queued} of them queued")]


async def check_later(settings: Settings) -> list[Finding]:
    """What a caller may be told after the call, and how; the hooks are the tool workers' to import."""
    found = settings.later_ways()
    back = "the hook call_back" if found.hook else found.uri
    ways = [f"call back by {back}"] if back else []
    ways += ["send by the webhook" if found.send == "default" else "send by the hook send"] if found.send else []
    mend = "set OFFHOOK_CALL_BACK_URI, OFFHOOK_NOTIFY_URL or OFFHOOK_NOTIFY_HOOKS"
    return [Finding("ok", "later", ", ".join(ways))] if ways else [Finding("note", "later", "offers nothing", mend)]


async def check_sip(settings: Settings) -> list[Finding]:
    """The pjsua2 build, and whether the SIP port can be had: starts an endpoint that takes no calls."""
    try:
        return await asyncio.to_thread(_try_endpoint, settings)
    except ImportError as error:
        return [Finding("wrong", "pjsua2", str(error), "install pjsua2")]


def _try_endpoint(settings: Settings) -> list[Finding]:
    from telephony.endpoint import Endpoint
    from telephony.errors import SipStartError

    endpoint = Endpoint(replace(settings.sip_settings(), registrar=None, proxy=None), lambda event: None)
    endpoint.accepting = False
    try:
        info = endpoint.start()
    except SipStartError as error:
        return [
            Finding("wrong", "sip", str(error), "stop the other program, or set OFFHOOK_SIP_HOST or OFFHOOK_SIP_PORT")
        ]
    finally:
        endpoint.stop()
    found = [
        Finding(
            "ok", "pjsua2", f"{info.build}, library {info.version}, {info.tls}, up to {info.capacity} calls at once"
        ),
        Finding("ok", "sip", ", ".join(info.addresses)),
    ]
    if settings.max_calls is not None and settings.max_calls > info.capacity:
        text = f"OFFHOOK_MAX_CALLS={settings.max_calls}, but this build carries {info.capacity} calls at once"
        mend = "set it lower, build pjsua2 with docker/build-pjsua2, or start more workers"
        found.append(Finding("wrong", "capacity", text, mend))
    if settings.sip_registrar is not None:
        text = f"{settings.sip_username} at {settings.sip_registrar} (not tried)"
        found.append(Finding("note", "registrar", text, "see /readyz of the running worker for how it stands"))
    return found


async def check_redis(settings: Settings) -> list[Finding]:
    """The Redis of REDIS_URL, or the program for the embedded one."""
    from worker.embedded.services import ping_redis, redis_program

    url = reveal(settings.redis_url)
    if url is None:
        try:
            return [Finding("ok", "redis", f"embedded: {redis_program()}")]
        except HostError as error:
            return [Finding("wrong", "redis", "no REDIS_URL and no redis-server", str(error))]
    wrong = await ping_redis(url)
    if wrong is None:
        return [Finding("ok", "redis", f"{without_password(url)} answers")]
    return [Finding("wrong", "redis", f"{without_password(url)}: {wrong}", "start it, or correct REDIS_URL")]


async def check_realtime(settings: Settings) -> list[Finding]:
    """Open a session at the provider and close it; for the embedded one, look for what it needs."""
    if settings.needs_local_realtime():
        missing = [name for name in ("pocketsphinx", "espeakng_loader") if importlib.util.find_spec(name) is None]
        if missing:
            text = f"the local realtime server needs {', '.join(missing)}"
            return [Finding("wrong", "realtime", text, "uv sync --group embedded, or set OFFHOOK_REALTIME")]
        return [Finding("ok", "realtime", "embedded: the local realtime server")]
    from worker.realtime.base import RealtimeRefused, SessionConfig
    from worker.realtime.choose import codec_for, connection_for

    provider = settings.provider()
    connection = connection_for(provider, codec_for(provider), lambda event: None)
    where = f"{provider.name} at {provider.address}, model {provider.model}"
    try:
        await connection.open(SessionConfig(instructions="Say nothing."), timeout_s=REACH_S)
    except RealtimeRefused as error:
        mend = "correct OFFHOOK_REALTIME, OFFHOOK_REALTIME_URL, OFFHOOK_REALTIME_MODEL or the key"
        return [Finding("wrong", "realtime", str(error), mend)]
    finally:
        await connection.close()
    return [Finding("ok", "realtime", f"{where}: a session was opened")]


async def check_http(settings: Settings) -> list[Finding]:
    """Whether the HTTP port can be had."""
    address = settings.http
    if address is None:
        return [Finding("ok", "http", "off")]
    text = f"{address.host}:{address.port}"
    try:
        server = await asyncio.start_server(lambda _reader, _writer: None, address.host, address.port)
    except OSError as error:
        mend = "choose another address with OFFHOOK_HTTP, or set OFFHOOK_HTTP=off"
        return [Finding("wrong", "http", f"{text}: {error.strerror or error}", mend)]
    server.close()
    await server.wait_closed()
    return [Finding("ok", "http", text)]

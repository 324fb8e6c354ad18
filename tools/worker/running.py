"""One job's tool, run in a tool worker's fork: may it run, what does it get, and what came of it."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import RedisError
from rq.job import Job
from rq.timeouts import JobTimeoutException

from tools.define.context import ToolContext, invite_facts
from tools.define.digits import hidden
from tools.define.schema import values_of
from tools.define.spec import ToolSpec
from tools.errors import InvalidArguments, ToolDefinitionError, ToolError, ToolUnavailable
from tools.limits import STEP_LIMIT
from tools.mcp import job as mcp_job
from tools.mcp.server import McpServer
from tools.queue import names
from tools.queue.finished import finished, kind_of
from tools.queue.sealed_digits import DigitsKey, NotForUs
from tools.queue.store import cache, times
from tools.queue.store import remainder as rest
from tools.tool_call.outcome import Outcome, failure, raised, returned, without_typed
from tools.worker.leash import ToolStopped, leash

log = structlog.get_logger(__name__)


class TryAgain(Exception):
    """An idempotent tool raised and has tries left: RQ puts the job back, and nobody who waits for it is woken."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What a tool worker was started with: its tools by name, MCP servers by label, the secrets by name.

    digits: the key for what callers type.
    """

    tools: Mapping[str, ToolSpec] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    servers: Mapping[str, McpServer] = field(default_factory=dict)
    digits: DigitsKey | None = None

    @classmethod
    def of(
        cls,
        specs: Iterable[ToolSpec],
        secrets: Mapping[str, str],
        servers: Iterable[McpServer] = (),
        digits: DigitsKey | None = None,
    ) -> Kit:
        """Return the kit. Raises `ToolDefinitionError` where a tool or a server wants a secret that isn't there, or a
        queued tool takes what callers type and there is no key for that.
        """
        tools = {spec.name: spec for spec in specs}
        for spec in tools.values():
            spec.secrets_from(secrets)
            if spec.queued and spec.signature.digits and digits is None:
                raise ToolDefinitionError(f"tool {spec.source} takes what callers type: set OFFHOOK_DIGITS_KEY")
        found = {server.label: server for server in servers}
        mcp_job.prepare(found.values(), secrets)
        return cls(tools, dict(secrets), found, digits)

    def find(self, payload: Mapping[str, Any]) -> ToolSpec | None:
        """Return the tool that a job is for: one of ours, or one of a server's; None for neither."""
        name, wanted = str(payload.get("tool")), payload.get(mcp_job.PAYLOAD)
        if isinstance(wanted, dict):
            return mcp_job.spec_of(self.servers, self.secrets, name, wanted)
        return self.tools.get(name)

    def lacks(self, payload: Mapping[str, Any]) -> str:
        """Say of a job's tool that isn't there what is."""
        wanted = payload.get(mcp_job.PAYLOAD)
        if isinstance(wanted, dict):
            labels = ", ".join(self.servers) or "none"
            return f"this tool worker's agent file has no such tool of an MCP server; its servers are {labels}"
        return f"this tool worker has no such tool; it has {', '.join(self.tools) or 'none'}"


def attempt(kit: Kit, payload: Mapping[str, Any], job: Job) -> Outcome:
    """Run a tool call's job once, and return its outcome.

    Raises `TryAgain`, and `ToolStopped` where it was stopped in the middle; nothing else for the tool's fault.
    """
    spec = kit.find(payload)
    if refused := _refused(spec, payload, job):
        return refused
    if spec is None:
        return failure("failed", detail=kit.lacks(payload))
    redis: Redis = job.connection
    try:
        values = _values(payload)
        arguments = spec.signature.bind_values(values)
        typed = _typed(kit, spec, payload, job.id)
        arguments |= {name: SecretStr(value) for name, value in typed.items()}
        kept_at = cache.key_of(spec, values, *_who(payload), _facts(payload)) if spec.cache_s else None
        if kept_at and (answer := cache.read(redis, kept_at)):
            return answer
        for parameter, needed in _needed(spec, payload).items():
            outcome = result_of(redis, needed)
            if outcome.status != "ok":
                tool = spec.signature.needs[parameter].tool
                return replace(outcome, detail=f"{tool}, which it needs: {outcome.detail or outcome.status}")
            arguments[parameter] = spec.signature.bind_needed(parameter, values_of(outcome.output, STEP_LIMIT))
    except InvalidArguments as error:
        return failure("invalid", str(error), detail=error.reason)
    except NotForUs:
        return failure("failed", detail="what the caller typed can't be read: is OFFHOOK_DIGITS_KEY the worker's?")
    outcome = without_typed(_run(kit, spec, arguments, payload, job), typed)
    if kept_at:
        cache.write(redis, kept_at, spec, outcome)
    return outcome


def _refused(spec: ToolSpec | None, payload: Mapping[str, Any], job: Job) -> Outcome | None:
    """Return the outcome of a job that must not run (any more), None for one that may."""
    if time.time() > number(payload, "not_after", math.inf):
        return failure("timeout", detail="its time was up before a tool worker was free; it did not start")
    connection: Redis = job.connection
    if connection.get(names.cancel_key(job.id)) is not None:
        return failure("cancelled", detail="cancelled before it started")
    if spec is not None and spec.effects == "idempotent":
        return None
    # A job can be requeued by hand, and delivered twice after a crash. A token of our own, since the command itself
    # may be sent twice when the connection breaks.
    token = uuid.uuid4().hex
    if connection.set(names.ran_key(job.id), token, nx=True, ex=names.MARK_TTL_S):
        return None
    if connection.get(names.ran_key(job.id)) == token.encode():
        return None
    return failure("unknown", detail="a job of this id has been started before; it is not run again")


def _run(kit: Kit, spec: ToolSpec, arguments: dict[str, Any], payload: Mapping[str, Any], job: Job) -> Outcome:
    if spec.signature.context:
        arguments[spec.signature.context] = _context(kit, spec, payload, job)
    began = time.monotonic()
    outcome = _called(spec, arguments, payload, job)
    run_ms = round((time.monotonic() - began) * 1000)
    if outcome.status == "ok":
        _note(job.connection, spec, payload, run_ms)
    return replace(outcome, run_ms=run_ms)


def _called(spec: ToolSpec, arguments: dict[str, Any], payload: Mapping[str, Any], job: Job) -> Outcome:
    try:
        with leash.around_tool():
            value = spec.function(**arguments)
            if spec.is_async:
                value = leash.run(value)
    except JobTimeoutException:
        return failure("unknown" if spec.effects == "once" else "timeout", detail="time-out in the tool worker")
    except ToolStopped:
        raise
    except BaseException as error:  # a tool may leave by whatever it likes
        again = (
            bool(job.retries_left)
            and isinstance(error, Exception | SystemExit)
            and (isinstance(error, ToolUnavailable) or not isinstance(error, ToolError))
        )
        log.warning(
            "tool_raised",
            call_id=payload.get("call_id"),
            job_id=job.id,
            tool=spec.name,
            error=type(error).__name__,
            again=again,
            exc_info=None if spec.signature.digits else error,  # its words may have what was typed
        )
        if again:
            raise TryAgain from None
        return raised(error)
    if spec.signature.digits:
        return returned(value)  # what it has of them is still in it: none of it is kept for later
    return _returned(value, payload, job.connection)


def _returned(value: object, payload: Mapping[str, Any], redis: Redis) -> Outcome:
    if payload.get("step"):
        return returned(value, limit=STEP_LIMIT)  # only another tool reads it
    if not payload.get("paged"):
        return returned(value)
    try:
        return returned(value, keep=lambda text: rest.keep(redis, str(payload.get("call_id", "")), text))
    except (RedisError, OSError) as error:  # the tool did run: its beginning is better than nothing
        log.warning("rest_not_kept", error=type(error).__name__)
        return returned(value)


def _note(redis: Redis, spec: ToolSpec, payload: Mapping[str, Any], run_ms: int) -> None:
    waited = time.time() - run_ms / 1000 - number(payload, "enqueued_at", time.time())
    try:
        times.note(redis, spec.name, max(0, round(waited * 1000)), run_ms)
    except (RedisError, OSError) as error:
        log.warning("times_lost", tool=spec.name, error=type(error).__name__)


def number(payload: Mapping[str, Any], name: str, default: float) -> float:
    """Return a number of a job's payload; `default` where it isn't there, or is none."""
    found = payload.get(name)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else default


def _values(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = payload.get("arguments")
    return arguments if isinstance(arguments, dict) else values_of(str(arguments or ""))


def _typed(kit: Kit, spec: ToolSpec, payload: Mapping[str, Any], job_id: str) -> dict[str, str]:
    """Return what the caller typed for the tool. Raises NotForUs."""
    if not spec.signature.digits:
        return {}
    if kit.digits is None or names.TYPED not in payload:
        raise NotForUs
    typed = kit.digits.open(job_id, payload[names.TYPED])
    if typed.keys() != spec.signature.digits.keys():
        raise NotForUs
    return typed


def _who(payload: Mapping[str, Any]) -> tuple[str, str]:
    return str(payload.get("caller", "")), str(payload.get("dialled", ""))


def _facts(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    found = payload.get("facts")
    return found if isinstance(found, dict) else {}


def _needed(spec: ToolSpec, payload: Mapping[str, Any]) -> dict[str, str]:
    """Return parameter -> id of the job whose result it takes."""
    given = payload.get("needs")
    found = dict(given) if isinstance(given, dict) else {}
    for parameter, needs in spec.signature.needs.items():
        if parameter not in found:
            raise InvalidArguments(f"This needs {needs.tool} first.", f"the job names no {parameter}")
    return {parameter: str(found[parameter]) for parameter in spec.signature.needs}


def result_of(redis: Redis, job_id: str) -> Outcome:
    """Return the outcome of a job that is over. Raises a RedisError."""
    entries: Any = redis.xrevrange(names.result_key(job_id), count=1)
    for _entry, fields in entries:
        end = finished(kind_of(fields), fields)
        if end.how == "returned":
            return Outcome.from_dict(end.value)
        return failure("failed", detail=f"its job was {end.how}")
    return failure("failed", detail="it has no result")


def _context(kit: Kit, spec: ToolSpec, payload: Mapping[str, Any], job: Job) -> ToolContext:
    caller, dialled = _who(payload)
    return ToolContext(
        call_id=str(payload.get("call_id", "")),
        tool_call_id=str(payload.get("tool_call_id", "")),
        caller=caller,
        dialled=dialled,
        **invite_facts(_facts(payload)),
        deadline=number(payload, "deadline", math.inf),
        secrets=spec.secrets_from(kit.secrets),
        report=lambda text: _report(job.connection, job.id, hidden(text, _typed(kit, spec, payload, job.id))),
    )


def _report(connection: Redis, job_id: str, text: str) -> None:
    key = names.progress_key(job_id)
    try:
        with connection.pipeline(transaction=False) as pipe:
            pipe.xadd(key, {"text": text[: names.PROGRESS_LENGTH]}, maxlen=names.PROGRESS_KEPT)
            pipe.expire(key, names.PROGRESS_TTL_S)
            pipe.execute()
    except (RedisError, OSError) as error:
        log.warning("progress_lost", job_id=job_id, error=type(error).__name__)

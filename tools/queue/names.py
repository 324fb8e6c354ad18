"""Every name that tools have in Redis, in one place."""

from __future__ import annotations

import re

from tools.tool_call.request import job_id

_JOB_ID = re.compile(rb"[A-Za-z0-9_-]+")

QUEUE = "tools"
TYPED = "typed"
"""In a job's payload: what the caller typed for the tool alone, sealed."""
ENTRY = "tools.jobs.run_tool"
NOTICE_ENTRY = "tools.jobs.deliver_notice"
# What a job calls its function. A name on the wire, which workers and tool workers of several versions share: it stays,
# wherever the function stands (tools.worker.jobs has the table).
NOTICE_DESCRIPTION = "notice"

DEFAULT_CHANNEL, SEND, CALL_BACK = "default", "send", "call_back"  # where ends are told; others are the operator's own

MARK_TTL_S = 7 * 24 * 3600  # how long "was cancelled" and "has run" are remembered
WAITING_TTL_S = 8 * 24 * 3600  # of a job that nobody has taken yet: longer than any mark on it
CANCELLED_TTL_S = 24 * 3600  # of the record of a job that never ran
SHARED_TTL_S = 9 * 24 * 3600  # of lists and registries, after the last one has written to them
HEALTH_TTL_S = 60
ENDED_TTL_S = 3600
PROGRESS_TTL_S = 3600

WAIT_KEY = "offhook:wait"
"""Written before WAIT (`connect`)."""
PROGRESS_KEPT = 20
PROGRESS_LENGTH = 300

PROMISES = "offhook:promises"  # job -> Unix time up to which its call is known to be on
CALL_BACKS = "offhook:call_backs"  # job -> Unix time from which on its caller may be called back


def worker_key(name: str) -> str:
    """Return the key under which a worker says that it is there."""
    return f"offhook:worker:{name}"


def description(tool: str, summary: str) -> str:
    """Return what rq-dashboard's lists call a job. RQ's own would carry the arguments into logs and Redis."""
    return tool if summary in ("", tool) else f"{tool}: {summary}"


def job_key(job: str) -> str:
    """RQ's hash of a job."""
    return f"rq:job:{job}"


def is_job_id(entry: bytes) -> bool:
    """Whether what stands in a list of jobs can be the id of one, by RQ's rule."""
    return _JOB_ID.fullmatch(entry) is not None


def queue_key(queue: str) -> str:
    """RQ's list of the ids of queued jobs."""
    return f"rq:queue:{queue}"


def result_key(job: str) -> str:
    """RQ's stream of a job's results."""
    return f"rq:results:{job}"


def progress_key(job: str) -> str:
    """Our stream of what a running job reports."""
    return f"offhook:progress:{job}"


def cancel_key(job: str) -> str:
    """Set when a job has been cancelled: a tool worker that takes it up afterwards doesn't run it."""
    return f"offhook:cancelled:{job}"


def ran_key(job: str) -> str:
    """Set by the tool worker that starts a job's tool: nobody starts it a second time."""
    return f"offhook:ran:{job}"


def wake_key(runner: str) -> str:
    """Stream by which a runner wakes its own blocked read, so that it takes in a new job."""
    return f"offhook:wake:{runner}"


def notice_id(job: str) -> str:
    """Return the id of the job that tells how another one ended."""
    return f"notice-{job}"


def workers_key(queue: str) -> str:
    """RQ's set of the workers of a queue."""
    return f"rq:workers:{queue}"


def health_key(runner: str) -> str:
    """What a runner writes to find out whether Redis takes writes: a replica and a full one answer PING, too."""
    return f"offhook:health:{runner}"


def damaged_key(key: str) -> str:
    """Where what stands in the way of a job's own keys is set aside."""
    return f"offhook:damaged:{key}"


def steps_key(job: str) -> str:
    """Our list of the jobs that a tool call's job needs."""
    return f"offhook:steps:{job}"


def cache_key(tool: str, digest: str) -> str:
    """An answer that is good for a while."""
    return f"offhook:cache:{tool}:{digest}"


def times_key(tool: str) -> str:
    """Our list of a tool's recent times."""
    return f"offhook:times:{tool}"


def rest_key(call: str, handle: str) -> str:
    """The pages of a result that was too large."""
    return f"offhook:rest:{job_id(call, handle)}"


def orphan_key(job: str) -> str:
    """Set when a running job's caller has hung up."""
    return f"offhook:orphan:{job}"


def ended_key(job: str) -> str:
    """How a job ended, before RQ writes its result: the other half of `orphan_key`."""
    return f"offhook:ended:{job}"


def late_key(call: str) -> str:
    """Our hash of the results that came after a call."""
    return f"offhook:late:{call}"


def delivered_key(job: str) -> str:
    """Set when a job's end has been told."""
    return f"offhook:delivered:{job}"


def promise_key(job: str) -> str:
    """What a caller was promised about a job that still ran."""
    return f"offhook:promise:{job}"


def call_back_key(job: str) -> str:
    """Our hash on the call back that tells a job's end: tries, and how it went."""
    return f"offhook:call_back:{job}"


def call_back_claim_key(job: str) -> str:
    """Who is calling back, for as long as it lives."""
    return f"offhook:call_back_claim:{job}"

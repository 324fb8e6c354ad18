"""A tool worker: a process that takes tool calls off the queue and runs each in a fork of itself.

The tools are imported once, before the first fork (a start takes some 10 ms then, instead of an import each time).
It needs neither pjsua2 nor a WebSocket library. SIGTERM lets the job in hand finish; a second one does not.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer

from tools import jobs, notices
from tools.client import QueueSettings
from tools.due import put_back_due
from tools.errors import QueueUnavailable
from tools.jobs import OffhookJob
from tools.loading import load_tools
from tools.notify import Channels, NotDelivered, NotifySettings
from tools.running import TryAgain
from tools.spec import ToolSpec

log = structlog.get_logger(__name__)

PATIENCE_S = 120.0  # how long a running job and its worker wait for a Redis that has gone away
STOP_PATIENCE_S = 1.0
TELL_S = 1.0
MAINTENANCE_S = 60  # RQ's default of 600 leaves the job of a killed worker `started` for as long


class PatientRetry(Retry):
    """Tries again until `patience_s` is over; all connections share one patience, which a stop ends.

    With redis-py's own few retries, a worker whose Redis restarts would lose the result that it has in hand.
    """

    def __init__(self, patience_s: float) -> None:
        """Take the time in s after which a command fails."""
        super().__init__(ExponentialBackoff(cap=0.5, base=0.02), -1)
        self.patience_s = patience_s
        self.stopping = False

    def __deepcopy__(self, _memo: object) -> PatientRetry:
        """Stay one object: redis-py copies it for each connection."""
        return self

    def call_with_retry(self, do: Callable[[], Any], fail: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `do` until it works, or raise its last error.

        Raises StopRequested instead in the main thread of a worker that is to stop: RQ would go on trying for ever.
        """
        began = time.monotonic()
        told = False

        def failed(error: Exception, *rest: Any) -> None:
            nonlocal told
            fail(error, *rest)
            waited = time.monotonic() - began
            if waited > TELL_S and not told:
                told = True
                log.warning("redis_is_away", error=type(error).__name__, waiting_s=self.patience_s)
            if self.stopping and waited > STOP_PATIENCE_S and threading.current_thread() is threading.main_thread():
                raise StopRequested from error
            if waited > self.patience_s:
                raise error

        return super().call_with_retry(do, failed, *args, **kwargs)


class ToolWorker(Worker):
    """RQ's forking worker, which loses no job when it stops, and keeps the calls' arguments out of its logs."""

    max_connection_wait_time = 1.0  # RQ's doubles up to 60 s, so that a Redis that is back finds nobody
    log_result_lifespan = False

    def __init__(self, settings: QueueSettings, on_ready: Callable[[], None] = lambda: None) -> None:
        """Connect. Raises redis' ConnectionError where Redis can't be reached."""
        self._patience = PatientRetry(PATIENCE_S)
        self._on_ready = on_ready
        connection = Redis.from_url(settings.url, retry=self._patience)
        queue = Queue(settings.queue, connection=connection, job_class=OffhookJob, serializer=JSONSerializer)
        super().__init__(
            [queue],
            connection=connection,
            job_class=OffhookJob,
            serializer=JSONSerializer,
            default_result_ttl=settings.result_ttl_s,
            maintenance_interval=MAINTENANCE_S,
            log_job_description=False,
        )

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Register with Redis, then say that jobs are taken."""
        super().bootstrap(*args, **kwargs)
        # RQ does it a step later: a SIGTERM between "ready" and that would end the process without a word.
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        self._on_ready()

    @property
    def dequeue_timeout(self) -> int:
        """How long one read of the queue may block, in s: how long an idle worker takes to stop."""
        return 1

    def _shutdown(self) -> None:
        # RQ raises StopRequested out of the signal handler, wherever the worker is: a job that has just been taken
        # off the queue, and is not yet marked as running, would be lost.
        self._stop_requested = True
        self._patience.stopping = True

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether to clean up now. RQ asks before each read of the queue: the place where no job is in hand."""
        if self._stop_requested:
            raise StopRequested
        put_back_due(self.queues[0], time.time())
        notices.lapse(self.connection, self.queues[0].name, time.time())
        return bool(super().should_run_maintenance_tasks)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log that a job could not be run at all. RQ's own line has the arguments in it."""
        kind = exc_info[0].__name__ if exc_info and exc_info[0] else "unknown"
        if kind in (TryAgain.__name__, NotDelivered.__name__):
            log.info("job_waits_for_another_try", job_id=job.id, tries_left=job.retries_left)
            return
        log.error("job_failed", job_id=job.id, error=kind, exc_info=exc_info)


def run_tool_worker(
    settings: QueueSettings,
    tool_refs: Sequence[str],
    *,
    burst: bool = False,
    on_ready: Callable[[], None] | None = None,
    secrets: Mapping[str, str] | None = None,
    notify: NotifySettings | None = None,
) -> list[ToolSpec]:
    """Run tool calls until SIGTERM or SIGINT, or (burst) until the queue is empty. Blocks; for a process' main thread.

    secrets: by name, for the tools that ask for them. notify: where ends of tool calls are told whose caller has hung
    up. Logs `tool_worker_ready` and calls `on_ready` once it takes jobs. Returns the tools that it had. Raises
    `ToolDefinitionError` for what can't be loaded or lacks a secret, `QueueUnavailable` where Redis can't be reached.
    """
    specs = load_tools(tool_refs)
    jobs.install(specs, secrets, Channels(notify))

    def ready() -> None:
        log.info("tool_worker_ready", queue=settings.queue, tools=[spec.name for spec in specs])
        if on_ready:
            on_ready()

    try:
        worker = ToolWorker(settings, ready)
    except (RedisError, OSError) as error:
        raise QueueUnavailable(
            f"Redis can't be reached ({type(error).__name__}): start it, or mend its address"
        ) from None
    gc.collect()
    gc.freeze()  # what is loaded stays shared with the forks
    with contextlib.suppress(StopRequested):  # from its last words to a Redis that is away
        worker.work(burst=burst, logging_level="WARNING")
    log.info("tool_worker_stopped", queue=settings.queue)
    return specs

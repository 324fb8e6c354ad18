"""A tool worker: a process that takes tool calls off the queue and runs each in a fork of itself, or (simple) itself.

The tools are imported once, before the first fork (a start takes some 10 ms then, instead of an import each time).
It needs neither pjsua2 nor a WebSocket library. SIGTERM lets the job in hand finish; a second one does not.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from redis.backoff import ExponentialBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, SimpleWorker, Worker, worker_registration
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker, WorkerStatus

from tools.define.loading import load_tools
from tools.define.spec import ToolSpec
from tools.errors import QueueUnavailable
from tools.queue import names, notices
from tools.queue.client import QueueSettings
from tools.queue.connect import connect
from tools.worker import jobs
from tools.worker.due import put_back_due
from tools.worker.jobs import OffhookJob
from tools.worker.leash import GRACE_S, ToolStopped, leash
from tools.worker.notify import Channels, NotDelivered, NotifySettings
from tools.worker.running import TryAgain

log = structlog.get_logger(__name__)

PATIENCE_S = 120.0  # how long a running job and its worker wait for a Redis that has gone away
STOP_PATIENCE_S = 1.0
TELL_S = 1.0
MONITOR_S = 5  # RQ's default is 30
LIFE_S = 30  # a worker or a job that has said nothing for so long is dead; several times MONITOR_S
SETTLE_S = 2.0 * MONITOR_S
MAINTENANCE_S = 15  # RQ's default of 600 leaves the job of a machine that is gone `started` for as long


class PatientRetry(Retry):
    """Tries again until `patience_s` is over; all connections share one patience, which a stop ends.

    With redis-py's own few retries, a worker whose Redis restarts would lose the result that it has in hand.
    """

    def __init__(self, patience_s: float) -> None:
        """Take the time in s after which a command fails."""
        super().__init__(ExponentialBackoff(cap=0.5, base=0.02), -1)
        self.patience_s = patience_s
        self.failed_at = time.monotonic()
        """When Redis was last not to be reached, or this began (s, monotonic)."""
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
            self.failed_at = time.monotonic()
            waited = time.monotonic() - began
            if waited > TELL_S and not told:
                told = True
                log.warning("redis_is_away", error=type(error).__name__, waiting_s=self.patience_s)
            if self.stopping and waited > STOP_PATIENCE_S and threading.current_thread() is threading.main_thread():
                raise StopRequested from error
            if waited > self.patience_s:
                raise error

        return super().call_with_retry(do, failed, *args, **kwargs)


class _OurWorker(BaseWorker):
    """What RQ's workers do otherwise here: they lose no job when they stop, and log no call's arguments."""

    max_connection_wait_time = 1.0  # RQ's doubles up to 60 s, so that a Redis that is back finds nobody
    log_result_lifespan = False

    def __init__(self, settings: QueueSettings, on_ready: Callable[[], None] = lambda: None) -> None:
        """Connect. Raises redis' ConnectionError where Redis can't be reached."""
        self._patience = PatientRetry(PATIENCE_S)
        self._on_ready = on_ready
        connection = connect(settings.url, retry=self._patience)
        queue = Queue(settings.queue, connection=connection, job_class=OffhookJob, serializer=JSONSerializer)
        super().__init__(
            [queue],
            connection=connection,
            job_class=OffhookJob,
            serializer=JSONSerializer,
            default_result_ttl=settings.result_ttl_s,
            maintenance_interval=MAINTENANCE_S,
            job_monitoring_interval=MONITOR_S,
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
        if time.monotonic() - self._patience.failed_at < SETTLE_S:
            return False  # those who could not reach Redis either have yet to say that they live
        return bool(super().should_run_maintenance_tasks)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that this worker lives: who says nothing for `LIFE_S` is dead. RQ would wait for eight minutes."""
        super().heartbeat(LIFE_S, pipeline)
        if not self.is_horse:  # somebody may have taken us for dead while we could not reach Redis
            worker_registration.register(self, pipeline)

    def maintain_heartbeats(self, job: Job) -> None:
        """Say that the job lives, every `MONITOR_S`; stop it if it was cancelled while this worker could not hear it.

        RQ publishes the command to stop once; whoever has lost the connection at that moment never hears of it. The
        mark of a cancelled job stays.
        """
        super().maintain_heartbeats(job)
        if self._stopped_job_id != job.id and self.connection.exists(names.cancel_key(job.id)):
            self._stopped_job_id = job.id
            self.kill_horse()

    def get_heartbeat_ttl(self, job: Job) -> int:
        """How long the job in hand is taken to live after each heartbeat, in s."""
        return LIFE_S

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log that a job could not be run at all. RQ's own line has the arguments in it."""
        kind = exc_info[0].__name__ if exc_info and exc_info[0] else "unknown"
        if kind in (TryAgain.__name__, NotDelivered.__name__):
            log.info("job_waits_for_another_try", job_id=job.id, tries_left=job.retries_left)
        elif kind == ToolStopped.__name__:
            log.warning("job_stopped", job_id=job.id, why="its tool worker died" if leash.cut else "cancelled")
        else:
            log.error("job_failed", job_id=job.id, error=kind, exc_info=exc_info)


class ToolWorker(_OurWorker, Worker):
    """Runs each job in a fork of itself, which gives up when this process is dead."""

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Run the job, in the fork."""
        assert self.pid is not None
        leash.tie(self.pid)
        super().main_work_horse(job, queue)

    def perform_job(self, job: Job, queue: Queue) -> bool:
        """Run the job, in the fork; where the worker has died meanwhile, say so in its place."""
        done = bool(super().perform_job(job, queue))
        if leash.cut:
            self.register_death()  # type: ignore[no-untyped-call]
        return done


class SimpleToolWorker(_OurWorker, SimpleWorker):
    """Runs each job in its own process: it starts sooner, and a tool that can't be stopped takes the process with it.

    A second thread says that it lives while a job runs, and gives up on a tool whose time is long over: then the job
    is written down as failed, and the process ends for its supervisor to start another one.
    """

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Get ready to stop tools, then as every worker."""
        leash.install()
        super().bootstrap(*args, **kwargs)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run one job to its end."""
        self.prepare_execution(job)
        done = threading.Event()
        leash.overdue = lambda: self._give_up(job, queue)
        watch = threading.Thread(target=self._watch, args=(job, queue, done), name="tool-watch", daemon=True)
        watch.start()
        try:
            self.perform_job(job, queue)
        finally:
            done.set()
        self.set_state(WorkerStatus.IDLE)

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Stop the tool that runs: RQ's word for it, from the thread that takes its commands."""
        leash.pull()

    def _watch(self, job: Job, queue: Queue, done: threading.Event) -> None:
        give_up = time.monotonic() + float(job.timeout or 0) + GRACE_S
        while not done.wait(MONITOR_S):
            if job.timeout and time.monotonic() > give_up:
                self._give_up(job, queue)
            with contextlib.suppress(Exception):  # it ends in this moment, or Redis is away
                self.maintain_heartbeats(job)

    def _give_up(self, job: Job, queue: Queue) -> None:
        log.error("tool_hangs", job_id=job.id, mend="start this tool worker without --simple: then a fork is killed")
        with contextlib.suppress(Exception):
            self.handle_job_failure(job, queue, exc_string="The tool did not stop; its tool worker gave up.")
            self.register_death()  # type: ignore[no-untyped-call]
        os._exit(os.EX_SOFTWARE)


def run_tool_worker(
    settings: QueueSettings,
    tool_refs: Sequence[str],
    *,
    burst: bool = False,
    simple: bool = False,
    on_ready: Callable[[], None] | None = None,
    secrets: Mapping[str, str] | None = None,
    notify: NotifySettings | None = None,
) -> list[ToolSpec]:
    """Run tool calls until SIGTERM or SIGINT, or (burst) until the queue is empty. Blocks; for a process' main thread.

    simple: without a fork for each job. secrets: by name, for the tools that ask for them. notify: where ends of tool
    calls are told whose caller has hung up. Logs `tool_worker_ready` and calls `on_ready` once it takes jobs. Returns
    the tools that it had. Raises `ToolDefinitionError` for what can't be loaded or lacks a secret, `QueueUnavailable`
    where Redis can't be reached.
    """
    specs = load_tools(tool_refs)
    jobs.install(specs, secrets, Channels(notify))

    def ready() -> None:
        log.info("tool_worker_ready", queue=settings.queue, tools=[spec.name for spec in specs])
        if on_ready:
            on_ready()

    try:
        worker = (SimpleToolWorker if simple else ToolWorker)(settings, ready)
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

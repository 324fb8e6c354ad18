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
from types import FrameType
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, Worker
from rq.exceptions import StopRequested
from rq.job import Job, JobStatus
from rq.timeouts import HorseMonitorTimeoutException
from rq.utils import now
from rq.worker import WorkerStatus

from tools.define.loading import load_tools
from tools.define.spec import ToolSpec
from tools.errors import QueueUnavailable
from tools.mcp.job import PAYLOAD
from tools.mcp.server import McpServer
from tools.queue.client import QueueSettings
from tools.queue.refusals import refusal_of
from tools.queue.sealed_digits import DigitsKey
from tools.traces.opening import open_exporter
from tools.worker import jobs
from tools.worker.fork import Fork, Left
from tools.worker.jobs import OffhookJob
from tools.worker.leash import ASK, GRACE_S, leash
from tools.worker.notify import Channels, NotifySettings
from tools.worker.steady import MONITOR_S, SteadyWorker

log = structlog.get_logger(__name__)

OVERDUE_S = 60
"""A fork that is still there so long after its job's time-out is killed: it holds the interpreter from C."""
ASKED_S = 1.5
"""A fork that was asked to stop has so long before it is killed."""
NOT_READY_S = 5.0
SERVICE = "offhook-tool-worker"
"""What it is called in traces, where OTEL_SERVICE_NAME does not say so."""


class ToolWorker(SteadyWorker, Worker):
    """Runs each job in a fork of itself, which gives up when this process is dead."""

    _fork: Fork | None = None
    _asks = False

    def run_job(self, job: OffhookJob, queue: Queue) -> None:
        """Fork, and look after the fork until it is over."""
        self._asks = isinstance(job.args[0], dict) and PAYLOAD in job.args[0]
        self.prepare_execution(job)
        self.fork_work_horse(job, queue)
        self.monitor_work_horse(job, queue)
        self.set_state(WorkerStatus.IDLE)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Fork; a stop that came before is done now."""
        super().fork_work_horse(job, queue)
        with self._hand:
            self._fork = Fork(self.horse_pid)
            if self._stopped_job_id == job.id:
                self._fork.kill()

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Kill the fork and what its tool has started, once; where there is none, nobody."""
        with self._hand:
            if self._fork is not None:
                self._fork.kill(sig)

    def stop_horse(self) -> None:
        """Kill the fork; where it speaks with somebody who works for it, ask it first to tell them to stop, too."""
        fork = self._fork
        if not self._asks or fork is None:
            self.kill_horse()
        elif fork.ask(ASK):
            timer = threading.Timer(ASKED_S, fork.kill)
            timer.daemon = True
            timer.start()

    def handle_job_failure(self, job: Job, queue: Queue, *args: Any, **kwargs: Any) -> None:
        """RQ's. In a fork that was asked to stop, the job is stopped, and not to be tried again."""
        if leash.asked:
            self._stopped_job_id = job.id
        super().handle_job_failure(job, queue, *args, **kwargs)

    def monitor_work_horse(self, job: Job, queue: Queue) -> None:
        """Wait for the fork's end. One that has not written its job's end is a failed job at once."""
        fork = self._fork
        assert fork is not None
        job.started_at = now()
        began = time.monotonic()
        while True:
            try:
                with self.death_penalty_class(MONITOR_S, HorseMonitorTimeoutException):
                    fork.wait()
                break
            except HorseMonitorTimeoutException:
                if job.timeout and time.monotonic() - began > job.timeout + OVERDUE_S:
                    fork.kill()
                with contextlib.suppress(RedisError, OSError, StopRequested):  # it runs all the same
                    self.set_current_job_working_time(time.monotonic() - began)
                    self.maintain_heartbeats(job)
        left = fork.reap()
        with self._hand:
            self._fork = None
            self._horse_pid = 0
            stopped = self._stopped_job_id == job.id
        if self._unfinished(job):
            self._failed(job, queue, left, stopped=stopped)

    def _unfinished(self, job: Job) -> bool:
        """Whether the fork has left its job open: written down as running here, or taken and not even begun."""
        status, owner = self.connection.hmget(job.key, "status", "worker_name")
        if status == JobStatus.STARTED.value.encode():
            return bool(owner == self.name.encode())
        waits = status in (JobStatus.QUEUED.value.encode(), JobStatus.CREATED.value.encode())
        return waits and self.execution is not None and bool(self.connection.exists(self.execution.key))

    def _failed(self, job: Job, queue: Queue, left: Left, *, stopped: bool) -> None:
        job.ended_at = now()
        how = "left by itself" if left.by_itself else "died"
        words = "Job stopped by user, work-horse terminated." if stopped else f"its process {how}: {left}"
        log.warning("job_stopped" if stopped else "job_died", job_id=job.id, left=str(left))
        self.handle_job_failure(job, queue, exc_string=words)

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop at once, at a second signal: the job in hand is killed, and written down as failed."""
        if self._fork is None:
            super().request_force_stop(signum, frame)
            return
        log.warning("job_killed", job_id=self._in_hand, why="a second signal to stop")
        self.kill_horse()

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


class SimpleToolWorker(SteadyWorker, SimpleWorker):
    """Runs each job in its own process: it starts sooner, and a tool that can't be stopped takes the process with it.

    A second thread says that it lives while a job runs, and gives up on a tool whose time is long over: then the job
    is written down as failed, and the process ends for its supervisor to start another one.
    """

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Get ready to stop tools, then as every worker."""
        leash.install()
        super().bootstrap(*args, **kwargs)

    def run_job(self, job: OffhookJob, queue: Queue) -> None:
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
    servers: Sequence[McpServer] = (),
    traces: bool = False,
) -> list[ToolSpec]:
    """Run tool calls until SIGTERM or SIGINT, or (burst) until the queue is empty. Blocks; for a process' main thread.

    simple: without a fork for each job. secrets: by name, for the tools that ask for them. notify: where ends of tool
    calls are told whose caller has hung up. servers: MCP servers whose tools it runs. traces: jobs are told by OTLP, as
    the OTEL_* variables have it (the extra `otel`). Logs `tool_worker_ready` and
    calls `on_ready` once it takes jobs. Returns the tools that it had. Raises `ToolDefinitionError` for what can't be
    loaded or lacks a secret, `QueueUnavailable` where Redis can't be reached.
    """
    specs = load_tools(tool_refs)
    digits = None if settings.digits is None else DigitsKey.read(settings.digits)
    jobs.install(specs, secrets, Channels(notify), servers, digits)

    def ready() -> None:
        labels = [server.label for server in servers]
        log.info("tool_worker_ready", queue=settings.queue, tools=[spec.name for spec in specs], mcp=labels)
        if on_ready:
            on_ready()

    exporter = open_exporter(SERVICE) if traces else None
    worker = _connected(SimpleToolWorker if simple else ToolWorker, settings, ready)
    if exporter is not None:
        from tools.worker.tracing import JobTraces

        worker.traces = JobTraces(exporter)
    gc.collect()
    gc.freeze()  # what is loaded stays shared with the forks
    with contextlib.suppress(StopRequested):  # from its last words to a Redis that is away
        worker.work(burst=burst, logging_level="WARNING")
    if exporter is not None:
        exporter.close()
    log.info("tool_worker_stopped", queue=settings.queue)
    return specs


def _connected(
    kind: type[ToolWorker | SimpleToolWorker], settings: QueueSettings, ready: Callable[[], None]
) -> ToolWorker | SimpleToolWorker:
    """Return a worker. Where Redis is there and refuses, wait until it doesn't: that is mended on its side."""
    while True:
        try:
            return kind(settings, ready)
        except (RedisError, OSError) as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise QueueUnavailable(
                    f"Redis can't be reached ({type(error).__name__}): start it, or mend its address"
                ) from None
            log.error("redis_refuses", answer=refusal.answer, mend=refusal.mend, again_in_s=NOT_READY_S)
            time.sleep(NOT_READY_S)

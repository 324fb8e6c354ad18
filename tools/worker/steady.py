"""A tool worker's loop: whatever a job in Redis looks like, and whatever Redis answers, it goes on.

RQ's own loop ends the process for each exception that it doesn't know: a job with a broken date, READONLY, a full
Redis.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, worker_registration
from rq.command import parse_payload
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import BaseWorker

from tools.queue import lifetimes, names, notices
from tools.queue.client import QueueSettings
from tools.queue.connect import connect
from tools.queue.refusals import is_away, refusal_of
from tools.worker import damaged
from tools.worker.due import put_back_due
from tools.worker.jobs import OffhookJob
from tools.worker.leash import ToolStopped, leash
from tools.worker.notify import NotDelivered
from tools.worker.patience import PATIENCE_S, PatientRetry
from tools.worker.running import TryAgain

if TYPE_CHECKING:
    from tools.worker.tracing import JobTraces

log = structlog.get_logger(__name__)

MONITOR_S = 5  # RQ's default is 30
LIFE_S = 30  # a worker or a job that has said nothing for so long is dead; several times MONITOR_S
SETTLE_S = 2.0 * MONITOR_S
MAINTENANCE_S = 15  # RQ's default of 600 leaves the job of a machine that is gone `started` for as long
LONGEST_PAUSE_S = 30.0


class SteadyWorker(BaseWorker):
    """What RQ's workers do otherwise here: nothing ends them, they lose no job when they stop, and log no arguments."""

    max_connection_wait_time = 1.0  # RQ's doubles up to 60 s, so that a Redis that is back finds nobody
    log_result_lifespan = False
    traces: JobTraces | None = None
    """Tells of each job that belongs to a trace."""

    def __init__(self, settings: QueueSettings, on_ready: Callable[[], None] = lambda: None) -> None:
        """Connect. Raises redis' ConnectionError where Redis can't be reached."""
        self._patience = PatientRetry(PATIENCE_S)
        self._on_ready = on_ready
        self._hand = threading.RLock()
        self._in_hand: str | None = None  # the job
        self._pauses = 0
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

    # The loop

    def work(self, burst: bool = False, logging_level: str | None = None, *_args: Any, **_kwargs: Any) -> bool:
        """Run jobs until told to stop, or (burst) until the queue is empty. Returns whether any was run."""
        worked = False
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        try:
            while self._steadily(lambda: self.bootstrap(logging_level)) is False and not self._stop_requested:
                pass
            while not self._stop_requested:
                taken = self._steadily(lambda: self._one(burst))
                if taken is None and burst:
                    break
                worked = worked or bool(taken)
        except StopRequested:
            pass
        finally:
            with contextlib.suppress(RedisError, OSError, StopRequested):  # its words end by themselves
                self.teardown()  # type: ignore[no-untyped-call]
                lifetimes.renew(self.connection, self.queues[0].name, time.time())
        return worked

    def _one(self, burst: bool) -> bool | None:
        """Wait for a job and run it. None: there was none; False: none could be taken."""
        self.check_for_suspension(burst)
        if self.should_run_maintenance_tasks:
            self.run_maintenance_tasks()
        try:
            found = self.dequeue_job_and_maintain_ttl(None if burst else self.dequeue_timeout)
        except ValueError:  # of an id that is none
            damaged.drop_what_is_no_id(self.queues[0])
            return False
        if found is None:
            return None
        self.execute_job(*found)
        self.heartbeat()
        return True

    def _steadily(self, step: Callable[[], bool | None]) -> bool | None:
        """Take a step. Where it fails: pause, longer each time, and return False."""
        try:
            done = step()
            self._pauses = 0
            return done
        except StopRequested:
            raise
        except Exception as error:
            pause_s = min(LONGEST_PAUSE_S, 0.5 * 2**self._pauses)
            self._pauses += 1
            self._tell(error, pause_s)
            until = time.monotonic() + pause_s
            while not self._stop_requested and time.monotonic() < until:
                time.sleep(0.1)
            return False

    def _tell(self, error: Exception, pause_s: float) -> None:
        if refusal := refusal_of(error):
            log.error("redis_refuses", answer=refusal.answer, mend=refusal.mend, again_in_s=pause_s)
        elif is_away(error):
            log.warning("redis_is_away", error=type(error).__name__, again_in_s=pause_s)
        elif isinstance(error, RedisError):
            mend = "something else is kept under a key of RQ's: see the error, and delete that key"
            log.error("redis_is_damaged", error=str(error)[:200], mend=mend, again_in_s=pause_s)
        else:
            log.error("tool_worker_step_failed", again_in_s=pause_s, exc_info=error)

    # Jobs

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job to its end, or put it away where it can't be run as it is."""
        assert isinstance(job, OffhookJob)
        with self._hand:
            self._in_hand = job.id
            self._stopped_job_id = None
        try:
            if why := damaged.what(job, queue.name):
                damaged.put_away(self, job, queue, why)
            else:
                self._run_or_put_away(job, queue)
        finally:
            with self._hand:
                self._in_hand = None

    def _run_or_put_away(self, job: OffhookJob, queue: Queue) -> None:
        try:
            with self.traces.around(job) if self.traces is not None else contextlib.nullcontext():
                self.run_job(job, queue)
        except StopRequested:
            raise
        except Exception as error:
            if is_away(error):
                raise  # maintenance calls it failed, should it stay so
            self.kill_horse()
            damaged.put_away(self, job, queue, f"{type(error).__name__}: {str(error)[:80]}", ran=True)

    def run_job(self, job: OffhookJob, queue: Queue) -> None:
        """Run a sound job to its end."""
        raise NotImplementedError

    def stop_job(self, job_id: str) -> None:
        """Stop a job, once, if it is the one in hand. For any thread."""
        with self._hand:
            if self._in_hand != job_id or self._stopped_job_id == job_id:
                return
            self._stopped_job_id = job_id  # RQ writes it down as stopped by that
            self.stop_horse()

    def stop_horse(self) -> None:
        """Stop the job in hand."""
        self.kill_horse()

    def handle_payload(self, message: dict[Any, Any]) -> None:
        """Take a command. RQ asks Redis which job is in hand, and by the answer's time that may be another one."""
        try:
            payload: Any = parse_payload(message)
            if payload.get("command") == "stop-job":
                self.stop_job(str(payload.get("job_id")))
            else:
                super().handle_payload(message)  # type: ignore[no-untyped-call]
        except Exception as error:  # whoever sent it: the next one may be ours
            log.warning("command_not_taken", error=type(error).__name__)

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:
        """Go on listening, whatever came; RQ's way is to end the thread: a worker that can't be told to stop a job."""
        log.warning("commands_not_heard", error=type(exc).__name__)
        time.sleep(1.0)

    def maintain_heartbeats(self, job: Job) -> None:
        """Say that the job lives, every `MONITOR_S`; stop it if it was cancelled while this worker could not hear it.

        RQ publishes the command to stop once; whoever has lost the connection at that moment never hears of it. The
        mark of a cancelled job stays.
        """
        super().maintain_heartbeats(job)
        if self.connection.exists(names.cancel_key(job.id)):
            self.stop_job(job.id)

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

    # The worker itself

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Register with Redis, then say that jobs are taken."""
        self.connection.delete(self.key)  # left by a try that got half through
        super().bootstrap(*args, **kwargs)
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
        _apart(lambda: put_back_due(self.queues[0], time.time()))
        _apart(lambda: notices.lapse(self.connection, self.queues[0].name, time.time()))
        if time.monotonic() - self._patience.failed_at < SETTLE_S:
            return False  # those who could not reach Redis either have yet to say that they live
        return bool(super().should_run_maintenance_tasks)

    def run_maintenance_tasks(self) -> None:
        """Clean up; what stands in the way of that holds up no job."""
        _apart(super().run_maintenance_tasks)
        self.last_cleaned_at = now()  # type: ignore[assignment]
        lifetimes.renew(self.connection, self.queues[0].name, time.time())

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Say that this worker lives: who says nothing for `LIFE_S` is dead. RQ would wait for eight minutes."""
        super().heartbeat(LIFE_S, pipeline)
        if not self.is_horse:  # somebody may have taken us for dead while we could not reach Redis
            worker_registration.register(self, pipeline)


def _apart(step: Callable[[], object]) -> None:
    """Do what is done between two jobs. What is wrong in Redis there holds up no job."""
    try:
        step()
    except StopRequested:
        raise
    except Exception as error:
        if is_away(error):
            raise
        log.error("maintenance_failed", error=type(error).__name__, exc_info=error)

"""How a tool worker and the forks of its jobs wait for a Redis that is away, or that refuses what it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from rq.exceptions import StopRequested

from tools.queue.refusals import FAULTS, is_away, refusal_of

log = structlog.get_logger(__name__)

PATIENCE_S = 120.0  # how long a running job and its worker wait for a Redis that has gone away
STOP_PATIENCE_S = 1.0
TELL_S = 1.0
REFUSED_S = 0.1
"""The shortest pause after a refusal: RQ begins a watched transaction anew at once, for as long as it is refused."""


class PatientRetry(Retry):
    """Tries again until `patience_s` is over; all connections share one patience, which a stop ends.

    With redis-py's own few retries, a worker whose Redis restarts would lose the result that it has in hand. Each try
    dials anew, since after a failover the same address leads to another server.
    """

    def __init__(self, patience_s: float) -> None:
        """Take the time in s after which a command fails."""
        super().__init__(ExponentialBackoff(cap=0.5, base=0.02), -1, FAULTS)
        self.patience_s = patience_s
        self.failed_at = time.monotonic()
        """When Redis was last not to be reached, or this began (s, monotonic)."""
        self.stopping = False

    def __deepcopy__(self, _memo: object) -> PatientRetry:
        """Stay one object: redis-py copies it for each connection."""
        return self

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: Any = None,
        with_failure_count: bool = False,
    ) -> Any:
        """Call `do` until it works, or raise its last error.

        Raises StopRequested instead in the main thread of a worker that is to stop: RQ would go on trying for ever.
        """
        began = time.monotonic()
        failures, told = 0, False
        while True:
            try:
                return do()
            except FAULTS as error:
                if not is_away(error):
                    raise
                failures += 1
                waited = time.monotonic() - began
                if waited > TELL_S and not told:
                    told = True
                    self._tell(error)
                self._wait(error, waited, failures)
                fail(*((error, failures) if with_failure_count else (error,)))

    def _tell(self, error: Exception) -> None:
        if refusal := refusal_of(error):
            log.error("redis_refuses", answer=refusal.answer, mend=refusal.mend, waiting_s=self.patience_s)
        else:
            log.warning("redis_is_away", error=type(error).__name__, waiting_s=self.patience_s)

    def _wait(self, error: Exception, waited: float, failures: int) -> None:
        """Pause before another try, or raise."""
        self.failed_at = time.monotonic()
        if self.stopping and waited > STOP_PATIENCE_S and threading.current_thread() is threading.main_thread():
            raise StopRequested from error
        if waited > self.patience_s:
            raise error
        time.sleep(max(REFUSED_S if refusal_of(error) else 0.0, self._backoff.compute(failures)))

"""A job in Redis as offhook reads and writes it: one that is damaged can be read all the same, and each ends by itself.

RQ raises out of the middle of its own loops for a job of which a field can't be read, and keeps for ever what nobody
takes off the queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from redis.client import Pipeline
from redis.exceptions import ResponseError
from rq.exceptions import DeserializationError
from rq.job import Job, JobStatus

from tools.queue import names
from tools.queue.refusals import refusal_of

LONGEST_S = 48 * 3600
"""No job of ours may run longer; a number over this is damage."""
NO_DATA = b'["", null, [], {}]'
_TTLS = ("result_ttl", "failure_ttl")


class QueueJob(Job):
    """A job. damage: what of it can't be read, in words without its values; "" for a sound one."""

    damage: str = ""

    def refresh(self) -> None:
        """Read it from Redis. Raises NoSuchJobError where there is nothing of that name."""
        try:
            super().refresh()  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if refusal_of(error):
                raise
            self.restore({})  # the key holds something else than a hash

    def restore(self, raw_data: Mapping[Any, Any]) -> None:
        """Take the fields as they are in Redis, and what can't be read as not given; `damage` tells of it."""
        sound = {field: value for field, value in raw_data.items() if field != b"webhooks"}  # none are sent
        wrong = []
        if b"data" not in sound:
            sound[b"data"] = NO_DATA
            wrong.append("data")
        try:
            super().restore(sound)
        except Exception:  # each field has its own ways to be wrong
            for field, value in tuple(sound.items()):
                if field != b"data" and not self._reads({b"data": NO_DATA, field: value}):
                    del sound[field]
                    wrong.append(_name(field))
            super().restore(sound)
        wrong += self._misfits()
        self.damage = ", ".join(wrong)

    def _reads(self, fields: dict[bytes, Any]) -> bool:
        try:
            Job(connection=self.connection, serializer=self.serializer).restore(fields)
        except Exception:
            return False
        return True

    def _misfits(self) -> list[str]:
        """Say which fields have been read and are still of no use, and put something of use there."""
        wrong = []
        if self.timeout is None or not 0 < self.timeout <= LONGEST_S:
            wrong.append("timeout")
            self.timeout = 1
        pauses = self.retry_intervals
        if pauses is not None and not (isinstance(pauses, list) and all(isinstance(s, int) and s >= 0 for s in pauses)):
            wrong.append("retry_intervals")
            self.retry_intervals = None
        if not all(isinstance(needed, str) for needed in self._dependency_ids):
            wrong.append("dependency_ids")
            self._dependency_ids = []
        for name in _TTLS:  # RQ's defaults are for ever, or a year
            if not 0 < (getattr(self, name) or 0) <= names.MARK_TTL_S:
                setattr(self, name, names.MARK_TTL_S)
        self.repeats_left = None  # a tool call is no cron job, whatever Redis says
        try:
            _ = self.args
        except DeserializationError:
            wrong.append("data")
        return wrong

    def save(self, pipeline: Pipeline | None = None, include_meta: bool = True, include_result: bool = True) -> None:
        """Write it to Redis, for as long as a job may wait; RQ shortens that when the job ends."""
        with self._together(pipeline) as pipe:
            super().save(pipe, include_meta, include_result)
            pipe.expire(self.key, names.WAITING_TTL_S)

    def prepare_for_execution(self, worker_name: str, pipeline: Pipeline) -> None:
        """Write down that it runs. What is written to a job that has just gone makes it anew, without a lifetime."""
        super().prepare_for_execution(worker_name, pipeline)
        pipeline.expire(self.key, names.WAITING_TTL_S)

    def set_status(self, status: JobStatus, pipeline: Pipeline | None = None) -> None:
        """Write down how it stands; the same holds. What ends it gives it a shorter lifetime after this."""
        with self._together(pipeline) as pipe:
            super().set_status(status, pipe)
            pipe.expire(self.key, names.WAITING_TTL_S)

    def heartbeat(self, timestamp: datetime, ttl: int, pipeline: Pipeline | None = None, xx: bool = False) -> None:
        """Write down that it lives; the same holds."""
        with self._together(pipeline) as pipe:
            super().heartbeat(timestamp, ttl, pipe, xx)
            pipe.expire(self.key, names.WAITING_TTL_S)

    def cleanup(self, ttl: int | None = None, pipeline: Pipeline | None = None, remove_from_queue: bool = True) -> None:
        """Give it and what it needs the lifetime `ttl` in s."""
        kept = names.MARK_TTL_S if ttl is not None and ttl < 0 else ttl
        super().cleanup(kept, pipeline, remove_from_queue)

    def register_dependency(self, pipeline: Pipeline | None = None) -> None:
        """Have it wait for the jobs that it needs."""
        super().register_dependency(pipeline)
        connection = self.connection if pipeline is None else pipeline
        for needed in self._dependency_ids:
            connection.expire(self.dependents_key_for(needed), names.WAITING_TTL_S)
        connection.expire(self.dependencies_key, names.WAITING_TTL_S)

    def cancel(
        self,
        pipeline: Pipeline | None = None,
        enqueue_dependents: bool = False,
        remove_from_dependencies: bool = False,
    ) -> None:
        """Take it out of the queue; its record stays for a while."""
        with self._together(pipeline) as pipe:
            super().cancel(pipe, enqueue_dependents, remove_from_dependencies)
            self.cleanup(names.CANCELLED_TTL_S, pipe)

    @contextmanager
    def _together(self, pipeline: Pipeline | None) -> Iterator[Pipeline]:
        """What is to be written at once: a process that is killed in between would leave a key without a lifetime."""
        if pipeline is not None:
            yield pipeline
            return
        with self.connection.pipeline() as own:
            yield own
            own.execute()


def _name(field: object) -> str:
    text = field.decode(errors="replace") if isinstance(field, bytes) else str(field)
    return "".join(letter if letter.isalnum() or letter == "_" else "?" for letter in text[:30])

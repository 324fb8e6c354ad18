"""What a tool worker may be made to run by whoever can write to its Redis."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Callback, Queue
from rq.serializers import JSONSerializer

from tools.queue import names
from tools.worker.jobs import ForbiddenJob, OffhookJob

DANGEROUS = [
    "os.system",
    "builtins.eval",
    "subprocess.check_output",
    "tools.worker.jobs.install",
    "tools.define.loading.load_tools",
]


@pytest.fixture
def queue(redis_server) -> Queue:
    return Queue(names.QUEUE, connection=redis_server.client, serializer=JSONSerializer)


def finished(connection: Redis, job_id: str) -> dict[bytes, bytes]:
    give_up = time.monotonic() + 10
    while not (entries := connection.xrange(names.result_key(job_id))):
        assert time.monotonic() < give_up, "no result"
        time.sleep(0.02)
    fields: dict[bytes, bytes] = entries[0][1]
    return fields


def test_a_job_that_names_another_function_is_not_run(workers, queue, redis_server, tmp_path: Path) -> None:
    workers.start()
    trace = tmp_path / "trace"
    job = queue.enqueue_call("os.system", args=(f"touch {trace}",), description="x")
    assert finished(redis_server.client, job.id)[b"type"] == b"2"
    assert not trace.exists()
    assert "ForbiddenJob" in workers.log
    assert str(trace) not in workers.log  # nor are its arguments in the log


@pytest.mark.parametrize("name", [*DANGEROUS, "tools.worker.jobs.run_tool.__globals__", "", None])
def test_only_the_entry_point_is_allowed(name: str | None) -> None:
    job = OffhookJob.create(name or "x", connection=Redis(), serializer=JSONSerializer)
    job._func_name = name
    with pytest.raises(ForbiddenJob):
        _ = job.func


def test_callbacks_that_a_job_names_are_not_run(workers, queue, redis_server, tmp_path: Path) -> None:
    workers.start()
    payload: dict[str, Any] = {"tool": "add", "arguments": '{"left": 1, "right": 1}'}
    job = queue.enqueue_call(
        names.ENTRY,
        args=(payload,),
        description="x",
        on_success=Callback("os.abort"),
        on_failure=Callback("os.abort"),
    )
    assert finished(redis_server.client, job.id)[b"type"] == b"1"


def test_a_payload_that_is_none_of_ours_fails_and_the_worker_goes_on(workers, queue, redis_server) -> None:
    workers.start()
    for payload in (
        [],
        ["x"],
        [{}],
        [{"tool": ["add"]}],
        [{"tool": "add", "arguments": 3}],
        [{"enqueued_at": "x"}],
    ):
        job = queue.enqueue_call(names.ENTRY, args=tuple(payload), description="x")
        assert finished(redis_server.client, job.id)
    good = queue.enqueue_call(
        names.ENTRY, args=({"tool": "add", "arguments": '{"left": 1, "right": 1}'},), description="x"
    )
    assert finished(redis_server.client, good.id)[b"type"] == b"1"


def test_a_job_that_comes_after_its_time_does_not_start(workers, queue, redis_server, tmp_path: Path) -> None:
    workers.start()
    late = {"tool": "slow", "arguments": '{"seconds": 0}', "not_after": time.time() - 1}
    job = queue.enqueue_call(names.ENTRY, args=(late,), description="x")
    finished(redis_server.client, job.id)
    job.refresh()
    assert job.return_value()["status"] == "timeout"
    assert not (tmp_path / "slow.started").exists()

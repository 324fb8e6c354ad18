from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tools import ToolDefinitionError
from tools.errors import QueueUnavailable
from tools.queue.queued import QueueSettings
from tools.worker.patience import PatientRetry
from tools.worker.tool_worker import run_tool_worker

ROOT = Path(__file__).parents[3]


def test_a_tool_worker_needs_no_telephony_no_websocket_and_no_worker() -> None:
    code = (
        "import sys, tools.worker.tool_worker, tools.builtin.clock, tools.builtin.orders;"
        "heavy = {'pjsua2', 'websockets', 'openai', 'worker', 'telephony', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_writing_a_tool_needs_no_redis() -> None:
    code = "import sys, tools; print(sorted({'redis', 'rq', 'pjsua2'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_sigterm_lets_the_job_in_hand_finish(workers, redis_server, tmp_path: Path) -> None:
    from rq import Queue
    from rq.serializers import JSONSerializer

    from tools.queue import names

    process = workers.start()
    queue = Queue(names.QUEUE, connection=redis_server.client, serializer=JSONSerializer)
    payload = {"tool": "slow", "arguments": '{"seconds": 0.8}'}
    job = queue.enqueue_call(names.ENTRY, args=(payload,), description="x")
    give_up = time.monotonic() + 10
    while not (tmp_path / "slow.started").exists():
        assert time.monotonic() < give_up
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert (tmp_path / "slow.ended").exists()
    assert job.return_value(refresh=True)["status"] == "ok"


@pytest.mark.parametrize("with_redis", [True, False])
def test_sigterm_ends_an_idle_worker_also_without_redis(workers, redis_server, with_redis: bool) -> None:
    process = workers.start()
    if not with_redis:
        redis_server.kill()
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert "Traceback" not in workers.log


def test_a_worker_that_stops_leaves_no_job_behind(workers, redis_server) -> None:
    """Stops workers in the very moment in which they take a job off the queue."""
    from rq import Queue
    from rq.serializers import JSONSerializer

    from tools.queue import names

    queue = Queue(names.QUEUE, connection=redis_server.client, serializer=JSONSerializer)
    payload = {"tool": "add", "arguments": '{"left": 1, "right": 1}'}
    jobs = []
    for _ in range(5):
        process = workers.start()
        jobs += [queue.enqueue_call(names.ENTRY, args=(payload,), description="x") for _ in range(3)]
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert redis_server.client.llen(f"{names.queue_key(names.QUEUE)}:intermediate") == 0
    assert {str(job.get_status().value) for job in jobs} <= {"finished", "queued"}


def test_an_idle_worker_takes_jobs_again_when_redis_is_back(workers, redis_server) -> None:
    from rq import Queue
    from rq.serializers import JSONSerializer

    from tools.queue import names

    process = workers.start()
    redis_server.kill()
    redis_server.start()
    queue = Queue(names.QUEUE, connection=redis_server.client, serializer=JSONSerializer)
    payload = {"tool": "add", "arguments": '{"left": 1, "right": 1}'}
    job = queue.enqueue_call(names.ENTRY, args=(payload,), description="x")
    give_up = time.monotonic() + 10
    while job.get_status() != "finished":
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert process.poll() is None


def test_without_redis_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.worker.steady.PATIENCE_S", 0.1)
    with pytest.raises(QueueUnavailable, match="Redis can't be reached"):
        run_tool_worker(QueueSettings(url=f"unix://{tmp_path}/none.sock"), ["tools.builtin"])


def test_tools_that_cannot_be_loaded_stop_the_start() -> None:
    with pytest.raises(ToolDefinitionError, match="there is no module nowhere"):
        run_tool_worker(QueueSettings(url="redis://127.0.0.1:1"), ["nowhere"])


def test_patience_is_shared_by_all_copies_and_can_be_ended() -> None:
    import copy

    retry = PatientRetry(60.0)
    tries = 0

    def do() -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            retry.patience_s = 0.0
        raise RedisConnectionError("away")

    with pytest.raises(RedisConnectionError):
        copy.deepcopy(retry).call_with_retry(do, lambda error: None)
    assert tries == 3

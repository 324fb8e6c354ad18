"""A worker that has enough says so: 503 with Retry-After. Calls in progress go on, and it comes back by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call
from parts.program import until
from parts.provider import ANSWER_HZ, Provider
from parts.services import RedisServer, Worker

BURNER = Path(__file__).parent / "parts" / "burner.py"
AGENT = f'goodbye = "Goodbye."\n[tools]\nmodules = ["{BURNER}"]\n[fillers]\nmode = "tone"\ntone = false\n'


@pytest.fixture
def start(redis: RedisServer, provider: Provider, folder: Path, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start workers of a scene's own; the burner burns until the file burner.open is there."""
    agent, workers = tmp_path / "agent.toml", []
    agent.write_text(AGENT)

    def one(**settings: Any) -> Worker:
        own = {
            "REDIS_URL": redis.url,
            "OFFHOOK_AGENT": agent,
            **provider.settings,
            "SHOP_FOLDER": tmp_path,
        }
        workers.append(Worker(tmp_path / "calls", **own, **settings).ready())
        return workers[-1]

    yield one
    (tmp_path / "burner.open").touch()
    for worker in workers:
        assert worker.stop() == 0, worker.text()


def refused(worker: Worker, why: str) -> float:
    return worker.metric(rf'offhook_calls_refused_total{{reason="{why}"}}')


def test_a_busy_core_takes_no_new_call_keeps_the_old_one_and_comes_back(
    start: Callable[..., Worker], provider: Provider, dial: Callable[[str], Call], sipp: Any, tmp_path: Path
) -> None:
    worker = start(OFFHOOK_OVERLOAD="refuse")
    call = dial(worker.uri)
    session, call_id = provider.session(), worker.next_call()
    burning = session.calls("burn")
    until(lambda: not worker.part("load")["ok"], lambda: f"the load is seen; {worker.part('load')}")
    assert worker.get("/readyz")[0] == 503 and worker.metric("offhook_overloaded") == 1
    sipp("refused_503", worker.target).finish()
    line = worker.wait_log("call_refused")
    assert (line["status"], line["why"]) == (503, "overload")
    assert refused(worker, "overload") == 1
    session.says(ANSWER_HZ, 2000)
    call.hears_tone(ANSWER_HZ, 1900)

    (tmp_path / "burner.open").touch()
    assert session.output(burning) == {"result": "burnt"}
    until(lambda: worker.part("load")["ok"], lambda: f"the load is down; {worker.part('load')}")
    assert worker.wait_log("load_is_down") and worker.metric("offhook_overloaded") == 0
    other = dial(worker.uri)
    other.hang_up()
    call.hang_up()
    assert worker.record(call_id)["outcome"] == "completed"
    assert sound.tone_ms(sound.channels(Path(worker.record(call_id)["recording"]))[1], ANSWER_HZ) >= 1950


def test_where_that_is_wanted_all_calls_are_taken_however_busy_the_core_is(
    start: Callable[..., Worker], provider: Provider, dial: Callable[[str], Call], tmp_path: Path
) -> None:
    worker = start(OFFHOOK_OVERLOAD="accept")
    call = dial(worker.uri)
    burning = provider.session().calls("burn")
    worker.wait_log("overloaded")
    assert worker.part("load")["ok"], "nobody is turned away for it"
    dial(worker.uri).hang_up()
    call.hang_up()
    assert refused(worker, "overload") == 0 and burning


def test_at_its_own_limit_a_worker_sends_calls_on_to_the_next(
    start: Callable[..., Worker], provider: Provider, dial: Callable[[str], Call], sipp: Any
) -> None:
    worker = start(OFFHOOK_MAX_CALLS=1)
    call = dial(worker.uri)
    session = provider.session()
    sipp("refused_503", worker.target).finish()
    assert worker.wait_log("call_refused")["why"] == "full"
    assert worker.part("capacity") == {"ok": False, "detail": "1 of 1 calls"} and refused(worker, "full") == 1
    session.says(ANSWER_HZ, 400)
    call.hears_tone(ANSWER_HZ, 360)
    call.hang_up()
    until(lambda: worker.part("capacity")["ok"], "room for one more")
    dial(worker.uri).hang_up()


def test_a_worker_that_has_just_started_takes_its_first_callers(
    start: Callable[..., Worker], provider: Provider, sipp: Any
) -> None:
    """Its own start is no load: a rolling upgrade sends it calls in the moment in which it is ready."""
    worker = start(OFFHOOK_OVERLOAD="refuse")
    sipp("call", worker.target, "-m", "4", "-r", "8", hold_ms=4000).finish()
    assert not worker.logged("call_refused") and not worker.logged("overloaded"), worker.text()
    assert len(worker.logged("call")) == 4

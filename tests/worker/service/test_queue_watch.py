"""What the state of the tools' queue means for new calls. The queue itself is tested in tests/tools and tests/e2e."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from tools.errors import QueueUnavailable
from tools.queue.backlog import Backlog
from tools.tool_call.durations import Usual
from worker.call_tools.durations import UsualTimes
from worker.records.metrics import Metrics
from worker.service.queue_watch import UNKNOWN_RUN_S, QueueWatch


@dataclass
class State:
    """A queue that is as the test says."""

    up: bool = True
    jobs: dict[str, int] = field(default_factory=dict)
    hands: int = 2
    run_ms: dict[str, int] = field(default_factory=dict)
    runs: int = 3
    fails: bool = False

    async def healthy(self) -> bool:
        return self.up

    async def depths(self) -> Mapping[str, int]:
        if self.fails:
            raise QueueUnavailable("Redis does not answer")
        return self.jobs

    async def workers(self) -> int:
        return self.hands

    async def usual(self, tool: str) -> Usual | None:
        return Usual(0, self.run_ms[tool], self.run_ms[tool], self.runs) if tool in self.run_ms else None


class Rig:
    def __init__(self, *tools: str) -> None:
        self.state, self.metrics, self.usual = State(), Metrics(), UsualTimes()
        backlog = Backlog(tell_s=10.0, refuse_s=30.0)
        self.watch = QueueWatch(self.state, tools or ("look", "pay"), backlog, self.usual, self.metrics)

    async def look(self) -> tuple[str, float]:
        await self.watch.look()
        return self.watch.judged.answer, self.watch.judged.wait_s

    def shown(self, name: str) -> list[str]:
        lines = self.metrics.exposition().decode().splitlines()
        return [line.removeprefix(f"offhook_{name}") for line in lines if line.startswith(f"offhook_{name}")]


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_an_empty_queue_is_fine(rig: Rig) -> None:
    assert await rig.look() == ("ok", 0.0)
    assert rig.watch.up and rig.usual.queue_s == 0.0


async def test_the_wait_goes_by_each_tools_usual_time_and_is_shared_among_the_workers(rig: Rig) -> None:
    rig.state.jobs, rig.state.run_ms = {"look": 4, "pay": 1}, {"look": 4000, "pay": 10_000}
    assert await rig.look() == ("tell", 13.0)
    assert rig.usual.queue_s == 13.0 and rig.usual.all_s("look", queued=True) == 17.0
    rig.state.hands = 4
    assert await rig.look() == ("ok", 6.5)
    rig.state.hands, rig.state.jobs = 1, {"look": 8}
    assert await rig.look() == ("refuse", 32.0)
    assert rig.watch.judged.retry_after_s == 32


async def test_one_run_makes_nothing_usual(rig: Rig) -> None:
    rig.state.run_ms, rig.state.runs = {"look": 90_000}, 1
    await rig.look()
    assert rig.usual.run_s("look") is None
    rig.state.runs = 3
    await rig.look()
    assert rig.usual.run_s("look") == 90.0


async def test_of_an_unknown_tool_the_others_tell(rig: Rig) -> None:
    rig.state.jobs = {"strange": 2}
    assert await rig.look() == ("ok", UNKNOWN_RUN_S)
    for _ in range(3):
        rig.usual.note("look", 20.0)
    assert await rig.look() == ("tell", 20.0)


async def test_without_a_tool_worker_the_wait_has_no_end(rig: Rig) -> None:
    rig.state.hands = 0
    assert await rig.look() == ("refuse", math.inf)
    assert 5 <= rig.watch.judged.retry_after_s <= 300


async def test_without_queued_tools_nothing_can_wait() -> None:
    watch = QueueWatch(State(hands=0, jobs={"x": 99}), (), Backlog(refuse_s=15.0), UsualTimes(), Metrics())
    await watch.look()
    assert watch.judged.answer == "ok" and watch.up


async def test_as_long_as_nothing_would_be_queued_no_caller_has_to_wait() -> None:
    in_use = False
    state, metrics = State(hands=0, jobs={"auto": 9}), Metrics()
    backlog = Backlog(tell_s=1.0, refuse_s=15.0)
    watch = QueueWatch(state, ("auto",), backlog, UsualTimes(), metrics, in_use=lambda: in_use)
    await watch.look()
    assert watch.judged.answer == "ok"
    assert 'offhook_tool_queue_depth{tool="auto"} 9.0' in metrics.exposition().decode()
    in_use = True
    await watch.look()
    assert watch.judged.answer == "refuse"


@pytest.mark.parametrize("fault", ["up", "fails"])
async def test_redis_gone_refuses_no_call_and_is_told_once(rig: Rig, fault: str) -> None:
    rig.state.jobs, rig.state.hands = {"look": 99}, 1
    assert (await rig.look())[0] == "refuse"
    setattr(rig.state, fault, fault == "fails")
    with capture_logs() as logs:
        assert await rig.look() == ("ok", 0.0) and await rig.look() == ("ok", 0.0)
        assert not rig.watch.up
        rig.state.up, rig.state.fails = True, False
        assert (await rig.look())[0] == "refuse"
    assert [log["event"] for log in logs] == ["redis_gone", "backlog", "redis_back", "backlog"]


async def test_metrics_have_a_bounded_number_of_series(rig: Rig) -> None:
    rig.state.jobs = {"look": 2, "of_another_worker": 3, "and_one_more": 1}
    await rig.look()
    assert rig.shown("tool_queue_depth") == ['{tool="look"} 2.0', '{tool="pay"} 0.0', '{tool="(other)"} 4.0']
    rig.state.jobs = {}
    await rig.look()
    assert rig.shown("tool_queue_depth") == ['{tool="look"} 0.0', '{tool="pay"} 0.0', '{tool="(other)"} 0.0']
    assert rig.shown("tool_workers") == [" 2.0"] and rig.shown("tool_queue_wait_seconds") == [" 0.0"]

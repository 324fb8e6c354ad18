"""Tools on a scene's time: they run for real, and nothing of them runs on that nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tools import ToolContext
from tools.define.spec import spec_of
from worker.scene.clock import SceneLoop
from worker.scene.script import Run
from worker.scene.tools import StagedTools


@pytest.fixture
def loop() -> Iterator[SceneLoop]:
    found = SceneLoop()
    yield found
    found.close()


class Rig:
    def __init__(self, loop: SceneLoop) -> None:
        self.loop, self.told = loop, list[tuple[str, float]]()
        self.began, self.ended = list[Run](), list[Run]()
        self.staged = StagedTools(lambda: round(loop.time() - 1000, 3), self.began.append, self.ended.append)
        self.context = ToolContext(call_id="c", tool_call_id="t", report=self.report)

    def report(self, text: str) -> None:
        self.told.append((text, self.loop.time() - 1000))

    def run(self, function: Any, *seconds: float, stop_after: float | None = None, **arguments: Any) -> Any:
        spec = spec_of(function, description="x")
        self.staged.takes(spec.name, seconds)
        staged = self.staged.staged(spec)
        assert staged.version == spec.version and staged.source == spec.source

        async def body() -> Any:
            async with asyncio.timeout(stop_after):
                return await staged.function(**arguments)

        return self.loop.run_until_complete(body())


@pytest.fixture
def rig(loop: SceneLoop) -> Rig:
    return Rig(loop)


def test_time_goes_by_before_each_report_and_at_the_end(rig: Rig) -> None:
    def work(n: int, context: ToolContext) -> int:
        context.progress("one")
        context.progress("two")
        context.progress("three")
        return n + 1

    assert rig.run(work, 2, 3, 5, n=1, context=rig.context) == 2
    assert rig.told == [("one", 2.0), ("two", 5.0), ("three", 5.0)]
    (run,) = rig.staged.runs
    assert (run.tool, run.arguments, run.at, run.until, run.how) == ("work", {"n": 1}, 0.0, 10.0, "returned")
    assert rig.began == rig.ended == [run]


def test_without_a_word_on_it_a_tool_takes_no_time(rig: Rig) -> None:
    assert rig.run(lambda_free, n=3) == 9
    assert rig.staged.runs[0].until == 0.0


def lambda_free(n: int) -> int:
    return n * n


def test_an_async_tool_sleeps_on_the_scenes_time(rig: Rig) -> None:
    async def later() -> str:
        await asyncio.sleep(30)
        return "x"

    assert rig.run(later, 4) == "x"
    assert rig.staged.runs[0].until == 34.0


def test_what_it_raises_comes_when_its_time_is_over(rig: Rig) -> None:
    def fails() -> None:
        raise KeyError("k")

    def leaves() -> None:
        raise SystemExit(3)

    with pytest.raises(KeyError):
        rig.run(fails, 2)
    with pytest.raises(RuntimeError, match="SystemExit"):
        rig.run(leaves)
    assert [(run.how, run.until) for run in rig.staged.runs] == [
        ("raised KeyError('k')", 2.0),
        ("raised SystemExit(3)", 2.0),
    ]


def test_one_that_is_stopped_goes_no_further_than_its_next_report(rig: Rig) -> None:
    ended = threading.Event()
    done: list[str] = []

    def work(context: ToolContext) -> None:
        try:
            context.progress("one")
            done.append("one")
            context.progress("two")
            done.append("two")
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        rig.run(work, 1, 5, 1, stop_after=3, context=rig.context)
    assert ended.wait(5)
    assert done == ["one"] and rig.staged.runs[0].how == "cancelled"

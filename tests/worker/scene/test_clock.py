from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from worker.scene import clock
from worker.scene.clock import SceneLoop, aside


@pytest.fixture
def loop() -> Iterator[SceneLoop]:
    found = SceneLoop()
    yield found
    found.close()


def test_what_waits_waits_in_order_and_for_no_real_time(loop: SceneLoop) -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((name, loop.time() - clock.BEGIN_S))

    async def main() -> None:
        await asyncio.gather(sleeper("day", 86_400.0), sleeper("minute", 60.0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()

    loop.run_until_complete(main())
    assert [name for name, _ in woken] == ["minute", "day"]
    assert [at for _, at in woken] == pytest.approx([60, 86_400])
    assert loop.time() - clock.BEGIN_S == pytest.approx(90_000)


def test_a_thread_takes_none_of_its_time_and_may_have_a_loop_of_its_own(loop: SceneLoop) -> None:
    async def other() -> str:
        return threading.current_thread().name

    async def main() -> str:
        ticking = asyncio.create_task(asyncio.sleep(0.001))
        name = await asyncio.to_thread(lambda: asyncio.run(other()))
        assert loop.time() == clock.BEGIN_S and not ticking.done()
        with pytest.raises(KeyError):
            await asyncio.to_thread({}.__getitem__, "x")
        return name

    assert loop.run_until_complete(main()) != threading.current_thread().name


def test_what_can_not_happen_any_more_is_said(loop: SceneLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "STUCK_S", 0.05)
    with pytest.raises(RuntimeError, match="can't happen any more"):
        loop.run_until_complete(asyncio.Event().wait())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))


def test_a_function_aside_hands_over_what_it_raises() -> None:
    with pytest.raises(SystemExit):
        aside(lambda: exec("raise SystemExit"))
    assert aside(lambda: 7) == 7

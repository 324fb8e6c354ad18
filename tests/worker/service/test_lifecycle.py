"""The contract of starting and stopping: what was begun is undone, in the reverse order, once, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from worker.service.lifecycle import Lifecycle, Step


class Scene:
    """Steps a, b, c ..., with what each does wrong, and what was done."""

    def __init__(self, *wrong: str) -> None:
        self.done: list[str] = []
        self.reached = asyncio.Event()
        names = "abcdefgh"[: max(4, len(wrong))]
        faults = (*wrong, *[""] * len(names))
        self.life = Lifecycle([self.step(name, fault) for name, fault in zip(names, faults, strict=False)])

    def step(self, name: str, fault: str) -> Step:
        async def do() -> None:
            self.done.append(f"+{name}")
            match fault:
                case "fails":
                    raise OSError(f"{name} is taken")
                case "hangs":
                    self.reached.set()
                    await asyncio.sleep(60)
                case "swallows":
                    self.reached.set()
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(60)

        async def undo() -> None:
            self.done.append(f"-{name}")
            if fault == "undo fails":
                raise RuntimeError(f"{name} can't be undone")
            if fault == "undo hangs":
                await asyncio.sleep(60)

        return Step(name, do, undo, undo_s=0.05)

    @property
    def text(self) -> str:
        return "".join(self.done)


async def test_steps_are_done_in_order_and_undone_in_the_reverse_one() -> None:
    scene = Scene()
    await scene.life.start()
    assert (scene.text, scene.life.at) == ("+a+b+c+d", "")
    await scene.life.stop()
    await scene.life.stop()
    assert (scene.text, scene.life.at) == ("+a+b+c+d-d-c-b-a", "")


async def test_a_step_that_fails_is_undone_with_those_before_it() -> None:
    scene = Scene("", "", "fails")
    with pytest.raises(OSError, match="c is taken"):
        await scene.life.start()
    assert scene.text == "+a+b+c-c-b-a"
    await scene.life.stop()
    assert scene.text == "+a+b+c-c-b-a"


@pytest.mark.parametrize("fault", ["hangs", "swallows"])
async def test_a_stop_in_the_middle_of_a_start_ends_it(fault: str) -> None:
    scene = Scene("", fault)
    starting = asyncio.create_task(scene.life.start())
    await scene.reached.wait()
    assert scene.life.at == "b"
    await scene.life.stop()
    assert scene.text == "+a+b-b-a"
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_a_start_that_is_cancelled_is_undone_and_a_further_cancel_does_not_stop_that() -> None:
    scene = Scene("undo hangs", "", "hangs")
    starting = asyncio.create_task(scene.life.start())
    await scene.reached.wait()
    starting.cancel()
    await asyncio.sleep(0.02)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await scene.life.stop()
    assert scene.text == "+a+b+c-c-b-a"


async def test_an_undo_that_fails_or_hangs_keeps_no_other_from_being_undone_and_is_told() -> None:
    scene = Scene("", "undo fails", "undo hangs")
    await scene.life.start()
    with capture_logs() as lines:
        await scene.life.stop()
    assert scene.text == "+a+b+c+d-d-c-b-a"
    told = [(line["event"], line["step"]) for line in lines if line["log_level"] == "error"]
    assert told == [("step_not_undone", "c"), ("step_not_undone", "b")]


FAULTS = st.sampled_from(["", "", "", "fails", "hangs", "swallows", "undo fails", "undo hangs"])


@settings(deadline=None, max_examples=60)
@given(st.lists(FAULTS, min_size=1, max_size=6), st.booleans())
def test_whatever_goes_wrong_all_that_began_is_undone_once_in_the_reverse_order(wrong: list[str], stop: bool) -> None:
    async def life() -> None:
        scene = Scene(*wrong)
        starting = asyncio.create_task(scene.life.start())
        reaching = asyncio.create_task(scene.reached.wait())
        await asyncio.wait({starting, reaching}, return_when=asyncio.FIRST_COMPLETED)
        reaching.cancel()
        await (scene.life.stop() if stop or not starting.done() else asyncio.sleep(0))
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await starting
        await scene.life.stop()
        begun = [one[1] for one in scene.done if one[0] == "+"]
        assert [one[1] for one in scene.done if one[0] == "-"] == begun[::-1]
        assert scene.done == [f"+{name}" for name in begun] + [f"-{name}" for name in begun[::-1]]

    with capture_logs():
        asyncio.run(life())

"""The loop of a worker: nothing but its own stop ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.service.run import run_loop

ROOT = Path(__file__).parents[3]


def leave_by_a_task(kind: type[BaseException]) -> None:
    async def leave() -> None:
        raise kind

    asyncio.get_running_loop().create_task(leave()).add_done_callback(lambda task: task.exception())


def leave_by_a_callback(kind: type[BaseException]) -> None:
    def leave() -> None:
        raise kind

    asyncio.get_running_loop().call_later(0.01, leave)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("leave", [leave_by_a_task, leave_by_a_callback])
def test_what_a_library_raises_in_a_task_of_its_own_ends_nothing(
    leave: Callable[[type[BaseException]], None], kind: type[BaseException]
) -> None:
    ticks = []

    async def tick() -> None:
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    async def main() -> str:
        ticking = asyncio.create_task(tick())
        for _ in range(3):
            leave(kind)
            before = len(ticks)
            await asyncio.sleep(0.05)
            assert len(ticks) > before
        ticking.cancel()
        return "its own end"

    assert run_loop(main()) == "its own end"


def test_a_loop_that_is_stopped_by_others_goes_on() -> None:
    async def main() -> int:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.02)
        return 7

    assert run_loop(main()) == 7


@pytest.mark.parametrize("kind", [SystemExit, RuntimeError, ValueError])
def test_its_own_error_leaves_it(kind: type[BaseException]) -> None:
    async def main() -> None:
        await asyncio.sleep(0)
        raise kind

    with pytest.raises(kind):
        run_loop(main())


def test_an_interrupt_ends_it_also_while_it_cleans_up() -> None:
    code = (
        "import asyncio, signal\n"
        "from worker.service.run import run_loop\n"
        "async def main():\n"
        "    print('up', flush=True)\n"
        "    try:\n"
        "        await asyncio.sleep(30)\n"
        "    finally:\n"
        "        print('cleaning', flush=True)\n"
        "        await asyncio.sleep(30)\n"
        "run_loop(main())\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as process:
        late = threading.Timer(20, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            for line in (b"up\n", b"cleaning\n"):
                assert process.stdout.readline() == line
                os.kill(process.pid, signal.SIGINT)
            process.communicate()
        finally:
            late.cancel()
            process.kill()
    assert process.returncode == -signal.SIGINT


def test_an_interrupt_in_its_first_moment_is_not_missed() -> None:
    """The signal comes while the main coroutine takes its first step: whoever is cancelled has not begun to wait."""

    async def main() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        run_loop(main())

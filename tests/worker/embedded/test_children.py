import asyncio
import contextlib
import logging
import os
import signal
import sys
from itertools import islice

import pytest

from worker.embedded.children import Child, ChildSpec, restart_delays, to_stderr
from worker.errors import ChildFailed


def spec(code: str, ready: str | None = "^ready", **more: object) -> ChildSpec:
    return ChildSpec(
        name="kid", command=(sys.executable, "-u", "-c", code), environment=dict(os.environ), ready=ready, **more
    )


async def until(condition, bound_s: float = 8.0) -> None:
    async with asyncio.timeout(bound_s):
        while not condition():
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """Gone, or only waiting to be collected by its new parent."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_start_waits_for_the_ready_line_and_returns_its_match() -> None:
    lines: list[str] = []
    child = Child(
        spec("import time; print('warming up'); print('ready on port 17'); time.sleep(60)", r"port (\d+)"),
        sink=lambda name, line: lines.append(f"{name}: {line}"),
    )
    found = await child.start()
    try:
        assert found is not None and found[1] == "17"
        assert child.ready and child.pid is not None
        assert lines == ["kid: warming up", "kid: ready on port 17"]
    finally:
        await child.stop()
    assert child.pid is None and not child.ready


async def test_a_child_that_ends_at_once_is_an_error_with_its_last_words() -> None:
    child = Child(spec("import sys; sys.stderr.write('no such file: x.toml\\n'); sys.exit(3)"), sink=lambda n, x: None)
    with pytest.raises(ChildFailed, match=r"kid ended with exit code 3; its last words: no such file: x.toml"):
        await child.start()


async def test_a_child_that_says_nothing_is_ended_and_an_error() -> None:
    child = Child(spec("import time; time.sleep(60)", ready_s=0.3), sink=lambda n, x: None)
    with pytest.raises(ChildFailed, match="was not ready within 0.3 s"):
        await child.start()
    assert child.pid is None


async def test_a_missing_program_is_an_error_that_names_it() -> None:
    child = Child(ChildSpec(name="redis", command=("/nowhere/redis-server",), environment={}))
    with pytest.raises(ChildFailed, match="redis: can't start /nowhere/redis-server: there is no such program"):
        await child.start()


async def test_a_child_that_dies_is_started_again() -> None:
    child = Child(spec("import time; print('ready'); time.sleep(60)"), sink=lambda n, x: None)
    await child.start()
    first = child.pid
    assert first is not None
    try:
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.ready and child.pid not in (None, first))
        assert child.restarts == 1
    finally:
        await child.stop()


async def test_stop_during_the_back_off_leaves_no_child() -> None:
    child = Child(spec("print('ready')"), sink=lambda n, x: None)
    await child.start()
    await until(lambda: child.restarts >= 2)
    await child.stop()
    restarts = child.restarts
    await asyncio.sleep(0.5)
    assert child.restarts == restarts and child.pid is None


async def test_a_child_that_ignores_sigterm_is_killed() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(60)"
    child = Child(spec(code, stop_s=0.2), sink=lambda n, x: None)
    await child.start()
    pid = child.pid
    assert pid is not None
    await child.stop()
    assert gone(pid)


async def test_very_long_lines_do_not_stop_the_reading() -> None:
    got: list[str] = []
    code = "import time; print('x' * 300_000); print('ready'); time.sleep(60)"
    child = Child(spec(code), sink=lambda name, line: got.append(line))
    await child.start()
    await child.stop()
    assert got[-1] == "ready" and sum(map(len, got[:-1])) > 60_000


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
async def test_children_die_with_a_killed_parent() -> None:
    code = """
import asyncio, os, sys
from worker.embedded.children import Child, ChildSpec
async def main():
    kid = Child(ChildSpec(name="kid", command=(sys.executable, "-c", "import time; time.sleep(60)"),
                          environment=dict(os.environ)))
    await kid.start()
    print("pid", kid.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert parent.stdout is not None
    pid = None
    async for line in parent.stdout:
        if line.startswith(b"pid"):
            pid = int(line.split()[1])
            break
    assert pid is not None and not gone(pid)
    try:
        parent.kill()
        await parent.wait()
        await until(lambda: gone(pid))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_childs_lines_leave_the_logs_json_lines(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # another test's may write to a file that is closed
    to_stderr("kid", '{"event": "own log line"}')
    assert capfd.readouterr().err == '{"event": "own log line"}\n'
    to_stderr("kid", "a plain line")
    assert capfd.readouterr().err == "" and sys.stderr.isatty() is False


def test_restart_delays_double_up_to_a_bound() -> None:
    assert list(islice(restart_delays(1, 5), 5)) == [1, 2, 4, 5, 5]

"""The operator's own function that says which tools a call is offered."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tools import tool
from worker.call_tools import hook as tool_hook
from worker.call_tools.hook import ask, load_hook
from worker.errors import AgentFileError

NOW = datetime(2026, 11, 3, 9, 30)


@tool
def look() -> str:
    """Look."""
    return ""


async def test_it_is_told_who_calls_whom_and_when() -> None:
    told: list[Any] = []

    def hook(*given: Any) -> list[Any]:
        told.append(given)
        return ["pay", look, look.__tool__]  # type: ignore[attr-defined]

    assert await ask(hook, "427", "alice", "desk", NOW) == ("pay", "look", "look")
    assert told == [("427", "alice", "desk", NOW)]


async def test_it_may_be_async_and_none_means_all() -> None:
    async def hook(dialled: str, caller: str, agent: str, time: datetime) -> None:
        await asyncio.sleep(0)

    assert await ask(hook, "", "", "", NOW) is None


@pytest.mark.parametrize(("given", "words"), [("look", "returned a str"), (7, "returned a int"), ([7], "in its list")])
async def test_what_is_no_list_of_tools_is_refused(given: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        await ask(lambda *told: given, "", "", "", NOW)


async def test_it_does_not_hold_up_the_loop_nor_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_hook, "BOUND_S", 0.05)
    with pytest.raises(TimeoutError):
        await ask(lambda *told: time.sleep(0.2), "", "", "", NOW)


def test_it_is_found_in_a_file_or_a_module(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text("def tools_for(dialled, caller, agent, time):\n    return []\n")
    assert load_hook(f"{file}:tools_for")("", "", "", NOW) == []
    assert load_hook("builtins:print") is print


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("shop", 'write "module:function"'),
        ("no_such_module_here:f", "importing it raised ModuleNotFoundError"),
        ("os.path:nothing", "there is no function nothing in os.path"),
        ("os.path:basename", r"it has to take \(dialled, caller, agent, time\)"),
    ],
)
def test_a_wrong_reference_is_one_line(reference: str, words: str) -> None:
    with pytest.raises(AgentFileError, match=words):
        load_hook(reference)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
async def test_one_that_leaves_is_a_hook_that_failed(kind: type[BaseException]) -> None:
    async def later(*_told: Any) -> None:
        raise kind

    def at_once(*_told: Any) -> None:
        raise kind

    for hook in (later, at_once):
        with pytest.raises(RuntimeError, match=f"the hook raised {kind.__name__}"):
            await ask(hook, "", "", "", NOW)


async def test_a_call_that_ends_meanwhile_is_no_failure_of_it() -> None:
    async def hook(*_told: Any) -> None:
        await asyncio.sleep(30)

    task = asyncio.create_task(ask(hook, "", "", "", NOW))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_module_that_leaves_while_it_is_imported_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "leaves.py"
    file.write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(AgentFileError, match="importing it raised SystemExit"):
        load_hook(f"{file}:tools_for")

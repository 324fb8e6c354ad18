"""The helper with which the author of a tool tries it, used as an author would."""

from __future__ import annotations

import os

import pytest

from tools import ToolContext, ToolDefinitionError, ToolError, tool
from tools.testing import reference_to, run_tool


@tool(mode="queued", timeout=5)
def seats(row: int, context: ToolContext) -> dict[str, object]:
    """Count the free seats of a row."""
    context.progress("counting")
    if row > 20:
        raise ToolError("There is no such row.")
    return {"free": row * 2, "pid": os.getpid(), "caller": context.caller}


@tool(timeout=5)
def invited(context: ToolContext) -> dict[str, object]:
    """Tell what the INVITE said."""
    return {"by": context.diverted_from, "name": context.display_name, "account": context.headers.get("x-account")}


FACTS = {"diverted_from": ["+4930555"], "display_name": "A. Caller", "headers": {"x-account": "7"}, "new": 1}


@pytest.mark.parametrize("mode", ["inline", "queued"])
def test_a_tool_has_what_the_invite_said(mode: str) -> None:
    tried = run_tool(invited, mode=mode, facts=FACTS)  # type: ignore[arg-type]
    assert tried.value == {"by": ["+4930555"], "name": "A. Caller", "account": "7"}
    assert run_tool(invited, mode=mode).value == {"by": [], "name": "", "account": None}  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["inline", "queued"])
def test_a_tool_runs_as_in_a_call(mode: str) -> None:
    tried = run_tool(seats, {"row": 3}, mode=mode, caller="+15550101")  # type: ignore[arg-type]
    assert (tried.status, tried.value["free"], tried.value["caller"]) == ("ok", 6, "+15550101")
    assert tried.progress == ("counting",)
    assert (tried.value["pid"] == os.getpid()) == (mode == "inline")
    assert (tried.outcome.job_id is None) == (mode == "inline")


async def test_it_works_beside_a_running_loop_and_the_tool_s_and_the_model_s_faults_are_statuses() -> None:
    failed = run_tool(seats, {"row": 30})
    assert (failed.status, failed.value["error"]) == ("failed", "There is no such row.")
    assert run_tool(seats, {"row": "front"}).status == "invalid"
    assert run_tool(seats, "{").status == "invalid"


def test_what_no_tool_worker_could_run_is_refused_with_words() -> None:
    @tool
    def nested() -> None:
        """Do nothing."""

    with pytest.raises(ToolDefinitionError, match="top level"):
        run_tool(nested, mode="queued")
    with pytest.raises(ToolDefinitionError, match="is no tool"):
        run_tool(print)
    assert reference_to(seats).startswith((__file__, __name__))


def test_a_tool_of_a_package_is_loaded_by_its_name() -> None:
    from tools.builtin.clock import current_time

    assert reference_to(current_time) == "tools.builtin.clock:current_time"
    assert run_tool(current_time, mode="queued").value["time"]

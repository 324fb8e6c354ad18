"""The call's own functions: what is pending, stop it, tell the caller of it later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.call_tools.functions import CANCEL_JOB, PENDING_JOBS, TELL_LATER, CallFunctions, tell_later_function
from worker.call_tools.later import Way
from worker.records.metrics import Metrics
from worker.records.recorder import Recorder
from worker.records.telemetry import CallInfo, Telemetry
from worker.turns.events import StartTool
from worker.turns.pending import PendingTool, PendingTools

WAYS: dict[Way, str] = {"call_back": "call_back", "send": "sms"}


class Shop:
    """Stands in for the call's catalog, whose own tests are with real jobs in tests/tools."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.went: dict[str, str] = {}

    def spec(self, name: str) -> None:
        return None

    async def cancel(self, *ids: str) -> bool:
        self.asked.append(("cancel", *ids))
        return self.went.get(ids[1]) != "over"

    async def promise(self, *ids: str) -> str:
        self.asked.append(("promise", *ids))
        return self.went.get(ids[1], "promised")


class Desk:
    def __init__(self, later: dict[Way, str]) -> None:
        self.shop, self.pending = Shop(), PendingTools()
        self.recorder = Recorder("c1", 0.0)
        for number, name in enumerate(("order_status", "refund"), 1):
            self.pending.add(PendingTool(f"t{number}", name, "{}", "r1", float(number)))
            self.recorder.tool_call_started(0.0, f"t{number}", name, "queued")
        call = Telemetry(CallInfo("c1", "", ""), self.recorder, Metrics(), lambda: 11.0)
        stop = lambda tool_call_id: self.shop.cancel("c1", tool_call_id)  # noqa: E731
        self.own = CallFunctions(call, stop, self.shop, self.pending, later)  # type: ignore[arg-type]

    async def ask(self, name: str, **arguments: object) -> dict[str, Any]:
        self.pending.add(PendingTool("own", name, "{}", "r2", 11.0))
        answer = await self.own.answer(StartTool("own", name, json.dumps(arguments)))
        self.pending.answer("own")
        return answer

    def promised(self) -> list[str | None]:
        return [call.promised for call in self.recorder.ended(1.0, "completed").tool_calls]


@pytest.fixture
def desk() -> Desk:
    return Desk(WAYS)


async def test_what_is_pending_is_told_without_the_question_itself(desk: Desk) -> None:
    pending = (await desk.ask(PENDING_JOBS))["pending"]
    assert [(one["job"], one["tool"], one["seconds"]) for one in pending] == [
        ("t1", "order_status", 10),
        ("t2", "refund", 9),
    ]


async def test_one_is_stopped_by_its_id_or_name(desk: Desk) -> None:
    assert (await desk.ask(CANCEL_JOB, job="refund"))["cancelled"] == ["refund"]
    desk.shop.went["t1"] = "over"
    assert (await desk.ask(CANCEL_JOB, job="t1"))["status"] == "too_late"
    assert desk.shop.asked == [("cancel", "c1", "t2"), ("cancel", "c1", "t1")]


@pytest.mark.parametrize("arguments", [{"job": "nothing"}, {}, {"job": None}])
async def test_what_nobody_asked_for_is_not_stopped(desk: Desk, arguments: dict[str, Any]) -> None:
    answer = await desk.ask(CANCEL_JOB, **arguments)
    assert answer["status"] == "not_found" and len(answer["pending"]) == 2
    assert desk.shop.asked == []


async def test_one_or_all_of_them_are_promised_by_the_channel_of_the_way(desk: Desk) -> None:
    answer = await desk.ask(TELL_LATER, how="send", job="refund")
    assert (answer["status"], answer["how"], answer["promised"]) == ("promised", "send", ["refund"])
    assert "will be sent to the caller" in answer["note"]
    assert [tool.offered for tool in desk.pending.running()] == [False, True]
    answer = await desk.ask(TELL_LATER, how="call_back")
    assert answer["promised"] == ["order_status", "refund"] and "called back" in answer["note"]
    assert desk.shop.asked == [
        ("promise", "c1", "t2", "sms"),
        ("promise", "c1", "t1", "call_back"),
        ("promise", "c1", "t2", "call_back"),
    ]
    assert desk.promised() == ["call_back", "call_back"]


async def test_what_can_not_be_promised_is_said(desk: Desk) -> None:
    desk.shop.went = {"t1": "over", "t2": "unavailable"}
    answer = await desk.ask(TELL_LATER, how="send")
    assert answer["status"] == "unavailable" and answer["error"]
    desk.shop.went["t2"] = "over"
    assert (await desk.ask(TELL_LATER, how="send"))["status"] == "too_late"
    assert (await desk.ask(TELL_LATER, how="send", job="t9"))["status"] == "not_found"
    assert (await desk.ask(TELL_LATER, how="fax"))["error"] == "'how' has to be one of: call_back, send."
    assert desk.promised() == [None, None] and not any(tool.offered for tool in desk.pending.running())


async def test_a_promise_that_is_kept_for_one_of_two_names_that_one(desk: Desk) -> None:
    desk.shop.went = {"t1": "over"}
    assert (await desk.ask(TELL_LATER, how="send"))["promised"] == ["refund"]


def test_without_a_way_there_is_no_such_function() -> None:
    assert TELL_LATER not in Desk({}).own and PENDING_JOBS in Desk({}).own
    assert tell_later_function({"send": "x"})["parameters"]["properties"]["how"]["enum"] == ["send"]


async def test_arguments_that_are_none_are_answered(desk: Desk) -> None:
    answer = await desk.own.answer(StartTool("own", TELL_LATER, "[1"))
    assert answer["status"] == "invalid"

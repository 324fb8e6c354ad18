"""The local server's Live API: what it says, when it speaks, and what it refuses, in virtual time."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest

from worker.local.brain import Ask, Call, Plan, Say
from worker.local.gemini.session import GeminiSession, Memory
from worker.local.protocol import Transcribe
from worker.local.responding import Speak

TOOL = {"name": "look_up", "description": "Looks.", "behavior": "NON_BLOCKING"}
SETUP: dict[str, Any] = {
    "model": "models/gemini-3.8-live",
    "generationConfig": {"responseModalities": ["AUDIO"]},
    "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
    "tools": [{"functionDeclarations": [TOOL]}],
    "inputAudioTranscription": {},
    "outputAudioTranscription": {},
    "sessionResumption": {},
}
NUMBERS = itertools.count()
SECOND = bytes(2 * 24_000)


class Brain:
    """Says what it is given, and remembers what it was asked."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.asked: list[Ask] = []

    def answer(self, ask: Ask) -> Plan:
        self.asked.append(ask)
        news = tuple(item for item in ask.items if not item.answered)
        plan = self.plans.pop(0) if self.plans else Plan((Say("Yes."),))
        return Plan(plan.output, news)


class Desk:
    """One connection, with ears and mouth at once."""

    def __init__(self, memories: dict[str, Memory] | None = None, brain: Brain | None = None) -> None:
        self.brain = brain or Brain()
        self.now = 0.0
        self.memories = {} if memories is None else memories
        nonce = f"{next(NUMBERS)}."
        self.session = GeminiSession(self.brain, now=0.0, nonce=nonce, memories=self.memories)
        self.seen: list[dict[str, Any]] = []

    def send(self, **message: Any) -> list[dict[str, Any]]:
        self.session.receive(json.dumps(message), self.now)
        return self.take()

    def take(self) -> list[dict[str, Any]]:
        while jobs := self.session.take_jobs():
            for job in jobs:
                if isinstance(job, Transcribe):
                    self.session.heard(job.item_id, "where is my order", self.now)
                elif isinstance(job, Speak):
                    self.session.spoken(job, SECOND, self.now)
        found = [dict(one) for one in self.session.take_events()]
        self.seen += found
        return found

    def run(self, seconds: float) -> list[dict[str, Any]]:
        found, end = self.take(), self.now + seconds
        while self.session.wake is not None and self.session.wake <= end:
            self.now = max(self.now, self.session.wake)
            self.session.tick(self.now)
            found += self.take()
        self.now = end
        return found

    def begin(self, **setup: Any) -> Desk:
        assert "setupComplete" in self.send(setup={**SETUP, **setup})[0]
        return self

    def ask(self) -> list[dict[str, Any]]:
        self.send(realtimeInput={"activityStart": {}})
        self.say()
        return self.send(realtimeInput={"activityEnd": {}})

    def say(self) -> None:
        data = base64.b64encode(bytes(3200)).decode()
        self.send(realtimeInput={"audio": {"data": data, "mimeType": "audio/pcm;rate=16000"}})


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [key for one in messages for key in (one.get("serverContent") or one)]


def test_a_turn_is_answered_with_audio_and_words_and_ends_when_it_has_played() -> None:
    desk = Desk().begin()
    first = desk.ask() + desk.run(0.5)
    assert kinds(first)[:3] == ["inputTranscription", "sessionResumptionUpdate", "modelTurn"]
    assert kinds(first)[-2:] == ["generationComplete", "usageMetadata"], "eight times faster than it plays"
    assert kinds(desk.run(0.4)) == []
    assert kinds(desk.run(0.2)) == ["turnComplete", "sessionResumptionUpdate"]
    blob = next(one for one in first if "modelTurn" in one.get("serverContent", {}))
    assert blob["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["mimeType"] == "audio/pcm;rate=24000"


def test_somebody_who_speaks_interrupts() -> None:
    desk = Desk().begin()
    desk.ask()
    desk.run(0.05)
    assert kinds(desk.send(realtimeInput={"activityStart": {}}))[:2] == ["interrupted", "turnComplete"]
    assert kinds(desk.run(3)) == []


def call(desk: Desk) -> str:
    desk.brain.plans.append(Plan((Say("Let me see."), Call("look_up", '{"order":"427"}'))))
    messages = desk.ask() + desk.run(2)
    (asked,) = [one["toolCall"]["functionCalls"] for one in messages if "toolCall" in one]
    assert asked[0]["args"] == {"order": "427"}
    return str(asked[0]["id"])


def answer(desk: Desk, call_id: str, **more: Any) -> list[dict[str, Any]]:
    response = {"id": call_id, "name": "look_up", "response": {"output": "shipped"}, **more}
    return desk.send(toolResponse={"functionResponses": [response]})


def test_an_answer_makes_it_speak_unless_it_is_silent() -> None:
    desk = Desk().begin()
    call_id = call(desk)
    assert kinds(answer(desk, call_id, scheduling="SILENT") + desk.run(1)) == []
    call_id = call(desk)
    assert "modelTurn" in kinds(answer(desk, call_id, scheduling="WHEN_IDLE"))


def test_when_idle_waits_until_nobody_speaks() -> None:
    desk = Desk().begin()
    call_id = call(desk)
    desk.send(realtimeInput={"activityStart": {}})
    assert kinds(answer(desk, call_id, scheduling="WHEN_IDLE") + desk.run(1)) == []
    assert "modelTurn" in kinds(desk.send(realtimeInput={"activityEnd": {}}))


def test_an_answer_may_come_as_soon_as_the_call_is_out() -> None:
    desk = Desk().begin()
    desk.brain.plans.append(Plan((Call("look_up", "{}"),)))
    (asked,) = [one["toolCall"]["functionCalls"][0] for one in desk.ask() if "toolCall" in one]
    answer(desk, asked["id"], scheduling="WHEN_IDLE")
    assert desk.session.closing is None
    assert "modelTurn" in kinds(desk.run(1))


def test_a_blocking_call_mutes_it_and_new_input_withdraws_it() -> None:
    desk = Desk().begin(tools=[{"functionDeclarations": [{"name": "look_up"}]}])
    call_id = call(desk)
    assert "generationComplete" not in kinds(desk.seen)
    assert {"toolCallCancellation": {"ids": [call_id]}} in desk.send(realtimeInput={"activityStart": {}})
    answer(desk, call_id)
    assert desk.session.closing is not None and desk.session.closing[0] == 1007


def test_a_session_is_resumed_with_what_was_said_once_its_connection_is_gone() -> None:
    memories: dict[str, Memory] = {}
    desk = Desk(memories).begin()
    desk.ask()
    desk.run(2)
    handle = desk.seen[-1]["sessionResumptionUpdate"]["newHandle"]
    early = Desk(memories)
    early.send(setup={**SETUP, "sessionResumption": {"handle": handle}})
    assert early.session.closing == (1011, "The session has a connection already.")
    desk.session.gone()
    resumed = Desk(memories).begin(sessionResumption={"handle": handle})
    resumed.ask()
    assert [item.text for item in desk.brain.asked[-1].items if item.role] == [
        "where is my order",
        "Yes.",
        "where is my order",
    ]


def test_a_history_is_not_answered() -> None:
    desk = Desk().begin(historyConfig={"initialHistoryInClientContent": True})
    turns = [{"role": "model", "parts": [{"text": "Hello."}]}, {"role": "user", "parts": [{"text": "My order?"}]}]
    assert desk.send(clientContent={"turns": turns, "turnComplete": True}) + desk.run(1) == []
    words = [{"role": "user", "parts": [{"text": "Say exactly: Still there?"}]}]
    desk.send(clientContent={"turns": words, "turnComplete": True})
    assert desk.brain.asked[-1].instructions == "Say exactly: Still there?"


def test_it_goes_away_after_ten_minutes_and_says_so_before() -> None:
    desk = Desk().begin()
    assert {"goAway": {"timeLeft": "60s"}} in desk.run(545)
    desk.run(60)
    assert desk.session.closing is not None and desk.session.closing[0] == 1011


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in SETUP.items() if name != key}


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (1007, "first message", {"clientContent": {"turnComplete": True}}),
        (1007, "Unknown parameter", {"setup": {**SETUP, "voice": "Kore"}}),
        (1007, "Unknown parameter", {"response": {}}),
        (1007, "setup.model", {"setup": without("model")}),
        (1008, "not found", {"setup": {**SETUP, "model": "models/gemini-9"}}),
        (1008, "not found", {"setup": {**SETUP, "model": "gemini-3.8-live"}}),
        (1007, "AUDIO", {"setup": {**SETUP, "generationConfig": {"responseModalities": ["TEXT"]}}}),
        (1007, "thinkingLevel", {"setup": {**SETUP, "generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}}),
        (1007, "name", {"setup": {**SETUP, "tools": [{"functionDeclarations": [{"name": "1st"}]}]}}),
        (1007, "Duplicate", {"setup": {**SETUP, "tools": [{"functionDeclarations": [TOOL, TOOL]}]}}),
        (1007, "NON_BLOCKING", {"setup": {**SETUP, "model": "models/gemini-3.1-flash-live-preview"}}),
        (1007, "handle", {"setup": {**SETUP, "sessionResumption": {"handle": "gone"}}}),
    ],
)
def test_what_it_refuses_at_first(code: int, words: str, message: dict[str, Any]) -> None:
    desk = Desk()
    desk.send(**message)
    assert desk.session.closing is not None and desk.session.closing[0] == code and words in desk.session.closing[1]


@pytest.mark.parametrize(
    "message",
    [
        {"setup": SETUP},
        {"realtimeInput": {"activityEnd": {}}},
        {"realtimeInput": {"audio": {"data": "??", "mimeType": "audio/pcm;rate=16000"}}},
        {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcmu"}}},
        {"toolResponse": {"functionResponses": [{"id": "f", "name": "look_up", "response": {"output": 1}}]}},
        {"clientContent": {"turns": [{"role": "system", "parts": [{"text": "x"}]}]}},
    ],
)
def test_what_it_refuses_later(message: dict[str, Any]) -> None:
    desk = Desk().begin()
    desk.send(**message)
    assert desk.session.closing is not None and desk.session.closing[0] == 1007


@pytest.mark.parametrize("response", [{}, {"output": None}, {"output": {}}])
def test_an_empty_answer_is_refused(response: dict[str, Any]) -> None:
    desk = Desk().begin()
    answer(desk, call(desk), response=response)
    assert desk.session.closing is not None and "empty" in desk.session.closing[1]


def test_a_model_that_takes_no_content_in_mid_session() -> None:
    blocking = {"model": "models/gemini-3.1-flash-live-preview", "tools": []}
    desk = Desk().begin(**blocking)
    assert "modelTurn" in kinds(desk.send(realtimeInput={"text": "Hello"}))
    desk.send(clientContent={"turnComplete": True})
    assert desk.session.closing is not None
    other = Desk().begin(**blocking)
    other.send(contextUpdate={"tools": {"tools": []}})
    assert other.session.closing is not None


def test_snake_case_goes_too() -> None:
    desk = Desk()
    setup = {"model": "models/gemini-3.8-live", "generation_config": {"response_modalities": ["AUDIO"]}}
    assert "setupComplete" in desk.send(setup=setup)[0]

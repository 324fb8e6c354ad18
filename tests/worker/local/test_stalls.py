"""Responses that go wrong on purpose: what each of `STALLS` does, and that the next one is well again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from worker.local.brain import STALLS, Faults

STORY = "Once upon a time there was a king who had three sons and no money at all."


def stalled(make_scene: Callable[..., Any], stall: str) -> Any:
    scene = make_scene(faults=Faults(stall=stall, stall_first=1))
    scene.events.clear()
    return scene


@pytest.mark.parametrize("stall", [name for name in STALLS if name not in ("speech", "spurious", "taken", "request")])
def test_one_response_goes_wrong_and_the_next_is_whole(make_scene: Callable[..., Any], stall: str) -> None:
    scene = stalled(make_scene, stall)
    scene.say("tell me a story")
    scene.run()
    done = scene.events.of("response.done")
    sound = sum(len(one["delta"]) for one in scene.events.of("response.output_audio.delta"))
    assert bool(sound) is (stall in ("half", "never_ends", "cut"))
    assert len(scene.events.of("response.created")) == 1
    status = {"filtered": "incomplete", "cut": "incomplete", "cancelled": "cancelled", "rate": "failed"}
    expected = [] if stall in ("created", "half", "never_ends") else [status.get(stall, "completed")]
    assert [one["response"]["status"] for one in done] == expected
    assert (scene.events.spoken == [STORY]) is (stall == "never_ends")
    if not expected:
        scene.send("response.cancel")
    before = len(scene.events)
    scene.say("tell me a story")
    scene.run()
    assert type(scene.events)(scene.events[before:]).spoken == [STORY]


@pytest.mark.parametrize("by", ["turn", "request"])
def test_a_request_is_not_answered(make_scene: Callable[..., Any], by: str) -> None:
    scene = stalled(make_scene, "request")
    scene.say("tell me a story") if by == "turn" else scene.send("response.create")
    scene.run()
    assert scene.events.of("response.created") == scene.events.of("error") == []
    scene.send("response.create")
    scene.run()
    assert len(scene.events.of("response.done")) == 1


def test_a_slot_is_said_to_be_taken(make_scene: Callable[..., Any]) -> None:
    scene = stalled(make_scene, "taken")
    assert scene.send("response.create").error[0] == "conversation_already_has_active_response"
    assert scene.events.of("response.created") == []


def test_a_request_is_refused_and_answered_all_the_same(make_scene: Callable[..., Any]) -> None:
    scene = stalled(make_scene, "spurious")
    scene.send("response.create", event_id="mine")
    scene.run()
    assert scene.events.one("error")["error"]["event_id"] == "mine"
    assert scene.events.one("response.done")["response"]["status"] == "completed"


def test_speech_starts_and_does_not_stop(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(faults=Faults(stall="speech"))
    scene.audio(scene.tone(600) + scene.quiet(3000))
    assert scene.events.of("input_audio_buffer.speech_started")
    assert scene.events.of("input_audio_buffer.speech_stopped") == []

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.local.brain import Call, Plan, Say
from worker.local.conversation import Conversation
from worker.local.response import Pace, Response


class Made:
    """A response and what it emitted."""

    def __init__(self, *output: Say | Call, sounds: dict[int, bytes] | None = None, modality: str = "audio") -> None:
        self.events: list[dict[str, Any]] = []
        self.conversation = Conversation()
        count = iter(range(1000))
        self.response = Response(
            "resp", self.conversation, "conv", {}, modality, "alloy", "audio/pcmu",
            lambda kind, fields: self.events.append({"type": kind, **fields}),
            lambda prefix: f"{prefix}_{next(count)}",
        )  # fmt: skip
        self.response.plan = Plan(output)
        self.response.sounds.update(sounds or {})

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


@given(ms=st.integers(0, 3000), words=st.integers(1, 40), chunk_ms=st.sampled_from([20, 100, 250]))
@settings(max_examples=60, deadline=None)
def test_all_words_and_all_sound_arrive_whatever_their_lengths(ms: int, words: int, chunk_ms: int) -> None:
    text = " ".join(f"w{number}" for number in range(words))
    sound = bytes(range(256)) * (ms * 8 // 256) + bytes(ms * 8 % 256)
    made = Made(Say(text), sounds={0: sound})
    pauses = list(made.response.stream(Pace(chunk_ms=chunk_ms, speed=10)))
    made.response.finish("completed")
    sent = b"".join(base64.b64decode(event["delta"]) for event in made.of("response.output_audio.delta"))
    assert sent == sound
    assert "".join(event["delta"] for event in made.of("response.output_audio_transcript.delta")) == text
    assert made.response.items[0].audio_ms == pytest.approx(ms)
    assert sum(pauses) == pytest.approx(max(1, -(-ms // chunk_ms)) * chunk_ms / 10)


@given(steps=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_wherever_it_is_cut_everything_opened_is_closed(steps: int) -> None:
    made = Made(
        Say("one two three"), Call("order_status", '{"order": "427", "express": true}'), Say("four five"),
        sounds={0: bytes(8000), 2: bytes(4000)},
    )  # fmt: skip
    stream = made.response.stream(Pace())
    for _ in range(steps):
        if next(stream, None) is None:
            break
    made.response.finish("cancelled", reason="client_cancelled")
    for opened, closed in (
        ("response.output_item.added", "response.output_item.done"),
        ("conversation.item.added", "conversation.item.done"),
        ("response.content_part.added", "response.content_part.done"),
    ):
        assert len(made.of(opened)) == len(made.of(closed))
    assert made.events[-1]["type"] == "response.done"
    assert all(item.status in ("completed", "incomplete") for item in made.response.items)
    assert sum(item.status == "incomplete" for item in made.response.items) <= 1


def test_a_failed_response_says_why() -> None:
    made = Made()
    made.response.finish("failed", error={"type": "server_error", "code": "x", "message": "m"})
    shown = made.events[-1]["response"]
    assert shown["status_details"] == {
        "type": "failed",
        "error": {"type": "server_error", "code": "x", "message": "m"},
    }


def test_its_usage_adds_up() -> None:
    made = Made(Say("one two"), sounds={0: bytes(8000)})
    list(made.response.stream(Pace()))
    made.response.finish("completed")
    usage = made.events[-1]["response"]["usage"]
    assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 20}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_thinking_before_speaking_is_for_audio_only() -> None:
    assert next(iter(Made(Say("x"), sounds={0: b""}).response.stream(Pace(first_audio_ms=400)))) == 400
    assert next(iter(Made(Call("x", "{}")).response.stream(Pace(first_audio_ms=400)))) == 2.0

"""A session driven by hand: no sockets, no audio engines, its own clock."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from worker.local.brain import Faults
from worker.local.dialogue import read_dialogue
from worker.local.protocol import Job, Session, Transcribe
from worker.local.remote import Fault, Import, RunTool
from worker.local.response import Pace
from worker.local.script import Script
from worker.local.sound import bytes_per_ms, encode

DIALOGUE = """
greeting = "Hello there."
pending = ["I am still looking.", "Still looking."]

[[turn]]
hears = ["what is the status of order {order:digits:3}"]
say = "Let me see."
[[turn.call]]
tool = "order_status"
arguments = { order = "{order}" }
[[turn.call.answer]]
when = { found = false }
say = "There is no order {order:digits}."
[[turn.call.answer]]
when = { status = ["shipped", "sent"] }
say = "Order {order:digits} is {status}."

[[turn]]
hears = ["both"]
[[turn.call]]
tool = "order_status"
arguments = { order = "427" }
[[turn.call]]
tool = "current_time"
[[turn.call.answer]]
when = { time = "*" }
say = "It is {time:clock}."

[[turn]]
hears = ["tell me a story"]
say = "Once upon a time there was a king who had three sons and no money at all."

[[turn]]
hears = ["goodbye"]
say = "Goodbye."
[[turn.call]]
tool = "end_call"
optional = true

[[turn]]
hears = ["crash"]
fault = "close"
[[turn]]
hears = ["fail"]
fault = "fail"
[[turn]]
hears = ["hang"]
fault = "silence"
[[turn]]
hears = ["nonsense order"]
fault = "bad_arguments"
[[turn.call]]
tool = "order_status"
"""
MS_PER_WORD = 200


def tone(ms: int, format_type: str = "audio/pcm", *, dbfs: float = -20.0) -> bytes:
    """A loud tone, as an utterance for the VAD, in the wire's format."""
    time = np.arange(24 * ms) / 24000
    wave = np.sin(2 * np.pi * 440 * time) * 32768 * 2**0.5 * 10 ** (dbfs / 20)
    return encode(wave.astype("<i2").tobytes(), 24000, format_type)


def quiet(ms: int, format_type: str = "audio/pcm") -> bytes:
    return encode(bytes(48 * ms), 24000, format_type)


class Events(list[dict[str, Any]]):
    """Events that were sent, in order."""

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self if event["type"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        (event,) = self.of(kind)
        return event

    @property
    def error(self) -> tuple[str | None, str | None]:
        """Code and param of the one event there is, an error."""
        assert self.types == ["error"]
        return self[0]["error"]["code"], self[0]["error"]["param"]

    @property
    def spoken(self) -> list[str]:
        return [event["transcript"] for event in self.of("response.output_audio_transcript.done")]


class Scene:
    """A client and the two engines. `said`: what the ears will understand next."""

    tone = staticmethod(tone)
    quiet = staticmethod(quiet)

    def __init__(self, dialogue: str = DIALOGUE, *, faults: Faults | None = None, pace: Pace | None = None) -> None:
        read = read_dialogue(dialogue)
        self.now = 100.0
        self.said: list[str | None] = []
        self.held: list[Job] = []
        self.shelf: list[dict[str, Any]] | Fault = []
        """The tools of every MCP server."""
        self.runs: list[RunTool] = []
        """MCP tools that run: `ran` says how one ends."""
        self.hold = False
        self.events = Events()
        self.session = Session(Script(read), now=self.now, nonce="n", pace=pace or Pace(), faults=faults or read.faults)
        self._collect()

    def send(self, kind: str, **fields: Any) -> Events:
        """Send an event; returns what came of it at once."""
        before = len(self.events)
        self.session.receive(json.dumps({"type": kind, **fields}), self.now)
        self._work()
        return Events(self.events[before:])

    def update(self, **session: Any) -> Events:
        return self.send("session.update", session={"type": "realtime", **session})

    def tools(self, *names: str) -> None:
        """Offer functions."""
        self.update(tools=[{"type": "function", "name": name, "parameters": {"type": "object"}} for name in names])

    def audio(self, sound: bytes, chunk: int = 960) -> Events:
        before = len(self.events)
        for at in range(0, len(sound), chunk):
            self.send("input_audio_buffer.append", audio=base64.b64encode(sound[at : at + chunk]).decode())
        return Events(self.events[before:])

    def say(self, text: str | None, ms: int = 600) -> Events:
        """The caller says something that the ears understand as `text`, and is quiet."""
        kind = self.session.config.input_format
        self.said.append(text)
        return self.audio(tone(ms, kind) + quiet(700, kind), 20 * bytes_per_ms(kind))

    def run(self, seconds: float = 60.0) -> Events:
        """Let time pass until nothing is due any more, or so long."""
        before, end = len(self.events), self.now + seconds
        while self.session.wake is not None and self.session.wake <= end:
            self.now = max(self.now, self.session.wake)
            self.session.tick(self.now)
            self._work()
        if self.session.wake is not None:
            self.now = end
        return Events(self.events[before:])

    def release(self) -> Events:
        """Let the engines finish what was held back."""
        self.hold = False
        before = len(self.events)
        held, self.held = self.held, []
        for job in held:
            self._do(job)
        self._work()
        return Events(self.events[before:])

    def _work(self) -> None:
        while jobs := self.session.take_jobs():
            for job in jobs:
                if self.hold:
                    self.held.append(job)
                else:
                    self._do(job)
        self._collect()

    def ran(self, result: str | Fault) -> Events:
        """The oldest MCP tool that runs ends."""
        before = len(self.events)
        self.session.ran(self.runs.pop(0).item_id, result, self.now)
        self._work()
        return Events(self.events[before:])

    def _do(self, job: Job) -> None:
        if isinstance(job, Import):
            self.session.imported(job.item_id, self.shelf, self.now)
        elif isinstance(job, RunTool):
            self.runs.append(job)
        elif isinstance(job, Transcribe):
            self.session.heard(job.item_id, self.said.pop(0), self.now)
        else:
            ms = MS_PER_WORD * len(job.text.split())
            self.session.spoken(job, quiet(ms, job.format), self.now)

    def _collect(self) -> None:
        self.events += self.session.take_events()


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.tools("order_status", "current_time", "end_call")
    return made


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    return Scene

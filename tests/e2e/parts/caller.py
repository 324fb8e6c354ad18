"""The caller's side: a telephone (pjsua2, a process of its own) with a voice, and ears."""

from __future__ import annotations

import base64
import json
import os
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from parts import sound
from parts.program import BOUND_S, ROOT, Program, environment, until

from telephony.resample import Resampler
from worker.local.sound import resample
from worker.local.speech import WPM, synthesize
from worker.local.voice import voice_of

VOICE = "en-us"
ALIKE = 0.85
"""Measured: the same sentence over G.711 has 0.94 to 1.00, one with another word 0.68, others 0.2 to 0.5."""
ROUGHLY = 0.6
"""Of a sentence of which some was lost or came late."""
EAR_MS = 300
"""From picking up to the first word. The other side's media begins with our ACK, not with our answer."""


@lru_cache(maxsize=32)
def agent_voice(text: str) -> bytes:
    """A sentence in the voice of the local realtime server, as 16-bit PCM at 8 kHz."""
    pcm, rate_hz = synthesize(text, voice_of("alloy"), WPM)
    return Resampler(24000, sound.RATE).process(resample(pcm, rate_hz, 24000))


@lru_cache(maxsize=32)
def voice(text: str) -> bytes:
    """A sentence as 16-bit PCM at 8 kHz."""
    pcm, rate_hz = synthesize(text, voice=VOICE, rate_wpm=150)
    return Resampler(rate_hz, sound.RATE).process(pcm)


class Phone(Program):
    """A process that makes calls."""

    def __init__(self, folder: Path, site: Path | None = None, **settings: Any) -> None:
        options = {"settings": {"port": 0, "rtp_ports": [0, 0], **settings}, "answer": None}
        program = Path(__file__).with_name("caller_process.py")
        path = os.pathsep.join(str(one) for one in (site, ROOT) if one)
        super().__init__([sys.executable, program, json.dumps(options)], environment(PYTHONPATH=path))
        self.folder = folder
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self._replies: dict[int, dict[str, Any]] = {}
        self._read_lines = 0

    def ready(self) -> Phone:
        self.event("Started")
        return self

    def _take(self) -> None:
        lines = self.out[self._read_lines :]
        self._read_lines += len(lines)
        for line in lines:
            said = json.loads(line) if line.startswith('{"') else {}
            if "reply" in said:
                self._replies[said["reply"]] = said
            elif "event" in said:
                self._events.append(said)

    def events(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        """The events of a name with these fields."""
        self._take()
        return [one for one in self._events if one["event"] == name and fields.items() <= one.items()]

    def event(self, name: str, within: float = BOUND_S, **fields: Any) -> dict[str, Any]:
        """Wait for an event."""
        what = lambda: f"{name} {fields} at the caller; {self._events[-5:]}\n{self.text()}"  # noqa: E731
        return until(lambda: self.events(name, **fields), what, within)[0]

    def do(self, name: str, **arguments: Any) -> Any:
        """Have the process do something; returns what came of it."""
        self._number += 1
        number = self._number
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": number, "do": name, **arguments}) + "\n")
        self.process.stdin.flush()

        def reply() -> dict[str, Any] | None:
            assert self.alive, f"the caller's process ended:\n{self.text()}"
            self._take()
            return self._replies.pop(number, None)

        found = until(reply, f"the caller's answer to {name}")
        assert found is not None and "error" not in found, found
        return found["result"]

    @property
    def port(self) -> int:
        """Where it can be called."""
        return int(str(self.event("Started")["addresses"][0]).partition(";")[0].rpartition(":")[2])

    def rings(self, count: int = 1, within: float = BOUND_S) -> dict[str, Any]:
        """Wait until it is called for the so-manieth time; returns the event."""
        self.event("Started")
        calls = until(lambda: self.events("IncomingCall")[count - 1 :], lambda: f"call {count}\n{self.text()}", within)
        self.do("answer", call_id=calls[0]["call_id"], status=180)
        return calls[0]

    def pick_up(self, ringing: dict[str, Any], says: str = "hello") -> Call:
        """Answer a call that rings, and say so, as people do: once it is at their ear."""
        call = Call(self, str(ringing["call_id"]))
        self.do("answer", call_id=call.call_id)
        self.event("MediaActive", call_id=call.call_id)
        if says:
            call.waits(EAR_MS)
            call.say(says)
        return call

    def dial(self, uri: str) -> Call:
        """Call, and wait for the answer."""
        call = Call(self, str(self.do("invite", uri=uri)))
        self.event("MediaActive", call_id=call.call_id)
        return call


@dataclass
class Call:
    """One call of the phone's. All times are ms of audio since its media began."""

    phone: Phone
    call_id: str
    heard: bytearray = field(default_factory=bytearray)
    spoken: bytearray = field(default_factory=bytearray)
    speaking: bool = False

    @property
    def now_ms(self) -> float:
        """How long the call has been heard."""
        return len(self.heard) / 16

    @property
    def up(self) -> bool:
        """Whether nobody has hung up."""
        return not self.phone.events("CallEnded", call_id=self.call_id)

    def listen(self) -> Call:
        """Take what came in since the last time."""
        new = self.phone.do("listen", call_id=self.call_id, since=len(self.heard))
        self.heard += base64.b64decode(new["heard"])
        self.spoken += base64.b64decode(new["spoken"])
        self.speaking = new["on"]
        return self

    def hears_said(self, text: str, within: float = 45.0, *, after: float = 0.0, likeness: float = ALIKE) -> float:
        """Wait until the local server's voice says all of this text after that ms; returns where it begins (ms)."""
        return self.hears_sound(agent_voice(text), text, within, after=after, likeness=likeness)

    def hears_sound(
        self, wanted: bytes, name: str, within: float = 45.0, *, after: float = 0.0, likeness: float = ALIKE
    ) -> float:
        """Wait until all of this speech was heard after that ms; returns where it begins (ms).

        By the sound of it, not by a recogniser: other words, or a cut or choppy sentence, are not taken for it, and
        it is found though the next sentence follows without a pause. Where nothing like it is said, `ROUGHLY` will do,
        which a machine that is too loaded to send audio in time still reaches.
        """
        best = 0.0

        def found() -> list[float]:
            nonlocal best
            up = self.up  # asked first: the last of it may come between listening and the hang-up
            alike, at_ms = sound.find(bytes(self.listen().heard[int(after) * 16 :]), wanted)
            best = max(best, alike)
            assert alike >= likeness or up, f"hung up before {name!r}; best likeness {best:.2f}"
            return [at_ms + after] if alike >= likeness else []

        return until(found, lambda: f"{name!r} is heard; best likeness {best:.2f}", within, step_s=0.2)[0]

    def hears_tone(self, hz: int, ms: float = 200, within: float = BOUND_S, *, after: float = 0.0) -> float:
        """Wait until so much of a tone was heard after that ms; returns where it began (ms)."""

        def found() -> bool:
            self.listen()
            return sound.tone_ms(bytes(self.heard), hz, after) >= ms

        over = lambda: self.phone.events("CallEnded", call_id=self.call_id) or "the call is up"  # noqa: E731
        until(found, lambda: f"{ms:g} ms of {hz} Hz after {after:g} ms; heard {self.tones(after)}; {over()}", within)
        return sound.tone_began_ms(bytes(self.heard), hz, after)

    def tones(self, after: float = 0.0) -> list[tuple[int, float]]:
        """The tones heard one after the other after that ms: Hz, and for how long (ms)."""
        self.listen()
        return sound.tones_in_order(bytes(self.heard[int(after) * 16 :]))

    def say(self, text: str, *, wait: bool = True) -> Call:
        """Speak; waits until it is said."""
        return self.play(voice(text), wait=wait)

    def play(self, pcm: bytes, *, wait: bool = True) -> Call:
        """Send this audio (16-bit PCM at 8 kHz); waits until it is sent."""
        path = self.phone.folder / f"{abs(hash(pcm))}.pcm"
        if not path.exists():
            path.write_bytes(pcm)
        self.phone.do("say", call_id=self.call_id, path=str(path))
        if wait:
            until(lambda: not self.listen().speaking, "the caller's own words are said")
        return self

    def type(self, digits: str) -> None:
        """Press keys (RFC 4733)."""
        self.phone.do("send_digits", call_id=self.call_id, digits=digits)

    def waits(self, ms: float) -> Call:
        """Let so much of the call pass."""
        goal = self.listen().now_ms + ms
        until(lambda: self.listen().now_ms >= goal or not self.up, f"{ms:g} ms of call")
        return self

    def hang_up(self) -> None:
        """End the call, if it is still up."""
        if self.up:
            self.phone.do("hang_up", call_id=self.call_id)
        self.ended()

    def ended(self, within: float = BOUND_S) -> dict[str, Any]:
        """Wait for its end."""
        return self.phone.event("CallEnded", within, call_id=self.call_id)

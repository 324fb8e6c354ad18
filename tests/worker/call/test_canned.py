"""Fillers without the provider, with the real voice, playout and turn machine. The test is the media clock."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from telephony.bridge import Bridge
from telephony.pcm import level_dbfs
from worker.call.canned import CannedFillers, CannedVoice, is_canned
from worker.call.media import CallMedia
from worker.call.transcript import Transcript
from worker.errors import HostError
from worker.realtime import events as realtime
from worker.realtime.history import History
from worker.records.metrics import Metrics
from worker.records.recorder import Recorder
from worker.records.telemetry import CallInfo, Telemetry
from worker.turns import events as turn
from worker.turns.filler_voice import FillerConfig
from worker.turns.floor import Floor
from worker.turns.machine import TurnConfig, TurnMachine

Until = Callable[..., Awaitable[None]]
RATE = 8000
FILLERS = FillerConfig(texts=("One moment.", "Still looking."), grace_s=0.5, tone=False)


def write_wav(path: Path, ms: int, rate_hz: int = RATE, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(b"\x00\x20\x00\xe0" * (rate_hz * ms // 2000) * channels)
    return path


class TestVoice:
    def test_a_sentence_is_spoken_by_the_local_voice(self) -> None:
        pcm = CannedVoice("en-us").speech("One moment, please.", RATE)
        assert 0.6 < len(pcm) / 2 / RATE < 2.5
        assert level_dbfs(pcm) > -35
        assert CannedVoice("de").speech("Einen Moment, bitte.", RATE) != CannedVoice("en").speech(
            "Einen Moment, bitte.", RATE
        )

    def test_a_file_goes_before_the_voice(self, tmp_path: Path) -> None:
        voice = CannedVoice("no-such-voice", {"One moment.": write_wav(tmp_path / "a.wav", 300)})
        assert len(voice.speech("One moment.", RATE)) == 2 * RATE * 3 // 10
        voice.prepare(["One moment."], RATE)

    def test_what_can_not_be_spoken_says_how_to_mend_it(self, tmp_path: Path) -> None:
        with pytest.raises(HostError, match=r"espeak-ng has no voice 'no-such-voice'.*\[fillers.wav\]"):
            CannedVoice("no-such-voice").prepare(["One moment."], RATE)
        with pytest.raises(HostError, match="missing.wav: can't be read as a WAV file"):
            CannedVoice("en", {"x": tmp_path / "missing.wav"}).prepare([], RATE)
        with pytest.raises(HostError, match="is 2 channels"):
            CannedVoice("en", {"x": write_wav(tmp_path / "b.wav", 100, channels=2)}).prepare([], RATE)


class Rig:
    """A machine that waits for a tool, and what its fillers do to playout and record."""

    def __init__(self, voice: CannedVoice) -> None:
        self.now = 100.0
        self.bridge = Bridge(RATE)
        self.recorder = Recorder("c1", 0.0)
        self.recorder.answered(self.now * 1000)
        media = CallMedia(self.bridge, "pcm24k", "pcm24k", self.recorder)
        self.playout = media.playout
        self.machine = TurnMachine(TurnConfig(fillers=FILLERS))
        self.commands: list[turn.Command] = []
        call = Telemetry(CallInfo("c1", "", ""), self.recorder, Metrics(), lambda: self.now)
        transcript = Transcript(call, History(), self.playout)
        self.canned = CannedFillers(voice, self.machine, media, transcript, structlog.get_logger(), self.feed)
        self.feed(realtime.SessionReady("s", "pcm24k", "pcm24k"))
        self.feed(turn.MediaReady())
        self.feed(realtime.SpeechStarted("u1", 0))
        self.feed(realtime.SpeechStopped("u1", 0))
        self.feed(realtime.ResponseStarted("r1", {}))
        self.feed(realtime.ToolCallRequested("r1", "i1", "t1", "look", "{}"))
        self.feed(realtime.ResponseDone("r1", "completed"))
        self.commands.clear()

    def feed(self, event: object) -> None:
        self.commands += self.machine.handle(event, self.now)

    def wait(self, seconds: float) -> turn.SpeakFiller:
        self.now += seconds
        self.feed(turn.Tick())
        [command] = [one for one in self.commands if isinstance(one, turn.SpeakFiller)]
        self.commands.clear()
        return command

    def play(self, ms: int) -> None:
        for _ in range(ms // 20):
            self.bridge.pull()
            self.now += 0.02
            changed, playing = self.playout.poll(self.now)
            if changed:
                self.feed(turn.PlayoutChanged(playing))

    def turns(self) -> list[tuple[str, str]]:
        record = self.recorder.ended(self.now * 1000, "completed")
        return [(one.who, one.text) for one in record.turns]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(CannedVoice("en", {text: write_wav(tmp_path / f"{text}.wav", 400) for text in FILLERS.texts}))


async def test_it_holds_the_floor_until_it_was_heard(rig: Rig, until: Until) -> None:
    rig.canned.speak(rig.wait(0.6))
    await until(lambda: rig.bridge.queued_ms, "audio")
    rig.play(100)
    assert rig.machine.floor is Floor.FILLER
    rig.play(400)
    assert rig.machine.floor is Floor.NOBODY and rig.machine.fillers.current is None
    assert rig.wait(10.0).text == "Still looking."
    assert rig.turns() == [("filler", "One moment.")]
    assert rig.commands == [], "nothing of it is the provider's business"


async def test_it_gives_way_to_the_caller(rig: Rig, until: Until) -> None:
    rig.canned.speak(rig.wait(0.6))
    await until(lambda: rig.bridge.queued_ms, "audio")
    rig.play(100)
    rig.feed(realtime.SpeechStarted("u2", 0))
    assert turn.StopPlayout(barge_in=True) in rig.commands
    assert not any(isinstance(one, turn.CancelResponse) for one in rig.commands), "it was generated already"


async def test_over_a_caller_who_speaks_it_is_not_said(rig: Rig, until: Until) -> None:
    command = rig.wait(0.6)
    rig.feed(realtime.SpeechStarted("u2", 0))
    rig.commands.clear()
    rig.canned.speak(command)
    await until(lambda: rig.commands, "it is given up")
    assert [is_canned(one.response_id) for one in rig.commands if isinstance(one, turn.CancelResponse)] == [True]
    await asyncio.sleep(0)
    assert rig.bridge.queued_ms == 0 and rig.turns() == []


async def test_without_a_voice_the_next_one_is_tried(until: Until) -> None:
    rig = Rig(CannedVoice("no-such-voice"))
    with capture_logs() as logs:
        rig.canned.speak(rig.wait(0.6))
        await until(lambda: rig.machine.fillers.current is None, "it is given up")
    assert [log["event"] for log in logs] == ["filler_not_spoken"]
    assert any(isinstance(one, turn.OwnWords) for one in rig.commands), "words of ours are recorded"
    rig.feed(turn.PlayoutChanged(None))
    assert rig.wait(10.0).text == "Still looking."


async def test_the_end_of_the_call_is_the_end_of_it(rig: Rig) -> None:
    rig.canned.speak(rig.wait(0.6))
    rig.canned.end()
    tasks: set[asyncio.Task[Any]] = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert rig.bridge.queued_ms == 0

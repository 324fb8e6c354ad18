from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from telephony import recording
from telephony.binding import pj
from telephony.bridge import Bridge
from telephony.frame_queue import FrameQueue
from telephony.port import NATIVE
from telephony.recording import StereoRecorder

FRAME_SAMPLES = 160


def frame(mark: int) -> bytes:
    return mark.to_bytes(2, "little") * FRAME_SAMPLES


def read(path: Path) -> list[tuple[int, int]]:
    """One (left, right) per frame, after checking that frames were written whole."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        stereo = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, FRAME_SAMPLES, 2)
    assert (stereo == stereo[:, :1]).all()
    return [(int(left), int(right)) for left, right in stereo[:, 0]]


class Line:
    """A call's clock: each frame that is sent or received has one value."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge

    def sent(self, mark: int) -> None:
        if mark:
            self.bridge.play("agent", frame(mark))
        self.bridge.pull()

    def received(self, mark: int) -> None:
        self.bridge.push(frame(mark))


@pytest.fixture(params=["python", "native"])
def line(request: pytest.FixtureRequest) -> Line:
    if request.param == "native" and not NATIVE:
        pytest.skip("this build of pjsua2 has no queue of its own")
    return Line(Bridge(make_queue=pj.FrameQueue if request.param == "native" else FrameQueue))


@pytest.fixture
def recorder(tmp_path: Path, line: Line) -> StereoRecorder:
    made = StereoRecorder(tmp_path / "calls" / "one.wav", line.bridge)
    made.begin()
    return made


def test_beeps_are_on_the_agents_side_from_its_beginning_on(tmp_path: Path) -> None:
    bridge = Bridge(make_queue=FrameQueue)
    recorder = StereoRecorder(tmp_path / "call.wav", bridge)
    recorder.begin()
    recorder.beep(1)
    for _ in range(100):
        bridge.pull()
        bridge.push(frame(7))
        if _ % 20 == 19:
            recorder.drain()
    recorder.close()
    with wave.open(str(tmp_path / "call.wav"), "rb") as file:
        stereo = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, FRAME_SAMPLES, 2)
    loud = [bool(np.abs(part[:, 1]).max() > 2000) for part in stereo]
    assert loud == ([True] * 10 + [False] * 40) * 2 and (stereo[:, :, 0] == 7).all()


def test_the_caller_is_left_and_the_agent_right(line: Line, recorder: StereoRecorder) -> None:
    for number in range(1, 4):
        line.sent(100 + number)
        line.received(number)
    recorder.close()
    assert read(recorder.path) == [(1, 101), (2, 102), (3, 103)]


def test_nothing_is_kept_before_it_begins(tmp_path: Path, line: Line) -> None:
    made = StereoRecorder(tmp_path / "one.wav", line.bridge)
    line.sent(101)
    line.received(1)
    made.drain()
    assert not made.path.exists()
    made.begin()
    line.sent(0)
    line.received(2)
    made.close()
    assert read(made.path) == [(2, 0)]


def test_drains_and_the_rest_give_one_file(line: Line, recorder: StereoRecorder) -> None:
    for number in range(1, 8):
        line.sent(100 + number)
        if number % 2:
            recorder.drain()  # between the two halves of a tick
        line.received(number)
    recorder.drain()
    recorder.drain()
    recorder.close()
    assert read(recorder.path) == [(number, 100 + number) for number in range(1, 8)]


def test_sides_stay_in_step_over_a_hold(line: Line, recorder: StereoRecorder) -> None:
    line.sent(101)
    line.received(1)
    for number in (2, 3):
        line.received(number)
        recorder.drain()
    line.sent(104)
    line.received(4)
    line.sent(105)
    line.sent(106)
    line.received(6)
    recorder.close()
    assert read(recorder.path) == [(1, 101), (2, 0), (3, 0), (4, 104), (0, 105), (6, 106)]


def test_recording_may_begin_in_the_midst_of_a_tick(line: Line, recorder: StereoRecorder) -> None:
    line.received(1)
    line.sent(102)
    line.received(2)
    recorder.close()
    assert read(recorder.path) == [(1, 0), (2, 102)]


def test_a_half_tick_at_the_end_is_kept(line: Line, recorder: StereoRecorder) -> None:
    line.sent(101)
    recorder.close()
    assert read(recorder.path) == [(0, 101)]


def test_what_nobody_drained_in_time_is_silence_of_its_length(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "LIMIT_MS", 60)
    recorder = StereoRecorder(tmp_path / "one.wav", line.bridge)
    recorder.begin()
    for number in range(1, 14):
        line.sent(100 + number)
        line.received(number)
    recorder.drain()
    assert recorder.lost_ms == 200
    line.sent(106)
    line.received(6)
    recorder.close()
    assert read(recorder.path) == [(0, 0)] * 10 + [(11, 111), (12, 112), (13, 113), (6, 106)]


def test_while_it_is_muted_there_is_silence_of_the_same_length(line: Line, recorder: StereoRecorder) -> None:
    """Both sides: what the caller types, and what the agent repeats of it."""
    line.sent(101)
    line.received(1)
    line.sent(102)
    recorder.mute(True)
    line.received(2)
    line.sent(103)
    line.received(3)
    line.sent(104)
    recorder.mute(False)
    line.received(4)
    line.sent(105)
    line.received(5)
    recorder.close()
    assert read(recorder.path) == [(1, 101), (0, 102), (0, 0), (4, 0), (5, 105)]


def test_frames_of_another_length_stay_in_step(line: Line, recorder: StereoRecorder) -> None:
    line.bridge.push(frame(1) + frame(9))
    line.bridge.push(b"")
    recorder.close()
    assert read(recorder.path) == [(1, 0), (0, 0)]


def test_a_call_without_audio_leaves_no_file(recorder: StereoRecorder) -> None:
    recorder.drain()
    recorder.close()
    assert not recorder.path.exists()


def test_closing_twice_and_draining_after_are_harmless(line: Line, recorder: StereoRecorder) -> None:
    line.sent(1)
    recorder.close()
    line.sent(2)
    recorder.drain()
    recorder.close()
    assert read(recorder.path) == [(0, 1)]


def test_what_could_not_be_written_is_silence_once_writing_works(line: Line, tmp_path: Path) -> None:
    in_the_way = tmp_path / "calls"
    in_the_way.touch()
    recorder = StereoRecorder(in_the_way / "one.wav", line.bridge)
    recorder.begin()
    line.received(1)
    with pytest.raises(OSError):
        recorder.drain()
    assert recorder.lost_ms == 20
    in_the_way.unlink()
    line.received(2)
    recorder.close()
    assert read(recorder.path) == [(0, 0), (2, 0)]


def test_a_killed_process_leaves_a_valid_file(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from telephony.bridge import Bridge\n"
        "from telephony.recording import StereoRecorder\n"
        "bridge = Bridge()\n"
        "recorder = StereoRecorder(pathlib.Path(sys.argv[1]), bridge)\n"
        "recorder.begin()\n"
        "for number in range(1, 51):\n"
        "    bridge.play('a', (100 + number).to_bytes(2, 'little') * 160)\n"
        "    bridge.pull()\n"
        "    bridge.push(number.to_bytes(2, 'little') * 160)\n"
        "    if number % 25 == 0:\n"
        "        recorder.drain()\n"
        "print('drained', flush=True)\n"
        "sys.stdin.read()\n"
    )
    path = tmp_path / "call.wav"
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"drained"
        os.kill(process.pid, signal.SIGKILL)
    assert read(path) == [(number, 100 + number) for number in range(1, 51)]


def test_draining_while_the_clock_runs_loses_nothing(line: Line, recorder: StereoRecorder) -> None:
    def clock() -> None:
        for number in range(1, 2001):
            line.sent(10_000 + number)
            line.received(number)

    thread = threading.Thread(target=clock)
    thread.start()
    while thread.is_alive():
        recorder.drain()
    thread.join()
    recorder.close()
    assert read(recorder.path) == [(number, 10_000 + number) for number in range(1, 2001)]

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
from telephony.bridge import Bridge
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


@pytest.fixture
def recorder(tmp_path: Path) -> StereoRecorder:
    return StereoRecorder(tmp_path / "calls" / "one.wav", 8000)


def test_the_caller_is_left_and_the_agent_right(recorder: StereoRecorder) -> None:
    for number in range(1, 4):
        recorder.sent(frame(100 + number))
        recorder.received(frame(number))
    recorder.close()
    assert read(recorder.path) == [(1, 101), (2, 102), (3, 103)]


def test_it_taps_a_bridge(recorder: StereoRecorder) -> None:
    bridge = Bridge()
    bridge.tap = recorder
    bridge.play("a", frame(7))
    bridge.pull()
    bridge.push(frame(1))
    bridge.pull()
    bridge.push(frame(2))
    recorder.close()
    assert read(recorder.path) == [(1, 7), (2, 0)]


def test_drains_and_the_rest_give_one_file(recorder: StereoRecorder) -> None:
    for number in range(1, 8):
        recorder.sent(frame(100 + number))
        if number % 2:
            recorder.drain()  # between the two halves of a tick
        recorder.received(frame(number))
    recorder.drain()
    recorder.drain()
    recorder.close()
    assert read(recorder.path) == [(number, 100 + number) for number in range(1, 8)]


def test_sides_stay_in_step_over_a_hold(recorder: StereoRecorder) -> None:
    recorder.sent(frame(101))
    recorder.received(frame(1))
    for number in (2, 3):
        recorder.received(frame(number))
        recorder.drain()
    recorder.sent(frame(104))
    recorder.received(frame(4))
    recorder.sent(frame(105))
    recorder.sent(frame(106))
    recorder.received(frame(6))
    recorder.close()
    assert read(recorder.path) == [(1, 101), (2, 0), (3, 0), (4, 104), (0, 105), (6, 106)]


def test_recording_may_begin_in_the_midst_of_a_tick(recorder: StereoRecorder) -> None:
    recorder.received(frame(1))
    recorder.sent(frame(102))
    recorder.received(frame(2))
    recorder.close()
    assert read(recorder.path) == [(1, 0), (2, 102)]


def test_a_half_tick_at_the_end_is_kept(recorder: StereoRecorder) -> None:
    recorder.sent(frame(101))
    recorder.close()
    assert read(recorder.path) == [(0, 101)]


def test_what_nobody_drained_in_time_is_silence_of_its_length(
    recorder: StereoRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "LIMIT_TICKS", 3)
    for number in range(1, 6):
        recorder.sent(frame(100 + number))
        recorder.received(frame(number))
    assert recorder.lost_ticks == 2
    recorder.drain()
    recorder.sent(frame(106))
    recorder.received(frame(6))
    recorder.close()
    assert read(recorder.path) == [(0, 0), (0, 0), (3, 103), (4, 104), (5, 105), (6, 106)]


def test_a_call_without_audio_leaves_no_file(recorder: StereoRecorder) -> None:
    recorder.drain()
    recorder.close()
    assert not recorder.path.exists()


def test_closing_twice_and_draining_after_are_harmless(recorder: StereoRecorder) -> None:
    recorder.sent(frame(1))
    recorder.close()
    recorder.sent(frame(2))
    recorder.drain()
    recorder.close()
    assert read(recorder.path) == [(0, 1)]


def test_what_could_not_be_written_is_silence_once_writing_works(tmp_path: Path) -> None:
    in_the_way = tmp_path / "calls"
    in_the_way.touch()
    recorder = StereoRecorder(in_the_way / "one.wav", 8000)
    recorder.received(frame(1))
    with pytest.raises(OSError):
        recorder.drain()
    assert recorder.lost_ticks == 1
    in_the_way.unlink()
    recorder.received(frame(2))
    recorder.close()
    assert read(recorder.path) == [(0, 0), (2, 0)]


def test_a_killed_process_leaves_a_valid_file(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from telephony.recording import StereoRecorder\n"
        "recorder = StereoRecorder(pathlib.Path(sys.argv[1]), 8000)\n"
        "for number in range(1, 51):\n"
        "    recorder.sent((100 + number).to_bytes(2, 'little') * 160)\n"
        "    recorder.received(number.to_bytes(2, 'little') * 160)\n"
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


def test_draining_while_the_clock_runs_loses_nothing(recorder: StereoRecorder) -> None:
    def clock() -> None:
        for number in range(1, 2001):
            recorder.sent(frame(10_000 + number))
            recorder.received(frame(number))

    thread = threading.Thread(target=clock)
    thread.start()
    while thread.is_alive():
        recorder.drain()
    thread.join()
    recorder.close()
    assert read(recorder.path) == [(number, 10_000 + number) for number in range(1, 2001)]

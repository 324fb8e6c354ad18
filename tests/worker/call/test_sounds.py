"""The worker's own sounds: soft where they must not be taken for speech, and prompts at any telephone's rate."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from telephony.pcm import level_dbfs
from worker.call.sounds import APOLOGY, TONE_MS, TONE_PEAK, load_prompt, soft_tone
from worker.demo.ears import SPEECH_DBFS
from worker.errors import HostError


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, dtype="<i2").astype(int)


def write(path: Path, *, rate: int = 8000, channels: int = 1, width: int = 2, seconds: float = 0.5) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(b"\x10" * round(rate * seconds) * channels * width)
    return path


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_the_tone_is_soft_and_neither_begins_nor_ends_with_a_click(rate_hz: int) -> None:
    tone = samples(soft_tone(rate_hz))
    assert len(tone) == rate_hz * TONE_MS // 1000
    assert 0.5 * TONE_PEAK * 32767 < np.abs(tone).max() <= TONE_PEAK * 32767 + 1
    edge = rate_hz // 200
    assert np.abs(tone[:edge]).max() < 30 and np.abs(tone[-edge:]).max() < 30


def test_no_frame_of_the_tone_is_taken_for_speech() -> None:
    tone = soft_tone(8000)
    frames = [tone[at : at + 320] for at in range(0, len(tone), 320)]
    assert max(level_dbfs(frame) for frame in frames) < SPEECH_DBFS


def test_the_tone_is_heard_over_a_lines_noise() -> None:
    assert level_dbfs(soft_tone(8000)) > -45


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_the_apology_is_there_and_is_speech(rate_hz: int) -> None:
    prompt = load_prompt(APOLOGY, rate_hz)
    assert 2 * rate_hz * 3 < len(prompt) < 2 * rate_hz * 15, "of 3 to 15 s"
    assert level_dbfs(prompt) > -30


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_a_prompt_has_its_length_at_the_rate_asked_for(tmp_path: Path, rate: int) -> None:
    prompt = load_prompt(write(tmp_path / "p.wav", rate=rate), 8000)
    assert len(prompt) / 16000 == pytest.approx(0.5, abs=0.006)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"channels": 2}, "is 2 channels of 16 bits at 8000 Hz; make it 16-bit mono"),
        ({"width": 1}, "is 1 channels of 8 bits"),
        ({"rate": 44100}, "at 44100 Hz"),
    ],
)
def test_another_format_is_told_with_the_files_name(tmp_path: Path, shape: dict[str, int], words: str) -> None:
    path = write(tmp_path / "p.wav", **shape)
    with pytest.raises(HostError, match=words) as raised:
        load_prompt(path, 8000)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [None, b"", b"RIFF", b"not a wave file at all"])
def test_what_is_no_wav_file_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HostError, match="can't be read as a WAV file"):
        load_prompt(path, 8000)

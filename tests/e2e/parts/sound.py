"""What is in a piece of telephone audio: 16-bit mono PCM at 8 kHz, in frames of 20 ms."""

from __future__ import annotations

import wave
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

RATE = 8000
FRAME = 160
FRAME_MS = 20
QUIET_DBFS = -55.0
"""The soft tone has -36 dBFS in most of its frames, G.711's idle noise some -70."""
SPEECH_DBFS = -36.0
"""Over the soft tone, well under speech."""
NEAR_HZ = 26
"""Half the width of a frame's spectral line."""

Samples = np.ndarray[Any, np.dtype[np.float64]]


def samples_of(pcm: bytes) -> Samples:
    return np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float64)


def frames_of(pcm: bytes) -> Samples:
    samples = samples_of(pcm)
    return samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME)


def levels(pcm: bytes) -> Samples:
    """The level of each frame (dBFS)."""
    rms = np.sqrt((frames_of(pcm) ** 2).mean(axis=1))
    return 20 * np.log10(np.maximum(rms, 1e-3) / 32768)


def tones(pcm: bytes) -> list[int]:
    """The tone in each frame, to 50 Hz; 0 where there is none, or much else."""
    frames = frames_of(pcm)
    if not frames.size:
        return []
    window = np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    power[:, 0] = 0.0
    peak = power.argmax(axis=1)
    total = power.sum(axis=1)
    around = np.stack([power[np.arange(len(peak)), np.clip(peak + k, 0, power.shape[1] - 1)] for k in (-1, 0, 1)])
    pure = around.sum(axis=0) > 0.9 * total
    loud = levels(pcm) > QUIET_DBFS
    return [int(p) * 50 if good else 0 for p, good in zip(peak, pure & loud, strict=True)]


def _is(found: int, hz: int) -> bool:
    return abs(found - hz) <= NEAR_HZ


def tone_ms(pcm: bytes, hz: int, after: float = 0.0) -> float:
    """How much of a tone there is after that ms."""
    return float(sum(FRAME_MS for found in tones(pcm)[int(after) // FRAME_MS :] if _is(found, hz)))


def tone_began_ms(pcm: bytes, hz: int, after: float = 0.0) -> float:
    """Where a tone begins, after that ms."""
    first = int(after) // FRAME_MS
    return float(FRAME_MS * (first + [_is(found, hz) for found in tones(pcm)[first:]].index(True)))


def tones_in_order(pcm: bytes) -> list[tuple[int, float]]:
    """The tones (Hz) one after the other, each with how long it lasts (ms); edges of one frame are left out."""
    runs = [(hz, float(FRAME_MS * len(list(run)))) for hz, run in groupby(tones(pcm))]
    return [(hz, ms) for hz, ms in runs if hz and ms > 2 * FRAME_MS]


def longest_silence_ms(quiet: Any) -> float:
    """The longest run of quiet frames (ms)."""
    return float(max((FRAME_MS * len(list(run)) for is_quiet, run in groupby(map(bool, quiet)) if is_quiet), default=0))


def tone(hz: int, ms: float, rate: int = RATE, peak: float = 8000.0) -> bytes:
    """A tone as PCM."""
    t = np.arange(int(rate * ms / 1000)) / rate
    return np.rint(peak * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes()


def snr_db(samples: Samples, hz: float) -> float:
    """How far everything that is not this one unbroken tone lies under it (dB)."""
    t = np.arange(samples.size) / RATE
    basis = np.stack([np.sin(2 * np.pi * hz * t), np.cos(2 * np.pi * hz * t)], axis=1)
    fit = basis @ np.linalg.lstsq(basis, samples, rcond=None)[0]
    return float(10 * np.log10((fit**2).sum() / max(((samples - fit) ** 2).sum(), 1e-9)))


def bands(pcm: bytes) -> Samples:
    """How loud each of 12 bands from 200 Hz to 3.4 kHz is in each frame: what speech is recognised by."""
    power = np.abs(np.fft.rfft(frames_of(pcm) * np.hanning(FRAME), axis=1)) ** 2
    edges = np.geomspace(4, 68, 13).astype(int)
    pairs = zip(edges, edges[1:], strict=False)
    return np.log(np.stack([power[:, low : max(high, low + 1)].sum(axis=1) for low, high in pairs], axis=1) + 1e6)


def find(pcm: bytes, part: bytes) -> tuple[float, float]:
    """Where `part` sounds most like what is in `pcm`: how much (1: the same), and where it begins (ms)."""
    whole, wanted = bands(pcm), bands(part)
    length = len(wanted)
    if len(whole) < length:
        return 0.0, 0.0
    wanted = wanted - wanted.mean(axis=0)
    stretches = sliding_window_view(whole, length, axis=0)
    spread = stretches.var(axis=2).sum(axis=1) * length  # never below 0, as a difference of sums may be
    alike = np.einsum("nbl,lb->n", stretches, wanted) / np.sqrt(spread * (wanted**2).sum() + 1e-9)
    at = int(alike.argmax())
    return float(alike[at]), float(at * FRAME_MS)


def likeness(pcm: bytes, part: bytes) -> float:
    """How well `part` is found anywhere in `pcm`: 1 is the same wave, 0 nothing of it."""
    whole, piece = samples_of(pcm), samples_of(part)
    if whole.size < piece.size:
        return 0.0
    size = 1 << (whole.size + piece.size).bit_length()
    found = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(piece, size)), size)
    found = found[: whole.size - piece.size + 1]
    power = np.concatenate(([0.0], np.cumsum(whole**2)))
    energy = power[piece.size :] - power[: -piece.size]
    energy = energy[: found.size]
    norm = np.sqrt(np.maximum(energy, 1e6) * (piece**2).sum())
    return float((found / norm).max())


def channels(path: Path) -> tuple[bytes, bytes]:
    """The two channels of a stereo recording."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0].tobytes(), both[:, 1].tobytes()

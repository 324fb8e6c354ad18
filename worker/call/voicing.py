"""Whether sound is voiced: has the pitch that every spoken word has, and a cough's burst of air has not. Pure.

By the normalised autocorrelation within the range of a speaker's pitch, over windows of 40 ms. A transcriber that is
given a cough may write a word all the same; of a sound without a voice nobody has to believe it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

__all__ = ["HOP_MS", "Voicing"]

HOP_MS: Final = 20
WINDOW_MS: Final = 40
PITCH_HZ: Final = (75, 400)
PERIODIC: Final = 0.6
"""Measured on synthesised sounds (tests/bench/backchannels.py): no window of a burst of air has more, and of
each word there are 80 ms and more, of "stop" too; with 0.7 it has 20."""
LOUD: Final = 200.0
"""RMS below which a window is quiet: some -44 dBFS."""


class Voicing:
    """One caller's line: 16-bit PCM at `rate_hz` in pieces of any length in whole samples."""

    def __init__(self, rate_hz: int) -> None:
        self._hop = rate_hz * HOP_MS // 1000
        self._window = rate_hz * WINDOW_MS // 1000
        self._lags = slice(rate_hz // PITCH_HZ[1], rate_hz // PITCH_HZ[0] + 1)
        self._rest = np.zeros(0, np.float32)

    def hear(self, pcm: bytes) -> int:
        """Take the next piece; return for how many ms of it there was a voice."""
        samples = np.concatenate([self._rest, np.frombuffer(pcm, "<i2").astype(np.float32)])
        count = max(0, (len(samples) - self._window) // self._hop + 1)
        self._rest = samples[count * self._hop :]
        return HOP_MS * sum(self._voiced(samples[n * self._hop : n * self._hop + self._window]) for n in range(count))

    def _voiced(self, window: np.ndarray[tuple[int], np.dtype[np.float32]]) -> bool:
        window = window - window.mean()
        power = np.cumsum(np.square(window, dtype=np.float64))
        if power[-1] < LOUD * LOUD * len(window):
            return False
        size = 2 * len(window)
        spectrum = np.fft.rfft(window, size)
        alike = np.fft.irfft(spectrum * spectrum.conj(), size)[: len(window)]
        lags = np.arange(len(window))[self._lags]
        both = np.sqrt(power[len(window) - 1 - lags] * (power[-1] - power[lags - 1]))  # of the parts that overlap
        return bool(np.max(alike[lags] / np.maximum(both, 1.0)) > PERIODIC)

"""The resampler's figures: SNR, level and delay of tones, and what a batch costs.

    uv run python tests/bench/resampler.py

Tones are at 0.9 of full scale and a few Hz beside round figures, so that rounding to 16 bits is noise and not a pattern
(98 dB by itself). Times are medians of rounds, on one BLAS thread as in the worker.
"""

from __future__ import annotations

import os
import statistics
import sys
import timeit
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is loaded
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import numpy as np

from telephony.resample import Resampler

RATES = [(8000, 24000), (24000, 8000), (16000, 24000), (24000, 16000), (8000, 16000), (16000, 8000)]
TONES = {400: 397, 1000: 1009, 3000: 2999, 3400: 3401}
BATCHES_MS = (20, 40, 100)
CALLS, ROUNDS = 1000, 15
PEAK = 0.9 * 32767


def tone(hz: float, rate_hz: int) -> bytes:
    return np.rint(PEAK * np.sin(2 * np.pi * hz * np.arange(2 * rate_hz) / rate_hz)).astype("<i2").tobytes()


def snr_and_gain(hz: float, from_hz: int, to_hz: int) -> tuple[float, float]:
    """Both in dB, against the sine that fits best."""
    out = np.frombuffer(Resampler(from_hz, to_hz).process(tone(hz, from_hz)), dtype="<i2").astype(float)
    angle = 2 * np.pi * hz * np.arange(len(out)) / to_hz
    settled = slice(to_hz // 10, None)
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)[settled]
    parts, *_ = np.linalg.lstsq(basis, out[settled], rcond=None)
    fitted = basis @ parts
    noise = np.mean((out[settled] - fitted) ** 2)
    return 10 * np.log10(np.mean(fitted**2) / noise), 20 * np.log10(np.hypot(*parts) / PEAK)


def microseconds(from_hz: int, to_hz: int, ms: int) -> float:
    resampler = Resampler(from_hz, to_hz)
    batch = tone(997, from_hz)[: from_hz * ms // 1000 * 2]
    rounds = timeit.repeat(lambda: resampler.process(batch), number=CALLS, repeat=ROUNDS)
    return statistics.median(rounds) / CALLS * 1e6


def main() -> None:
    print("uv run python tests/bench/resampler.py")
    print(f"numpy {np.__version__}, Python {sys.version.split()[0]}, one core; goals: 80 dB to 3 kHz, 2 ms\n")
    snr_head, cost_head = f"SNR dB at {'/'.join(map(str, TONES))} Hz", f"us per {'/'.join(map(str, BATCHES_MS))} ms"
    print(f"{'Hz':>14} | {snr_head:>32} | at 3400 Hz | delay   | {cost_head}")
    for from_hz, to_hz in RATES:
        measured = [snr_and_gain(hz, from_hz, to_hz) for hz in TONES.values()]
        snr = " / ".join(f"{snr_db:5.1f}" for snr_db, _ in measured)
        cost = " / ".join(f"{microseconds(from_hz, to_hz, ms):4.1f}" for ms in BATCHES_MS)
        delay_ms = Resampler(from_hz, to_hz).delay_ms
        print(f"{from_hz:>5} -> {to_hz:>5} | {snr:>32} | {measured[-1][1]:>7.2f} dB | {delay_ms:.2f} ms | {cost}")
    up, down = microseconds(8000, 24000, 40), microseconds(24000, 8000, 100)
    share = (25 * up + 10 * down) / 1e4
    print(f"\none call's second, 25 batches of 40 ms up and 10 of 100 ms down: {share:.3f} % of a core")


if __name__ == "__main__":
    main()

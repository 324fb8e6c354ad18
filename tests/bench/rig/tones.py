"""A tone for each direction, and a gauge that says of every 20 ms of it whether it is as it was sent. Pure.

From one piece of 20 ms to the next the tone's phase moves on by `TURN` of a cycle. So a piece that was lost, played
twice or put elsewhere shows as a jump of the phase, while silence shows in the level and a fault within a piece in
what is left beside the tone. `TURN` was chosen so that every skip of up to 17 pieces turns the phase by 15 degrees or
more; the tone closes after `LOOP_MS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIECE_MS = 20
LOOP_MS = 5000
TURN = 0.388
AGENT_HZ = (20 + TURN) * 1000 / PIECE_MS
CALLER_HZ = (14 + TURN) * 1000 / PIECE_MS
LEVEL = 8000
"""Amplitude: -12 dBFS."""
SILENT_BELOW = 0.05
"""Of the level."""
LEVEL_OFF = 0.12
"""Of the level: 1 dB, of which the edges of a resampler's pass band take little."""
RESIDUE = 0.01
"""The share of the power beside the tone: mu-law makes 0.0002, half a millisecond of silence 0.025."""
JUMP = 12 / 360
"""Of a cycle."""

OK, SILENT, DAMAGED = 0, 1, 2

Measured = NDArray[np.float32]
"""(n, 3): cosine and sine amplitude, and the share of the power that is not the tone's."""


def tone(hz: float, rate_hz: int) -> NDArray[np.int16]:
    """The loop of a tone, as samples."""
    at = np.arange(LOOP_MS * rate_hz // 1000) / rate_hz
    return np.rint(LEVEL * np.sin(2 * np.pi * hz * at)).astype("<i2")


class Gauge:
    """Measures pieces of 20 ms of one tone."""

    def __init__(self, hz: float, rate_hz: int) -> None:
        self.samples = rate_hz * PIECE_MS // 1000
        """Of a piece."""
        angle = 2 * np.pi * hz * np.arange(self.samples) / rate_hz
        self._waves = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        self._solve = np.linalg.inv(self._waves.T @ self._waves).astype(np.float32)

    def measure(self, pieces: NDArray[np.float32]) -> Measured:
        """`pieces`: (n, samples), at the scale of 16 bits."""
        products = pieces @ self._waves
        found = np.empty((len(pieces), 3), np.float32)
        found[:, :2] = products @ self._solve
        power = np.einsum("ij,ij->i", pieces, pieces) + 1.0
        found[:, 2] = 1 - np.einsum("ij,ij->i", products, found[:, :2]) / power
        return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """How pieces of audio came through."""

    pieces: int
    lost: int
    """Never came, by their sequence numbers."""
    silent: int
    damaged: int
    """Too loud or too soft, or with something beside the tone."""
    jumps: int
    """Between neighbours that are whole in themselves: audio left out, or said twice."""


def judge(stream: NDArray[np.int64], number: NDArray[np.int64], measured: Measured) -> Verdict:
    """Judge pieces of many streams; `number` counts the pieces of a stream, with holes where pieces were lost.

    In any order. Pieces with the same stream and number count once.
    """
    if not len(stream):
        return Verdict(0, 0, 0, 0, 0)
    order = np.lexsort((number, stream))
    stream, number, measured = stream[order], number[order], measured[order]
    level = np.hypot(measured[:, 0], measured[:, 1]) / LEVEL
    state = np.full(len(stream), OK)
    state[(np.abs(level - 1) > LEVEL_OFF) | (measured[:, 2] > RESIDUE)] = DAMAGED
    state[level < SILENT_BELOW] = SILENT
    same = stream[1:] == stream[:-1]
    step = number[1:] - number[:-1]
    next_to = same & (step == 1) & (state[1:] == OK) & (state[:-1] == OK)
    # A sin(wt) + B cos(wt) has the phase atan2(B, A); it moves on by TURN with each piece.
    phase = np.arctan2(measured[:, 0], measured[:, 1]) / (2 * np.pi)
    off = phase[1:] - phase[:-1] - TURN
    off -= np.rint(off)
    lost = int(np.sum(np.where(same & (step > 1), step - 1, 0)))
    jumps = int(np.sum(next_to & (np.abs(off) > JUMP)))
    return Verdict(len(stream), lost, int(np.sum(state == SILENT)), int(np.sum(state == DAMAGED)), jumps)

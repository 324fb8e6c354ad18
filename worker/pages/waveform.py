"""How loud both voices are, column by column: by a recording, else by the journal. Reads files, so for threads."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

from worker.records.edges import EnvelopeFile
from worker.records.envelope import LOUDEST

__all__ = ["Levels", "levels", "levels_of"]

COLUMN_MS = 50
"""A syllable takes four of them."""
MOST_COLUMNS = 6000
AT_ONCE = 8000 * 60


@dataclass(frozen=True, slots=True)
class Levels:
    """Peaks of both voices, 0 to 1, one for each `column_ms`, the first of them at `start_ms`."""

    column_ms: float
    caller: tuple[float, ...]
    agent: tuple[float, ...]
    start_ms: int = 0


def levels_of(envelope: EnvelopeFile | None) -> Levels | None:
    """Return the levels that a journal has; None where it has none."""
    if envelope is None or not (envelope.caller or envelope.agent):
        return None
    caller, agent = (
        tuple(round(level / LOUDEST, 3) for level in voice[:MOST_COLUMNS])
        for voice in (envelope.caller, envelope.agent)
    )
    return Levels(envelope.column_ms, caller, agent, envelope.start_ms)


def levels(path: Path) -> Levels | None:
    """Return the levels of a stereo recording (caller left, agent right); None of what is none, or not whole."""
    import numpy as np

    try:
        with wave.open(str(path), "rb") as file:
            rate, frames = file.getframerate(), file.getnframes()
            if file.getnchannels() != 2 or file.getsampwidth() != 2 or rate <= 0 or frames == 0:
                return None
            width = max(rate * COLUMN_MS // 1000, -(-frames // MOST_COLUMNS))
            found = []
            step = max(width, AT_ONCE // width * width)
            while data := file.readframes(step):
                sound = np.frombuffer(data[: len(data) // 4 * 4], dtype="<i2").reshape(-1, 2)
                whole = np.zeros((-(-len(sound) // width) * width, 2), dtype=np.float32)
                whole[: len(sound)] = np.abs(sound.astype(np.float32)) / 32768
                found.append(whole.reshape(-1, width, 2).max(axis=1))
    except (OSError, EOFError, wave.Error):
        return None
    if not found:
        return None
    peaks = np.concatenate(found)
    caller, agent = (tuple(round(float(one), 3) for one in peaks[:, side]) for side in (0, 1))
    return Levels(1000 * width / rate, caller, agent)

"""The recogniser of a simulated caller, in a process of its own: its work is a second of a core at a time.

`understand` runs there.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process

from telephony.resample import Resampler
from worker.local.speech import Recogniser

__all__ = ["PHONE_HZ", "recogniser_of", "understand"]

PHONE_HZ = 8000

_recogniser: Recogniser | None = None


def recogniser_of(grammar: str) -> ProcessPoolExecutor:
    """Return the process that understands these sentences (JSGF); it ends with this one, however this one ends."""
    return ProcessPoolExecutor(1, get_context("spawn"), _begin, (grammar,))


def understand(pcm: bytes) -> str:
    """The words of an utterance: 16-bit PCM at `PHONE_HZ`."""
    assert _recogniser is not None
    return _recogniser.recognise(Resampler(PHONE_HZ, 16000).process(pcm))


def _begin(grammar: str) -> None:
    """Load the model, before the first utterance waits for it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _recogniser
    _recogniser = Recogniser(grammar)


def _end_with_parent() -> None:
    """A pool's process does not notice by itself that its parent was killed."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

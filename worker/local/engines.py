"""Ears and mouth off the loop: utterances are understood in processes of their own, texts spoken on a thread.

pocketsphinx keeps the interpreter's lock for the tenth of a second that an utterance takes; a process each keeps every
other session's clock steady.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import lru_cache, partial
from multiprocessing.process import BaseProcess

import structlog

from worker.local.brain import Mouth
from worker.local.protocol import Speak, Transcribe
from worker.local.sound import encode
from worker.local.speech import EspeakMouth, SphinxEars

__all__ = ["Engines", "Hear"]

log = structlog.get_logger(__name__)

EARS_NICE = 5
"""An utterance takes a whole core for a moment: on a small machine the clocks of calls in progress go before it."""
CACHED = 64
"""Sentences kept in the wire's format; one of 3 s is 140 kB at 24 kHz."""

Hear = Callable[[Transcribe], str]

_ears: dict[str, SphinxEars] = {}


def _watch_parent() -> None:
    """In an ear process: die with the server, even when it is killed; leave Ctrl-C to it, and let audio go first."""
    os.nice(EARS_NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(0)


def _listen(grammar: str, job: Transcribe | None) -> str:
    """In an ear process: understand an utterance; without one, only make ready."""
    if grammar not in _ears:
        _ears[grammar] = SphinxEars(grammar)
    return "" if job is None else _ears[grammar].transcribe(job.pcm, job.rate_hz)


class Engines:
    """The speech of one server, for all its sessions.

    hear: stands for the ears, in tests of the protocol alone; it is called on a thread.
    """

    def __init__(self, grammar: str, *, processes: int, hear: Hear | None = None, mouth: Mouth | None = None) -> None:
        self.mouth = mouth or EspeakMouth()
        self._hear: Hear = hear or partial(_listen, grammar)
        self._grammar = grammar
        self._processes = processes if hear is None else 0
        self._ears: Executor | None = None
        self._voices = ThreadPoolExecutor(1, "voice")
        self._said = lru_cache(maxsize=CACHED)(self._make)

    async def start(self) -> None:
        """Load the models. Raises SpeechUnavailable, and ValueError for a word that the ears don't know."""
        loop = asyncio.get_running_loop()
        if self._processes:
            spawn = multiprocessing.get_context("spawn")
            self._ears = ProcessPoolExecutor(self._processes, spawn, _watch_parent)
        else:
            self._ears = ThreadPoolExecutor(1, "ears")
        ready = [loop.run_in_executor(self._ears, _listen, self._grammar, None) for _ in range(self._processes)]
        await asyncio.gather(*ready, loop.run_in_executor(self._voices, self.mouth.speak, "ready", "alloy", 1.0))

    async def stop(self) -> None:
        """End the processes and threads."""
        for executor in (self._ears, self._voices):
            if executor is not None:
                await asyncio.to_thread(executor.shutdown, cancel_futures=True)

    async def hear(self, job: Transcribe) -> str | None:
        """The words of an utterance; None when the ears fail."""
        assert self._ears is not None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._ears, self._hear, job)
        except Exception:
            log.exception("ears_failed")
            return None

    async def speak(self, job: Speak) -> bytes | None:
        """The sound of a text in the wire's format; None when the mouth fails."""
        try:
            work = partial(self._said, job.text, job.voice, job.speed, job.format)
            return await asyncio.get_running_loop().run_in_executor(self._voices, work)
        except Exception:
            log.exception("mouth_failed")
            return None

    def _make(self, text: str, voice: str, speed: float, format_type: str) -> bytes:
        pcm, rate_hz = self.mouth.speak(text, voice, speed)
        return encode(pcm, rate_hz, format_type)

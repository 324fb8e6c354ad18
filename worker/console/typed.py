"""What somebody types: lines for the agent, keys, or the end. Reading a terminal blocks, so a thread does it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TextIO

__all__ = ["Typed", "Typist", "read"]

KEYS = frozenset("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Typed:
    """One line. what: words for the agent; keys; hangup; wrong (text says why); nothing."""

    what: Literal["words", "keys", "hangup", "wrong", "nothing"]
    text: str = ""


def read(line: str) -> Typed:
    """Return what a line means."""
    text = line.strip()
    if not text.startswith("/"):
        return Typed("words", text) if text else Typed("nothing")
    command, _, rest = text[1:].partition(" ")
    keys = rest.replace(" ", "").upper()
    if command == "hangup":
        return Typed("hangup")
    if command == "keys" and keys and set(keys) <= KEYS:
        return Typed("keys", keys)
    return Typed("wrong", "there is /keys 427# and /hangup; any other line is said to the agent")


class Typist:
    """Reads lines beside the loop. None comes after the last one."""

    def __init__(self, source: TextIO, prompt: Callable[[], None] = lambda: None) -> None:
        """prompt: called before each line is waited for."""
        self._source = source
        self._prompt = prompt
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()

    def start(self) -> None:
        """Begin to read. The thread may be left behind in a read: it keeps no process alive."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            ended = False
            while not ended:
                self._prompt()
                line = self._source.readline()
                ended = not line
                try:
                    loop.call_soon_threadsafe(self._lines.put_nowait, line or None)
                except RuntimeError:  # the loop is closed: nobody reads on
                    return

        threading.Thread(target=run, name="typist", daemon=True).start()

    async def next(self) -> str | None:
        """Return the next line, None at the end."""
        return await self._lines.get()

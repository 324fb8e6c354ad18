"""How long tools usually take, and the words for it. Pure.

A filler may say it: "It should take {about}." becomes "It should take about a minute."
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from statistics import median

__all__ = ["ABOUT", "FEWEST", "UsualTimes", "filled", "spoken_duration", "time_left"]

ABOUT = "{about}"
RUNS = 16
"""Of each tool: what it took lately, not what it took last month."""
FEWEST = 3
"""So many runs make it usual."""
TOOLS = 256

_WORDS: Mapping[str, tuple[tuple[float, str], ...]] = {
    "en": (
        (10, "a few seconds"),
        (20, "about fifteen seconds"),
        (45, "about half a minute"),
        (90, "about a minute"),
        (150, "about two minutes"),
        (210, "about three minutes"),
        (600, "a few minutes"),
    ),
    "de": (
        (10, "ein paar Sekunden"),
        (20, "etwa fünfzehn Sekunden"),
        (45, "etwa eine halbe Minute"),
        (90, "etwa eine Minute"),
        (150, "etwa zwei Minuten"),
        (210, "etwa drei Minuten"),
        (600, "ein paar Minuten"),
    ),
    "fr": (
        (10, "quelques secondes"),
        (20, "environ quinze secondes"),
        (45, "environ une demi-minute"),
        (90, "environ une minute"),
        (150, "environ deux minutes"),
        (210, "environ trois minutes"),
        (600, "quelques minutes"),
    ),
    "es": (
        (10, "unos segundos"),
        (20, "unos quince segundos"),
        (45, "cerca de medio minuto"),
        (90, "cerca de un minuto"),
        (150, "unos dos minutos"),
        (210, "unos tres minutos"),
        (600, "unos minutos"),
    ),
}
"""By language: up to so many seconds it is called so."""


class UsualTimes:
    """What the tools of this worker took lately. Shared by its calls."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._runs: OrderedDict[str, deque[float]] = OrderedDict()
        self._elsewhere: dict[str, float] = {}
        self.queue_s = 0.0
        """How long a job waits before it runs, as it stands now; whoever watches the queue sets it."""

    def heard(self, tool: str, run_s: float) -> None:
        """A tool usually runs so long (s), as those know who run it for all workers."""
        self._elsewhere[tool] = run_s

    def note(self, tool: str, run_s: float) -> None:
        """A tool has run so long (s)."""
        runs = self._runs.get(tool)
        if runs is None:
            runs = self._runs[tool] = deque(maxlen=RUNS)
            if len(self._runs) > TOOLS:
                self._runs.popitem(last=False)
        else:
            self._runs.move_to_end(tool)
        runs.append(run_s)

    def tools(self) -> tuple[str, ...]:
        """The tools that have run here lately."""
        return tuple(self._runs)

    def run_s(self, tool: str) -> float | None:
        """How long a tool usually runs (s); None where that is not known yet."""
        runs = self._runs.get(tool, ())
        return median(runs) if len(runs) >= FEWEST else self._elsewhere.get(tool)

    def all_s(self, tool: str, *, queued: bool) -> float | None:
        """How long it takes with its time in the queue (s)."""
        run_s = self.run_s(tool)
        return None if run_s is None else run_s + (self.queue_s if queued else 0.0)

    def mean_run_s(self) -> float | None:
        """How long the tools that were used lately run on average (s); None where nothing is known."""
        runs = [run for tool in self._runs.values() for run in tool]
        return sum(runs) / len(runs) if len(runs) >= FEWEST else None


def time_left(tools: Sequence[tuple[float | None, float]]) -> float | None:
    """How long it takes until the last of some tools has ended (s), by the usual and the waited time (s) of each.

    None where a usual time isn't known, or all of them take longer than usual: nobody knows how much longer.
    """
    left = [usual - waited for usual, waited in tools if usual is not None]
    return max(left) if left and len(left) == len(tools) and max(left) > 0 else None


def spoken_duration(seconds: float, language: str) -> str | None:
    """Words for a time to wait, in a BCP 47 language; None where there are none for it."""
    words = _WORDS.get(language.partition("-")[0].lower(), ())
    return next((text for most, text in words if seconds <= most), None)


def filled(text: str, seconds: float | None, language: str) -> str | None:
    """The text with the time in its place; None where the text wants one that isn't known or has no words."""
    if ABOUT not in text:
        return text
    words = None if seconds is None else spoken_duration(seconds, language)
    return None if words is None else text.replace(ABOUT, words)

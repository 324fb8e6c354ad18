"""What is said, and when, while tools run. Pure: no I/O, time is a parameter (s, any monotonic clock).

Two kinds, so that the caller never sits in silence and is never talked at: a spoken sentence after the grace
and then at growing intervals, other words each time; between them a short, soft tone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.turns.expectations import TABLE, Expect

__all__ = ["Fill", "Filler", "FillerConfig", "FillerVoice", "Offer", "Waiting"]

DEFAULT_TEXTS = (
    "One moment, please.",
    "I am still looking.",
    "Thank you for waiting.",
    "It takes a little longer today.",
)
NEWS_AFTER_S = 1.0
"""Wordless time before a tool's own news of its progress."""
CREATED_BOUND_S = TABLE[Expect.FILLER_BEGUN].seconds
"""A filler that is not heard by then is given up."""
GENERATED_BOUND_S = TABLE[Expect.FILLER_ENDED].seconds
"""One that the provider has not ended by then is given up too: it would keep all later ones from being said."""
REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Waiting:
    """A tool that runs, as a filler may speak of it."""

    tool: str
    """Its name."""
    had: int
    """How many fillers were said while it ran."""
    waited_s: float
    """How long the caller has waited for it."""
    awaits: bool = False
    """It does not run yet, since somebody has to approve it: its own words would not be true."""


Fill = Callable[[str, Sequence[Waiting]], str | None]
"""Fills in a text what is known of the tools that it speaks of; None where that isn't known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a caller is asked once for each tool that takes long: whether to be told of it after the call."""

    text: str
    after_s: float
    """How long a tool runs, or will by all that is known, before it is offered (s)."""
    possible: Callable[[str], bool]
    """Whether the end of a tool of this name can be told later."""
    expected_s: Callable[[str], float | None] = lambda tool: None
    """How long a tool usually takes, its time in the queue included (s)."""

    def due(self, tool: str, ran_s: float, fillers: int) -> bool:
        """Whether it is due for a tool that runs for so long, and has had so many fillers: one word comes before it."""
        expected_s = self.expected_s(tool) or 0.0
        return ran_s >= self.after_s or (fillers > 0 and expected_s >= self.after_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillerConfig:
    """When a filler is due and which words there are. All times in seconds."""

    texts: tuple[str, ...] = DEFAULT_TEXTS
    """Sentences to choose from, in turn; a tool's own filler comes first."""
    grace_s: float = 0.5
    """Wordless time before the first sentence, from the tool's start or the end of the last word."""
    interval_s: float = 4.0
    """Wordless time before the second sentence."""
    growth: float = 1.5
    """Each later interval is so many times the one before."""
    max_interval_s: float = 15.0
    """No interval is longer."""
    tone: bool = True
    """Whether the soft tone sounds in the silence between sentences."""
    tone_after_s: float = 0.9
    """Silence before a tone: with a poll and a frame of 20 ms each it keeps the caller's silence under 1.2 s."""
    tool_texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """A tool's own first sentences, by the tool's name."""
    tool_grace_s: Mapping[str, float] = field(default_factory=dict)
    """A tool's own grace, by the tool's name."""
    spoken: bool = True
    """Whether there are sentences at all; without, there is only the tone."""
    fill: Fill = lambda text, waiting: text
    """How a text gets what is known of the tools; one that can't be filled is passed over."""
    offer: Offer | None = None
    """None: there is nothing to offer."""


@dataclass(slots=True)
class Filler:
    """A filler that was asked for and is not yet spoken to its end."""

    number: int
    asked_at: float
    text: str
    offered_for: tuple[str, ...] = ()
    """Where it is the offer: the tool calls that it is made for."""
    response_id: str | None = None
    item_id: str | None = None
    generated: bool = False


class FillerVoice:
    """The fillers of one call: the one in flight, and when the next sentence and the next tone are due."""

    def __init__(self, config: FillerConfig) -> None:
        self.config = config
        self.current: Filler | None = None
        self.silent_since = 0.0
        """When the caller last heard anything, their own voice included."""
        self.wordless_since = 0.0
        """When the caller last heard or said a word."""
        self._items: deque[str] = deque(maxlen=REMEMBERED)
        self._asked = 0
        self._in_a_row = 0
        self._next_text = 0
        self._last_text = ""

    # --- time ---------------------------------------------------------------------------------------------------------

    def sound_ended(self, now: float, *, words: bool) -> None:
        """Something (a word, or only the tone) was heard until now."""
        self.silent_since = now
        if words:
            self.wordless_since = now

    def start_over(self) -> None:
        """The model or the caller had the word, or no tool is left: the next filler is a first one again."""
        self._in_a_row = 0

    def sentence_due(self, tool: str, *, news: bool = False) -> float:
        """When the next sentence for this tool is due (s); sooner when there is news of its progress."""
        config = self.config
        if news:
            return self.wordless_since + NEWS_AFTER_S
        if self._in_a_row == 0:
            return self.wordless_since + config.tool_grace_s.get(tool, config.grace_s)
        interval = config.interval_s * config.growth ** (self._in_a_row - 1)
        return self.wordless_since + min(interval, config.max_interval_s)

    def tone_due(self) -> float | None:
        """When the soft tone is due (s); None where there is none."""
        return self.silent_since + self.config.tone_after_s if self.config.tone else None

    def bound(self) -> float | None:
        """When the filler in flight is given up (s); None if there is none or all of it has come."""
        filler = self.current
        if filler is None or (filler.generated and filler.item_id is not None):
            return None
        return filler.asked_at + (CREATED_BOUND_S if filler.item_id is None else GENERATED_BOUND_S)

    # --- words --------------------------------------------------------------------------------------------------------

    def ask(self, waiting: Sequence[Waiting], now: float, news: str | None = None) -> Filler | None:
        """Begin the next filler for the tools that run.

        News of a tool's progress comes first, then a tool's own words, each once; then the next of the list. None
        where there are no words.
        """
        own = news or next(filter(None, (self._own(tool) for tool in waiting)), None)
        text = self._words(own, waiting)
        if text is None:
            return None
        return self._begin(text, now)

    def offer(self, text: str, tool_call_ids: tuple[str, ...], now: float) -> Filler:
        """Begin the offer as the next filler."""
        self._last_text = text
        filler = self._begin(text, now)
        filler.offered_for = tool_call_ids
        return filler

    def _begin(self, text: str, now: float) -> Filler:
        self._asked += 1
        self._in_a_row += 1
        self.current = Filler(self._asked, now, text)
        return self.current

    def _own(self, tool: Waiting) -> str | None:
        texts = () if tool.awaits else self.config.tool_texts.get(tool.tool, ())
        return self.config.fill(texts[tool.had], [tool]) if tool.had < len(texts) else None

    def _words(self, own: str | None, waiting: Sequence[Waiting]) -> str | None:
        texts = self.config.texts
        turned = [texts[(self._next_text + i) % len(texts)] for i in range(len(texts))]
        if own and own != self._last_text:
            self._last_text = own
            return own
        for text in turned:
            found = self.config.fill(text, waiting)
            if found and found != self._last_text:
                self._next_text = (texts.index(text) + 1) % len(texts)
                self._last_text = found
                return found
        return None

    # --- the one in flight --------------------------------------------------------------------------------------------

    def speaks(self, response_id: str) -> bool:
        """Whether this response is the filler in flight."""
        return self.current is not None and self.current.response_id == response_id

    def heard(self, item_id: str) -> None:
        """The first audio of the filler in flight is queued for playout."""
        if self.current is not None:
            self.current.item_id = item_id
            self.mark(item_id)

    def mark(self, item_id: str) -> None:
        """This item is a filler's, or as good as one."""
        self._items.append(item_id)

    def is_filler_item(self, item_id: str) -> bool:
        """Whether this item is a filler's."""
        return item_id in self._items

    def generated(self, playing: str | None) -> None:
        """The provider is done with the filler; it is over once its audio was played too."""
        if self.current is not None:
            self.current.generated = True
            self.played(playing)

    def played(self, playing: str | None) -> None:
        """Playout moved on to `playing`."""
        filler = self.current
        if filler is not None and filler.generated and (filler.item_id is None or filler.item_id != playing):
            self.current = None

    def drop(self) -> Filler | None:
        """Give up the filler in flight."""
        filler, self.current = self.current, None
        return filler

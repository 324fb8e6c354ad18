"""What happened in a scene, line by line, as one would write a dialogue down."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.realtime.history import CUT_MARK

__all__ = ["Actor", "Line", "Run", "Script"]

Actor = Literal["caller", "agent", "filler", "tone", "model", "told", "tool", "call"]
"""caller, agent, filler, tone: what the caller says and hears. model: what the model calls. told: what it is given.
tool: a tool's function at work. call: the call itself."""

WIDTH = 150


@dataclass(slots=True)
class Line:
    """One line of the dialogue. Times are s since the answer.

    until: when it was over; None while it lasts, and for what takes no time. text: of what the caller heard, the
    words as far as they were heard. tool, status, output: of what the model was told of a tool.
    """

    at: float
    who: Actor
    text: str
    until: float | None = None
    tool: str = ""
    status: str = ""
    output: str = ""

    @property
    def value(self) -> Any:
        """What a tool gave the model, read from its JSON."""
        return json.loads(self.output)

    @property
    def cut(self) -> bool:
        """Whether the caller heard only the beginning of these words."""
        return self.text.endswith(CUT_MARK)

    def __str__(self) -> str:
        text = self.text if len(self.text) <= WIDTH else self.text[: WIDTH - 1] + "…"
        lasts = f" - {self.until:.1f}" if self.until is not None and self.who == "tone" else ""
        return f"{self.at:7.2f}  {self.who:<7} {text}{lasts}"


@dataclass(slots=True)
class Run:
    """One run of a tool's function. how: running, returned, raised ..., cancelled. Times are s since the answer."""

    tool: str
    arguments: dict[str, Any]
    at: float
    until: float | None = None
    how: str = "running"


@dataclass(slots=True)
class Script:
    """The lines so far, in order of their beginnings; `seen`: how many of them an expectation has gone past."""

    lines: list[Line] = field(default_factory=list)
    seen: int = 0

    def add(self, line: Line) -> Line:
        """Write a line down."""
        self.lines.append(line)
        return line

    def tone(self, at: float) -> None:
        """The soft tone sounds. One that follows another belongs to the same line."""
        last = self.lines[-1] if self.lines else None
        if last is None or last.who != "tone":
            last = self.add(Line(at, "tone", "(soft tone)"))
        last.until = at

    def __str__(self) -> str:
        return "\n".join(str(line) for line in self.lines)

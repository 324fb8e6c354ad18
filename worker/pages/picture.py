"""What the pictures of a call share: a scale of time, bars with words under them, an axis. Pure: SVG text out."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

__all__ = ["COLOURS", "Scale", "axis", "bar", "wrapped"]

COLOURS = {
    "caller": "#2b6cb0",
    "agent": "#2f855a",
    "filler": "#b7791f",
    "tool": "#6b46c1",
    "silence": "#c53030",
    "other": "#4a5568",
}
CHAR_PX = 5.6
ROWS = 3
STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 3600)


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a time stands: from `left` to `right` (px) are `start_ms` to `end_ms`."""

    left: float
    right: float
    start_ms: int
    end_ms: int

    @property
    def px_per_ms(self) -> float:
        """How wide a ms is."""
        return (self.right - self.left) / max(1, self.end_ms - self.start_ms)

    def x(self, ms: float) -> float:
        """Where that is."""
        return self.left + (ms - self.start_ms) * self.px_per_ms


def bar(scale: Scale, start_ms: int, end_ms: int, y: int, colour: str, text: str, rows: int = ROWS) -> list[str]:
    """Return a bar, and its words under it as far as there is room."""
    x, width = scale.x(start_ms), max(2.0, (end_ms - start_ms) * scale.px_per_ms)
    rect = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="26" rx="3" fill="{colour}" opacity="0.85">'
    lines = [f"{rect}<title>{escape(text)}</title></rect>"]
    for row, words in enumerate(wrapped(text, max(8, int(width / CHAR_PX)))[:rows]):
        lines.append(f'<text x="{x:.1f}" y="{y + 38 + 11 * row}" font-size="10" fill="#2d3748">{escape(words)}</text>')
    return lines


def wrapped(text: str, columns: int) -> list[str]:
    """Return the text in rows of so many characters."""
    rows = [""]
    for word in text.split():
        if rows[-1] and len(rows[-1]) + 1 + len(word) > columns:
            rows.append(word)
        else:
            rows[-1] = f"{rows[-1]} {word}".strip()
    return rows


def axis(scale: Scale, y: int, marks: int = 20) -> list[str]:
    """Return an axis in seconds, with so many marks at most."""
    span_s = (scale.end_ms - scale.start_ms) / 1000
    step = next((s for s in STEPS_S if span_s / s <= marks), STEPS_S[-1])
    first = -(-scale.start_ms // 1000 // step) * step
    lines = [f'<line x1="{scale.left}" y1="{y}" x2="{scale.right}" y2="{y}" stroke="#4a5568"/>']
    for second in range(first, int(scale.end_ms / 1000) + 1, step):
        x = scale.x(second * 1000)
        lines.append(f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + 5}" stroke="#4a5568"/>')
        lines.append(
            f'<text x="{x:.1f}" y="{y + 18}" font-size="11" fill="#4a5568" text-anchor="middle">{second} s</text>'
        )
    return lines

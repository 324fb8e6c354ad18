"""One call's timeline as SVG: both voices, the turn machine, tools, silences, the line and SIP. Pure."""

from __future__ import annotations

from html import escape

from worker.pages.lanes import LANES, Mark, marks_of, spans_of, start_of
from worker.pages.picture import COLOURS, Scale, axis, bar
from worker.pages.waveform import Levels
from worker.records.story import Story

__all__ = ["HEIGHT", "draw_names", "draw_story"]

TOP, BOTTOM = 12, 34
TALL, LOW = 76, 30
VOICES = ("caller", "agent")
NARROWEST, WIDEST = 1110, 12_000
PX_PER_S = 24
"""A word of a turn has room under it."""
SIDE = 20


def _heights() -> dict[str, tuple[int, int]]:
    """Where each lane stands: its top, and how tall it is."""
    found, y = {}, TOP
    for lane in LANES:
        height = TALL if lane in (*VOICES, "filler", "tool") else LOW
        found[lane] = (y, height)
        y += height
    return found


PLACES = _heights()
HEIGHT = sum(PLACES[LANES[-1]]) + BOTTOM


def draw_names() -> str:
    """Return the names of the lanes, to stand left of the picture."""
    rows = [
        f'<text x="4" y="{y + 20}" font-size="13" fill="{COLOURS.get(lane, COLOURS["other"])}">{lane}</text>'
        for lane, (y, _) in PLACES.items()
    ]
    svg = f'<svg class="names" width="70" height="{HEIGHT}" font-family="sans-serif" aria-hidden="true">'
    return f"{svg}{''.join(rows)}</svg>"


def draw_story(story: Story, levels: Levels | None = None) -> str:
    """Return the picture; levels: how loud both voices are, where that is known."""
    start, end = start_of(story), max(story.end_ms, 1000)
    width = min(max(NARROWEST, round((end - start) / 1000 * PX_PER_S)), WIDEST)
    scale = Scale(SIDE, width - SIDE, start, end)
    parts = [
        f'<svg id="timeline" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif"'
        f' role="img" aria-label="{escape(_in_words(story))}" data-left="{SIDE}" data-start="{start}"'
        f' data-end="{end}" data-scale="{scale.px_per_ms:.8f}">',
        f'<rect width="{width}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for lane, (y, height) in PLACES.items():
        parts.append(f'<line x1="0" y1="{y + height}" x2="{width}" y2="{y + height}" stroke="#e2e8f0"/>')
        for span in spans_of(story, lane):
            rows = 3 if height == TALL else 0
            parts += bar(scale, span.start_ms, span.end_ms, y + 2, COLOURS[span.colour], span.text, rows)
        if levels is not None and lane in VOICES:
            parts.append(_wave(scale, levels, lane, y))
    parts += [_mark(scale, mark) for mark in marks_of(story)]
    parts += axis(scale, HEIGHT - BOTTOM + 6, marks=max(20, width // 60))
    parts.append(
        f'<line id="cursor" x1="{scale.x(0):.1f}" y1="0" x2="{scale.x(0):.1f}" y2="{HEIGHT}" stroke="#000000"/>'
    )
    parts.append("</svg>")
    return "\n".join(parts)


def _in_words(story: Story) -> str:
    record = story.record
    said = "" if record is None else f", {len(record.turns)} turns, {len(record.tool_calls)} tool calls"
    return f"Timeline of {story.end_ms / 1000:.0f} s{said}, {len(story.silences)} silences over a second"


def _wave(scale: Scale, levels: Levels, lane: str, y: int) -> str:
    """Both halves of a voice's waveform, over its turns."""
    peaks = levels.caller if lane == "caller" else levels.agent
    middle, half = y + 15, 14
    step = max(1, int(1 / (levels.column_ms * scale.px_per_ms)))  # one point a pixel is enough
    points = [
        (scale.x(at), half * max(peaks[n : n + step]))
        for n in range(0, len(peaks), step)
        if (at := levels.start_ms + n * levels.column_ms) >= scale.start_ms
    ]
    if not points:
        return ""
    above = " ".join(f"{x:.1f},{middle - h:.1f}" for x, h in points)
    below = " ".join(f"{x:.1f},{middle + h:.1f}" for x, h in reversed(points))
    return f'<polygon class="wave" points="{above} {below}" fill="#1a202c" opacity="0.55"/>'


def _mark(scale: Scale, mark: Mark) -> str:
    y, height = PLACES["SIP"] if mark.colour == "other" else (TOP, PLACES["SIP"][0] - TOP)
    dash = "" if mark.colour == "other" else ' stroke-dasharray="4 3"'
    x, text = scale.x(mark.ms), f"{mark.ms / 1000:.2f} s {mark.text}"
    line = f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + height}" stroke="{COLOURS[mark.colour]}"'
    return f'{line} stroke-width="2"{dash}><title>{escape(text)}</title></line>'

"""Draws a call's record as a picture: who spoke when, and what ran meanwhile. Pure: a record in, SVG text out."""

from __future__ import annotations

from html import escape

from worker.pages.picture import COLOURS, Scale, axis, bar
from worker.records.record import CallRecord, ToolCallRecord

__all__ = ["draw"]

WIDTH, LEFT, RIGHT = 1200, 92, 24
LANE, TOP = 74, 46


def draw(record: CallRecord) -> str:
    """Return an SVG picture of the record, 1200 px wide, one lane each for caller, agent, fillers and tools."""
    span = max([record.duration_ms, *(turn.end_ms for turn in record.turns), 1000])
    scale = Scale(LEFT, WIDTH - RIGHT, 0, span)
    lanes = ["caller", "agent", "filler", "tool"]
    height = TOP + LANE * len(lanes) + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="15" fill="#1a202c">{escape(_title(record))}</text>',
    ]
    for number, lane in enumerate(lanes):
        y = TOP + LANE * number
        parts.append(f'<text x="12" y="{y + 24}" font-size="13" fill="{COLOURS[lane]}">{lane}</text>')
        parts.append(f'<line x1="{LEFT}" y1="{y + 34}" x2="{WIDTH - RIGHT}" y2="{y + 34}" stroke="#e2e8f0"/>')
        for start_ms, end_ms, text in _bars(record, lane):
            parts += bar(scale, start_ms, end_ms, y + 8, COLOURS[lane], text)
    for barge_in in record.barge_ins:
        x = scale.x(barge_in.at_ms)
        label = f"barge-in: {barge_in.heard_ms} ms heard"
        parts.append(
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 52}" stroke="#c53030" stroke-dasharray="4 3"/>'
        )
        parts.append(f'<text x="{x + 4:.1f}" y="{TOP - 2}" font-size="10" fill="#c53030">{label}</text>')
    parts += axis(scale, height - 34)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _title(record: CallRecord) -> str:
    silence = record.longest_tool_silence_ms
    return f"{record.duration_ms / 1000:.1f} s call, {record.outcome}; longest silence while a tool ran: {silence} ms"


def _bars(record: CallRecord, lane: str) -> list[tuple[int, int, str]]:
    """Return what stands in a lane: start and end (ms), and what is written under it."""
    if lane == "tool":
        return [(call.start_ms, call.start_ms + _took_ms(call), _tool_text(call)) for call in record.tool_calls]
    return [(turn.start_ms, turn.end_ms, turn.text) for turn in record.turns if turn.who == lane]


def _took_ms(call: ToolCallRecord) -> int:
    return (call.wait_ms or 0) + (call.run_ms or 0)


def _tool_text(call: ToolCallRecord) -> str:
    how = f"job, waited {call.wait_ms} ms" if call.mode == "queued" else "inline"
    return f"{call.tool} ({how}): {call.status} after {_took_ms(call)} ms"

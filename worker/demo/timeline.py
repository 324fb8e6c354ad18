"""Draws a call's record as a picture: who spoke when, and what ran meanwhile. Pure: a record in, SVG text out."""

from __future__ import annotations

from html import escape

from worker.records.record import CallRecord, ToolCallRecord

__all__ = ["draw"]

WIDTH, LEFT, RIGHT = 1200, 92, 24
LANE, TOP = 74, 46
COLOURS = {"caller": "#2b6cb0", "agent": "#2f855a", "filler": "#b7791f", "tool": "#6b46c1"}
CHAR_PX = 5.6


def draw(record: CallRecord) -> str:
    """Return an SVG picture of the record, 1200 px wide, one lane each for caller, agent, fillers and tools."""
    span = max([record.duration_ms, *(turn.end_ms for turn in record.turns), 1000])
    scale = (WIDTH - LEFT - RIGHT) / span
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
            x, width = LEFT + start_ms * scale, max(2.0, (end_ms - start_ms) * scale)
            parts += _bar(x, y + 8, width, COLOURS[lane], text)
    for barge_in in record.barge_ins:
        x = LEFT + barge_in.at_ms * scale
        label = f"barge-in: {barge_in.heard_ms} ms heard"
        parts.append(
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 52}" stroke="#c53030" stroke-dasharray="4 3"/>'
        )
        parts.append(f'<text x="{x + 4:.1f}" y="{TOP - 2}" font-size="10" fill="#c53030">{label}</text>')
    parts += _axis(span, scale, height)
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


def _bar(x: float, y: int, width: float, colour: str, text: str) -> list[str]:
    bar = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="26" rx="3" fill="{colour}" opacity="0.85">'
    lines = [f"{bar}<title>{escape(text)}</title></rect>"]
    for row, words in enumerate(_wrap(text, max(8, int(width / CHAR_PX)))[:3]):
        lines.append(f'<text x="{x:.1f}" y="{y + 38 + 11 * row}" font-size="10" fill="#2d3748">{escape(words)}</text>')
    return lines


def _wrap(text: str, columns: int) -> list[str]:
    rows = [""]
    for word in text.split():
        if rows[-1] and len(rows[-1]) + 1 + len(word) > columns:
            rows.append(word)
        else:
            rows[-1] = f"{rows[-1]} {word}".strip()
    return rows


def _axis(span: int, scale: float, height: int) -> list[str]:
    step = next(s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 3600) if span / 1000 / s <= 20 or s == 3600)
    y = height - 34
    lines = [f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#4a5568"/>']
    for second in range(0, int(span / 1000) + 1, step):
        x = LEFT + second * 1000 * scale
        lines.append(f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + 5}" stroke="#4a5568"/>')
        lines.append(
            f'<text x="{x:.1f}" y="{y + 18}" font-size="11" fill="#4a5568" text-anchor="middle">{second} s</text>'
        )
    return lines

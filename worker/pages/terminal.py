"""A call's story in the terminal: what happened in order, why it was silent, how tools and line were."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.pages.happenings import HANDED_OVER, ended, happenings, wrongs
from worker.records.edges import Edge
from worker.records.record import CallRecord
from worker.records.silence_reasons import in_short
from worker.records.story import Story

__all__ = ["print_story"]

STYLES = {"caller": "bold cyan", "agent": "bold green", "filler": "yellow", "tool": "magenta", "silence": "bold red"}


def print_story(story: Story, console: Console) -> None:
    """Print it."""
    _summary(story, console)
    for problem in story.problems:
        console.print(problem, style="bold red", markup=False)
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for name, options in (("at", {"justify": "right"}), ("UTC", {}), ("", {}), ("", {})):
        table.add_column(name, **options)  # type: ignore[arg-type]
    zero = _zero(story)
    for ms, lane, text in sorted(_rows(story), key=lambda row: row[0]):
        style = STYLES.get(lane, "dim")
        at = "" if zero is None else f"{zero + timedelta(milliseconds=ms):%H:%M:%S.%f}"[:12]
        table.add_row(f"{ms / 1000:.2f} s", at, f"[{style}]{lane}[/]", escape(_printable(text)))
    console.print(table)
    _line(story, console)


def _summary(story: Story, console: Console) -> None:
    record = story.record
    console.print(f"call {story.call_id}", "(in progress)" if story.live else "", style="bold", markup=False)
    if record is None:
        console.print("there is no record of it that can be read")
        return
    told = {
        "outcome": f"{record.outcome} ({record.reason})" if record.reason else record.outcome,
        "went wrong": "; ".join(wrongs(story)),
        "silent": "" if story.journal is None else in_short(story.silences),
        "caller": record.caller,
        "dialled": record.dialled,
        "began": record.started_at or "",
        "lasted": f"{story.end_ms / 1000:.1f} s",
        "answered": "never" if record.answered_ms is None else f"after {record.answered_ms} ms",
        "agent": record.agent + (f", route {record.route}" if record.route else ""),
        "model": " ".join(filter(None, (record.provider, record.model))),
        "SIP Call-ID": record.sip_call_id,
        "worker": story.worker,
        "cost": "" if record.cost is None else f"{record.cost.amount:.4f} {record.cost.currency}",
        "tokens": f"{record.usage.input_tokens} in, {record.usage.output_tokens} out" if record.usage else "",
    }
    for name, value in told.items():
        if value:
            console.print(f"  {name:<12} {_printable(value)}", markup=False, highlight=False)


def _zero(story: Story) -> datetime | None:
    """The wall clock at ms 0, where it is known."""
    try:
        return datetime.fromisoformat(story.journal.zero_at) if story.journal is not None else None
    except ValueError:
        return None


def _rows(story: Story) -> Iterator[tuple[int, str, str]]:
    """Everything worth a row: ms, lane, words."""
    record, edges = story.record, story.journal.edges if story.journal is not None else []
    for turn in record.turns if record is not None else ():
        yield turn.start_ms, turn.who, turn.text or "…"
    for call in record.tool_calls if record is not None else ():
        took = f"waited {call.wait_ms} ms, ran {call.run_ms} ms" if call.run_ms is not None else "no run time"
        yield call.start_ms, "tool", f"{call.tool} ({call.mode}): {ended(call)}, {took}, {call.fillers} fillers"
    for one in story.silences:
        yield one.start_ms, "silence", f"{(one.end_ms - one.start_ms) / 1000:.1f} s: {one.words}"
    for happened in happenings(story):
        yield happened.ms, happened.what, happened.words
    for edge in edges:
        if record is not None and _told(edge, record) or edge.what in HANDED_OVER:
            continue  # already
        if (words := _words(edge)) is not None:
            yield edge.ms, *words


def _told(edge: Edge, record: CallRecord) -> bool:
    """Whether the record tells the same: it has more of it."""
    if edge.what == "ConnectionLost":
        return edge.kind == "turn" or any(str(edge.data.get("reason")) in error for error in record.errors)
    owed = [f"no {one.expected}: {one.then}" for one in record.unmet]
    return edge.what in ("BargedIn", "BargeInWithdrawn") or edge.data.get("text") in owed


def _words(edge: Edge) -> tuple[str, str] | None:
    if edge.kind == "sip":
        return "SIP", f"{'→' if edge.data.get('sent') else '←'} {edge.data.get('line')}"
    if edge.what == "BargedIn":
        return "barge-in", f"{edge.data.get('heard_ms')} ms were heard"
    if edge.what == "BargeInWithdrawn":
        return "barge-in", f"withdrawn after {edge.data.get('paused_ms')} ms, by {edge.data.get('by')}"
    if edge.what in ("Noted", "ConnectionLost"):
        return "note", str(edge.data.get("text") or edge.data.get("reason") or edge.what)
    if edge.kind in ("phone", "line"):
        told = ", ".join(f"{name} {value}" for name, value in edge.data.items())
        return "line", f"{edge.what}: {told}" if told else edge.what
    return None


def _line(story: Story, console: Console) -> None:
    quality = story.quality
    if quality is None:
        return
    mos = f", MOS {quality.mos:.1f} (at the worst {quality.least_mos:.1f})" if quality.mos and quality.least_mos else ""
    console.print(f"line: {quality.received} packets in, {quality.lost} lost or too late{mos}", highlight=False)


def _printable(text: str) -> str:
    """Without what a caller's name could do to a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)

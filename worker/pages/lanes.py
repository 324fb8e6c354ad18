"""What stands in the lanes of a call's picture: spans with words, out of its story. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.pages.happenings import happenings
from worker.records.edges import Edge
from worker.records.story import Story

__all__ = ["LANES", "Mark", "Span", "marks_of", "spans_of", "start_of"]

LANES = ("caller", "agent", "filler", "floor", "response", "tool", "silence", "line", "SIP")


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted; times in ms since the answer."""

    start_ms: int
    end_ms: int
    text: str
    colour: str
    """A name of `picture.COLOURS`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened."""

    ms: int
    text: str
    colour: str


def start_of(story: Story) -> int:
    """Return where the call's picture begins: at its first edge, which may be before the answer."""
    edges = story.journal.edges if story.journal is not None else []
    return min([0, *(edge.ms for edge in edges[:50])])


def spans_of(story: Story, lane: str) -> list[Span]:
    """Return what stands in a lane."""
    edges = story.journal.edges if story.journal is not None else []
    if lane in ("caller", "agent", "filler"):
        turns = story.record.turns if story.record is not None else []
        return [Span(turn.start_ms, turn.end_ms, turn.text, lane) for turn in turns if turn.who == lane]
    if lane in ("floor", "response"):
        return list(_states(edges, "floor" if lane == "floor" else "slot", story.end_ms))
    if lane == "tool":
        return list(_tools(story))
    if lane == "silence":
        return [
            Span(one.start_ms, one.end_ms, f"{(one.end_ms - one.start_ms) / 1000:.1f} s: {one.words}", "silence")
            for one in story.silences
        ]
    if lane == "line":
        return list(_line(story))
    return []


def marks_of(story: Story) -> list[Mark]:
    """Return what happened at a moment: barge-ins, consent, approvals, hand-overs, what went wrong, SIP messages."""
    edges = story.journal.edges if story.journal is not None else []
    found = [
        Mark(one.ms, f"{one.what}: {one.words}", "silence" if one.wrong or one.what == "barge-in" else "other")
        for one in happenings(story)
    ]
    for edge in edges:
        if edge.what == "BargedIn" and story.record is None:
            found.append(Mark(edge.ms, f"barge-in: {edge.data.get('heard_ms')} ms heard", "silence"))
        elif edge.what == "BargeInWithdrawn" and story.record is None:
            found.append(Mark(edge.ms, f"barge-in withdrawn: paused for {edge.data.get('paused_ms')} ms", "other"))
        elif edge.kind == "sip":
            found.append(Mark(edge.ms, f"{'→' if edge.data.get('sent') else '←'} {edge.data.get('line')}", "other"))
        elif edge.kind == "line":
            found.append(Mark(edge.ms, f"underruns: {edge.data.get('underruns')}", "silence"))
        elif edge.what in ("Noted", "ConnectionLost"):
            found.append(Mark(edge.ms, str(edge.data.get("text") or edge.data.get("reason") or edge.what), "silence"))
    return found


FLOOR_COLOURS = {"caller": "caller", "agent": "agent", "filler": "filler"}
SLOT_COLOURS = {"requested": "filler", "active": "agent", "cancelling": "silence"}


def _states(edges: Iterable[Edge], name: str, end_ms: int) -> Iterable[Span]:
    """The times in which the floor, or the slot, is taken."""
    colours = FLOOR_COLOURS if name == "floor" else SLOT_COLOURS
    state, since = "", 0
    for edge in edges:
        now = edge.data.get(name) if edge.kind == "turn" else None
        if isinstance(now, str) and now != state:
            if state in colours:
                yield Span(since, edge.ms, state, colours[state])
            state, since = now, edge.ms
    if state in colours and end_ms > since:
        yield Span(since, end_ms, state, colours[state])


def _tools(story: Story) -> Iterable[Span]:
    for call in story.record.tool_calls if story.record is not None else ():
        took = None if call.run_ms is None and call.wait_ms is None else (call.wait_ms or 0) + (call.run_ms or 0)
        end = story.end_ms if took is None else call.start_ms + took
        how = f"job, waited {call.wait_ms} ms" if call.mode == "queued" else call.mode
        yield Span(call.start_ms, max(end, call.start_ms), f"{call.tool} ({how}): {call.status}", "tool")


def _line(story: Story) -> Iterable[Span]:
    for span in story.quality.spans if story.quality is not None else ():
        if span.mos is not None:
            colour = "agent" if span.mos >= 4 else "filler" if span.mos >= 3 else "silence"
            lost = f", {span.lost} lost" if span.lost else ""
            yield Span(span.start_ms, span.end_ms, f"MOS {span.mos:.1f}{lost}, jitter {span.jitter_ms:.0f} ms", colour)

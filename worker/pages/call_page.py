"""A call's page as HTML: what happened, the timeline, why it was silent, and every edge. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.pages.happenings import ended, happenings, wrongs
from worker.pages.markup import Markup, el, joined, page
from worker.pages.story_picture import draw_names, draw_story
from worker.pages.waveform import Levels
from worker.records.edges import Edge
from worker.records.record import OUTCOMES, CallRecord, ToolCallRecord
from worker.records.silence_reasons import in_short
from worker.records.story import Story

__all__ = ["EDGES", "call_page", "moving", "not_found_page"]

EDGES = 500
"""Edges on one page of them."""


@dataclass(frozen=True, slots=True)
class _Times:
    """Writes times as links into the recording, where there is one: they work without script, too."""

    call_id: str
    recorded: bool

    def at(self, ms: int, text: str = "") -> Markup:
        words = text or f"{ms / 1000:.2f} s"
        if not self.recorded or ms < 0:
            return el("span", words, class_="at", data_ms=ms)
        href = f"/calls/{self.call_id}/recording#t={ms / 1000:.2f}"
        return el("a", words, class_="at", href=href, data_ms=ms)


def call_page(story: Story, levels: Levels | None = None, part: int = 0) -> str:
    """Return the page. part: which of the pages of edges is shown, from 0."""
    call_id = story.call_id
    live = el("strong", "in progress", class_="live") if story.live else None
    header = el("header", el("a", "All calls", href="/calls"), " ", el("h1", f"Call {call_id}"), live)
    events = f"/calls/{call_id}/events" if story.live else None
    main = el("main", moving(story, levels, part), id="story", data_events=events)
    return page(f"Call {call_id}", header, main)


def moving(story: Story, levels: Levels | None = None, part: int = 0) -> Markup:
    """Return what of the page changes while a call goes on."""
    times = _Times(story.call_id, story.recorded and not (story.live or story.sealed))
    return joined(
        [el("p", problem, class_="problem", role="alert") for problem in story.problems],
        _summary(story),
        _timeline(story, times, levels),
        _silences(story, times),
        _conversation(story, times),
        _tools(story, times),
        _happenings(story, times),
        _line(story, times),
        _ladder(story, times),
        _edges(story, times, part),
    )


def not_found_page(what: str) -> str:
    """Return what is said instead of a call's page."""
    return page(
        "No such call", el("header", el("a", "All calls", href="/calls"), el("h1", "No such call")), el("p", what)
    )


def _section(title: str, *content: Markup | list[Markup] | None, name: str) -> Markup:
    return el("section", el("h2", title, id=name), *content, aria_labelledby=name)


def _table(caption: str, heads: Iterable[str], rows: Iterable[Markup]) -> Markup:
    head = el("tr", [el("th", one, scope="col") for one in heads])
    return el("table", el("caption", caption), el("thead", head), el("tbody", list(rows)))


def _row(*cells: str | Markup | None) -> Markup:
    return el("tr", [el("td", cell) for cell in cells])


# --- the parts --------------------------------------------------------------------------------------------------------


def _summary(story: Story) -> Markup:
    record = story.record
    if record is None:
        return el("p", "There is no record of this call that can be read.")
    pairs: list[tuple[str, str | Markup]] = [
        ("Outcome", _outcome(record)),
        ("Went wrong", "; ".join(wrongs(story))),
        ("Silent", "" if story.journal is None else el("a", in_short(story.silences), href="#silences-h")),
        ("Caller", " ".join(filter(None, (record.display_name, record.caller)))),
        ("Dialled", record.dialled),
        ("Began", record.started_at or ""),
        ("Lasted", f"{story.end_ms / 1000:.1f} s"),
        ("Answered", "never" if record.answered_ms is None else f"after {record.answered_ms} ms"),
        ("Agent", record.agent + (f", route {record.route}" if record.route else "")),
        ("Model", " ".join(filter(None, (record.provider, record.model)))),
        ("SIP Call-ID", record.sip_call_id),
        ("Worker", story.worker),
        ("Diverted from", ", ".join(record.diverted_from)),
        ("Account", record.account),
        ("Calls back", record.calls_back or ""),
        ("Tokens", _usage(record)),
        ("Cost", "" if record.cost is None else f"{record.cost.amount:.4f} {record.cost.currency}"),
    ]
    return el("dl", [(el("dt", name), el("dd", value)) for name, value in pairs if value])


def _outcome(record: CallRecord) -> str:
    meaning = OUTCOMES.get(record.outcome)  # type: ignore[call-overload]
    because = f" ({record.reason})" if record.reason else ""
    return f"{record.outcome}{because}" + (f": {meaning}" if meaning else "")


def _usage(record: CallRecord) -> str:
    usage = record.usage
    if usage is None:
        return ""
    told = f"{usage.input_tokens} in ({usage.cached_tokens} cached), {usage.output_tokens} out"
    return f"{told}, {usage.responses} response{'s' if usage.responses != 1 else ''}"


def _timeline(story: Story, times: _Times, levels: Levels | None) -> Markup:
    scroller = el(
        "div",
        Markup(draw_story(story, levels)),
        id="scroller",
        class_="scroller",
        tabindex=0,
        role="group",
        aria_label="Timeline; the arrow keys move the position, space plays",
    )
    player = None
    if times.recorded:
        source = f"/calls/{story.call_id}/recording"
        player = el("p", el("audio", id="audio", controls=True, preload="metadata", src=source), el("output", id="now"))
    elif story.sealed:
        player = el("p", "The recording is encrypted: who has the secret key hears it by offhook decrypt.")
    elif story.live and story.recorded:
        player = el("p", "The recording can be heard here when the call is over.")
    return _section("Timeline", el("div", Markup(draw_names()), scroller, class_="timeline"), player, name="timeline-h")


def _silences(story: Story, times: _Times) -> Markup:
    if story.journal is None:
        return _section("Silences", el("p", "Without a journal nobody knows."), name="silences-h")
    if not story.silences:
        return _section("Silences", el("p", "None over a second."), name="silences-h")
    rows = [
        _row(
            times.at(one.start_ms),
            f"{(one.end_ms - one.start_ms) / 1000:.1f} s",
            one.words,
            ", then ".join(f"{phase.why.value} {phase.ms} ms" for phase in one.phases),
        )
        for one in story.silences
    ]
    table = _table("Every silence over a second, and why", ("at", "for", "because", "in detail"), rows)
    return _section("Silences", table, name="silences-h")


def _conversation(story: Story, times: _Times) -> Markup:
    turns = story.record.turns if story.record is not None else []
    rows = [
        _row(times.at(turn.start_ms), f"{(turn.end_ms - turn.start_ms) / 1000:.1f} s", turn.who, turn.text or "…")
        for turn in turns
    ]
    table = _table("What was said, and when it was heard", ("at", "for", "who", "words"), rows)
    return _section("Conversation", table if rows else el("p", "Nobody spoke."), name="turns-h")


def _tools(story: Story, times: _Times) -> Markup | None:
    calls: list[ToolCallRecord] = story.record.tool_calls if story.record is not None else []
    if not calls:
        return None
    rows = [
        _row(
            times.at(call.start_ms),
            call.tool,
            call.mode,
            ended(call),
            "" if call.wait_ms is None else f"{call.wait_ms} ms",
            "" if call.run_ms is None else f"{call.run_ms} ms",
            str(call.fillers),
            call.job_id or "",
        )
        for call in calls
    ]
    heads = ("at", "tool", "mode", "status", "waited", "ran", "fillers", "job")
    return _section("Tool calls", _table("Each with its job", heads, rows), name="tools-h")


def _happenings(story: Story, times: _Times) -> Markup | None:
    found = happenings(story)
    if not found:
        return None
    rows = [_row(times.at(one.ms), one.what, el("strong", one.words) if one.wrong else one.words) for one in found]
    caption = "Consent and recording, approvals, barge-ins, hand-overs, and what the provider owed"
    return _section("What else happened", _table(caption, ("at", "what", ""), rows), name="happened-h")


def _line(story: Story, times: _Times) -> Markup | None:
    quality = story.quality
    if quality is None:
        return None
    worst = f", at the worst {quality.least_mos:.1f}" if quality.least_mos is not None else ""
    told = [
        f"The caller's voice: {quality.received} packets, {quality.lost} lost or too late",
        f", MOS {quality.mos:.1f}{worst}. " if quality.mos is not None else ". ",
        f"The agent's: {quality.sent} packets",
        f", {quality.their_lost} lost" if quality.their_lost is not None else "",
        f", MOS {quality.their_mos:.1f}."
        if quality.their_mos is not None
        else "; the other side does not say how it came.",
    ]
    rows = [
        _row(
            times.at(span.end_ms),
            str(span.received),
            str(span.lost),
            f"{span.jitter_ms:.0f} ms",
            "" if span.mos is None else f"{span.mos:.1f}",
            "" if span.their_lost is None else str(span.their_lost),
            "" if span.round_trip_ms is None else f"{span.round_trip_ms:.0f} ms",
        )
        for span in quality.spans
    ]
    heads = ("until", "packets in", "lost", "jitter", "MOS", "lost there", "round trip")
    table = _table("Report by report; MOS is estimated by the E-model (ITU-T G.107)", heads, rows)
    return _section("The line", el("p", "".join(told)), el("details", el("summary", "Reports"), table), name="line-h")


def _ladder(story: Story, times: _Times) -> Markup | None:
    messages = [edge for edge in _all_edges(story) if edge.kind == "sip"]
    if not messages:
        return None
    rows = []
    for edge in messages:
        sent, line = bool(edge.data.get("sent")), str(edge.data.get("line"))
        arrow = el("span", el("span", line), class_="arrow left" if sent else "arrow right")
        says = "sent: " if sent else "received: "
        rows.append(_row(times.at(edge.ms), edge.at[11:23], joined(el("span", says, class_="unseen"), arrow)))
    table = _table("The other side is left, we are right", ("at", "wall clock (UTC)", "message"), rows)
    return _section("SIP", table, name="sip-h")


def _edges(story: Story, times: _Times, part: int) -> Markup | None:
    edges = _all_edges(story)
    if not edges:
        return None
    parts = -(-len(edges) // EDGES)
    part = min(max(part, 0), parts - 1)
    rows = [
        _row(times.at(edge.ms), edge.at[11:23], edge.kind, edge.what, _data(edge))
        for edge in edges[part * EDGES : (part + 1) * EDGES]
    ]
    links = [
        el("a", str(number + 1), href=f"?edges={number}#edges-h", aria_current="page" if number == part else None)
        for number in range(parts)
    ]
    counted = story.journal.counted if story.journal is not None else {}
    left = story.journal.left_out if story.journal is not None else {}
    also = [f"{count} {name}, counted only" for name, count in counted.items()]
    also += [f"{count} earlier edges of {kind} let go" for kind, count in left.items()]
    table = _table("; ".join([f"{len(edges)} edges", *also]), ("at", "wall clock (UTC)", "kind", "what", ""), rows)
    pages = el("nav", [(link, " ") for link in links], aria_label="Pages of edges") if parts > 1 else None
    opened = part > 0
    body = el("details", el("summary", "All that the journal has"), table, id="edges", open=opened)
    return _section("Edges", pages, body, name="edges-h")


def _data(edge: Edge) -> str:
    shown = {name: value for name, value in edge.data.items() if name != "commands"}
    told = " ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in shown.items())
    commands = edge.data.get("commands")
    words = (
        [_command(command) for command in commands if isinstance(command, dict)] if isinstance(commands, list) else []
    )
    return f"{told} → {', '.join(words)}" if words else told


def _command(command: Mapping[str, object]) -> str:
    more = ", ".join(f"{name}={value}" for name, value in command.items() if name != "command")
    return f"{command.get('command')}({more})"


def _all_edges(story: Story) -> list[Edge]:
    return story.journal.edges if story.journal is not None else []

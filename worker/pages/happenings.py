"""What happened in a call besides words and tools: consent, pauses, approvals, barge-ins, hand-overs. Pure.

Page, picture and terminal tell the same. The record has most of it and needs no journal; hand-overs by `[refer]` are
edges of the telephone. What callers type or say is in none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.records.record import CallRecord, ToolCallRecord, UnmetRecord
from worker.records.story import Story
from worker.turns.expectations import Then

__all__ = ["HANDED_OVER", "Happening", "ended", "happenings", "wrongs"]

HANDED_OVER = ("HandOverBegan", "HandOverEnded")
"""Edges of the telephone that are told here."""
MEANS = {"refer": "the other side asked us to dial (REFER)", "replaces": "another call takes its place (Replaces)"}
PAUSED_FOR = {
    "agent": "the agent paused it",
    "digits": "digits for a tool alone were typed",
    "hand-over": "somebody else is on the line, who was not asked",
}


FAILED = ("failed", "timeout", "invalid", "unavailable", "unknown", "unknown_tool")
"""Ends of a tool call that somebody should look into."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One of them; ms since the answer. what: consent, recording, approval, barge-in, transfer,
    hand-over, provider, or answered.

    wrong: whether somebody who looks for a fault should see it first.
    """

    ms: int
    what: str
    words: str
    wrong: bool = False


def happenings(story: Story) -> list[Happening]:
    """Return all of a call's, in order."""
    found = [] if story.record is None else [*_recording(story.record), *_approvals(story.record)]
    if story.record is not None:
        found += [*_voices(story.record), *_elsewhere(story.record), *_owed(story.record)]
    return sorted([*found, *_handed_over(story)], key=lambda one: one.ms)


def wrongs(story: Story) -> list[str]:
    """Return what went wrong in a call, a line each: errors (an apology's reason is one), tool calls, and the rest."""
    record = story.record
    errors = [] if record is None else record.errors
    failed = [] if record is None else [call for call in record.tool_calls if call.status in FAILED]
    owed = [] if record is None else [_owed_words(one) for one in record.unmet if one.then != Then.APOLOGY]
    others = [f"{one.what}: {one.words}" for one in happenings(story) if one.wrong and one.what != "provider"]
    return [
        *errors,
        *(f"{call.tool}: {ended(call)}" for call in failed),
        *(f"provider: {one}" for one in owed),
        *others,
    ]


def ended(call: ToolCallRecord) -> str:
    """Return how a tool call ended, and why."""
    return f"{call.status} ({call.detail})" if call.detail else call.status


def _recording(record: CallRecord) -> Iterator[Happening]:
    consent = record.consent
    if consent is not None:
        yield Happening(consent.asked_ms, "consent", "the caller is asked whether the call may be recorded")
        if consent.answered_ms is not None:
            answer = "given" if consent.given else "not given: the call is not recorded"
            yield Happening(consent.answered_ms, "consent", f"{answer}{_by(consent.by, consent.why)}")
    if record.recorded_from_ms is not None:
        yield Happening(record.recorded_from_ms, "recording", "begins")
    for pause in record.pauses:
        until = "to the end" if pause.until_ms is None else f"for {(pause.until_ms - pause.at_ms) / 1000:.1f} s"
        yield Happening(pause.at_ms, "recording", f"silent {until}: {PAUSED_FOR.get(pause.why, pause.why)}")


def _approvals(record: CallRecord) -> Iterator[Happening]:
    for one in record.approvals:
        yield Happening(one.wanted_ms, "approval", f"{one.number}: {one.tool} waits for it")
        if one.answered_ms is not None:
            answer = "approved" if one.approved else "declined"
            yield Happening(one.answered_ms, "approval", f"{one.number}: {one.tool} {answer}{_by(one.by, one.why)}")


def _voices(record: CallRecord) -> Iterator[Happening]:
    for cut in record.barge_ins:
        words = f"the agent was cut off: {cut.heard_ms} ms were heard, silent {cut.stopped_in_ms} ms later"
        yield Happening(cut.at_ms, "barge-in", words)
    for none in record.withdrawn:
        words = f"withdrawn ({none.by}): the agent paused for {none.paused_ms} ms after {none.heard_ms} ms, and went on"
        yield Happening(none.at_ms, "barge-in", words)


def _elsewhere(record: CallRecord) -> Iterator[Happening]:
    for one in record.transfers:
        status = f", SIP {one.sip_status}" if one.sip_status is not None else ""
        line = f", second line {one.second_line}" if one.second_line else ""
        words = f"to {one.to} ({one.way}, {one.means}): {one.outcome}{status} after {one.took_ms} ms{line}"
        yield Happening(one.at_ms, "transfer", words, one.outcome == "failed")
    if record.answered_by is not None:
        yield Happening(0, "answered", f"by {record.answered_by}, by sound and words")


def _owed(record: CallRecord) -> Iterator[Happening]:
    for one in record.unmet:
        yield Happening(one.at_ms, "provider", _owed_words(one), True)


def _owed_words(one: UnmetRecord) -> str:
    because = f" ({one.reason})" if one.reason else ""
    return f"no {one.expected} within {one.waited_ms / 1000:.1f} s: {one.then}{because}"


def _handed_over(story: Story) -> Iterator[Happening]:
    for edge in story.journal.edges if story.journal is not None else ():
        if edge.what not in HANDED_OVER:
            continue
        means = str(edge.data.get("means"))
        if edge.what == "HandOverBegan":
            yield Happening(edge.ms, "hand-over", f"begins: {MEANS.get(means, means)}")
            continue
        status = edge.data.get("status")
        done = status == 200
        words = "done: the call goes on with somebody else" if done else f"refused with SIP {status}: the call stays"
        yield Happening(edge.ms, "hand-over", words, not done)


def _by(by: str, why: str) -> str:
    told = ": ".join(filter(None, (by, why)))
    return f" (by {told})" if told else ""

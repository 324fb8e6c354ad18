"""Judges a call: what was expected, against its record and what its caller told. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.eval.eval_file import Expect, Said, ToolExpected
from worker.records.record import CallRecord, ToolCallRecord, TurnRecord

__all__ = ["Evidence", "ToolSeen", "Verdict", "judge", "longest_wait_ms"]


@dataclass(frozen=True, slots=True)
class ToolSeen:
    """A tool call as the worker told of it. arguments: JSON, as the model wrote them; None: not known."""

    tool: str
    arguments: str | None


@dataclass(slots=True)
class Evidence:
    """What is known of a call once it is over."""

    record: CallRecord | None = None
    """None: there is none."""
    tools: list[ToolSeen] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    """What the caller's ears understood, in order."""
    said: list[str] = field(default_factory=list)
    """What the caller said, in order."""
    answered: bool = False
    problems: list[str] = field(default_factory=list)
    """Why the call did not go as its caller meant it to, or could not be made."""
    status: int | None = None
    """The SIP status of its end."""
    late_ms: int = 0
    """How late the caller's media clock was at the worst: its machine's doing, not the agent's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement. detail: what was found."""

    what: str
    passed: bool
    detail: str = ""
    shown: bool = False
    """The detail is told where it passed, too."""


def judge(expect: Expect, evidence: Evidence) -> list[Verdict]:
    """Judge a call. That it was answered, and went by its plan, is always expected."""
    verdicts = [_went(evidence)]
    verdicts += [_heard(pattern, evidence.heard) for pattern in expect.heard]
    if not expect.needs_record:
        return verdicts
    record = evidence.record
    if record is None:
        return [*verdicts, Verdict("record", False, "there is no record of the call")]
    if expect.outcome is not None:
        verdicts.append(Verdict(f"outcome {expect.outcome}", record.outcome == expect.outcome, _how(record)))
    if expect.no_errors:
        verdicts.append(Verdict("no errors", not record.errors, "; ".join(record.errors)))
    if expect.never_silent_over is not None:
        most, at_ms = longest_wait_ms(record)
        what = f"never silent over {expect.never_silent_over:g} s"
        found = f"{most / 1000:.1f} s from {at_ms / 1000:.1f} s on"
        verdicts.append(Verdict(what, most <= expect.never_silent_over * 1000, found))
    verdicts += [_tool(tool, record.tool_calls, evidence.tools) for tool in expect.tools]
    verdicts += [_said(said, record.turns) for said in expect.said]
    return verdicts


def longest_wait_ms(record: CallRecord) -> tuple[int, int]:
    """Return the longest time in which the caller heard no voice and had not the word, and when it began (ms).

    From the answer, from the end of anybody's words, to the agent's or a filler's next, or to the end of the call after
    the caller's words. What passes between the agent's words and the caller's next is the caller's own time; the soft
    tone is no voice.
    """
    longest, began = 0, 0
    spoken_to, by_agent = 0, False
    for turn in sorted(record.turns, key=lambda turn: turn.start_ms):
        wait = turn.start_ms - spoken_to
        if wait > longest and not (turn.who == "caller" and (by_agent or spoken_to == 0)):
            longest, began = wait, spoken_to
        if turn.end_ms >= spoken_to:
            spoken_to, by_agent = turn.end_ms, turn.who != "caller"
    wait = record.duration_ms - spoken_to
    if wait > longest and not by_agent:
        longest, began = wait, spoken_to
    return longest, began


def _went(evidence: Evidence) -> Verdict:
    if evidence.problems:
        heard = [f"heard: {_listed(evidence.heard)}"] if evidence.heard else []
        return Verdict("the call went by its plan", False, "; ".join([*evidence.problems, *heard]))
    if not evidence.answered:
        return Verdict("the call went by its plan", False, f"it was not answered (SIP {evidence.status})")
    return Verdict("the call went by its plan", True)


def _heard(pattern: str, heard: Sequence[str]) -> Verdict:
    found = any(re.search(pattern, text) for text in heard)
    return Verdict(f"heard {pattern!r}", found, "" if found else f"heard: {_listed(heard)}")


def _how(record: CallRecord) -> str:
    return f"{record.outcome} ({record.reason})" if record.reason else record.outcome


def _tool(expected: ToolExpected, calls: Sequence[ToolCallRecord], seen: Sequence[ToolSeen]) -> Verdict:
    """By the record's count; where arguments are wanted, by what the worker told of these."""
    what = f"{expected.name} called {expected.times} time{'' if expected.times == 1 else 's'}"
    own = [call for call in calls if call.tool == expected.name]
    if expected.arguments is None:
        count = len(own)
        detail = f"{count} in all; called were: {_listed([call.tool for call in calls])}"
    else:
        what += f" with {json.dumps(expected.arguments, ensure_ascii=False)}"
        told = [one.arguments for one in seen if one.tool == expected.name]
        count = sum(_has(arguments, expected.arguments) for arguments in told)
        detail = f"{count} in all; its calls had {_listed([one or 'arguments unknown' for one in told])}"
    passed = count == expected.times
    if expected.status is not None:
        what += f", each {expected.status}"
        statuses = [call.status for call in own]
        passed = passed and all(status == expected.status for status in statuses)
        detail += f"; ended: {_listed(statuses)}"
    return Verdict(what, passed, detail)


def _has(arguments: str | None, wanted: dict[str, object]) -> bool:
    """Whether the arguments have these values; further ones don't matter."""
    try:
        given = json.loads(arguments or "")
    except ValueError:
        return False
    return isinstance(given, dict) and all(key in given and given[key] == value for key, value in wanted.items())


def _said(expected: Said, turns: Sequence[TurnRecord]) -> Verdict:
    within = "" if expected.within is None else f" within {expected.within:g} s"
    after = "" if expected.after is None else f" after {expected.after!r}"
    what = f"said {expected.text!r}{within}{after}"
    since = 0
    if expected.after is not None:
        ends = [turn.end_ms for turn in turns if turn.who == "caller" and _fits(expected.after, turn.text)]
        if not ends:
            words = [turn.text for turn in turns if turn.who == "caller"]
            return Verdict(what, False, f"the caller's words were written down as: {_listed(words)}")
        since = ends[0]
    own = [turn for turn in turns if turn.who != "caller" and turn.end_ms > since]
    fits = [turn for turn in own if _fits(expected.text, turn.text)]
    if not fits:
        return Verdict(what, False, f"said was: {_listed([turn.text for turn in own])}")
    took = max(0, fits[0].start_ms - since) / 1000
    return Verdict(what, expected.within is None or took <= expected.within, f"after {took:.1f} s")


def _fits(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _listed(texts: Sequence[str]) -> str:
    return " | ".join(text or "(nothing)" for text in texts) or "nothing"

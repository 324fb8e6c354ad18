"""What happened besides words and tools is told by page, picture and terminal alike."""

from __future__ import annotations

import html
import io
import re

from rich.console import Console

from worker.pages.call_page import call_page
from worker.pages.happenings import happenings, wrongs
from worker.pages.story_picture import draw_story
from worker.pages.terminal import print_story
from worker.records.edges import Edge, JournalFile
from worker.records.record import (
    ApprovalRecord,
    BargeInRecord,
    CallRecord,
    ConsentRecord,
    PauseRecord,
    ToolCallRecord,
    TransferRecord,
    UnmetRecord,
    WithdrawnRecord,
)
from worker.records.story import Story, story_of


def edge(ms: int, what: str, **data: object) -> Edge:
    return Edge.model_validate(
        {"ms": ms, "at": "2026-11-26T07:24:48.316Z", "kind": "phone", "what": what, "data": data}
    )


RECORD = CallRecord(
    call_id="c1",
    duration_ms=60_000,
    consent=ConsentRecord(asked_ms=500, answered_ms=2500, given=True, by="voice", why="yes"),
    recorded_from_ms=2600,
    pauses=[PauseRecord(at_ms=5000, until_ms=9000, why="digits"), PauseRecord(at_ms=50_000, why="agent")],
    approvals=[
        ApprovalRecord(number=1, tool="pay", tool_call_id="t", wanted_ms=10_000, answered_ms=12_000, by="key"),
    ],
    barge_ins=[BargeInRecord(at_ms=13_000, heard_ms=800, stopped_in_ms=40)],
    withdrawn=[WithdrawnRecord(at_ms=14_000, heard_ms=900, paused_ms=600, by="length")],
    transfers=[TransferRecord(at_ms=20_000, to="sales", way="blind", means="refer", outcome="busy", sip_status=486)],
    unmet=[UnmetRecord(at_ms=30_000, expected="audio begun", waited_ms=6000, then="asked again")],
    answered_by="person",
)
HANDED = [
    edge(40_000, "HandOverBegan", means="refer"),
    edge(41_000, "HandOverEnded", means="refer", status=486),
    edge(45_000, "HandOverBegan", means="replaces"),
    edge(45_100, "HandOverEnded", means="replaces", status=200),
]
TOLD = [
    (0, "answered", "by person, by sound and words"),
    (500, "consent", "the caller is asked whether the call may be recorded"),
    (2500, "consent", "given (by voice: yes)"),
    (2600, "recording", "begins"),
    (5000, "recording", "silent for 4.0 s: digits for a tool alone were typed"),
    (10_000, "approval", "1: pay waits for it"),
    (12_000, "approval", "1: pay declined (by key)"),
    (13_000, "barge-in", "the agent was cut off: 800 ms were heard, silent 40 ms later"),
    (14_000, "barge-in", "withdrawn (length): the agent paused for 600 ms after 900 ms, and went on"),
    (20_000, "transfer", "to sales (blind, refer): busy, SIP 486 after 0 ms"),
    (30_000, "provider", "no audio begun within 6.0 s: asked again"),
    (40_000, "hand-over", "begins: the other side asked us to dial (REFER)"),
    (41_000, "hand-over", "refused with SIP 486: the call stays"),
    (45_000, "hand-over", "begins: another call takes its place (Replaces)"),
    (45_100, "hand-over", "done: the call goes on with somebody else"),
    (50_000, "recording", "silent to the end: the agent paused it"),
]


def story(record: CallRecord = RECORD) -> Story:
    zero = "2026-11-26T07:24:48.316Z"
    return story_of("c1", record, JournalFile(call_id="c1", zero_at=zero, end_ms=60_000, edges=HANDED))


def test_all_of_it_is_told_in_order() -> None:
    assert [(one.ms, one.what, one.words) for one in happenings(story())] == TOLD


def test_page_picture_and_terminal_have_it_once_each() -> None:
    page = html.unescape(re.sub(r"<svg.*?</svg>", "", call_page(story()), flags=re.S))
    picture = html.unescape(draw_story(story()))
    print_story(story(), Console(file=(out := io.StringIO()), width=300))
    wrong = " ".join(wrongs(story()))  # stands at the top, too
    for _, what, words in TOLD:
        often = times(words) + (words in wrong)
        assert page.count(words) == often, words
        assert f"{what}: {words}" in picture, words
        assert out.getvalue().count(words) == often, words


def times(words: str) -> int:
    return sum(words in other for _, _, other in TOLD)


def test_a_consent_that_was_not_given_says_what_follows() -> None:
    consent = ConsentRecord(asked_ms=1, answered_ms=9000, by="nobody", why="silence")
    told = [one.words for one in happenings(story(CallRecord(call_id="c1", consent=consent)))]
    assert "not given: the call is not recorded (by nobody: silence)" in told


def test_a_call_of_which_nothing_else_is_known_has_no_such_part() -> None:
    assert "What else happened" not in call_page(story_of("c1", CallRecord(call_id="c1"), None))


def test_what_went_wrong_stands_first_with_its_reason_and_each_fault_once() -> None:
    late = ToolCallRecord(tool="order_status", mode="queued", status="timeout", detail="it never started")
    good = ToolCallRecord(tool="hours", mode="inline", status="ok")
    lost = "realtime connection lost (1006 the connection was cut)"
    record = RECORD.model_copy(update={"errors": [lost], "tool_calls": [late, good], "approvals": []})
    gone = {"code": 1006, "reason": "the connection was cut"}
    edges = [
        edge(30_000, "Noted", text="no audio begun: asked again"),
        edge(31_000, "ConnectionLost", **gone).model_copy(update={"kind": "provider"}),
        edge(31_000, "ConnectionLost", **gone).model_copy(update={"kind": "turn"}),
        edge(31_000, "Noted", text=lost),
        edge(50_000, "ConnectionLost", code=1000, reason="recycled").model_copy(update={"kind": "provider"}),
    ]
    told = story_of("c1", record, JournalFile(call_id="c1", end_ms=60_000, edges=edges))
    owed = "provider: no audio begun within 6.0 s: asked again"
    assert wrongs(told) == [lost, "order_status: timeout (it never started)", owed]
    print_story(told, Console(file=(out := io.StringIO()), width=300))
    rows = [line.partition(" note ")[2].strip() for line in out.getvalue().splitlines() if " note " in line]
    assert rows == [lost, "recycled"]
    assert "no audio begun: asked again" not in out.getvalue()
    for text in (out.getvalue(), html.unescape(call_page(told))):
        assert f"{lost}; order_status: timeout (it never started); {owed}" in text

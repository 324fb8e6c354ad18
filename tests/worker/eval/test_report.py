"""JUnit, page and lines: whole, and safe whatever was said."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

from worker.eval.judge import Evidence, Verdict
from worker.eval.plan import Act, Plan, Step
from worker.eval.report import Result, junit, lines, page_of
from worker.records.record import CallRecord, TurnRecord

NASTY = 'a <b> & "c" \x00\x1b ]]> </style><script>alert(1)</script> ü'
PLAN = Plan(
    scenario=NASTY,
    number=1,
    seed=5,
    steps=(Step(act=Act(say="hi"), after_s=1, patience_s=2),),
    patience_s=2,
    noise_db=12,
)
RECORD = CallRecord(call_id="c", duration_ms=900, turns=[TurnRecord(who="agent", text=NASTY, start_ms=0, end_ms=900)])
GOOD = Result(PLAN, [Verdict("outcome completed", True, "completed")], 3.25)
BAD = Result(
    PLAN.model_copy(update={"number": 2}),
    [Verdict("outcome completed", True), Verdict("no errors", False, NASTY)],
    1.5,
    Evidence(record=RECORD, heard=[NASTY, ""], said=["hi"]),
)


def test_a_judge_s_reason_is_told_in_any_case() -> None:
    reasoned = Result(PLAN, [Verdict("judged: It is polite.", True, "It says please.", shown=True)], 1.0)
    told = "passed judged: It is polite.: It says please."
    assert told in "\n".join(lines([reasoned]))
    assert told in (ElementTree.fromstring(junit("e", [reasoned])).findtext(".//system-out") or "")
    assert "It says please." in page_of("e", 1, [reasoned], "")


def test_junit_has_a_case_for_each_call() -> None:
    top = ElementTree.fromstring(junit("evals", [GOOD, BAD]))
    (suite,) = top.findall("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    good, bad = suite.findall("testcase")
    assert good.find("failure") is None and good.get("time") == "3.250"
    failure = bad.find("failure")
    assert failure is not None and (failure.get("message") or "").startswith("no errors: a <b> &")
    assert (bad.findtext("system-out") or "").endswith("the caller understood: (nothing)")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_needs_nothing_else_and_escapes_what_was_said() -> None:
    tags, text = Tags(), page_of("evals", 7, [GOOD, BAD], "p { color: red }")
    tags.feed(text)
    assert tags.open == []
    assert "script" not in tags.seen and "link" not in tags.seen
    assert tags.seen.count("section") == 2 and tags.seen.count("svg") == 1
    assert "1 of 2 calls passed; seed 7." in text and "12 dB under the voice" in text


def test_the_lines_say_what_failed() -> None:
    found = lines([GOOD, BAD])
    assert found[0].startswith("passed  ") and found[1].startswith("FAILED  ")
    assert found[2].strip().startswith("no errors: a <b>") and found[-1] == "1 of 2 passed"


def test_a_failure_on_a_machine_that_was_too_busy_says_so() -> None:
    late = Result(PLAN, [Verdict("no errors", False, "x")], 1.0, Evidence(late_ms=340))
    assert any("up to 340 ms late: this machine was too busy" in line for line in lines([late]))
    assert "340 ms late" in (ElementTree.fromstring(junit("e", [late])).findtext(".//system-out") or "")
    fine = Result(PLAN, [Verdict("no errors", False, "x")], 1.0, Evidence(late_ms=20))
    assert "late" not in "\n".join(lines([fine]))

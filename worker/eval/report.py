"""What is told of an evaluation: JUnit XML, a page, lines for the terminal. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from worker.eval.judge import Evidence, Verdict
from worker.eval.plan import Plan
from worker.pages.markup import Markup, el
from worker.pages.timeline import draw

__all__ = ["Result", "junit", "lines", "page_of"]

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (section 2.2) has no character for."""


LATE_MS = 100
"""A media clock that is so late cuts holes into what both sides hear: such a failure says little of the agent."""


@dataclass(frozen=True, slots=True)
class Result:
    """One call, judged."""

    plan: Plan
    verdicts: Sequence[Verdict]
    took_s: float
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def passed(self) -> bool:
        """Whether all of it is as expected."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def failures(self) -> list[Verdict]:
        """What is not."""
        return [verdict for verdict in self.verdicts if not verdict.passed]


def lines(results: Sequence[Result]) -> list[str]:
    """Return a line for each call, and below it one for each thing that is not as expected."""
    found = []
    for result in results:
        found.append(f"{'passed' if result.passed else 'FAILED'}  {result.plan.name}  ({result.took_s:.1f} s)")
        if not result.passed and result.evidence.late_ms >= LATE_MS:
            found.append(f"        {_late(result.evidence.late_ms)}")
        told = [verdict for verdict in result.verdicts if verdict.shown or not verdict.passed]
        found += [f"        {_judged(verdict)}{verdict.what}: {verdict.detail}" for verdict in told]
    passed = sum(result.passed for result in results)
    return [*found, f"{passed} of {len(results)} passed"]


def _judged(verdict: Verdict) -> str:
    """What stands before one that is told either way."""
    return ("passed " if verdict.passed else "FAILED ") if verdict.shown else ""


def _late(late_ms: int) -> str:
    return (
        f"the caller's own audio came up to {late_ms} ms late: this machine was too busy; try fewer at once (at_once)"
    )


def junit(name: str, results: Sequence[Result]) -> str:
    """Return JUnit's XML: a test case for each call, its class the scenario."""
    failed = sum(not result.passed for result in results)
    counts = {"tests": str(len(results)), "failures": str(failed), "errors": "0"}
    took = f"{sum(result.took_s for result in results):.3f}"
    top = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(top, "testsuite", {"name": _xml(name), **counts, "time": took})
    for result in results:
        names = {"classname": _xml(result.plan.scenario), "name": _xml(result.plan.name)}
        case = ElementTree.SubElement(suite, "testcase", {**names, "time": f"{result.took_s:.3f}"})
        if result.failures:
            text = [f"{verdict.what}: {verdict.detail}" for verdict in result.failures]
            failure = ElementTree.SubElement(case, "failure", {"message": _xml(text[0])})
            failure.text = _xml("\n".join(text))
        ElementTree.SubElement(case, "system-out").text = _xml(_told(result))
    ElementTree.indent(top)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(top, "unicode")}\n'


def page_of(name: str, seed: int, results: Sequence[Result], style: str) -> str:
    """Return a whole page that needs nothing else. style: the CSS of our pages."""
    passed = sum(result.passed for result in results)
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"Evaluation: {name}"),
        el("style", Markup(style)),
    )
    summary = el("p", f"{passed} of {len(results)} calls passed; seed {seed}.")
    body = el("main", summary, _table(results), [_call(number, result) for number, result in enumerate(results, 1)])
    return "<!doctype html>\n" + el("html", head, el("body", el("header", el("h1", name)), body), lang="en")


def _table(results: Sequence[Result]) -> Markup:
    heads = el("tr", [el("th", head, scope="col") for head in ("call", "verdict", "took", "not as expected")])
    rows = []
    for number, result in enumerate(results, 1):
        wrong = "; ".join(verdict.what for verdict in result.failures)
        link = el("a", result.plan.name, href=f"#call-{number}")
        cells = (link, _word(result.passed), f"{result.took_s:.1f} s", wrong)
        rows.append(el("tr", [el("td", cell) for cell in cells]))
    return el("table", el("thead", heads), el("tbody", rows))


def _call(number: int, result: Result) -> Markup:
    rows = [
        el("tr", el("td", _word(verdict.passed)), el("td", verdict.what), el("td", verdict.detail))
        for verdict in result.verdicts
    ]
    record = result.evidence.record
    plan = result.plan
    lost = f"packets lost: {plan.packet_loss_percent} %; " if plan.packet_loss_percent else ""
    noise = "none" if plan.noise_db is None else f"{plan.noise_db:g} dB under the voice"
    about = el("p", f"noise: {noise}; frames silenced: {plan.loss_percent:g} %; {lost}seed of the line: {plan.seed}")
    turns = [] if record is None else [f"{turn.start_ms / 1000:.1f} s {turn.who}: {turn.text}" for turn in record.turns]
    return el(
        "section",
        el("h2", plan.name, id=f"call-{number}"),
        about,
        el("table", el("tbody", rows)),
        None if record is None else Markup(draw(record)),
        el("details", el("summary", "what was said"), el("ol", [el("li", turn) for turn in turns])) if turns else None,
    )


def _word(passed: bool) -> Markup:
    return Markup("passed") if passed else el("strong", "FAILED")


def _told(result: Result) -> str:
    told = [
        f"{'passed' if verdict.passed else 'FAILED'} {verdict.what}" + (f": {verdict.detail}" if verdict.shown else "")
        for verdict in result.verdicts
    ]
    told += [_late(result.evidence.late_ms)] if result.evidence.late_ms >= LATE_MS else []
    told += [f"the caller said: {text}" for text in result.evidence.said]
    told += [f"the caller understood: {text or '(nothing)'}" for text in result.evidence.heard]
    return "\n".join(told)


def _xml(text: str) -> str:
    return NOT_XML.sub("?", text)

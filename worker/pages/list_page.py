"""The list of calls as HTML, with its search; and the page that asks for the token. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from worker.pages.markup import Markup, el, page
from worker.records.archive import Summary
from worker.records.record import IN_PROGRESS, OUTCOMES
from worker.records.search import Found

__all__ = ["list_page", "token_page"]


def list_page(found: Found, asked: Mapping[str, str]) -> str:
    """Return the list. asked: what was searched for, by the names of the form."""
    calls, others = found.calls, any(call.worker for call in found.calls)
    rows = [_call(call, others) for call in calls]
    names = ("began (UTC)", "caller", "dialled", "agent", "for", "outcome", *(["worker"] if others else []))
    heads = el("tr", [el("th", name, scope="col") for name in names])
    more = ", and more: search for less" if found.more else ""
    caption = f"{len(calls)} call{'' if len(calls) == 1 else 's'}{more}"
    table = el("table", el("caption", caption), el("thead", heads), el("tbody", rows))
    body = table if rows else el("p", "No call fits." if any(asked.values()) else "No call yet.")
    silent = [el("p", f"{words}.", class_="problem", role="status") for words in found.silent]
    return page("Calls", el("header", el("h1", "Calls")), el("main", _form(asked), silent, body))


def _call(call: Summary, others: bool) -> Markup:
    state = el("strong", call.outcome, class_="live") if call.live else call.outcome
    began = el("a", call.started_at[:19].replace("T", " ") or call.call_id, href=f"/calls/{call.call_id}")
    cells = [began, call.caller, call.dialled, call.agent, f"{call.duration_ms / 1000:.0f} s", state]
    cells += [call.worker or "this one"] if others else []
    return el("tr", [el("td", cell) for cell in cells])


def _form(asked: Mapping[str, str]) -> Markup:
    def field(label: str, name: str, kind: str) -> Markup:
        box = el("input", type=kind, name=name, id=name, value=asked.get(name, ""))
        return el("span", el("label", label, for_=name), box)

    outcomes = [
        el("option", outcome or "any", value=outcome, selected=asked.get("outcome", "") == outcome)
        for outcome in ("", IN_PROGRESS, *OUTCOMES)
    ]
    choice = el("span", el("label", "Outcome", for_="outcome"), el("select", outcomes, name="outcome", id="outcome"))
    return el(
        "form",
        field("Caller", "caller", "search"),
        field("From (UTC)", "since", "datetime-local"),
        field("To (UTC)", "until", "datetime-local"),
        choice,
        el("button", "Search", type="submit"),
        method="get",
        action="/calls",
        role="search",
    )


def token_page(to: str, *, wrong: bool = False) -> str:
    """Return the form that asks for the token. to: the path that was wanted. wrong: another one was given."""
    form = el(
        "form",
        el("label", "Token (OFFHOOK_HTTP_TOKEN of this worker)", for_="token"),
        el("input", type="password", name="token", id="token", autocomplete="current-password", required=True),
        el("input", type="hidden", name="to", value=to),
        el("button", "Show the calls", type="submit"),
        method="post",
        action="/calls/token",
    )
    said = el("p", "That was not it.", class_="problem", role="alert") if wrong else None
    return page("Calls: token", el("header", el("h1", "Calls")), el("main", said, form))

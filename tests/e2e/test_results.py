"""What the model gets of a tool: pages of what is too large, no internals of what fails, words for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from parts.caller import Call
from parts.provider import ANSWER_HZ, Session
from parts.services import OwnDesk

Dial = Callable[[], tuple[Call, Session, str]]
COUNT = 3000
FAILED = {"status": "failed", "error": "The tool failed, and nothing more is known about why."}
UNREADABLE = {
    "status": "failed",
    "error": "The tool did run, and what it does is done. Only its answer can't be read."
    " Don't call it again to get the answer.",
}


def asks(session: Session, *calls: tuple[str, Mapping[str, Any] | str]) -> list[dict[str, Any]]:
    """One response with all of these calls; returns what the model gets."""
    response = session.begin()
    ids = [session.call(response, *call) for call in calls]
    session.end(response)
    return [session.output(one) for one in ids]


@pytest.mark.parametrize("tool", ["articles", "articles_here"])
def test_a_result_that_is_too_large_is_read_page_by_page(dial_workshop: Dial, workshop: OwnDesk, tool: str) -> None:
    call, session, call_id = dial_workshop()
    [short] = asks(session, (tool, {"count": COUNT}))
    assert short["truncated"] is True and short["bytes"] > 64 * 1024
    assert (
        short["outline"] == {"result": [f"{COUNT} items, such as", {"article": "Ä0", "price": 0}]} or short["outline"]
    )
    handle, pages = short["handle"], short["pages"]
    assert f"more(handle, page), page 1 to {pages}" in short["note"]
    assert len(json.dumps(short)) < 1000
    call.hears_tone(ANSWER_HZ, 500)

    read = asks(session, *(("more", {"handle": handle, "page": page}) for page in range(1, pages + 1)))
    assert [one["page"] for one in read] == list(range(1, pages + 1)) and {one["pages"] for one in read} == {pages}
    whole = json.loads("".join(one["text"] for one in read))
    assert whole == {"result": [{"article": f"Ä{number}", "price": number} for number in range(COUNT)]}
    past, unknown = asks(session, ("more", {"handle": handle, "page": 99}), ("more", {"handle": "none", "page": 1}))
    assert past["error"] == f"There is no page 99: it has {pages}."
    assert unknown["error"] == "That answer is not kept any more."

    _, other, _ = dial_workshop()
    assert asks(other, ("more", {"handle": handle, "page": 1})) == [unknown], "it belongs to one call"
    call.hang_up()
    used = workshop.worker.record(call_id)["tool_calls"]
    assert [one["status"] for one in used] == ["ok"] * (1 + pages) + ["failed"] * 2


def test_what_went_wrong_is_for_the_log_and_not_for_the_model(
    dial_workshop: Dial, workshop: OwnDesk, shop_key: str
) -> None:
    call, session, call_id = dial_workshop()
    queued, inline, words = asks(session, ("leak", {}), ("leak_here", {}), ("sold_out", {}))
    assert queued == inline == FAILED
    assert words == {"status": "failed", "error": "That article is sold out until May."}, "its own words"
    call.hears_tone(ANSWER_HZ, 500)
    for internal in ("ConnectionError", "vault", "workshop", "Traceback", shop_key):
        assert internal not in json.dumps(session.received[1:]), "beyond the settings"
    call.hang_up()
    record = workshop.worker.record(call_id)
    assert [one["status"] for one in record["tool_calls"]] == ["failed"] * 3

    outcomes = {one["tool"]: one["detail"] for one in workshop.worker.logged("tool_outcome", call_id=call_id)}
    assert outcomes["leak"].startswith("ConnectionError at workshop.py:")
    assert outcomes["leak_here"].startswith("ConnectionError at workshop.py:")
    for tool, programs in (("leak", workshop.tool_workers), ("leak_here", [workshop.worker])):
        lines = [json.loads(line) for program in programs for line in program.err if '"tool_raised"' in line]
        # An inline tool's line names no call, and other scenes have it raise, too: the last is this one's.
        raised = [one for one in lines if one["tool"] == tool and call_id in one.get("job_id", call_id)][-1]
        assert "ConnectionError: vault.internal refuses [redacted]" in raised["exception"]
        assert "raise ConnectionError(" in raised["exception"], "with the place"


def test_a_result_is_json_or_it_is_none(dial_workshop: Dial, workshop: OwnDesk) -> None:
    call, session, call_id = dial_workshop()
    kinds = {
        "parcel": {"weight": 1.5, "labels": ["fragile", "Ä"]},
        "nothing": {"result": None},
        "text": {"result": "wrapped"},
        "date": {"days": ["Monday", "2026-01-01"]},
        "set": {"sizes": [1, 2]},
        "no number": UNREADABLE,
        "bytes": UNREADABLE,
        "of nobody's kind": UNREADABLE,
    }
    for tool in ("give", "give_here"):
        assert asks(session, *((tool, {"kind": kind}) for kind in kinds)) == list(kinds.values())
    call.hears_tone(ANSWER_HZ, 500)
    call.hang_up()
    assert len(workshop.worker.record(call_id)["tool_calls"]) == 2 * len(kinds)
    details = [one["detail"] for one in workshop.worker.logged("tool_outcome", call_id=call_id, status="failed")]
    for place in ("a bytes at result['0']", "a object at result['lock']", "a float that is no number at result"):
        assert sum(place in detail for detail in details) == 2, (place, details)


def test_wrong_arguments_have_words_by_which_the_model_mends_them(dial_workshop: Dial, workshop: OwnDesk) -> None:
    call, session, call_id = dial_workshop()
    right = {"colour": "red", "count": 2}
    wrong: dict[str, tuple[str, Mapping[str, Any] | str]] = {
        "'count' is missing": ("order_lamps", {"colour": "red"}),
        "'count'": ("order_lamps", {**right, "count": "many"}),
        "'colour'": ("order_lamps", {**right, "colour": "blue"}),
        "'day'": ("order_lamps", {**right, "day": "soon"}),
        "'size'": ("order_lamps", {**right, "size": 3}),
        "JSON": ("order_lamps", '{"colour": "red", '),
        "object": ("order_lamps", '["red", 2]'),
        "Did you mean 'order_lamps'?": ("order_lamp", right),
    }
    for told, output in zip(wrong, asks(session, *wrong.values()), strict=True):
        assert told in output["error"], output
        assert output["status"] == ("unknown_tool" if "mean" in told else "invalid")
    assert not workshop.marks("lamps"), "nothing ran"
    assert asks(session, ("order_lamps", {**right, "day": "2026-01-01"})) == [{**right, "orders": 1}]
    call.hears_tone(ANSWER_HZ, 500)
    call.hang_up()
    statuses = [one["status"] for one in workshop.worker.record(call_id)["tool_calls"]]
    assert statuses == ["invalid"] * 7 + ["unknown_tool", "ok"]

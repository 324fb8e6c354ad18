"""The picture of a call: well-formed, to scale, and made of what the record says."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from worker.pages.timeline import LEFT, RIGHT, WIDTH, draw
from worker.records.record import BargeInRecord, CallRecord, ToolCallRecord, TurnRecord

SVG = "{http://www.w3.org/2000/svg}"


def record(**fields: object) -> CallRecord:
    base = {
        "call_id": "c1",
        "outcome": "completed",
        "duration_ms": 10_000,
        "turns": [
            TurnRecord(who="caller", text="where is order <427> & co", start_ms=1000, end_ms=3000),
            TurnRecord(who="filler", text="One moment.", start_ms=4000, end_ms=5000),
            TurnRecord(who="agent", text="It is shipped.", start_ms=6000, end_ms=9000),
        ],
    }
    return CallRecord.model_validate(base | fields)


def bars(picture: str) -> dict[str, tuple[float, float]]:
    """Title -> x and width of each bar."""
    found = {}
    for rect in ET.fromstring(picture).iter(f"{SVG}rect"):
        title = rect.find(f"{SVG}title")
        if title is not None:
            found[title.text or ""] = (float(rect.get("x", "")), float(rect.get("width", "")))
    return found


def test_bars_are_to_scale_and_their_words_are_text() -> None:
    scale = (WIDTH - LEFT - RIGHT) / 10_000
    found = bars(draw(record()))
    assert set(found) == {"where is order <427> & co", "One moment.", "It is shipped."}
    x, width = found["It is shipped."]
    assert x == pytest.approx(LEFT + 6000 * scale, abs=0.1) and width == pytest.approx(3000 * scale, abs=0.1)


def test_nothing_is_drawn_outside_the_picture() -> None:
    late = record(turns=[TurnRecord(who="agent", text="late", start_ms=11_000, end_ms=14_000)])
    for picture in (draw(record()), draw(late)):
        assert all(x >= LEFT and x + width <= WIDTH - RIGHT + 2 for x, width in bars(picture).values())


def test_a_call_in_which_nothing_happened_can_be_drawn() -> None:
    root = ET.fromstring(draw(CallRecord(call_id="", reason="the caller never reached the worker")))
    assert root.tag == f"{SVG}svg"


def test_a_tool_and_a_barge_in_are_drawn() -> None:
    picture = draw(
        record(
            tool_calls=[
                ToolCallRecord(tool="order_status", mode="queued", start_ms=3500, status="ok", wait_ms=20, run_ms=1500)
            ],
            barge_ins=[BargeInRecord(at_ms=7000, heard_ms=1000, stopped_in_ms=3)],
        )
    )
    title = next(title for title in bars(picture) if "order_status" in title)
    assert "ok" in title and "1520 ms" in title
    assert "1000 ms heard" in picture


def test_a_tool_without_times_is_drawn_all_the_same() -> None:
    assert "unknown_tool" in draw(record(tool_calls=[ToolCallRecord(tool="x", mode="inline", status="unknown_tool")]))


@pytest.mark.parametrize("minutes", [0.01, 0.5, 5, 60, 600])
def test_the_axis_has_a_sane_number_of_marks(minutes: float) -> None:
    texts = [t.text or "" for t in ET.fromstring(draw(record(duration_ms=round(minutes * 60_000)))).iter(f"{SVG}text")]
    marks = [text for text in texts if text.endswith(" s") and text[:-2].isdigit()]
    assert 1 < len(marks) <= 22

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tools import ToolError
from tools.builtin import orders
from tools.builtin.clock import current_time, described
from tools.builtin.orders import DATABASE, build, look_up
from tools.define.loading import load_tools


def test_one_is_inline_and_one_is_queued() -> None:
    assert {spec.name: spec.mode for spec in load_tools(["tools.builtin"])} == {
        "current_time": "inline",
        "order_status": "queued",
    }


def test_a_moment_in_words() -> None:
    moment = datetime(2026, 3, 5, 7, 4, tzinfo=ZoneInfo("Europe/Berlin"))
    assert described(moment) == {
        "time": "07:04",
        "date": "2026-03-05",
        "weekday": "Thursday",
        "timezone": "CET",
    }


def test_the_time_in_a_zone_and_in_none() -> None:
    assert current_time("Asia/Tokyo")["timezone"] == "JST"
    assert set(current_time()) == {"time", "date", "weekday", "timezone"}
    for wrong in ("Mars/Olympus", "../etc/passwd", "\0"):
        with pytest.raises(ToolError, match="not known"):
            current_time(wrong)


def test_an_order_is_found_however_its_number_is_written() -> None:
    for written in ("427", " 4 2 7 ", "#427", "order 4-2-7"):
        assert look_up(written) == {
            "order": "427",
            "status": "shipped",
            "carrier": "DHL",
            "arrives": "Thursday",
        }
    assert look_up("304") == {"order": "304", "status": "waiting for payment"}


def test_an_unknown_order_says_so() -> None:
    assert look_up("999") == {"found": False, "order": "999"}
    assert look_up("'; DROP TABLE orders; --")["found"] is False


def test_the_shipped_file_is_the_one_that_build_makes(tmp_path: Path) -> None:
    fresh = tmp_path / "orders.sqlite"
    build(fresh)
    build(fresh)
    query = "SELECT * FROM orders ORDER BY number"
    with sqlite3.connect(fresh) as one, sqlite3.connect(DATABASE) as other:
        assert one.execute(query).fetchall() == other.execute(query).fetchall()
    one.close()
    other.close()
    assert len(orders.ORDERS) >= 20


def test_the_look_up_works_on_a_read_only_file(tmp_path: Path) -> None:
    fresh = tmp_path / "a folder" / "orders.sqlite"
    fresh.parent.mkdir()
    build(fresh)
    fresh.chmod(0o400)
    fresh.parent.chmod(0o500)
    try:
        assert look_up("427", database=fresh)["status"] == "shipped"
    finally:
        fresh.parent.chmod(0o700)

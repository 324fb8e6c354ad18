from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, model_serializer

from tools.errors import ToolError
from tools.limits import RESULT_LIMIT
from tools.tool_call.outcome import WORDS, Outcome, failure, raised, returned

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_what_json_can_hold_comes_through(value: Any) -> None:
    outcome = returned(value)
    assert outcome.status == "ok"
    expected = value if isinstance(value, dict) else {"result": value}
    assert json.loads(outcome.output) == expected


class Model(BaseModel):
    when: datetime


@dataclass
class Point:
    x: int


def test_models_and_dataclasses_become_objects() -> None:
    assert json.loads(returned(Model(when=datetime(2026, 1, 2))).output) == {"when": "2026-01-02T00:00:00"}
    assert json.loads(returned(Point(3)).output) == {"x": 3}


class Left(BaseModel):
    @model_serializer
    def leave(self) -> str:
        raise SystemExit


loop: list[Any] = []
loop.append(loop)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"a": [1, {complex}]}, "a type at result['a']['1']['0'];"),
        ({object(): 1}, "a object as a key of result;"),
        (Left(), "a Left at result;"),
        ([1.0, float("nan")], "a float that is no number at result['1'];"),
        (b"\xff", "a bytes at result;"),
        ("\ud800", "text that is no valid Unicode at result"),
        (loop, "something nested deeper than 100 levels"),
        (object, "a type at result;"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(value: Any, what: str) -> None:
    outcome = returned(value)
    assert outcome.status == "failed"
    assert outcome.detail.startswith(f"the tool returned {what}")
    told = json.loads(outcome.output)
    assert told["status"] == "failed" and told["error"].startswith("The tool did run")


class Colour(Enum):
    RED = "red"


@dataclass
class Order:
    due: date
    price: Decimal
    colour: Colour = Colour.RED


UID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("value", "json_value"),
    [
        (Decimal("12.30"), "12.30"),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00Z"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(9, 30), "09:30:00"),
        (timedelta(hours=1), "PT1H"),
        (UID, str(UID)),
        (Colour.RED, "red"),
        ({3}, [3]),
        (frozenset("a"), ["a"]),
        (b"text", "text"),
        (Path("a/b"), "a/b"),
        ([Model(when=datetime(2026, 1, 2))], [{"when": "2026-01-02T00:00:00"}]),
        ({date(2026, 1, 2): Colour.RED}, {"2026-01-02": "red"}),
        (Order(date(2026, 1, 2), Decimal(3)), {"due": "2026-01-02", "price": "3", "colour": "red"}),
        ({"orders": [Order(date(2026, 1, 2), Decimal(3))]},)
        + ({"orders": [{"due": "2026-01-02", "price": "3", "colour": "red"}]},),
    ],
)
def test_what_pydantic_knows_is_made_json_its_way(value: Any, json_value: Any) -> None:
    outcome = returned(value)
    assert outcome.status == "ok", outcome.detail
    assert json.loads(outcome.output) == (json_value if isinstance(json_value, dict) else {"result": json_value})


def test_the_size_cap_counts_bytes_and_is_exact() -> None:
    fits = "é" * ((RESULT_LIMIT - len('{"result":""}')) // 2)
    assert "truncated" not in returned(fits).output
    outcome = returned(fits + "é")
    cut = json.loads(outcome.output)
    assert outcome.status == "ok" and cut["truncated"] is True and cut["beginning"].startswith('{"result":"éé')
    assert len(outcome.output.encode()) < RESULT_LIMIT


def boom(error: Exception) -> Outcome:
    try:
        raise error
    except Exception as caught:
        return raised(caught)


def test_an_exception_s_message_stays_out_of_what_the_model_and_the_outcome_s_detail_have() -> None:
    outcome = boom(ValueError("password hunter2"))
    assert "hunter2" not in outcome.output + outcome.detail
    assert outcome.detail.startswith("ValueError at test_outcome.py:")


def test_a_tool_error_is_said() -> None:
    assert json.loads(boom(ToolError("Closed today.")).output) == {
        "status": "failed",
        "error": "Closed today.",
    }


def test_an_outcome_survives_the_way_through_redis() -> None:
    outcome = failure("timeout", detail="x").of_job("j").with_times(wait_ms=1, run_ms=2)
    back = Outcome.from_dict(json.loads(json.dumps(outcome.as_dict())))
    assert back.of_job("j") == outcome


@pytest.mark.parametrize("alien", [None, 3, {}, {"status": "ok"}, {"status": "great", "output": ""}, "Unserializable"])
def test_what_is_no_outcome_is_a_failed_one(alien: object) -> None:
    assert Outcome.from_dict(alien).status == "failed"


def test_every_failure_has_words() -> None:
    for status in WORDS:
        assert json.loads(failure(status).output)["error"] == WORDS[status]

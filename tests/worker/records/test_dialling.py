"""How a call of ours came about, or did not, by its events."""

from __future__ import annotations

import pytest

from telephony import events as phone
from worker.records.dialling import Dialling


def told(*events: phone.CallEvent) -> dict[str, object]:
    dialling = Dialling()
    for at, event in enumerate(events, 1):
        dialling.take(event, at * 100.0)
    return dialling.record.model_dump()


def test_it_rang_an_announcement_came_and_somebody_answered() -> None:
    found = told(
        phone.CallProgress("c", 100, "Trying"),
        phone.CallProgress("c", 180, "Ringing"),
        phone.CallProgress("c", 183, "Session Progress", early_media=True),
        phone.CallConfirmed("c"),
        phone.CallEnded("c", 200, "OK", "caller"),
    )
    assert found == {"outcome": "answered", "rang_ms": 200, "early_media": True, "sip_status": 200, "cause": None}


@pytest.mark.parametrize(
    ("status", "cause", "outcome"),
    [
        (486, None, "busy"),
        (600, None, "busy"),
        (603, 21, "declined"),
        (608, None, "declined"),
        (480, None, "no_answer"),
        (408, None, "no_answer"),
        (503, 17, "busy"),
        (480, 17, "busy"),
        (503, 19, "no_answer"),
        (500, 21, "declined"),
        (404, 1, "failed"),
        (302, None, "failed"),
        (486, 19, "busy"),
    ],
)
def test_what_a_refusal_means(status: int, cause: int | None, outcome: str) -> None:
    found = told(phone.CallEnded("c", status, "", "caller", 0, cause))
    assert (found["outcome"], found["sip_status"], found["cause"]) == (outcome, status, cause)


def test_who_does_not_answer_in_time() -> None:
    found = told(phone.CallProgress("c", 180, ""), phone.CallEnded("c", 487, "Request Terminated", "agent"))
    assert (found["outcome"], found["sip_status"]) == ("no_answer", None)

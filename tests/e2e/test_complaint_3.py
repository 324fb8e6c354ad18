"""Complaint 3: a caller interrupts, and the booking is lost, or made twice.

The provider does what models do in the field: it books again when it is told that the booking was given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parts.caller import Call
from parts.program import until
from parts.provider import ANSWER_HZ, FILLER_HZ, WORDS_HZ, Provider, Session
from parts.services import OwnDesk, errand_desk

Talk = tuple[Call, Session, str]


@pytest.fixture(scope="module")
def shared_desk(own_folder: Path, provider_server: Provider) -> Iterator[OwnDesk]:
    desk = errand_desk(own_folder, provider_server.url)
    yield desk
    assert desk.stop() == 0, desk.worker.text()


def moves_on(session: Session, booking: str, name: str, words: str) -> None:
    """The caller's next turn. Told that the booking was given up, a model books again."""
    session.caller_says(words)
    if session.outputs(booking) and session.output(booking) != {"done": name}:
        session.calls("book", {"name": name})
    session.says(WORDS_HZ, 400, "I am at it.")


def is_booked_once(our_desk: OwnDesk, call_id: str, name: str) -> None:
    assert len(our_desk.marks(f"{name}.started")) == len(our_desk.marks(f"{name}.ended")) == 1
    [record] = our_desk.worker.record(call_id)["tool_calls"]
    assert (record["tool"], record["status"]) == ("book", "ok")


def test_complaint_3_a_barge_in_does_not_cancel_the_booking(call_up: Callable[[], Talk], our_desk: OwnDesk) -> None:
    """Naive: the tool is a task of the response, and ends with it. Twice into fillers, once into nothing."""
    call, session, call_id = call_up()
    booking = session.calls("book", {"name": "kept"})
    process = our_desk.begun("kept")
    call.hears_tone(FILLER_HZ, 200)
    for words in ("hello", "are you there"):
        heard_ms = call.listen().now_ms
        moves_on(session, booking, "kept", words)
        call.hears_tone(WORDS_HZ, 300, after=heard_ms)
    assert our_desk.marks("kept.ended") == [] and session.outputs(booking) == 0
    our_desk.open("kept")
    open_ms = call.listen().now_ms
    assert session.output(booking) == {"done": "kept"}
    call.hears_tone(ANSWER_HZ, 500, after=open_ms)
    call.hang_up()
    assert [pid for pid, _ in our_desk.marks("kept.started")] == [process] and session.outputs(booking) == 1
    is_booked_once(our_desk, call_id, "kept")


def test_complaint_3_a_result_that_is_interrupted_is_not_lost(call_up: Callable[[], Talk], our_desk: OwnDesk) -> None:
    """Naive: the result goes with the response that was to say it; the model knows nothing, and books again."""
    call, session, call_id = call_up()
    session.answers = False
    booking = session.calls("book", {"name": "told"})
    our_desk.open("told")
    assert session.output(booking) == {"done": "told"}
    session.wait("response.create", lambda m: m["response"].get("metadata", {}).get("purpose") != "filler")
    response = session.begin()
    session.speak(response, ANSWER_HZ, 3000, words="It is booked for Thursday.")
    call.hears_tone(ANSWER_HZ, 200)
    speech = session.caller_starts()
    session.end(response, status="cancelled")
    session.wait("conversation.item.truncate")
    session.caller_stops(speech, "what did you say")
    session.says(WORDS_HZ, 600, "It is booked.")
    call.hears_tone(WORDS_HZ, 560)
    call.hang_up()
    assert session.outputs(booking) == 1 and session.got("conversation.item.delete") == []
    is_booked_once(our_desk, call_id, "told")


def test_complaint_3_the_response_that_books_is_itself_interrupted(
    call_up: Callable[[], Talk], our_desk: OwnDesk
) -> None:
    """Naive: what a cancelled response has called counts for nothing; but it was begun, and is to be told."""
    call, session, call_id = call_up()
    response = session.begin()
    session.speak(response, WORDS_HZ, 3000, words="I book that for you.", end=False)
    call.hears_tone(WORDS_HZ, 200)
    booking = session.call(response, "book", {"name": "begun"})
    our_desk.begun("begun")
    speech = session.caller_starts()
    session.end(response, status="cancelled")
    session.caller_stops(speech, "for two please")
    heard_ms = call.listen().now_ms
    session.says(WORDS_HZ, 300, "Yes, for two.")
    call.hears_tone(WORDS_HZ, 200, after=heard_ms)
    our_desk.open("begun")
    assert session.output(booking) == {"done": "begun"}
    call.hears_tone(ANSWER_HZ, 500, after=heard_ms)
    until(lambda: [one["tools_pending"] for one in our_desk.worker.calls()] == [[]], "nothing is pending")
    call.hang_up()
    assert session.outputs(booking) == 1
    is_booked_once(our_desk, call_id, "begun")

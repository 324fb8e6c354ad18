"""What becomes of a call of ours, by who answers: the rules alone, then a session between a bridge and a provider."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from telephony.resample import Resampler
from tests.worker.call.test_screening import quiet, speech, tone
from worker.agent.agent import AgentOutbound
from worker.call.answering import Answering, Begin, Leave, LeaveMessage, Step

MESSAGE = AgentOutbound(on_machine="message", message="Please call us back.")
PERSON = quiet(400) + speech(600) + quiet(1500)
MACHINE = quiet(300) + speech(8000) + quiet(500)
SILENCE = bytes(16 * 1000)


def steps(answering: Answering, *pieces: bytes) -> list[Step]:
    pcm = b"".join(pieces)
    return [step for at in range(0, len(pcm), 640) for step in answering.hear(pcm[at : at + 640])]


def test_the_agent_begins_once_a_person_waits() -> None:
    answering = Answering(AgentOutbound())
    assert steps(answering, quiet(400) + speech(600)) == [] and answering.holding
    assert steps(answering, quiet(1500)) == [Begin()]
    assert not answering.holding and answering.answerer == "person"
    assert steps(answering, speech(20_000), quiet(30_000)) == [] and answering.over, "a person may talk for long"


def test_on_a_silent_line_the_agent_begins_but_with_nothing_private() -> None:
    assert steps(Answering(AgentOutbound()), SILENCE * 20) == [Begin()]
    answering = Answering(AgentOutbound(), private=True)
    assert steps(answering, SILENCE * 8) == [] and answering.holding
    assert steps(answering, SILENCE * 8) == [Leave("nobody spoke")]
    spoken_late = Answering(AgentOutbound(), private=True)
    assert steps(spoken_late, SILENCE * 6, PERSON) == [Begin()]


def test_a_machine_is_hung_up_on() -> None:
    answering = Answering(AgentOutbound())
    assert steps(answering, MACHINE, SILENCE * 60) == [Leave("answering machine")] and answering.over


@pytest.mark.parametrize("end", [tone(400) + quiet(4000), quiet(6000)], ids=["beep", "silence"])
def test_a_message_is_left_once_the_machine_listens(end: bytes) -> None:
    answering = Answering(MESSAGE, private=True)
    assert steps(answering, MACHINE) == []
    assert steps(answering, end) == [LeaveMessage("Please call us back.")]
    assert answering.holding, "what the machine says meanwhile is nothing for the model"
    assert steps(answering, SILENCE * 90, tone(400), quiet(500)) == []


@pytest.mark.parametrize("end", [tone(400) + quiet(4000), quiet(6000)], ids=["beep", "silence"])
def test_it_listens_at_the_rate_of_the_call(end: bytes) -> None:
    wide = Resampler(8000, 16_000).process(MACHINE + end)
    assert steps(Answering(MESSAGE, rate_hz=16_000), wide) == [LeaveMessage("Please call us back.")]
    silent = Answering(AgentOutbound(), private=True, rate_hz=16_000)
    assert steps(silent, SILENCE * 20) == [] and silent.holding, "10 s"


def test_a_machine_that_never_ends_gets_no_message() -> None:
    assert steps(Answering(MESSAGE), *(speech(900) + quiet(200) for _ in range(70))) == [Leave("answering machine")]


def test_it_may_go_on_as_with_a_person() -> None:
    policy = AgentOutbound(on_machine="go_on")
    assert steps(Answering(policy), MACHINE, tone(400), quiet(3000)) == [Begin()]


def test_what_is_private_is_not_gone_on_with_to_a_machine() -> None:
    answering = Answering(AgentOutbound(on_machine="go_on"), private=True)
    assert steps(answering, MACHINE, tone(400), quiet(3000)) == [Leave("answering machine")]


def test_a_person_who_turns_out_to_be_a_machine() -> None:
    by_beep = Answering(MESSAGE)
    assert steps(by_beep, PERSON, speech(3000), tone(400), quiet(500)) == [
        Begin(),
        LeaveMessage("Please call us back."),
    ]
    by_words = Answering(AgentOutbound())
    assert steps(by_words, PERSON) == [Begin()]
    assert by_words.read("Who is this?") == []
    assert by_words.read("Please leave a message after the tone.") == [Leave("answering machine")]
    assert by_words.read("Please leave a message after the tone.") == []


def test_a_policy_needs_its_message() -> None:
    with pytest.raises(ValidationError, match="needs message = "):
        AgentOutbound(on_machine="message")

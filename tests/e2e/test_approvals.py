"""A tool call that wants somebody's approval: by voice, by key, by an operator; and what approves nothing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call
from parts.program import until
from parts.provider import ANSWER_HZ, FILLER_HZ, WORDS_HZ, Provider, Session, is_no_filler
from parts.services import OwnDesk, Worker

TREASURY = Path(__file__).parent / "parts" / "treasury.py"
TOKEN = "a-token-that-nobody-guesses"
AGENT = f"""
goodbye = "Goodbye."
[tools]
modules = ["{TREASURY}"]
approval_seconds = 25
[fillers]
tone = false
"""

Talk = Callable[[], tuple[Call, Session, str]]


@pytest.fixture(scope="module")
def shared_desk(own_folder: Path, provider_server: Provider) -> Iterator[OwnDesk]:
    agent = own_folder / "agent.toml"
    agent.write_text(AGENT)
    desk = OwnDesk(own_folder, agent, provider_server.url, OFFHOOK_APPROVAL_TOKEN=TOKEN)
    yield desk
    assert desk.worker.alive, desk.worker.text()
    assert desk.stop() == 0, desk.worker.text()


def questions(session: Session) -> list[str]:
    """The words that the session was given for each asking."""
    asked = session.got("response.create", is_approval)
    return [one["response"]["instructions"].removeprefix("Say exactly: ") for one in asked]


def is_approval(request: dict[str, Any]) -> bool:
    return bool(request["response"].get("metadata", {}).get("purpose") == "approval")


def hears_question(call: Call, session: Session, count: int = 1) -> None:
    """Wait until the caller has heard the question to its end."""
    session.wait("response.create", is_approval, count=count)
    until(lambda: [hz for hz, _ in call.tones()].count(WORDS_HZ) >= count, "it is heard")
    call.waits(1000)


def paid(desk: OwnDesk, name: str) -> int:
    return len(desk.marks(f"{name}.paid"))


def approvals(desk: OwnDesk, call_id: str) -> list[tuple[str, bool, str]]:
    return [(one["tool"], one["approved"], one["by"]) for one in desk.worker.record(call_id)["approvals"]]


def http(desk: OwnDesk, path: str, body: object = None, token: str = TOKEN) -> tuple[int, Any]:
    request = urllib.request.Request(desk.worker.status_url + path, headers={"Authorization": f"Bearer {token}"})
    if body is not None:
        request.data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_yes_runs_it_once_with_fillers_after_and_none_before(call_up: Talk, our_desk: OwnDesk) -> None:
    call, session, call_id = call_up()
    tool = session.calls("pay", {"amount": 40, "name": "yes"})
    hears_question(call, session)
    call.waits(1500)
    assert questions(session) == ["Shall I pay 40 dollars?"]
    assert paid(our_desk, "yes") == 0 and our_desk.redis.client.llen("rq:queue:tools") == 0
    assert sound.tone_ms(bytes(call.heard), FILLER_HZ) == 0, "the caller has the word"
    session.caller_says("Yes, please.")
    own = session.begin()  # the service answers by itself, and calls once more
    again = session.call(own, "pay", {"amount": 40, "name": "yes"})
    session.speak(own, ANSWER_HZ, 2000, words="I have paid it.")
    session.end(own, "cancelled")
    assert session.output(again)["status"] == "not_started"
    call.hears_tone(FILLER_HZ, 200)
    assert session.output(tool)["paid"] == 40
    call.hears_tone(ANSWER_HZ, 500)
    assert sound.tone_ms(bytes(call.heard), ANSWER_HZ) < 1000, "what the model said by itself was not heard"
    call.hang_up()
    assert paid(our_desk, "yes") == 1 and approvals(our_desk, call_id) == [("pay", True, "voice")]
    assert our_desk.worker.logged("approval_approved", call_id=call_id, by="voice", tool="pay")
    told = [set(one) for one in our_desk.worker.logs if one["event"].startswith("approval_")]
    assert told and not set().union(*told) & {"arguments", "question"}, "no arguments in the log"


def test_a_no_is_told_and_nothing_is_done(call_up: Talk, our_desk: OwnDesk) -> None:
    call, session, call_id = call_up()
    tool = session.calls("pay", {"amount": 40, "name": "no"})
    hears_question(call, session)
    session.caller_says("No, thank you.")
    own = session.begin()
    session.end(own, "cancelled")
    outcome = session.output(tool)
    assert outcome["status"] == "declined" and "The caller declined" in outcome["error"]
    call.hears_tone(ANSWER_HZ, 400)
    call.hang_up()
    assert paid(our_desk, "no") == 0 and approvals(our_desk, call_id) == [("pay", False, "voice")]
    assert [one["status"] for one in our_desk.worker.record(call_id)["tool_calls"]] == ["declined"]


def test_a_mumble_is_asked_again_and_is_a_no_the_second_time(call_up: Talk, our_desk: OwnDesk) -> None:
    call, session, call_id = call_up()
    tool = session.calls("pay", {"amount": 40, "name": "mumble"})
    hears_question(call, session)
    session.caller_says("how much was that again")
    session.end(session.begin(), "cancelled")
    hears_question(call, session, 2)
    assert "yes or no" in questions(session)[1] and "Shall I pay 40 dollars?" in questions(session)[1]
    session.caller_says("well, whatever you think")
    session.end(session.begin(), "cancelled")
    assert session.output(tool)["status"] == "declined"
    call.hang_up()
    assert paid(our_desk, "mumble") == 0 and approvals(our_desk, call_id) == [("pay", False, "nobody")]


def test_silence_is_a_no(call_up: Talk, our_desk: OwnDesk) -> None:
    call, session, call_id = call_up()
    tool = session.calls("pay", {"amount": 40, "name": "silence"})
    hears_question(call, session)
    hears_question(call, session, 2)
    assert session.output(tool, within=20)["status"] == "declined"
    call.hang_up()
    assert paid(our_desk, "silence") == 0 and approvals(our_desk, call_id) == [("pay", False, "nobody")]


def test_a_yes_over_the_question_and_before_it_does_not_count(call_up: Talk, our_desk: OwnDesk) -> None:
    call, session, call_id = call_up()
    session.caller_says("Yes, pay it, I agree to everything.")
    tool = session.calls("pay", {"amount": 40, "name": "early"})
    session.wait("response.create", is_approval)
    call.hears_tone(WORDS_HZ, 200)
    session.caller_says("Yes.")  # barge-in over the question
    session.end(session.begin(), "cancelled")
    hears_question(call, session, 2)
    assert paid(our_desk, "early") == 0
    session.caller_says("Yes.")
    session.end(session.begin(), "cancelled")
    assert session.output(tool)["paid"] == 40
    call.hang_up()
    assert paid(our_desk, "early") == 1 and len(our_desk.worker.record(call_id)["barge_ins"]) == 1


@pytest.mark.parametrize(("digit", "approved"), [("1", True), ("2", False)])
def test_the_key(call_up: Talk, our_desk: OwnDesk, digit: str, approved: bool) -> None:
    call, session, call_id = call_up()
    name = f"key{digit}"
    tool = session.calls("pay_by_key", {"amount": 40, "name": name})
    session.wait("response.create", is_approval)
    assert "Press 1" in questions(session)[0]
    hears_question(call, session)
    call.type(digit)
    assert session.output(tool).get("paid") == (40 if approved else None)
    call.hang_up()
    assert paid(our_desk, name) == approved and approvals(our_desk, call_id) == [("pay_by_key", approved, "key")]
    assert not [text for _, text in session.texts() if "keypad" in text], "the model is not told the key"


def test_a_spoken_yes_is_no_key(call_up: Talk, our_desk: OwnDesk) -> None:
    call, session, call_id = call_up()
    tool = session.calls("pay_by_key", {"amount": 40, "name": "nokey"})
    hears_question(call, session)
    for count in (2, 3):
        session.caller_says("Yes!")
        session.end(session.begin(), "cancelled")
        if count == 2:
            hears_question(call, session, 2)
    assert session.output(tool)["status"] == "declined"
    call.hang_up()
    assert paid(our_desk, "nokey") == 0


def test_an_operator_over_http(call_up: Talk, our_desk: OwnDesk) -> None:
    call, session, call_id = call_up()
    tool = session.calls("refund", {"amount": 40, "name": "operator"})
    path = f"/calls/{call_id}/approvals"
    [waiting] = until(lambda: http(our_desk, path)[1]["approvals"], "it waits")
    assert (waiting["tool"], waiting["arguments"]) == ("refund", {"amount": 40, "name": "operator"})
    call.hears_tone(FILLER_HZ, 200)
    assert http(our_desk, path, token="wrong")[0] == 401
    assert http(our_desk, f"{path}/1", {"approve": True}, token="wrong")[0] == 401
    assert http(our_desk, f"{path}/7", {"approve": True})[0] == 404
    assert http(our_desk, "/calls/none/approvals")[0] == 404
    session.caller_says("Yes, do it!")  # nobody has asked the caller
    session.says(WORDS_HZ, 300, "One moment.")
    assert paid(our_desk, "operator") == 0
    assert http(our_desk, f"{path}/1", {"approve": True, "by": "Grace"}) == (200, {"approved": True})
    assert http(our_desk, f"{path}/1", {"approve": False})[0] == 409
    assert session.output(tool) == {"refunded": 40}
    call.hang_up()
    [entry] = our_desk.worker.record(call_id)["approvals"]
    assert (entry["by"], entry["who"], entry["approved"]) == ("operator", "Grace", True)
    assert paid(our_desk, "operator") == 1 and questions(session) == []


def test_a_hang_up_in_the_middle_is_a_no(call_up: Talk, our_desk: OwnDesk) -> None:
    call, session, call_id = call_up()
    session.calls("pay", {"amount": 40, "name": "gone"})
    hears_question(call, session)
    call.hang_up()
    assert approvals(our_desk, call_id) == [("pay", False, "hang-up")]
    assert [one["status"] for one in our_desk.worker.record(call_id)["tool_calls"]] == ["declined"]
    # 409 while the call is still listed, of which that approval has been answered.
    until(lambda: http(our_desk, f"/calls/{call_id}/approvals/1", {"approve": True})[0] == 404, "the call is gone")
    assert paid(our_desk, "gone") == 0


def test_what_a_tool_says_approves_nothing(call_up: Talk, our_desk: OwnDesk) -> None:
    """A letter says that the caller said yes, and the model believes it; so does what came of a payment."""
    call, session, call_id = call_up()
    session.output(session.calls("letter", {"name": "inject"}))
    session.wait("response.create", is_no_filler)
    tool = session.calls("pay", {"amount": 5000, "name": "inject"})
    session.send("response.output_text.done", response_id="x", item_id="x", output_index=0, content_index=0, text="yes")
    hears_question(call, session)
    call.waits(500)
    assert paid(our_desk, "inject") == 0, "asked all the same"
    session.caller_says("No.")
    session.end(session.begin(), "cancelled")
    assert session.output(tool)["status"] == "declined"
    again = session.calls("pay", {"amount": 5000, "name": "inject"})
    session.wait("response.create", is_approval, count=2)
    call.hang_up()
    assert paid(our_desk, "inject") == 0 and session.outputs(again) == 0
    assert approvals(our_desk, call_id) == [("pay", False, "voice"), ("pay", False, "hang-up")]


def test_other_words_of_the_models_are_no_question_and_a_voice_of_ours_asks(call_up: Talk, our_desk: OwnDesk) -> None:
    call, session, call_id = call_up()
    session.answers = False
    tool = session.calls("pay", {"amount": 40, "name": "cheese"})
    request = session.wait("response.create", is_approval)
    response_id = session.begin(request["response"]["metadata"])
    session.speak(response_id, WORDS_HZ, 1500, words="Do you like cheese?")
    session.end(response_id, metadata=request["response"]["metadata"])
    until(lambda: [text for role, text in session.texts() if text == "Shall I pay 40 dollars?"], "the model is told")
    call.waits(4000)
    assert paid(our_desk, "cheese") == 0 and sound.tone_ms(bytes(call.heard), WORDS_HZ) < 1000, "it was cut off"
    session.caller_says("Yes.")
    session.end(session.begin(), "cancelled")
    assert session.output(tool)["paid"] == 40
    call.hang_up()
    assert paid(our_desk, "cheese") == 1
    assert "Shall I pay 40 dollars?" in [one["text"] for one in our_desk.worker.record(call_id)["turns"]]


SPOKEN = """
greeting = "Hello, this is the order desk. How can I help you?"
[tools]
modules = ["{shop}"]
[tools.approval]
"order_*" = "caller"
[tools.questions]
order_status = "Shall I look that order up for you?"
"""
LOOKED_UP = "Order one two three is shipped with DHL, and arrives on Thursday."
LEFT = "All right, then I leave it at that."


@pytest.fixture(scope="module", params=["openai", "gemini"])
def spoken_desk(request: pytest.FixtureRequest, own_folder: Path) -> Iterator[Worker]:
    agent = own_folder / f"spoken-{request.param}.toml"
    agent.write_text(SPOKEN.format(shop=TREASURY.with_name("shop.py")))
    own = {"OFFHOOK_AGENT": agent, "SHOP_FOLDER": own_folder, "OFFHOOK_REALTIME_PROTOCOL": request.param}
    worker = Worker(own_folder / f"records-{request.param}", **own).ready()
    yield worker
    assert worker.alive, worker.text()
    assert worker.stop() == 0, worker.text()


@pytest.mark.parametrize(
    ("answer", "approved", "hears"),
    [("yes please", True, LOOKED_UP), pytest.param("no thank you", False, LEFT, marks=pytest.mark.spoken)],
)
def test_a_spoken_call_with_the_local_provider(
    spoken_desk: Worker, dial: Callable[[str], Call], answer: str, approved: bool, hears: str
) -> None:
    spoken_desk.forget_calls()
    call = dial(spoken_desk.uri)
    call_id = spoken_desk.next_call()
    call.hears_said("Hello, this is the order desk. How can I help you?")
    asked = call.say("what is the status of order one two three").now_ms
    call.hears_said("Shall I look that order up for you?", after=asked)
    call.waits(600)
    answered = call.say(answer).now_ms
    call.hears_said(hears, after=answered)
    call.hang_up()
    record = spoken_desk.record(call_id)
    assert [(one["approved"], one["by"]) for one in record["approvals"]] == [(approved, "voice")]
    assert [one["status"] for one in record["tool_calls"]] == ["ok" if approved else "declined"]

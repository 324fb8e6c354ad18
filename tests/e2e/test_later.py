"""A tool takes too long for a telephone call: the caller is offered to be called back, or sent the result, and is."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call, Phone
from parts.program import kill, until
from parts.provider import ANSWER_HZ, FILLER_HZ, WORDS_HZ, Provider, Session
from parts.services import Gates, RealtimeServer, RedisServer, ToolWorker, Worker
from parts.webhook import Receiver

from tools.queue import names
from tools.tool_call.request import job_id
from worker.call_tools.later import OPENINGS, WORDS

ERRANDS = Path(__file__).parent / "parts" / "errands.py"
TAPE = (
    "Hello, you have reached the voice mail of Julia Miller, I can not come to the telephone at the moment, so please"
    " leave your name and your number and a short message after the tone, and I will call you back"
)
NUMBER = "0301234567"
OFFER = WORDS["en"]

AGENT = """
goodbye = "Goodbye."
[tools]
modules = ["{errands}"]
[fillers]
interval_ms = 1000
texts = ["One moment.", "I am still looking."]
[later]
offer_after = 1.5
pauses = [1]
"""

SPOKEN = """
[later.words]
both = "Shall I call you back?"
"""

DIALOGUE = """
greeting = "Hello."
pending = ["I am still looking."]
not_understood = ["I am sorry, I did not understand that."]
failed = "I am sorry, I could not find that out."
unable = "I am sorry, I can't do that here."
idle = "Are you still there?"

[[turn]]
hears = ["where is my parcel"]
[[turn.call]]
tool = "search"
arguments = { name = "spoken" }
[[turn.call.answer]]
when = { done = "*" }
say = "Your parcel has come, and lies at the front door."

[[turn]]
hears = ["yes please call me back"]
[[turn.call]]
tool = "tell_later"
arguments = { how = "call_back" }
[[turn.call.answer]]
when = { status = "promised" }
say = "All right, you will be called as soon as I know."
"""


class Place(Gates):
    """A Redis, a tool worker that may tell, a telephone that can be called, and any number of workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.agent = folder / "agent.toml"
        self.agent.write_text(AGENT.format(errands=ERRANDS))
        self.receiver = Receiver()
        self.redis = RedisServer(folder)
        self.redis.start()
        self.phone = Phone(folder, username=NUMBER).ready()
        self.settings = {
            "REDIS_URL": self.redis.url,
            "OFFHOOK_AGENT": self.agent,
            "OFFHOOK_DRAIN_SECONDS": 0,
            "OFFHOOK_NOTIFY_URL": self.receiver.url,
            "OFFHOOK_NOTIFY_SECRET": "a-secret-of-this-scene",
            "OFFHOOK_CALL_BACK_URI": f"sip:{{caller}}@127.0.0.1:{self.phone.port}",
        }
        notify = {name: value for name, value in self.settings.items() if "NOTIFY" in name}
        self.tool_worker = ToolWorker(self.redis.url, self.agent, folder, **notify).ready()
        self.workers: list[Worker] = []

    def start_worker(self, **settings: Any) -> Worker:
        self.workers.append(Worker(self.folder / "calls", **{**self.settings, **settings}).ready())
        return self.workers[-1]

    def rung(self) -> int:
        """How often the telephone has been called."""
        return len(self.phone.events("IncomingCall"))

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.workers.clear()

    def stop(self) -> None:
        self.stop_workers()
        self.phone.stop()
        assert self.tool_worker.stop() == 0, self.tool_worker.text()
        self.redis.kill()
        self.receiver.stop()


@pytest.fixture(scope="module")
def shared(own_folder: Path) -> Iterator[Place]:
    made = Place(own_folder)
    yield made
    made.stop()


@pytest.fixture
def place(shared: Place) -> Iterator[Place]:
    """One worker at a time, so that it is known who calls back."""
    shared.stop_workers()
    yield shared
    shared.stop_workers()


@pytest.fixture
def start_desk(place: Place, provider: Provider) -> Callable[[], Worker]:
    """Start a worker whose provider the test plays."""
    settings = provider.settings
    return lambda: place.start_worker(**settings)


@pytest.fixture
def realtime_server(place: Place) -> Iterator[RealtimeServer]:
    (place.folder / "dialogue.toml").write_text(DIALOGUE)
    server = RealtimeServer(place.folder / "dialogue.toml").ready()
    yield server
    server.stop()


@pytest.mark.spoken
def test_the_caller_hears_the_offer_accepts_hangs_up_and_is_called_back(
    place: Place, realtime_server: RealtimeServer
) -> None:
    """In words, from the offer to the result; the tool alone would have been cancelled with the call."""
    agent = place.folder / "spoken.toml"
    agent.write_text(AGENT.format(errands=ERRANDS) + SPOKEN)
    worker = place.start_worker(OFFHOOK_REALTIME_URL=realtime_server.url, OFFHOOK_AGENT=agent)
    call = place.phone.dial(worker.uri)
    first = worker.next_call()
    worker.wait_log("realtime_session_ready", call_id=first)
    call.say("where is my parcel")
    place.begun("spoken")
    call.hears_said("Shall I call you back?")
    call.say("yes please call me back")
    call.hears_said("All right, you will be called as soon as I know.")
    call.hang_up()
    record = worker.record(first)
    assert [(one["tool"], one["promised"]) for one in record["tool_calls"]] == [("search", "call_back")]
    rung = place.rung()
    place.open("spoken")
    ringing = place.phone.rings(rung + 1)
    assert (ringing["dialled"], ringing["caller"]) == (NUMBER, "agent")
    back = place.phone.pick_up(ringing)
    second = worker.next_call()
    opened_ms = back.hears_said(OPENINGS["en"])
    assert back.hears_said("Your parcel has come, and lies at the front door.") > opened_ms
    back.hang_up()
    ended = worker.wait_log("call_back_ended", calls_back=first, call_id=second)
    assert ended["outcome"] == "told"
    record = worker.record(second)
    assert (record["calls_back"], record["outcome"], record["caller"]) == (first, "completed", NUMBER)
    assert worker.metric(r'offhook_call_backs_total\{outcome="told"\}') == 1
    assert place.redis.client.zcard(names.CALL_BACKS) == 0 and place.rung() == rung + 1
    assert NUMBER not in str([line for line in worker.logs if line["event"].startswith("call_back")])


def test_a_worker_dies_while_it_rings_and_another_calls_back_once(
    place: Place, start_desk: Callable[[], Worker], provider: Provider
) -> None:
    first_worker = start_desk()
    call = place.phone.dial(first_worker.uri)
    session, first = provider.session(), first_worker.next_call()
    job = job_id(first, session.calls("browse", {"name": "killed"}))
    place.begun("killed")
    assert session.output(session.calls("tell_later", {"how": "call_back"}))["status"] == "promised"
    call.hang_up()
    first_worker.record(first)
    rung = place.rung()
    place.open("killed")
    place.phone.rings(rung + 1)
    kill(first_worker.pid)
    assert first_worker.wait() == -signal.SIGKILL
    second_worker = start_desk()
    claim = names.call_back_claim_key(job)
    assert place.redis.client.exists(claim) or place.rung() > rung + 1, "the dead worker's claim holds for a while"
    place.redis.client.pexpire(claim, 200)  # which is now over
    back = place.phone.pick_up(place.phone.rings(rung + 2))
    opened_ms = back.hears_tone(WORDS_HZ, 600)
    told = provider.sessions[-1]  # the one before it was of the call that nobody answered
    assert told.got("response.create")[0]["response"]["instructions"] == f"Say exactly: {OPENINGS['en']}"
    back.hears_tone(ANSWER_HZ, 400, after=opened_ms)
    note, asked = (one["item"] for one in told.got("conversation.item.create")[:2])
    assert note["role"] == "system" and "run an errand" not in str(note) and "call back" in str(note)
    assert (asked["type"], asked["name"], asked["arguments"]) == ("function_call", "browse", '{"name": "killed"}')
    assert told.output(asked["call_id"]) == {"done": "killed"}
    until(lambda: not place.redis.client.zcard(names.CALL_BACKS), "it is written down as told")
    back.hang_up()
    ended = second_worker.wait_log("call_back_ended", calls_back=first)
    assert (ended["outcome"], ended["tries"]) == ("told", 2)
    assert place.rung() == rung + 2


TRANSFER = """
[[transfer]]
label = "sales"
uri = "sip:200@127.0.0.1:{port}"
refer = false
unanswered = "call_back"
call_back_seconds = 0
"""


def test_who_could_not_be_put_through_is_called_back_and_may_be_then(place: Place, provider: Provider) -> None:
    agent = place.folder / "transfer.toml"
    agent.write_text(AGENT.format(errands=ERRANDS) + TRANSFER.format(port=place.phone.port))
    worker = place.start_worker(OFFHOOK_AGENT=agent, **provider.settings)
    call = place.phone.dial(worker.uri)
    session, first = provider.session(), worker.next_call()
    rung = place.rung()
    asked = session.calls("transfer_call", {"to": "sales", "summary": "wants shoes"})
    output = session.output(asked)
    assert output["sip_status"] == 482, "the telephone takes no second lines"
    assert "call promise_transfer" in output["note"]
    assert session.output(session.calls("promise_transfer", {"to": "sales"}))["status"] == "promised"
    call.hang_up()
    back = place.phone.pick_up(place.phone.rings(rung + 1))
    opened_ms = back.hears_tone(WORDS_HZ, 600)
    back.hears_tone(ANSWER_HZ, 400, after=opened_ms)
    note, brought = (one["item"] for one in provider.sessions[-1].got("conversation.item.create")[:2])
    assert "a call for sales" in str(note) and "transfer_call" in str(note)
    assert (brought["name"], brought["arguments"]) == ("transfer_call", '{"to": "sales", "summary": "wants shoes"}')
    back.hang_up()
    assert worker.wait_log("call_back_ended", calls_back=first)["outcome"] == "told"
    assert place.redis.client.zcard(names.CALL_BACKS) == 0 and place.rung() == rung + 1


def test_a_worker_dies_in_the_call_and_what_it_promised_is_kept(
    place: Place, start_desk: Callable[[], Worker], provider: Provider
) -> None:
    """Nobody was there to note the end of the call; busy the first time, the caller is called back a second time."""
    worker = start_desk()
    place.phone.dial(worker.uri)
    session, first = provider.session(), worker.next_call()
    job = job_id(first, session.calls("browse", {"name": "left"}))
    place.begun("left")
    assert session.output(session.calls("tell_later", {"how": "call_back"}))["status"] == "promised"
    kill(worker.pid)
    assert worker.wait() == -signal.SIGKILL
    place.redis.client.zadd(names.PROMISES, {job: time.time()})  # so long is a call that nobody is in taken for on
    rung = place.rung()
    place.open("left")
    until(lambda: place.redis.client.zcard(names.CALL_BACKS) == 1, "the tool worker hands it over")
    worker = start_desk()
    place.phone.do("answer", call_id=place.phone.rings(rung + 1)["call_id"], status=486)
    assert worker.wait_log("call_back_ended", calls_back=first)["outcome"] == "unanswered"
    back = place.phone.pick_up(place.phone.rings(rung + 2))
    back.hears_tone(WORDS_HZ, 600)
    back.hears_tone(ANSWER_HZ, 400)
    back.hang_up()
    assert worker.wait_log("call_back_ended", calls_back=first, count=2)["outcome"] == "told"


def test_a_machine_is_told_nothing_and_the_caller_is_called_again(
    place: Place, start_desk: Callable[[], Worker], provider: Provider
) -> None:
    """It talks on, and beeps: whoever hears the tape is not who was promised the result."""
    worker = start_desk()
    call = place.phone.dial(worker.uri)
    session, first = provider.session(), worker.next_call()
    session.calls("browse", {"name": "taped"})
    place.begun("taped")
    assert session.output(session.calls("tell_later", {"how": "call_back"}))["status"] == "promised"
    call.hang_up()
    worker.record(first)
    rung = place.rung()
    place.open("taped")
    machine = place.phone.pick_up(place.phone.rings(rung + 1), says="")
    machine.say(TAPE, wait=False)
    assert machine.ended()["by"] == "caller", "the other side, which called"
    assert worker.wait_log("call_back_ended", calls_back=first)["outcome"] == "machine"
    assert provider.sessions[-1].got("response.create") == [], "not a word"
    back = place.phone.pick_up(place.phone.rings(rung + 2))
    back.hears_tone(WORDS_HZ, 600)
    back.hears_tone(ANSWER_HZ, 400)
    back.hang_up()
    assert worker.wait_log("call_back_ended", calls_back=first, count=2)["outcome"] == "told"


@pytest.fixture
def desk(shared: Place, provider: Provider) -> Worker:
    """The same for scenes that do it no harm."""
    if not shared.workers:
        shared.start_worker(**provider.settings)
    [worker] = shared.workers
    worker.forget_calls()
    return worker


def test_it_is_sent_and_no_notice_goes_out_for_what_was_told_in_the_call(
    shared: Place, desk: Worker, provider: Provider
) -> None:
    """By the webhook, for the caller who has hung up; the other one waits, and hears it."""
    place, worker = shared, desk

    def promised(name: str) -> tuple[Call, Session, str, str]:
        call = place.phone.dial(worker.uri)
        session, call_id = provider.session(), worker.next_call()
        job = session.calls("browse", {"name": name})
        place.begun(name)
        until(lambda: ("assistant", OFFER["both"]) in session.texts(), "the model knows of the offer")
        asked = [one["response"]["input"] for one in session.got("response.create") if "input" in one["response"]]
        assert sum(OFFER["both"] in str(one) for one in asked) == 1
        answer = session.output(session.calls("tell_later", {"how": "send"}))
        assert (answer["status"], answer["promised"]) == ("promised", ["browse"])
        return call, session, call_id, job

    call, _, leaves, _ = promised("leaves")
    call.hang_up()
    worker.record(leaves)
    place.open("leaves")
    until(lambda: place.receiver.of(leaves), "the webhook")
    assert place.receiver.of(leaves)[0].told["result"] == {"done": "leaves"}

    call, session, waits, job = promised("waits")
    before_ms = call.listen().now_ms
    place.open("waits")
    assert session.output(job) == {"done": "waits"}
    call.hears_tone(ANSWER_HZ, 400, after=before_ms)
    until(lambda: not place.redis.client.keys("offhook:promise*"), "nothing is owed any more")
    call.hang_up()
    worker.record(waits)
    assert not place.redis.client.exists(names.late_key(waits), names.orphan_key(job_id(waits, job)))
    assert len(place.receiver.of(leaves)) == 1 and place.receiver.of(waits) == []


def test_who_hides_is_offered_no_call_back(shared: Place, desk: Worker, provider: Provider) -> None:
    worker = desk
    hidden = Phone(shared.folder, username="anonymous").ready()
    try:
        call = hidden.dial(worker.uri)
        session = provider.session()
        [tell_later] = [one for one in session.received[0]["session"]["tools"] if one["name"] == "tell_later"]
        assert tell_later["parameters"]["properties"]["how"]["enum"] == ["send"]
        session.calls("browse", {"name": "hidden"})
        until(lambda: ("assistant", OFFER["send"]) in session.texts(), "the offer is to send it")
        call.hears_tone(FILLER_HZ, 400)
        assert session.output(session.calls("tell_later", {"how": "call_back"}))["status"] == "invalid"
        call.hang_up()
    finally:
        hidden.stop()

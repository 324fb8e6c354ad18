"""A call that is handed on: by REFER where the caller's side takes it, else over a second line."""

from __future__ import annotations

import shutil
import subprocess
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import ROUGHLY, Call, Phone, voice
from parts.program import BOUND_S, ROOT, until
from parts.provider import ANSWER_HZ, WORDS_HZ, Opening, Provider, Session
from parts.services import RealtimeServer, RedisServer, Worker

from worker.call.consult import BRIEFING
from worker.turns.tools import INTERRUPTED

WORDS_MS = 1500
WORDS = 650
CALLER, COLLEAGUE = 500, 1100

AGENT = """
goodbye = "Goodbye, and thank you."
[[transfer]]
label = "sales"
uri = "sip:200@127.0.0.1:{colleague}"
description = "orders and prices"
ring_seconds = 8
[[transfer]]
label = "direct"
uri = "sip:201@127.0.0.1:{colleague}"
refer = false
ring_seconds = 5
[[transfer]]
label = "nowhere"
uri = "sip:202@127.0.0.1:9"
refer = false
ring_seconds = 5
[[transfer]]
label = "private"
uri = "sip:203@127.0.0.1:{colleague}"
callers = ["+4930*"]
[[transfer]]
label = "boss"
uri = "sip:204@127.0.0.1:{colleague}"
ways = ["attended"]
briefing = "Hello boss. {{summary}} Press one."
ring_seconds = 20
brief_seconds = 12
[refer]
sources = ["127.0.0.1"]
targets = ["sip:2??@127.0.0.1:{colleague}"]
"""


SWITCHBOARD = """
greeting = "Hello, this is the switchboard. How can I help you?"
[[transfer]]
label = "sales"
uri = "sip:200@127.0.0.1:{colleague}"
ways = ["blind", "attended"]
"""


@pytest.fixture(scope="module")
def colleague_process(own_folder: Path) -> Iterator[Phone]:
    phone = Phone(own_folder, takes_second_lines=True).ready()
    yield phone
    phone.stop()


@pytest.fixture(scope="module")
def worker_process(
    own_folder: Path, colleague_process: Phone, redis: RedisServer, provider_server: Provider
) -> Iterator[Worker]:
    agent = own_folder / "agent.toml"
    agent.write_text(AGENT.format(colleague=colleague_process.port))
    worker = Worker(
        own_folder / "recordings",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=agent,
        **provider_server.settings,
    ).ready()
    yield worker
    assert worker.alive, worker.text()
    assert worker.stop() == 0, worker.text()


class Colleague:
    """Somebody to whom calls are handed on."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self._before = len(phone.events("IncomingCall"))

    @property
    def calls(self) -> int:
        return len(self.phone.events("IncomingCall")) - self._before

    def rings(self, count: int = 1) -> dict[str, Any]:
        return self.phone.rings(self._before + count)

    def picks_up(self) -> Call:
        return self.phone.pick_up(self.rings())

    def answers(self, status: int) -> None:
        self.phone.do("answer", call_id=self.rings()["call_id"], status=status)


@pytest.fixture
def colleague(colleague_process: Phone) -> Colleague:
    return Colleague(colleague_process)


@pytest.fixture
def worker(worker_process: Worker, provider: Provider) -> Worker:
    assert worker_process.alive, worker_process.text()
    worker_process.forget_calls()
    return worker_process


def says_and_transfers(session: Session, to: str = "sales", ms: float = WORDS_MS) -> str:
    """The model says what it does, and does it, in one response. Returns the function call's id."""
    response_id = session.begin()
    session.speak(response_id, WORDS, ms, words="I am putting you through to sales.")
    call_id = session.call(response_id, "transfer_call", {"to": to, "summary": "The caller wants shoes."})
    session.end(response_id)
    return call_id


def transfers(worker: Worker, call_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = worker.record(call_id)["transfers"]
    return found


@pytest.fixture
def talk(worker: Worker, dial: Callable[[str], Call], provider: Provider) -> tuple[Call, Session, str]:
    """A caller whose telephone declines REFER: the caller's side, the provider's, the call's id."""
    call = dial(worker.uri)
    return call, provider.session(), worker.next_call()


# --- the caller's side has us go on elsewhere -------------------------------------------------------------------------


def test_the_agent_goes_on_with_whom_the_caller_s_side_named(
    worker: Worker, talk: tuple[Call, Session, str], colleague: Colleague
) -> None:
    call, session, call_id = talk
    call.phone.do("refer", call_id=call.call_id, uri=f"sip:200@127.0.0.1:{colleague.phone.port}")
    other = colleague.picks_up()
    worker.wait_log("handed_over", call_id=call_id)
    call.ended()
    response_id = session.begin()
    session.speak(response_id, WORDS, WORDS_MS, words="Hello, whom do I speak to?")
    session.end(response_id)
    other.hears_tone(WORDS, 700)
    assert session.open
    other.hang_up()
    assert worker.record(call_id)["outcome"] == "completed"
    assert len(worker.calls()) == 0


def test_whom_no_list_names_is_not_dialled(
    worker: Worker, talk: tuple[Call, Session, str], colleague: Colleague
) -> None:
    call, _, call_id = talk
    call.phone.do("refer", call_id=call.call_id, uri=f"sip:300@127.0.0.1:{colleague.phone.port}")
    assert call.phone.event("ReferAnswered", call_id=call.call_id)["status"] == 603
    assert call.up and colleague.calls == 0
    call.hang_up()
    assert worker.record(call_id)["outcome"] == "completed"


# --- over a second line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who_ends", ["caller", "colleague"])
def test_caller_and_colleague_talk_and_the_agent_is_gone(
    worker: Worker, talk: tuple[Call, Session, str], colleague: Colleague, who_ends: str
) -> None:
    call, session, call_id = talk
    says_and_transfers(session)
    ringing = colleague.rings()
    assert call.hears_tone(WORDS, WORDS_MS * 0.9) >= 0, "it began when the sentence was heard to its end"
    assert ringing["dialled"] == "200"
    other = colleague.phone.pick_up(ringing)
    worker.wait_log("transfer_ended", call_id=call_id)
    call.phone.do("play", call_id=call.call_id, hz=CALLER, ms=4000)
    other.phone.do("play", call_id=other.call_id, hz=COLLEAGUE, ms=4000)
    other.hears_tone(CALLER, 1000)
    call.hears_tone(COLLEAGUE, 1000)
    until(lambda: not session.open, "the agent's session ends")
    assert call.up and other.up
    one, two = (call, other) if who_ends == "caller" else (other, call)
    one.hang_up()
    two.ended()
    (found,) = transfers(worker, call_id)
    assert (found["to"], found["way"], found["means"], found["outcome"]) == ("sales", "blind", "bridge", "accepted")
    record, second = worker.record(call_id), worker.record(found["second_line"])
    assert (record["outcome"], record["reason"]) == ("completed", "transferred to sales")
    assert (second["outcome"], second["second_line_of"]) == ("completed", call_id)
    assert Path(record["recording"]).exists() and Path(second["recording"]).exists()
    assert worker.metric(r'offhook_transfers_total\{outcome="accepted",way="bridge"\}') >= 1
    assert len(worker.calls()) == 0


@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (603, "declined"), (480, "no_answer"), (404, "failed")])
def test_where_it_does_not_come_about_the_agent_goes_on(
    worker: Worker, talk: tuple[Call, Session, str], colleague: Colleague, status: int, outcome: str
) -> None:
    call, session, call_id = talk
    asked = says_and_transfers(session, "direct")
    colleague.answers(status)
    output = session.output(asked)
    assert (output["status"], output["sip_status"], output["to"]) == (outcome, status, "direct")
    call.hears_tone(ANSWER_HZ, 400)
    call.hang_up()
    (found,) = transfers(worker, call_id)
    assert (found["outcome"], found["sip_status"], found["means"]) == (outcome, status, "bridge")
    assert worker.record(call_id)["outcome"] == "completed"


@pytest.mark.parametrize("to", ["direct", "nowhere"])
def test_a_target_that_never_answers(
    worker: Worker, talk: tuple[Call, Session, str], colleague: Colleague, to: str
) -> None:
    call, session, call_id = talk
    asked = says_and_transfers(session, to)
    if to == "direct":
        ringing = colleague.rings()
        call.waits(1000)
        assert any(hz != WORDS for hz, _ in call.tones()), "the caller hears something meanwhile"
    output = session.output(asked)
    assert output["status"] in ("no_answer", "failed") and output["sip_status"] in (408, 503, 502)
    if to == "direct":
        assert colleague.phone.event("CallEnded", call_id=ringing["call_id"])["status"] == 487
    call.hears_tone(ANSWER_HZ, 400)
    call.hang_up()
    assert len(transfers(worker, call_id)) == 1


def test_a_caller_who_hangs_up_while_it_rings(
    worker: Worker, talk: tuple[Call, Session, str], colleague: Colleague
) -> None:
    call, session, call_id = talk
    says_and_transfers(session, "direct")
    ringing = colleague.rings()
    call.hang_up()
    assert colleague.phone.event("CallEnded", call_id=ringing["call_id"])["status"] == 487
    (found,) = transfers(worker, call_id)
    assert found["outcome"] == "hung_up"
    until(lambda: not worker.calls(), "no call is left")


def test_who_speaks_before_the_words_are_over_takes_it_back(
    worker: Worker, talk: tuple[Call, Session, str], colleague: Colleague
) -> None:
    call, session, call_id = talk
    asked = says_and_transfers(session, "direct", 4000)
    call.hears_tone(WORDS, 500)
    session.caller_says("No, wait.")
    assert session.output(asked)["status"] == "not_started"
    assert session.wait("conversation.item.create", lambda m: m["item"].get("output") == INTERRUPTED)
    session.says(ANSWER_HZ, 600)
    call.hears_tone(ANSWER_HZ, 400)
    assert colleague.calls == 0
    call.hang_up()
    assert transfers(worker, call_id) == []


def test_nothing_is_dialled_that_no_list_allows(
    worker: Worker, talk: tuple[Call, Session, str], colleague: Colleague
) -> None:
    call, session, call_id = talk
    offered = next(one for one in session.wait("session.update")["session"]["tools"] if one["name"] == "transfer_call")
    assert offered["parameters"]["properties"]["to"]["enum"] == ["sales", "direct", "nowhere", "boss"]
    for to in ("private", f"sip:evil@127.0.0.1:{colleague.phone.port}", "Sales\r\n"):
        asked = session.calls("transfer_call", {"to": to, "summary": "x"})
        assert session.output(asked)["status"] == "invalid"
        call.hears_tone(ANSWER_HZ, 300, after=call.listen().now_ms)
    assert colleague.calls == 0 and not worker.logged("transfer", call_id=call_id)
    call.hang_up()
    assert transfers(worker, call_id) == []


@pytest.mark.spoken
def test_a_spoken_conversation_is_handed_on(
    own_folder: Path, colleague_process: Phone, colleague: Colleague, redis: RedisServer, dial: Callable[[str], Call]
) -> None:
    agent = own_folder / "spoken.toml"
    agent.write_text(SWITCHBOARD.format(colleague=colleague_process.port))
    server = RealtimeServer(ROOT / "worker" / "local" / "dialogues" / "transfer.toml").ready()
    settings = {"OFFHOOK_REALTIME": "gateway", "OFFHOOK_REALTIME_URL": server.url.removesuffix("/realtime")}
    worker = Worker(own_folder / "spoken", REDIS_URL=redis.url, OFFHOOK_AGENT=agent, **settings).ready()
    try:
        call = dial(worker.uri)
        call.hears_said("Hello, this is the switchboard. How can I help you?")
        call.say("let me speak to a human")
        call.hears_said("Of course. I am putting you through to a colleague.")
        colleague.answers(486)
        call.hears_said("My colleague is on the telephone. Can I help you with anything else?")
        call.say("ask sales first")
        other = colleague.phone.pick_up(colleague.rings(2))
        other.hears_said(BRIEFING["en"].format(summary="The caller wants to talk to a person."), likeness=ROUGHLY)
        other.say("put them through")
        worker.wait_log("transfer_ended", outcome="accepted")
        call.say("this is order number four two seven")
        other.hears_sound(voice("this is order number four two seven"), "the caller", likeness=0.8)
        other.hang_up()
        call.ended()
    finally:
        worker.stop()
        server.stop()


# --- attended ---------------------------------------------------------------------------------------------------------

Consulted = tuple[Call, Session, str, str, Call, Session]


@pytest.fixture
def consulted(worker: Worker, talk: tuple[Call, Session, str], provider: Provider, colleague: Colleague) -> Consulted:
    """Somebody has picked up, and is told who waits: the caller, their session, call id and function call; theirs."""
    call, session, call_id = talk
    asked = says_and_transfers(session, "boss", 300)
    ringing = colleague.rings()
    second = provider.session()
    other = colleague.phone.pick_up(ringing)
    worker.next_call()
    request = second.wait("response.create")["response"]
    assert request["instructions"] == "Say exactly: Hello boss. The caller wants shoes. Press one."
    other.hears_tone(WORDS_HZ, 500)
    return call, session, call_id, asked, other, second


@pytest.mark.parametrize("by", ["key", "voice"])
def test_who_is_asked_takes_the_call(worker: Worker, consulted: Consulted, by: str) -> None:
    call, session, call_id, asked, other, second = consulted
    functions = [one["name"] for one in second.wait("session.update")["session"]["tools"]]
    assert "take_call" in functions and "decline_call" in functions and "transfer_call" not in functions
    assert not call.tones() or WORDS_HZ not in [hz for hz, _ in call.tones()], "the caller hears nothing of it"
    if by == "key":
        other.type("1")
    else:
        second.caller_says("Yes, put them through.")
        second.calls("take_call")
    worker.wait_log("transfer_ended", call_id=call_id, outcome="accepted", means="attended")
    call.phone.do("play", call_id=call.call_id, hz=CALLER, ms=3000)
    other.phone.do("play", call_id=other.call_id, hz=COLLEAGUE, ms=3000)
    other.hears_tone(CALLER, 1000)
    call.hears_tone(COLLEAGUE, 1000)
    until(lambda: not session.open and not second.open, "both sessions end")
    other.hang_up()
    call.ended()
    (found,) = transfers(worker, call_id)
    assert (found["way"], found["means"], found["outcome"]) == ("attended", "attended", "accepted")
    briefed = worker.record(found["second_line"])
    assert briefed["second_line_of"] == call_id and briefed["turns"][0]["text"].startswith("Hello boss.")
    assert worker.metric(r'offhook_transfers_total\{outcome="accepted",way="attended"\}') >= 1


@pytest.mark.parametrize("by", ["key", "voice", "hang-up"])
def test_who_is_asked_declines(worker: Worker, consulted: Consulted, by: str) -> None:
    call, session, call_id, asked, other, second = consulted
    if by == "key":
        other.type("2")
    elif by == "voice":
        second.caller_says("Not now.")
        second.calls("decline_call")
    else:
        other.hang_up()
    assert session.output(asked)["status"] == "declined"
    if by != "hang-up":
        said = second.wait("response.create", lambda m: "All right. Goodbye." in m["response"]["instructions"])
        assert said["response"]["metadata"]["purpose"] == "goodbye"
    other.ended()
    call.hears_tone(ANSWER_HZ, 400)
    call.hang_up()
    assert [one["outcome"] for one in transfers(worker, call_id)] == ["declined"]


def test_a_mailbox_does_not_get_the_caller(worker: Worker, consulted: Consulted) -> None:
    call, session, call_id, asked, other, second = consulted
    output = session.output(asked)
    assert (output["status"], output["sip_status"]) == ("no_answer", 408)
    other.ended()
    call.hears_tone(ANSWER_HZ, 400)
    call.hang_up()
    assert [one["outcome"] for one in transfers(worker, call_id)] == ["no_answer"]


def test_a_caller_who_hangs_up_in_the_middle_of_it(worker: Worker, consulted: Consulted) -> None:
    call, session, call_id, asked, other, second = consulted
    call.hang_up()
    words = "The caller has just hung up. Goodbye."
    second.wait("response.create", lambda m: m["response"]["instructions"] == f"Say exactly: {words}")
    other.ended()
    assert [one["outcome"] for one in transfers(worker, call_id)] == ["hung_up"]
    until(lambda: not worker.calls(), "no call is left")


def test_who_is_asked_loses_the_provider(worker: Worker, provider: Provider, consulted: Consulted) -> None:
    call, session, call_id, asked, other, second = consulted
    provider.always = Opening(refuse=(401, "no"))
    second.cut()
    assert session.output(asked)["status"] in ("failed", "no_answer")
    provider.always = None
    other.ended()
    call.hears_tone(ANSWER_HZ, 400)
    call.hang_up()


# --- by REFER ---------------------------------------------------------------------------------------------------------


def referred(worker: Worker, provider: Provider, sipp: Any, scene: str, **keys: Any) -> tuple[Any, Session, str, str]:
    """A caller played by sipp, and a transfer: sipp, the provider's side, the call's id, the function call's."""
    run = sipp(scene, worker.target, **keys)
    session, call_id = provider.session(), worker.next_call()
    worker_answered = lambda: worker.calls() and worker.calls()[0]["codec"]  # noqa: E731
    until(worker_answered, "the call is up")
    return run, session, call_id, says_and_transfers(session)


def test_refer_and_our_leg_ends_after_the_last_notify(
    worker: Worker, provider: Provider, sipp: Any, colleague: Colleague
) -> None:
    run, _, call_id, _ = referred(worker, provider, sipp, "referred", frag="200 OK")
    run.finish()
    (found,) = transfers(worker, call_id)
    assert (found["means"], found["outcome"], found["sip_status"]) == ("refer", "accepted", 200)
    record = worker.record(call_id)
    assert (record["outcome"], record["reason"]) == ("completed", "transferred to sales")
    words = record["turns"][-1]
    assert words["end_ms"] - words["start_ms"] > WORDS_MS * 0.95 and found["at_ms"] > words["end_ms"]
    assert colleague.calls == 0


@pytest.fixture
def baresip(worker: Worker, tmp_path: Path) -> Iterator[None]:
    """baresip calls the worker."""
    if not shutil.which("baresip"):
        pytest.skip("baresip is not installed")
    modules = next(Path("/usr/lib").glob("**/baresip/modules"))
    (tmp_path / "accounts").write_text("<sip:bare@127.0.0.1>;regint=0;audio_codecs=PCMU\n")
    (tmp_path / "contacts").write_text("")
    (tmp_path / "config").write_text(
        f"sip_listen 127.0.0.1:0\nmodule_path {modules}\nmodule g711.so\nmodule_tmp uuid.so\nmodule_app account.so\n"
        f"module aufile.so\nmodule_app menu.so\naudio_source aufile,{tmp_path}/said.wav\nausrc_srate 8000\n"
        "auplay_srate 8000\n"
    )
    with wave.open(str(tmp_path / "said.wav"), "wb") as said:
        said.setparams((1, 2, 8000, 0, "NONE", ""))
        said.writeframes(bytes(16 * 60_000))
    with (tmp_path / "out").open("w") as out:
        command = ["baresip", "-f", str(tmp_path), "-e", f"/dial {worker.uri}", "-t", "40"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    yield
    process.terminate()
    process.wait(BOUND_S)


@pytest.mark.parametrize(("status", "outcome"), [(200, "accepted"), (486, "busy")])
def test_baresip_dials_whom_it_is_referred_to(
    worker: Worker, provider: Provider, baresip: None, colleague: Colleague, status: int, outcome: str
) -> None:
    session, call_id = provider.session(), worker.next_call()
    until(lambda: worker.calls() and worker.calls()[0]["codec"], "the call is up")
    asked = says_and_transfers(session)
    ringing = colleague.rings()
    assert ringing["caller"] == "bare", "it is baresip that calls"
    colleague.phone.do("answer", call_id=ringing["call_id"], status=status)
    worker.wait_log("transfer_ended", call_id=call_id, means="refer", outcome=outcome)
    if outcome == "accepted":
        assert worker.record(call_id)["reason"] == "transferred to sales"
        assert not colleague.phone.events("CallEnded", call_id=ringing["call_id"]), "and talks on"
        colleague.phone.do("hang_up", call_id=ringing["call_id"])
    else:
        assert session.output(asked)["sip_status"] == 486
        session.calls("end_call")
        worker.record(call_id)


def test_refer_taken_and_then_503(worker: Worker, provider: Provider, sipp: Any, colleague: Colleague) -> None:
    run, session, call_id, asked = referred(worker, provider, sipp, "referred", frag="503 Service Unavailable")
    output = session.output(asked)
    assert (output["status"], output["sip_status"]) == ("failed", 503)
    session.wait("response.create")  # the agent goes on
    session.calls("end_call")
    run.finish()
    (found,) = transfers(worker, call_id)
    assert (found["means"], found["outcome"]) == ("refer", "failed")
    assert colleague.calls == 0


def test_refer_taken_and_nothing_is_heard_of_it(worker: Worker, provider: Provider, sipp: Any) -> None:
    run, session, call_id, asked = referred(worker, provider, sipp, "refer_no_notify")
    output = session.output(asked)
    assert (output["status"], output["sip_status"]) == ("no_answer", 408)
    session.calls("end_call")
    run.finish()
    assert transfers(worker, call_id)[0]["took_ms"] >= 8000


def test_who_hangs_up_for_the_other_call_was_handed_on(worker: Worker, provider: Provider, sipp: Any) -> None:
    run, _, call_id, _ = referred(worker, provider, sipp, "refer_bye")
    run.finish()
    (found,) = transfers(worker, call_id)
    assert (found["means"], found["outcome"]) == ("refer", "accepted")


@pytest.mark.parametrize("scene", ["refer_603", "refer_405", "refer_unanswered"])
def test_where_refer_is_refused_or_not_answered_we_dial(
    worker: Worker, provider: Provider, sipp: Any, colleague: Colleague, scene: str
) -> None:
    run, session, call_id, _ = referred(worker, provider, sipp, scene)
    other = colleague.picks_up()
    worker.wait_log("transfer_ended", call_id=call_id, outcome="accepted", means="bridge")
    other.hang_up()
    run.finish()
    (found,) = transfers(worker, call_id)
    assert (found["means"], found["outcome"]) == ("bridge", "accepted")


def test_who_has_refused_refer_is_not_asked_again(
    worker: Worker, talk: tuple[Call, Session, str], colleague: Colleague
) -> None:
    call, session, call_id = talk
    colleague_busy = says_and_transfers(session)
    colleague.answers(486)
    assert session.output(colleague_busy)["status"] == "busy"
    call.hears_tone(ANSWER_HZ, 400)
    says_and_transfers(session, "sales", 300)
    until(lambda: colleague.calls == 2, "rings again")
    began = worker.logged("transfer", call_id=call_id)
    assert [one["refer"] for one in began] == [True, False]
    call.hang_up()

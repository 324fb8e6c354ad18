"""Bad input, whoever it comes from: an error where it belongs, a call that goes on or ends politely, nothing lost."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call
from parts.program import OFFHOOK, Program, command_line, descendants, environment, until
from parts.provider import ANSWER_HZ, RATE, Opening, Provider, Session
from parts.services import Worker
from parts.wire import udp_socket

from worker.call.sounds import APOLOGY, load_prompt

DialDesk = Callable[[], tuple[Call, Session, str]]
Offhook = Callable[..., tuple[int, str, str]]

CALLER_HZ, STRANGER_HZ = 1200, 1600
LIMIT_BYTES = 65536
"""The most that a tool's output has for the model."""


WARES = """
from tools import tool

class Shelf: ...

@tool
def stock(shelf: Shelf) -> str:
    '''Tell what there is.'''
    return ""
"""


class TestStart:
    """What is wrong with the set-up stops the start: one line that says what to mend, and nothing left running."""

    def test_a_wrong_key_in_the_agent_file(self, offhook: Offhook, tmp_path: Path) -> None:
        agent = tmp_path / "agent.toml"
        agent.write_text("[fillers]\ngrace = 500\n")
        code, out, err = offhook("serve", OFFHOOK_AGENT=agent)
        assert (code, out) == (2, "")
        assert err == f"offhook: {agent}: fillers.grace: there is no such key; did you mean grace_ms?\n"

    def test_a_wrong_setting(self, offhook: Offhook) -> None:
        code, out, err = offhook("serve", OFFHOOK_SIP_PORT="seventy")
        assert (code, out) == (2, "")
        assert re.fullmatch(r"offhook: OFFHOOK_SIP_PORT=seventy is not allowed: it takes a port from .+\n", err)

    def test_a_tool_whose_signature_cannot_be_described(self, offhook: Offhook, tmp_path: Path) -> None:
        (tmp_path / "wares.py").write_text(WARES)
        agent = tmp_path / "agent.toml"
        agent.write_text('[tools]\nmodules = ["wares.py"]\n')
        code, out, err = offhook("serve", OFFHOOK_AGENT=agent, OFFHOOK_SIP_PORT=0, OFFHOOK_HTTP="off")
        assert (code, out) == (1, "")
        assert re.fullmatch(r"offhook: tool .*wares.*stock: shelf is a Shelf, which can't be described .+\n", err), err

    def test_a_busy_sip_port(self) -> None:
        """By then Redis, the tool worker and the realtime server run: they end with it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            settings = {"OFFHOOK_SIP_PORT": port, "OFFHOOK_HTTP": "off", "OFFHOOK_LOG_FORMAT": "json"}
            serve = Program([*OFFHOOK, "serve"], environment(**settings))
            seen: set[tuple[int, str]] = set()

            def ended() -> bool:
                seen.update((pid, line) for pid in descendants(serve.pid) if (line := command_line(pid)))
                return not serve.alive

            until(ended, lambda: f"it ends\n{serve.text()}", 60.0)
            assert serve.stop() == 1
        assert serve.out == []
        lines = [line for line in serve.err if not line.startswith("{")]
        assert len(lines) == 1, lines
        assert re.match(
            rf"offhook: can't listen on 127\.0\.0\.1:{port} \(udp\): another program has that port", lines[0]
        )
        for program in ("redis-server", "tool-worker", "realtime-server"):
            assert any(program in line for _, line in seen), seen
        until(lambda: all(command_line(pid) != line for pid, line in seen), lambda: f"nothing is left of {seen}")


TOOL_CALLS = {
    "arguments that are not JSON": ("add", '{"left": 2, "rig', "invalid", "JSON"),
    "arguments that are no object": ("add", "[2, 3]", "invalid", "object"),
    "a field that is missing": ("add", '{"left": 2}', "invalid", "right"),
    "a field of another type": ("add", '{"left": 2, "right": "many"}', "invalid", "right"),
    "an unknown tool": ("addd", '{"left": 2, "right": 3}', "unknown_tool", "add"),
    "a result that JSON can't hold": ("when", "{}", "failed", ""),
    "a result of a megabyte": ("huge", "{}", "ok", '"truncated": true'),
}
"""By what is wrong: tool, arguments, the outcome's status, what the model is told among other things."""


@pytest.mark.parametrize(("tool", "arguments", "status", "told"), TOOL_CALLS.values(), ids=TOOL_CALLS.keys())
def test_a_tool_call_that_can_not_be_served_has_an_outcome_and_the_agent_answers(
    dial_desk: DialDesk, desk: Worker, tool: str, arguments: str, status: str, told: str
) -> None:
    call, session, call_id = dial_desk()
    tool_call = session.calls(tool, arguments)
    output = session.output(tool_call)
    assert told in json.dumps(output) and len(json.dumps(output)) <= LIMIT_BYTES
    assert status == "ok" or (output["status"] == status and output["error"]), output
    call.hears_tone(ANSWER_HZ, 500)
    answered_ms = call.now_ms
    assert session.output(session.calls("here", {"word": "on"})) == {"word": "on"}, "the call goes on"
    call.hears_tone(ANSWER_HZ, 500, after=answered_ms)
    call.hang_up()
    record = desk.record(call_id)
    assert [one["status"] for one in record["tool_calls"]] == [status, "ok"]
    assert record["outcome"] == "completed" and session.outputs(tool_call) == 1
    assert desk.wait_log("tool_outcome", call_id=call_id, status=status)["detail"]
    assert sound.tone_ms(sound.channels(Path(record["recording"]))[1], ANSWER_HZ) >= 1000


class TestProvider:
    """Without a provider the caller hears the recorded apology, and the record says what was wrong with it."""

    def test_one_that_closes_at_once(self, desk: Worker, provider: Provider, dial: Any) -> None:
        """Whatever the code says of it: another attempt may be luckier, as often as there is time."""
        before = provider.connections
        provider.openings.append(Opening(close=(1000, "good night")))
        provider.always = Opening(close=(1011, "no room"))
        call = dial(desk.uri)
        reason, call_id = apologises(desk, call)
        assert "closed the connection before a session began (code 1011: no room)" in reason
        tries = [line["reason"] for line in desk.logged("realtime_refused", call_id=call_id)]
        assert "(code 1000: good night)" in tries[0] and len(tries) == provider.connections - before > 2

    def test_one_that_refuses_the_key(self, desk: Worker, provider: Provider, dial: Any) -> None:
        before = provider.connections
        error = {"message": "Incorrect API key provided.", "code": "invalid_api_key"}
        provider.always = Opening(refuse=(401, json.dumps({"error": error})))
        reason, _ = apologises(desk, dial(desk.uri))
        assert "refused the key: check that it is right" in reason and "HTTP 401" in reason
        assert "Incorrect API key provided. (invalid_api_key)" in reason
        assert provider.connections - before == 1, "nothing gets better by asking again"

    def test_one_that_answers_another_audio_format(self, desk: Worker, provider: Provider, dial: Any) -> None:
        """Noise is what the caller would hear, or the model. Two calls at a time."""
        sides = ("input", "output")
        provider.openings += [Opening(formats={side: {"type": "audio/pcma"}}) for side in sides]
        calls = [dial(desk.uri) for _ in sides]
        for call, side in zip(calls, sides, strict=True):
            reason, _ = apologises(desk, call)
            assert f"(format_mismatch): the {side} audio is pcma, not pcm24k as asked for" in reason

    def test_one_that_sends_unknown_events(
        self, desk: Worker, provider: Provider, dial: Any, dial_desk: DialDesk
    ) -> None:
        """The service gets new events now and then: they are no fault."""
        provider.openings.append(Opening(first=({"type": "session.weather", "event_id": "e1", "rain": [1, {}]},)))
        call, session, call_id = dial_desk()
        session.send("response.smell.delta", delta="rose", response_id="none")
        session.send("input_audio_buffer.speech_whispered", item_id=None)
        session.send("error.of.a.new.kind", error="none of the fields that one knows")
        session.says(ANSWER_HZ, 600)
        call.hears_tone(ANSWER_HZ, 500)
        assert session.output(session.calls("here", {"word": "on"})) == {"word": "on"}
        call.hang_up()
        record = desk.record(call_id)
        assert record["outcome"] == "completed" and record["errors"] == []
        assert Path(record["recording"]).exists()


PIECE = 16 * 400
"""400 ms of 8 kHz audio, in bytes."""


def apologises(desk: Worker, call: Call) -> tuple[str, str]:
    """The caller hears the apology to its end, and is hung up on; returns the record's reason and the call id."""
    call_id = desk.next_call()
    prompt = load_prompt(APOLOGY, sound.RATE)
    call.hears_sound(prompt, "the apology")
    assert call.ended()["by"] == "caller", "the other side, as the telephone sees it"
    record = desk.record(call_id)
    assert record["outcome"] == "failed" and record["answered_ms"] is not None
    assert record["errors"] == [record["reason"]]
    *waiting, apology = record["turns"]
    assert apology["who"] == "agent" and "sorry" in apology["text"]
    assert [turn["who"] for turn in waiting] in ([], ["filler"]), "words of ours where the caller has to wait for it"
    assert sound.likeness(sound.channels(Path(record["recording"]))[1], prompt) > 0.9
    assert desk.wait_log("call_failed", call_id=call_id)["reason"] == record["reason"]
    assert desk.wait_log("call_ended", call_id=call_id)["outcome"] == "failed"
    return str(record["reason"]), call_id


SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 18\r\n"
"""An offer that nobody takes (G.729): what is read in spite of its fault leaves no call behind."""
INVITE = (
    "INVITE sip:427@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bKraw{n}\r\n"
    "From: <sip:raw@127.0.0.1>;tag=raw{n}\r\nTo: <sip:427@127.0.0.1>\r\nCall-ID: raw{n}\r\nCSeq: 1 INVITE\r\n"
    "Contact: <sip:raw@127.0.0.1:{port}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n"
    f"Content-Length: {len(SDP)}\r\n\r\n{SDP}"
)
FAULTS: tuple[tuple[str, str], ...] = (
    ("SIP/2.0\r\n", "SIP/9.9\r\n"),
    ("CSeq: 1 INVITE", "CSeq: banana"),
    ("Via:", "Vai:"),
    ("Call-ID:", "Call:"),
    ("sip:427@", "sip:" + "4" * 3000 + "@"),
    ("Via:", "\r\n".join(["X-Filling: " + "x" * 90] * 500) + "\r\nVia:"),
    (INVITE, "\0" * 500),
)
"""What is replaced in an INVITE by what."""


def test_strangers_do_not_disturb_a_call(desk: Worker, provider: Provider, sipp: Any, rtp: Any, tmp_path: Path) -> None:
    """Offers without a codec in common or without audio, broken and huge INVITEs, RTP from another address."""
    caller, stranger = rtp(), rtp()
    run = sipp("their_bye", desk.target, rtp=caller.port)
    session, call_id = provider.session(), desk.next_call()
    stranger.peer = caller.learn_peer()
    rejected = desk.metric('offhook_calls_total{outcome="rejected"}')
    with contextlib.ExitStack() as senders:
        senders.enter_context(caller.sending(sound.tone(CALLER_HZ, 1000)))
        # Who sends first is taken for the caller, who may be behind a NAT: from then on nobody else is.
        until(lambda: session_tone_ms(session, CALLER_HZ) > 0, "the caller is heard first")
        senders.enter_context(stranger.sending(sound.tone(STRANGER_HZ, 1000)))
        sipp("no_codec", desk.target).finish()
        sipp("no_audio", desk.target).finish()
        with udp_socket() as raw:
            for number, (old, new) in enumerate(FAULTS):
                assert old in INVITE
                broken = INVITE.replace(old, new, 1).format(port=raw.getsockname()[1], n=number)
                raw.sendto(broken.encode(), ("127.0.0.1", desk.port))
        until(lambda: session_tone_ms(session, CALLER_HZ) >= 1000, "the caller is heard on")
        session.says(ANSWER_HZ, 600, "I can hear you.")
        until(lambda: sound.tone_ms(caller.heard(), ANSWER_HZ) >= 500, "the caller hears the answer")
    assert session_tone_ms(session, STRANGER_HZ) == 0 and stranger.packets == []
    assert desk.metric('offhook_calls_total{outcome="rejected"}') - rejected >= 2
    assert [one["call_id"] for one in desk.calls()] == [call_id], "none of them has become a call"
    session.calls("end_call")
    run.finish()
    record = desk.record(call_id)
    assert record["outcome"] == "completed" and record["errors"] == []
    left, right = sound.channels(Path(record["recording"]))
    assert sound.tone_ms(left, CALLER_HZ) >= 500 and sound.tone_ms(left, STRANGER_HZ) == 0
    assert sound.tone_ms(right, ANSWER_HZ) >= 500


def session_tone_ms(session: Session, hz: int) -> float:
    """How much of a tone the provider has heard (PCM at 24 kHz)."""
    samples = sound.samples_of(bytes(session.audio))[:: RATE // sound.RATE]
    return sound.tone_ms(samples.astype("<i2").tobytes(), hz)


def test_errors_without_end_write_a_bounded_log_and_record(dial_desk: DialDesk, desk: Worker) -> None:
    call, session, call_id = dial_desk()
    error = {"type": "invalid_request_error", "code": "strange", "message": "No. " * 1000}
    for _ in range(3000):
        session.send("error", error=error)
    session.says(ANSWER_HZ, 400)
    call.hears_tone(ANSWER_HZ, 300)
    call.hang_up()
    record = desk.record(call_id)
    ended = desk.wait_log("call_ended", call_id=call_id)
    told = desk.logged("realtime_error", call_id=call_id)
    assert len(told) < 100 and sum(len(str(one)) for one in told) < 500_000
    left = ended.get("suppressed", {}).get("realtime_error", 0)
    assert len(told) + sum(one.get("suppressed", 0) for one in told) + left == 3000
    assert len(record["errors"]) <= 201 and len(json.dumps(record)) < 500_000

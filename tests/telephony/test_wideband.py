"""Calls at 16 kHz: G.722 past the conference, with tones that 8 kHz can't carry. pjsua2 on both ends."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(45)

WIDE = ["G722", "PCMU"]
HIGH = 6000
"""Hz: over what 8 kHz carries."""


@pytest.fixture
def build() -> str:
    """The build that can carry 16 kHz."""
    if not os.environ.get("OFFHOOK_TEST_PJSUA2"):
        pytest.skip("16 kHz needs the own build of pjsua2: OFFHOOK_TEST_PJSUA2")
    return "own"


class Line:
    """A caller whose offer has G.722 first, and the endpoint that answers with its settings as they come."""

    def __init__(self, start_endpoint: Any, codecs: list[str]) -> None:
        self.agent, self.caller = start_endpoint(), start_endpoint(answer=None, codecs=codecs)
        port = self.agent.next("Started")["port"]
        self.caller.next("Started")
        self.out = self.caller.do("invite", uri=f"sip:427@127.0.0.1:{port}")
        self.media = self.agent.next("MediaActive")
        self.into = self.media["call_id"]
        self.caller.next("MediaActive")
        self.caller.next("CallConfirmed")

    def rates(self) -> tuple[int, int]:
        return self.caller.do("rate", call_id=self.out), self.agent.do("rate", call_id=self.into)

    def hears(self, there: int, back: int) -> None:
        """Both hear a tone of the other's."""
        self.caller.do("play", call_id=self.out, hz=there, ms=3000)
        self.agent.do("play", call_id=self.into, hz=back, ms=3000)
        self.heard(there, back)

    def heard(self, there: int, back: int) -> None:
        self.agent.until(
            lambda: self.agent.do("heard", call_id=self.into)["hz"] == there, f"the agent hears {there} Hz"
        )
        self.caller.until(
            lambda: self.caller.do("heard", call_id=self.out)["hz"] == back, f"the caller hears {back} Hz"
        )

    def offers(self, codec: str, rate: int) -> None:
        """The caller offers another codec in the call."""
        self.agent.do("only_codec", codec=codec)
        self.caller.do("reinvite", call_id=self.out, codec=codec)
        assert self.agent.next("MediaActive", codec=codec)["rate_hz"] == rate


def test_what_lies_over_4_khz_comes_through_both_ways(start_endpoint: Any) -> None:
    line = Line(start_endpoint, WIDE)
    assert (line.media["codec"], line.media["rate_hz"], line.rates()) == ("G722", 16000, (16000, 16000))
    line.agent.do("record", call_id=line.into)
    line.hears(HIGH, HIGH)
    kept = line.agent.do("recorded", call_id=line.into)
    assert kept["ms"] >= 200 and kept["hz"] == [HIGH, HIGH]
    line.caller.do("send_digits", call_id=line.out, digits="7")
    assert line.agent.next("DigitReceived")["digit"] == "7"
    before = line.agent.do("counters", call_id=line.into)
    after = line.agent.until(
        lambda: (now := line.agent.do("counters", call_id=line.into))["clock_ms"] >= before["clock_ms"] + 400 and now,
        "the playout clock runs",
    )
    moved = {key: after[key] - before[key] for key in ("pushed", "pulled")}
    assert abs(moved["pushed"] - moved["pulled"]) <= 1, "a frame each way a tick"


def test_a_call_of_g711_stays_at_8_khz(start_endpoint: Any) -> None:
    line = Line(start_endpoint, ["PCMU", "G722"])
    assert (line.media["codec"], line.rates()) == ("PCMU", (8000, 8000))
    line.hears(1100, 700)


def test_another_codec_in_mid_call_goes_on_with_sound(start_endpoint: Any) -> None:
    line = Line(start_endpoint, WIDE)
    line.hears(HIGH, HIGH)
    line.offers("PCMU", 8000)
    line.hears(1100, 700)
    line.offers("G722", 16000)
    line.hears(HIGH, HIGH)
    assert line.rates() == (16000, 16000)


def test_g722_in_mid_call_where_it_began_with_g711(start_endpoint: Any) -> None:
    line = Line(start_endpoint, ["PCMU", "G722"])
    line.offers("G722", 16000)
    line.hears(1100, 700)
    assert line.rates() == (8000, 8000), "a call keeps its rate"


def test_hold_and_its_end(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint()
    run = sipp("hold", f"127.0.0.1:{endpoint.next('Started')['port']}", payload=9, rtpmap="G722/8000")
    call_id = endpoint.next("MediaActive", codec="G722")["call_id"]
    endpoint.is_held_and_taken_up(call_id)
    run.finish()


def test_it_is_joined_with_a_call_of_g711(start_endpoint: Any) -> None:
    line, callee = Line(start_endpoint, WIDE), start_endpoint()
    second = line.agent.do("invite", uri=f"sip:200@127.0.0.1:{callee.next('Started')['port']}")
    line.agent.next("MediaActive", call_id=second, codec="PCMU")
    at_callee = callee.next("MediaActive")["call_id"]
    line.agent.do("join", call_id=line.into, other_id=second)
    line.caller.do("play", call_id=line.out, hz=500, ms=8000)
    callee.do("play", call_id=at_callee, hz=900, ms=8000)
    callee.until(lambda: callee.do("heard", call_id=at_callee)["hz"] == 500, "the callee hears the caller")
    line.caller.until(lambda: line.caller.do("heard", call_id=line.out)["hz"] == 900, "the caller hears the callee")
    line.agent.until(lambda: line.agent.do("heard", call_id=line.into)["hz"] == 500, "recordings go on")


OFFER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP {order}\r\na=rtpmap:9 G722/8000\r\na=ptime:20\r\n"
)


def test_its_rtp_clock_runs_at_8_khz(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    """RFC 3551 section 4.5.2: 20 ms are 160 ticks, and 160 bytes of 64 kbit/s."""
    agent, phone = start_endpoint(), rtp()
    one = raw(agent.next("Started")["port"])
    one.send(one.invite(body=OFFER.format(port=phone.port, order="9 0")))
    assert one.status() == 200
    assert agent.next("MediaActive")["codec"] == "G722"
    agent.until(lambda: len(phone.packets) >= 20, "packets")
    packets = phone.packets[5:20]
    assert {packet[1] & 0x7F for packet in packets} == {9} and {len(packet) - 12 for packet in packets} == {160}
    times = [int.from_bytes(packet[4:8], "big") for packet in packets]
    assert {(b - a) & 0xFFFFFFFF for a, b in zip(times, times[1:], strict=False)} == {160}

"""What users of other voice agents complain of, by the numbers of that list: each scene fails on the naive way."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts import sound
from parts.caller import ROUGHLY, Call
from parts.program import until
from parts.provider import ANSWER_HZ, FILLER_HZ, RATE, WORDS_HZ, Provider, Session, is_no_filler
from parts.services import OwnDesk, Worker

DialDesk = Callable[[], tuple[Call, Session, str]]


def test_complaint_1_a_long_tool_silences_nobody(spoken: Worker, dial: Callable[[str], Call]) -> None:
    """Naive: the tool is awaited by the loop that reads the socket; fillers, barge-in and other answers wait too."""
    call = dial(spoken.uri)
    call_id = spoken.next_call()
    call.hears_said("Hello, this is the order desk. How can I help you?", likeness=ROUGHLY)
    call.say("what is the status of order four two seven")
    asked_ms = call.now_ms
    filler_ms = call.hears_said("Let me look that order up.", after=asked_ms, likeness=ROUGHLY)
    assert any(one["tools_pending"] == ["order_status"] for one in spoken.calls()), "the tool runs meanwhile"
    call.say("what can you do")
    other = "I can look up an order, tell you the time, and explain our delivery terms."
    other_ms = call.hears_said(other, after=filler_ms, likeness=ROUGHLY)
    result = "Order four two seven is shipped with DHL, and arrives on Thursday."
    assert filler_ms < other_ms < call.hears_said(result, after=asked_ms, likeness=ROUGHLY)
    call.hang_up()
    record = spoken.record(call_id)
    tools = {tool["tool"]: tool for tool in record["tool_calls"]}
    assert tools["order_status"]["status"] == "ok"
    assert tools["order_status"]["run_ms"] >= 6000 and tools["order_status"]["fillers"] >= 1
    assert len(record["tool_calls"]) == 1, "an interruption does not order twice"
    # From the audio alone: while the tool ran, was there ever nothing to be heard, of the agent or of the caller?
    left, right = sound.channels(Path(record["recording"]))
    heard = (sound.levels(right) > sound.QUIET_DBFS) | (sound.levels(left) > sound.QUIET_DBFS)
    ran = tools["order_status"]
    span = slice(ran["start_ms"] // sound.FRAME_MS, (ran["start_ms"] + ran["run_ms"]) // sound.FRAME_MS)
    assert sound.longest_silence_ms(~heard[span]) <= 1500, "1200, and what a loaded machine adds"
    assert record["longest_tool_silence_ms"] <= 1500


def test_complaint_1_there_is_always_something_to_be_heard(dial_desk: DialDesk, desk: Worker) -> None:
    """Naive: the line is dead until the tool is done, or the same sentence comes again and again."""
    call, session, call_id = dial_desk()
    tool = session.calls("slow", {"seconds": 7, "name": "dead-air"})
    began_ms = call.listen().now_ms
    assert session.output(tool) == {"slept": 7}
    answer_ms = call.hears_tone(ANSWER_HZ, 500)
    call.hang_up()
    heard = sound.levels(bytes(call.heard)) > sound.QUIET_DBFS
    quiet = ~heard[int(began_ms) // sound.FRAME_MS : int(answer_ms) // sound.FRAME_MS]
    assert sound.longest_silence_ms(quiet) <= 1500, "1200, and what a loaded machine adds"
    fillers = [turn["text"] for turn in desk.record(call_id)["turns"] if turn["who"] == "filler"]
    assert len(fillers) >= 2 and len(set(fillers)) == len(fillers)


class TestComplaint2ActiveResponse:
    """Naive: response.create whenever a result is there; the service refuses it, and the answer is dropped."""

    def test_no_response_is_requested_while_one_is_active(self, dial_desk: DialDesk) -> None:
        call, session, _ = dial_desk()
        tool = session.calls("add", {"left": 2, "right": 3})
        response = session.begin()  # the caller has asked something else meanwhile
        session.speak(response, WORDS_HZ, 1000)
        assert session.output(tool) == {"result": 5}
        call.hears_tone(WORDS_HZ, 900)
        assert session.got("response.create", is_no_filler) == [], "the slot is taken"
        session.end(response)
        session.wait("response.create", is_no_filler)
        call.hears_tone(ANSWER_HZ, 500)
        assert no_refusals(session)

    def test_a_refused_request_is_made_again_and_the_answer_is_heard(self, dial_desk: DialDesk, desk: Worker) -> None:
        """The race that no client can avoid: both create a response in the same moment."""
        call, session, call_id = dial_desk()
        session.answers = False
        tool = session.calls("here", {"word": "found"})
        assert session.output(tool) == {"word": "found"}
        request = session.wait("response.create", is_no_filler)
        theirs = session.begin()
        error = {"type": "invalid_request_error", "code": "conversation_already_has_active_response"}
        text = "Conversation already has an active response in progress."
        session.send("error", error={**error, "message": text, "param": None, "event_id": request["event_id"]})
        session.speak(theirs, WORDS_HZ, 400)
        call.hears_tone(WORDS_HZ, 300)
        session.answers = True
        assert len(session.got("response.create", is_no_filler)) == 1
        session.end(theirs)
        session.wait("response.create", is_no_filler, count=2)
        call.hears_tone(ANSWER_HZ, 500)
        call.hang_up()
        assert desk.record(call_id)["outcome"] == "completed"


def test_complaint_4_a_tool_whose_worker_is_killed_is_not_in_progress_for_ever(
    own_desk: OwnDesk, provider: Provider, dial: Callable[[str], Call]
) -> None:
    """Naive: the call waits for a result that nobody will ever write."""
    desk = own_desk.worker
    call = dial(desk.uri)
    session, call_id = provider.session(), desk.next_call()
    tool = session.calls("doomed", {"name": "killed"})
    until((own_desk.folder / "killed.started").exists, "the job runs")
    own_desk.tool_worker.kill()
    call.hears_tone(FILLER_HZ, 300)  # nobody knows yet: the caller is told to wait
    outcome = session.output(tool)
    assert outcome["status"] == "timeout" and "error" in outcome
    call.hears_tone(ANSWER_HZ, 500)
    until(lambda: [one["tools_pending"] for one in desk.calls()] == [[]], "nothing is pending")
    own_desk.start_tool_worker()
    assert session.output(session.calls("add", {"left": 20, "right": 3})) == {"result": 23}
    call.hang_up()
    record = desk.record(call_id)
    assert [tool["status"] for tool in record["tool_calls"]] == ["timeout", "ok"]
    assert record["outcome"] == "completed"
    assert session.outputs(tool) == 1
    assert len((own_desk.folder / "killed.started").read_text().splitlines()) == 1, "it was not run again"


class TestComplaint5EndCall:
    def test_end_call_of_a_discarded_generation_does_not_hang_up(self, dial_desk: DialDesk, desk: Worker) -> None:
        """Naive: the function runs when its arguments are there, though the caller has spoken into the goodbye."""
        call, session, call_id = dial_desk()
        response = session.begin()
        session.speak(response, WORDS_HZ, 2000, words="Goodbye then.")
        call.hears_tone(WORDS_HZ, 300)
        item = session.caller_starts()  # "wait, one more thing"
        end_call = session.call(response, "end_call")
        session.end(response, status="cancelled")
        assert session.output(end_call)["status"] != "ending"
        session.caller_stops(item, "wait one more thing")
        said_ms = call.listen().now_ms
        session.says(ANSWER_HZ, 1500)
        call.hears_tone(ANSWER_HZ, 1400, after=said_ms)
        call.waits(1000)  # longer than the pause between a goodbye and its BYE
        assert call.up
        call.hang_up()
        assert desk.record(call_id)["reason"].startswith("caller")

    def test_a_caller_who_speaks_into_the_goodbye_is_not_hung_up_on(self, dial_desk: DialDesk) -> None:
        """Naive: once end_call was called, nothing stops the BYE."""
        call, session, _ = dial_desk()
        response = session.begin()
        session.speak(response, WORDS_HZ, 2000, words="Goodbye then.")
        session.call(response, "end_call")
        session.end(response)
        call.hears_tone(WORDS_HZ, 300)
        session.caller_says("wait one more thing")
        said_ms = call.listen().now_ms
        session.says(ANSWER_HZ, 800)
        call.hears_tone(ANSWER_HZ, 700, after=said_ms)
        call.waits(1000)
        assert call.up

    def test_a_goodbye_is_heard_to_its_end_and_there_is_one_bye(self, dial_desk: DialDesk, desk: Worker) -> None:
        """Naive: BYE as soon as the function is called; the goodbye is still in the queue."""
        call, session, call_id = dial_desk()
        response = session.begin()
        session.call(response, "end_call")
        session.speak(response, WORDS_HZ, 2500, words="Thank you for calling. Goodbye.")
        session.end(response)
        call.hears_tone(WORDS_HZ, 2400)
        call.ended()
        assert desk.record(call_id)["outcome"] == "completed"
        assert session.got("response.create") == [], "one goodbye is enough"


class TestComplaint7Truncation:
    """Naive: by the wall clock since the first delta, past what was received, or 0 ms."""

    def test_truncates_at_what_was_heard(self, desk: Worker, provider: Provider, sipp: Any, rtp: Any) -> None:
        media = rtp()
        run = sipp("their_bye", desk.target, rtp=media.port)
        session, call_id = provider.session(), desk.next_call()
        media.learn_peer()

        # An item that came at once, 6 s of it, and is interrupted after a good second of RTP.
        first = session.says(900, 6000)
        until(lambda: sound.tone_ms(media.heard(), 900) >= 1200, "a second of the first item")
        session.caller_says("stop")
        cut = session.wait("conversation.item.truncate")
        heard_ms = self._settled(media, 900)
        assert cut["item_id"] == first and cut["content_index"] == 0
        assert 0 < cut["audio_end_ms"] < 6000
        assert abs(cut["audio_end_ms"] - heard_ms) <= 40

        # A second one: its own clock begins at 0 again, whatever the call's says.
        second = session.says(1300, 3000)
        until(lambda: sound.tone_ms(media.heard(), 1300) >= 500, "half a second of the second item")
        session.caller_says("stop again")
        cut = session.wait("conversation.item.truncate", count=2)
        heard_ms = self._settled(media, 1300)
        assert cut["item_id"] == second
        assert abs(cut["audio_end_ms"] - heard_ms) <= 40

        # One that comes in two bursts with a second of silence between them: silence is no part of it.
        response = session.begin()
        third = session.speak(response, 1700, 400, end=False)
        until(lambda: sound.tone_ms(media.heard(), 1700) >= 360, "all of the third item that came")
        before = len(media.packets)
        until(lambda: len(media.packets) >= before + 50, "a second of silence")
        session.stream(response, third, sound.tone(1700, 4000, RATE))
        until(lambda: sound.tone_ms(media.heard(), 1700) >= 900, "half a second of the second burst")
        item = session.caller_starts()
        cut = session.wait("conversation.item.truncate", count=3)
        heard_ms = self._settled(media, 1700)
        assert cut["item_id"] == third
        assert abs(cut["audio_end_ms"] - heard_ms) <= 40
        session.end(response, status="cancelled")

        # And one of which nothing was heard, since the caller speaks: it is taken back, not cut at 0 ms.
        response = session.begin()
        fourth = session.speak(response, 2100, 1000)
        session.end(response, status="cancelled")
        session.wait("conversation.item.delete", lambda message: message["item_id"] == fourth)
        assert sound.tone_ms(media.heard(), 2100) == 0
        assert all(message["audio_end_ms"] > 0 for message in session.got("conversation.item.truncate"))
        assert len(session.got("conversation.item.truncate")) == 3

        session.caller_stops(item)
        session.calls("end_call")
        run.finish()
        barge_ins = desk.record(call_id)["barge_ins"]
        cuts = [message["audio_end_ms"] for message in session.got("conversation.item.truncate")[:2]]
        assert [entry["heard_ms"] for entry in barge_ins][:2] == cuts

    @staticmethod
    def _settled(media: Any, hz: int) -> float:
        """How much of a tone came over the wire, once no more of it comes: by samples, not by frames."""
        before = len(media.packets)
        until(lambda: len(media.packets) >= before + 10, "0.2 s more of RTP")
        samples = np.abs(sound.samples_of(media.heard()))
        tones = np.array(sound.tones(media.heard()))
        mine = np.flatnonzero(np.abs(tones - hz) <= 50) * sound.FRAME
        around = samples[max(0, mine[0] - sound.FRAME) : mine[-1] + 2 * sound.FRAME]
        audible = np.convolve(around > 300, np.ones(8), "same") > 0  # through the wave's zeros
        return float(audible.sum() / 8)


class TestComplaint8Choppy:
    """Naive: each piece is resampled for itself, or the queue runs dry between small pieces: clicks and gaps."""

    @pytest.mark.parametrize("paced", [False, True], ids=["at-once", "in-time"])
    def test_a_tone_in_odd_pieces_is_a_clean_tone(
        self, desk: Worker, provider: Provider, sipp: Any, rtp: Any, paced: bool
    ) -> None:
        media = rtp()
        run = sipp("their_bye", desk.target, rtp=media.port)
        session, call_id = provider.session(), desk.next_call()
        media.learn_peer()
        response, item = session.begin(), session.new("item")
        pcm, dice, at = sound.tone(1000, 2000, RATE), random.Random(7), 0
        while at < len(pcm):
            size = dice.choice([1, 3, 7, 479, 481, 961, 4799])  # bytes: samples are torn apart too
            session.stream(response, item, pcm[at : at + size], size)
            at += size
            if paced:  # as a service that speaks just ahead of time: half a second, no more
                sent_ms = at / 48 - 500
                until(lambda ms=sent_ms: sound.tone_ms(media.heard(), 1000) >= ms, "it is heard as it comes")
        session.send("response.output_audio.done", response_id=response, item_id=item, output_index=0, content_index=0)
        session.end(response)
        until(lambda: sound.tone_ms(media.heard(), 1000) >= 1940, lambda: f"2 s of tone; {len(media.packets)} packets")
        session.calls("end_call")
        run.finish()
        heard = sound.samples_of(media.heard())
        loud = np.flatnonzero(np.abs(heard) > 2000)
        first = loud[0]
        tone = heard[first + 400 : first + 400 + 1900 * 8]
        assert sound.snr_db(tone, 1000) > 30, "G.711 alone gives 37 dB; one click or gap takes it below 30"
        audio = sorted((p for p in media.packets if p.payload_type == 0), key=lambda packet: packet.sequence)
        steps = {b.sequence - a.sequence for a, b in zip(audio, audio[1:], strict=False)}
        assert steps <= {1, 1 - 65536}, "no packet is missing"
        assert desk.wait_log("call_ended", call_id=call_id)["underruns"] == 0


def no_refusals(session: Session) -> bool:
    """Whether the client never asked for a response while an in-band one was active, by the order on the wire."""
    active: set[str] = set()
    for way, message in session.timeline:
        response = message.get("response", {})
        if way == ">" and message["type"] == "response.created" and response["metadata"].get("purpose") != "filler":
            active.add(response["id"])
        elif way == ">" and message["type"] == "response.done":
            active.discard(response["id"])
        elif way == "<" and message["type"] == "response.create" and is_no_filler(message) and active:
            return False
    return True

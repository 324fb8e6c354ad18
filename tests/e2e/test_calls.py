"""Calls over real SIP: who may call how, and what of it reaches the realtime session and the record."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import ALIKE, Call, agent_voice, voice
from parts.program import BOUND_S, until
from parts.provider import ANSWER_HZ, WORDS_HZ, Opening, Provider
from parts.services import Worker
from parts.wire import G722, PCMA, PCMU

from worker.records.record import CallRecord

DialDesk = Callable[[], Any]


class TestSipp:
    @pytest.mark.parametrize(
        ("payload", "codec", "options"),
        [(PCMU, "PCMU", ()), (PCMA, "PCMA", ()), (G722, "G722", ()), (PCMU, "PCMU", ("-t", "t1"))],
        ids=["pcmu", "pcma", "g722", "tcp"],
    )
    def test_a_call_that_the_caller_ends(
        self, desk: Worker, provider: Provider, sipp: Any, rtp: Any, payload: int, codec: str, options: tuple[str, ...]
    ) -> None:
        media = rtp()
        run = sipp("call", desk.target, *options, payload=payload, rtp=media.port, hold_ms=1500)
        session, call_id = provider.session(), desk.next_call()
        until(lambda: any(call["call_id"] == call_id and call["codec"] for call in desk.calls()), "media")
        assert [call["codec"] for call in desk.calls() if call["call_id"] == call_id] == [codec]
        session.says(ANSWER_HZ, 600, "hello")
        run.finish()
        record = desk.record(call_id)
        assert record["outcome"] == "completed" and record["reason"].startswith("caller")
        assert record["answered_ms"] is not None and record["duration_ms"] >= 1000
        assert record["turns"][0]["who"] == "agent" and record["turns"][0]["text"] == "hello"
        assert {packet.payload_type for packet in media.packets} == {payload}
        if payload != G722:
            assert sound.tone_ms(media.heard(), ANSWER_HZ) >= 500

    def test_a_call_that_the_agent_ends(self, desk: Worker, provider: Provider, sipp: Any, rtp: Any) -> None:
        media = rtp()
        run = sipp("their_bye", desk.target, rtp=media.port)
        session, call_id = provider.session(), desk.next_call()
        media.learn_peer()
        response = session.begin()
        session.speak(response, ANSWER_HZ, 1000, words="Goodbye.")
        session.call(response, "end_call")
        session.end(response)
        run.finish()
        assert sound.tone_ms(media.heard(), ANSWER_HZ) >= 980, "the goodbye is heard to its end"
        assert desk.record(call_id)["outcome"] == "completed"

    def test_a_call_that_is_put_on_hold(self, desk: Worker, provider: Provider, sipp: Any, rtp: Any) -> None:
        """What is said to a held call waits: the caller hears it from where it stopped."""
        media = rtp()
        run = sipp("hold", desk.target, rtp=media.port)
        session, call_id = provider.session(), desk.next_call()
        desk.wait_log("held", call_id=call_id)
        session.says(ANSWER_HZ, 400, "you are back")
        desk.wait_log("resumed", call_id=call_id)
        run.finish()
        assert sound.tone_ms(media.heard(), ANSWER_HZ) >= 360
        assert desk.record(call_id)["outcome"] == "completed"

    def test_a_caller_who_gives_up_while_it_rings(self, desk: Worker, provider: Provider, sipp: Any) -> None:
        provider.openings.append(Opening(silent=True))  # it rings until there is a session, or for 2 s
        run = sipp("cancel", desk.target)
        call_id = desk.next_call()
        run.finish()
        record = desk.record(call_id)
        assert record["outcome"] == "abandoned"
        assert record["answered_ms"] is None and record["turns"] == []

    def test_the_fifth_call_is_told_busy_and_the_four_go_on(
        self, desk: Worker, provider: Provider, sipp: Any, dial: Callable[[str], Call]
    ) -> None:
        until(lambda: not desk.calls(), "the calls of earlier scenes are over")
        calls = [dial(desk.uri) for _ in range(4)]
        assert desk.part("capacity") == {"ok": False, "detail": "4 of 4 calls"}
        sipp("refused_486", desk.target).finish()
        sessions = [provider.session() for _ in calls]
        for session in sessions:
            session.says(ANSWER_HZ, 400)
        for call in calls:
            call.hears_tone(ANSWER_HZ)
        calls.pop().hang_up()
        until(lambda: desk.part("capacity")["ok"], "room for one more")
        dial(desk.uri)

    def test_keys_by_info_reach_the_model(self, desk: Worker, provider: Provider, sipp: Any) -> None:
        run = sipp("info_digits", desk.target)
        session = provider.session()
        session.wait("conversation.item.create")
        run.finish()
        assert session.texts() == [("user", "The caller typed on the keypad: 5")]


def test_keys_by_rtp_are_one_item_for_the_model_and_in_no_log_line(dial_desk: DialDesk, desk: Worker) -> None:
    digits = "9047318265"
    call, session, _ = dial_desk()
    call.type(digits + "#")
    session.wait("conversation.item.create")
    session.wait("response.create")
    call.hears_tone(ANSWER_HZ)
    call.hang_up()
    assert session.texts() == [("user", f"The caller typed on the keypad: {digits}")]
    for line in (*desk.err, *desk.out):
        assert digits not in line
        assert not re.search(r'"(digits?|dtmf|key)": "[0-9*#]', line), line


def test_a_call_from_baresip(spoken: Worker, tmp_path: Path) -> None:
    """It has a voice of its own: a recorded question. It hears the answer, which is in its own recording."""
    if not shutil.which("baresip"):
        pytest.skip("baresip is not installed")
    modules = next(Path("/usr/lib").glob("**/baresip/modules"))
    (tmp_path / "accounts").write_text("<sip:bare@127.0.0.1>;regint=0;audio_codecs=PCMU\n")
    (tmp_path / "contacts").write_text("")
    (tmp_path / "config").write_text(
        f"sip_listen 127.0.0.1:0\nmodule_path {modules}\nmodule g711.so\nmodule_tmp uuid.so\nmodule_app account.so\n"
        f"module aufile.so\nmodule sndfile.so\nsnd_path {tmp_path}\nmodule_app menu.so\n"
        f"audio_source aufile,{tmp_path}/said.wav\nausrc_srate 8000\nauplay_srate 8000\n"
    )
    with wave.open(str(tmp_path / "said.wav"), "wb") as said:
        said.setnchannels(1)
        said.setsampwidth(2)
        said.setframerate(sound.RATE)
        # After the greeting, which takes 4 s.
        said.writeframes(bytes(16 * 4500) + voice("are you still there") + bytes(16 * 20000))
    with (tmp_path / "out").open("w") as out:
        command = ["baresip", "-f", str(tmp_path), "-e", f"/dial {spoken.uri}", "-t", "25"]
        baresip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        call_id = spoken.next_call()
        floor = lambda: [call["floor"] for call in spoken.calls() if call["call_id"] == call_id]  # noqa: E731
        until(lambda: floor() == ["agent"], "the agent greets")
        until(lambda: floor() == ["caller"], "the caller asks")
        until(lambda: floor() == ["agent"], "the agent answers")
        until(lambda: floor() == ["nobody"], "the answer is said")
        dump = next(tmp_path.glob("dump-*-dec.wav"))
        on_disk = dump.stat().st_size
        until(lambda: dump.stat().st_size >= on_disk + 16 * 1000, "and is in baresip's own recording")
    finally:
        baresip.terminate()
        baresip.wait(BOUND_S)
    record = spoken.record(call_id)
    assert record["caller"] == "bare" and record["dialled"] == "agent"
    assert [turn["text"] for turn in record["turns"] if turn["who"] == "caller"] == ["are you still there"]
    assert any(turn["text"].startswith("Yes, I am here") for turn in record["turns"] if turn["who"] == "agent")
    with wave.open(str(dump)) as file:
        assert file.getframerate() == sound.RATE
        heard = file.readframes(file.getnframes())
    assert sound.find(heard, agent_voice("Yes, I am here."))[0] >= ALIKE, "what baresip heard"


class TestRecord:
    def test_the_recording_has_the_caller_left_and_the_agent_right(self, dial_desk: DialDesk, desk: Worker) -> None:
        call, session, call_id = dial_desk()
        session.says(ANSWER_HZ, 500)
        call.hears_tone(ANSWER_HZ)
        call.play(sound.tone(1200, 500))
        call.waits(300).hang_up()
        record = desk.record(call_id)
        left, right = sound.channels(Path(record["recording"]))
        assert sound.tone_ms(left, 1200) >= 300 and sound.tone_ms(right, 1200) == 0
        assert sound.tone_ms(right, ANSWER_HZ) >= 460 and sound.tone_ms(left, ANSWER_HZ) == 0

    def test_a_silent_provider_is_no_dead_air(self, desk: Worker, provider: Provider, dial: Any) -> None:
        """The call is answered within its bound, and the line is not dead while there is no session."""
        provider.openings.append(Opening(silent=True))
        call = dial(desk.uri)
        until(lambda: sound.levels(bytes(call.listen().heard)).max(initial=-99) > sound.QUIET_DBFS, "a soft tone")
        call.hang_up()
        assert desk.record(desk.next_call())["answered_ms"] >= 1900

    def test_goodbye_before_a_word(self, dial_desk: DialDesk, desk: Worker) -> None:
        """end_call without a word: the caller is owed a goodbye all the same."""
        call, session, call_id = dial_desk()
        session.calls("end_call")
        call.hears_tone(WORDS_HZ, 700)
        assert call.ended()["by"] == "caller"  # the other side, as the telephone sees it
        assert desk.record(call_id)["outcome"] == "completed"
        assert session.got("response.create")[-1]["response"]["instructions"] == "Say exactly: Goodbye, and thank you."


def test_the_demo_plays_a_call_and_prints_its_record(offhook: Any, tmp_path: Path) -> None:
    code, out, err = offhook("demo", "--out", tmp_path, "--json", within=140.0)
    assert code == 0 and '"exception"' not in err, err
    record = json.loads(out)
    keys = "call_id outcome answered_ms duration_ms turns tool_calls barge_ins longest_tool_silence_ms heard_by_caller"
    assert set(keys.split()) <= set(record) <= set(CallRecord.model_fields)
    assert set(record["turns"][0]) == {"who", "text", "start_ms", "end_ms"}
    assert {turn["who"] for turn in record["turns"]} == {"caller", "agent", "filler"}
    tools = "tool mode start_ms job_id status detail wait_ms run_ms fillers promised ended_at result"
    assert set(tools.split()) == set(record["tool_calls"][0])
    look_up = next(call for call in record["tool_calls"] if call["tool"] == "order_status")
    assert look_up["mode"] == "queued" and look_up["status"] == "ok" and look_up["fillers"] >= 1
    assert look_up["job_id"].startswith(record["call_id"] + "-")
    assert set(record["barge_ins"][0]) == {"at_ms", "heard_ms", "stopped_in_ms"}
    assert any("order four two seven is shipped" in heard for heard in record["heard_by_caller"])
    assert record["outcome"] == "completed" and record["errors"] == []
    assert json.loads((tmp_path / "call.json").read_text()) == record
    left, right = sound.channels(tmp_path / "call.wav")
    assert sound.levels(left).max() > -30 and sound.levels(right).max() > -30

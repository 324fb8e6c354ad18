"""The minutes: what goes into the record, the history, the log and the metrics, and at which times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from telephony.bridge import Bridge
from worker.call.playout import Playout
from worker.call.transcript import VOICE_LAG_MS, Transcript
from worker.realtime import events as realtime
from worker.realtime.history import History
from worker.records.metrics import Metrics
from worker.records.prices import SHIPPED, Tariff, load_prices
from worker.records.recorder import Recorder
from worker.records.telemetry import CallInfo, Telemetry


class Desk:
    """A transcript and what it is written into."""

    def __init__(self) -> None:
        self.now = 100.0
        self.recorder = Recorder("c1", 100_000.0)
        self.recorder.answered(100_000.0)
        self.history = History()
        self.playout = Playout(Bridge(8000), self.recorder)
        self.metrics = Metrics()
        self.tariff = Tariff(load_prices(SHIPPED), "gpt-realtime-2.1", "gpt-transcribe")
        call = Telemetry(CallInfo("c1", "", ""), self.recorder, self.metrics, lambda: self.now, tariff=self.tariff)
        self.minutes = Transcript(call, self.history, self.playout)

    def price(self, tariff: Tariff) -> None:
        """Go by another table from now on."""
        self.tariff = self.minutes._tariff = tariff

    def note(self, *events: realtime.RealtimeEvent) -> None:
        for event in events:
            self.minutes.note(event)

    def said(self) -> list[tuple[str, str]]:
        return [(entry.role, entry.text) for entry in self.history.entries()]

    def turns(self) -> list[tuple[str, str, int, int]]:
        record = self.recorder.ended(self.now * 1000, "completed")
        return [(turn.who, turn.text, turn.start_ms, turn.end_ms) for turn in record.turns]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_callers_turn_has_the_times_of_the_audio_and_not_of_the_news(desk: Desk) -> None:
    desk.now = 105.0
    desk.minutes.sent_ms = 5000.0
    desk.note(realtime.SpeechStarted("i1", 4700))
    desk.now = 108.0
    desk.minutes.sent_ms = 8000.0
    desk.note(realtime.SpeechStopped("i1", 7500), realtime.CallerTranscript("i1", "where is my order"))
    assert desk.turns() == [("caller", "where is my order", 4700, 7500)]
    assert desk.said() == [("user", "where is my order")]


@pytest.mark.parametrize(("audio_ms", "at"), [(999_999, 5000), (0, 5000 - VOICE_LAG_MS)])
def test_a_servers_clock_that_cannot_be_right_is_not_believed(desk: Desk, audio_ms: int, at: int) -> None:
    desk.now = 105.0
    desk.minutes.sent_ms = 5000.0
    desk.note(realtime.SpeechStarted("i1", audio_ms))
    assert desk.turns()[0][2] == at


def test_a_new_sessions_clock_begins_at_nought(desk: Desk) -> None:
    desk.minutes.sent_ms = 60_000.0
    desk.note(realtime.SessionReady("s2", "pcm24k", "pcm24k"))
    assert desk.minutes.sent_ms == 0.0


def test_the_order_of_speech_stands_though_transcripts_come_late(desk: Desk) -> None:
    desk.note(realtime.SpeechStarted("i1", 0), realtime.SpeechStopped("i1", 0))
    desk.playout.play("a1", bytes(3200), "agent")
    desk.note(realtime.AgentTranscript("r1", "a1", "It is shipped."), realtime.CallerTranscript("i1", "where is it"))
    assert desk.said() == [("user", "where is it"), ("assistant", "It is shipped.")]


def test_fillers_are_turns_and_no_part_of_the_conversation(desk: Desk) -> None:
    desk.playout.play("f1", bytes(3200), "filler")
    desk.playout.poll(desk.now)
    desk.note(realtime.AgentTranscript("f", "f1", "One moment."))
    assert desk.said() == [] and desk.turns()[0][:2] == ("filler", "One moment.")


def test_text_grows_by_deltas_and_the_whole_text_replaces_them(desk: Desk) -> None:
    desk.playout.play("a1", bytes(3200), "agent")
    desk.playout.poll(desk.now)
    desk.note(realtime.AgentTranscriptDelta("r1", "a1", "It is "), realtime.AgentTranscriptDelta("r1", "a1", "ship"))
    assert desk.recorder._texts["a1"] == "It is ship"
    desk.note(realtime.AgentTranscript("r1", "a1", "It is shipped."))
    assert desk.turns()[0][1] == "It is shipped."


def test_what_was_cut_is_cut_in_record_and_history(desk: Desk) -> None:
    desk.playout.play("a1", bytes(3200), "agent")
    desk.playout.poll(desk.now)
    desk.note(realtime.AgentTranscript("r1", "a1", "one two three four"))
    desk.minutes.cut("a1", 500, 1000)
    assert desk.said() == [("assistant", "one two…")]
    assert "four" not in desk.turns()[0][1]


def samples(desk: Desk) -> list[float]:
    metric = next(iter(desk.metrics.turn_latency.collect()))
    return [s.value for s in metric.samples if s.name.endswith(("_count", "_sum"))]


def test_turn_latency_is_from_the_end_of_speech_to_the_first_audio_and_counted_once(desk: Desk) -> None:
    desk.minutes.agent_heard()  # the greeting answers nobody
    assert samples(desk) == [0, 0]
    desk.minutes.sent_ms = 3000.0
    desk.note(realtime.SpeechStarted("i1", 1000), realtime.SpeechStopped("i1", 2500))
    desk.now += 0.25
    desk.minutes.agent_heard()
    desk.minutes.agent_heard()
    assert samples(desk) == [1, pytest.approx(0.75)]


def test_a_lost_connection_is_an_error_a_count_and_the_end_of_what_was_being_said(desk: Desk) -> None:
    desk.note(realtime.SpeechStarted("i1", 0))
    desk.now = 103.0
    desk.note(realtime.ConnectionLost(1006, "", False))
    desk.now = 160.0
    assert desk.recorder.errors == ["realtime connection lost (1006)"]
    assert desk.metrics.realtime_lost_total._value.get() == 1
    assert desk.turns()[0][3] == 3000, "no speech_stopped comes for it any more"


def test_a_caller_cut_off_by_a_lost_session_does_not_hide_the_silence_of_a_tool(desk: Desk) -> None:
    desk.note(realtime.SpeechStarted("i1", 0))
    desk.note(realtime.ConnectionLost(1006, "", False))
    desk.recorder.tool_call_started(desk.now * 1000, "t1", "orders", "inline")
    desk.now += 5.0
    desk.recorder.tool_call_finished(desk.now * 1000, "t1", "ok")
    assert desk.recorder.ended(desk.now * 1000, "completed").longest_tool_silence_ms == 5000


def test_errors_and_unknown_events_are_logged_and_the_callers_words_are_not(desk: Desk) -> None:
    with capture_logs() as logs:
        desk.note(
            realtime.ProviderError("server_error", "oops", request="truncate"),
            realtime.Unknown("response.new"),
            realtime.CallerTranscript("i1", "my number is 90817"),
            realtime.AgentTranscript("r1", "a1", "90817, thank you"),
        )
    assert [entry["event"] for entry in logs] == ["realtime_error", "realtime_event_unknown"]
    assert "90817" not in str(logs)


def test_events_of_no_interest_are_ignored(desk: Desk) -> None:
    uninteresting: list[Any] = [realtime.ResponseStarted("r", {}), realtime.ResponseDone("r", "completed"), object()]
    desk.note(*uninteresting)
    assert desk.turns() == [] and desk.said() == []


def test_what_it_cost_is_in_the_record_and_in_the_metrics(desk: Desk) -> None:
    """A million of each: text 4 and 24 dollars, audio 32 and 64; half of the audio that came in was cached (0.40)."""
    million = 1_000_000
    took = {"input_tokens": 2 * million, "input_audio_tokens": million, "output_tokens": 2 * million}
    took |= {"output_audio_tokens": million, "cached_tokens": million // 2, "cached_audio_tokens": million // 2}
    desk.note(
        realtime.Usage("r1", **took), realtime.CallerTranscript("i1", "hello", realtime.Usage("", 0, 0, seconds=60.0))
    )
    record = desk.recorder.ended(200_000.0, "completed")
    voice = 4 + 24 + 32 / 2 + 0.4 / 2 + 64
    assert record.cost is not None and record.cost.amount == pytest.approx(voice + 0.0045)
    assert record.cost.models == {"gpt-realtime-2.1": pytest.approx(voice), "gpt-transcribe": pytest.approx(0.0045)}
    assert (record.cost.currency, record.cost.prices) == ("USD", desk.tariff.prices.date) and record.cost.unpriced == []
    assert record.usage is not None and record.usage.responses == 1 and record.usage.cached_audio_tokens == million // 2
    assert record.transcription is not None and record.transcription.seconds == 60
    text = desk.metrics.exposition().decode()
    assert f'offhook_cost_total{{currency="USD",model="gpt-realtime-2.1"}} {voice}' in text
    assert 'offhook_realtime_tokens_total{kind="cached_audio"} 500000.0' in text
    assert "offhook_transcription_seconds_total 60.0" in text


def test_a_model_without_a_price_has_no_cost_and_one_line_in_the_log(desk: Desk) -> None:
    desk.price(replace(desk.tariff, model="somebody-elses"))
    with capture_logs() as logs:
        desk.note(realtime.Usage("r1", 10, 10), realtime.Usage("r2", 10, 10))
    assert [(line["event"], line["model"]) for line in logs] == [("no_price", "somebody-elses")]
    assert desk.recorder.ended(200_000.0, "completed").cost is None
    assert "offhook_cost_total{" not in desk.metrics.exposition().decode()


def test_what_has_a_price_is_told_beside_what_has_none(desk: Desk) -> None:
    desk.price(replace(desk.tariff, model="somebody-elses"))
    desk.note(
        realtime.Usage("r1", 10, 10), realtime.CallerTranscript("i1", "hello", realtime.Usage("", 0, 0, seconds=120.0))
    )
    cost = desk.recorder.ended(200_000.0, "completed").cost
    assert cost is not None and cost.amount == pytest.approx(0.009) and cost.unpriced == ["somebody-elses"]


def test_a_model_that_is_billed_by_the_minute_costs_what_its_sessions_last(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    entry = 'names = ["by-the-minute"]\nsource = "the contract"\nread = 2026-11-01\nminute = 0.6\n'
    path.write_text('date = 2026-11-01\ncurrency = "EUR"\n[[model]]\n' + entry)
    desk.price(Tariff(load_prices(path), "by-the-minute"))
    ready = realtime.SessionReady("s1", "pcm24k", "pcm24k")
    desk.note(ready, realtime.Usage("r1", 1000, 1000))
    desk.now += 30.0
    desk.note(realtime.ConnectionLost(1006, "gone", fatal=False))
    desk.now += 100.0  # without a session nothing is billed
    desk.note(ready)
    desk.now += 60.0
    desk.minutes.session_over()
    desk.minutes.session_over()
    record = desk.recorder.ended(desk.now * 1000, "completed")
    assert record.cost is not None and record.cost.amount == pytest.approx(0.9) and record.cost.unpriced == []
    assert record.usage is not None and record.usage.seconds == pytest.approx(90)
    assert record.usage.responses == 1 and record.usage.input_tokens == 1000
    value = desk.metrics.registry.get_sample_value
    paid = value("offhook_cost_total", {"currency": "EUR", "model": "by-the-minute"})
    assert paid == pytest.approx(0.9) and value("offhook_realtime_session_seconds_total") == pytest.approx(90)

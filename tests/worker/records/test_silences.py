"""Whom a silence is put down to, and how long it was: fed as a call's recorder is."""

from __future__ import annotations

from worker.records.metrics import Metrics
from worker.records.silences import Silence
from worker.records.telemetry import CallInfo, Telemetry


def call() -> tuple[Telemetry, list[Silence]]:
    told = Telemetry.of_call(CallInfo("c1", "alice", "shop"), Metrics(), lambda: 0.0)
    seen: list[Silence] = []
    told.recorder.silences.over = seen.append
    told.recorder.answered(1000.0)
    return told, seen


def test_before_the_first_word_the_caller_waits_for_the_agent() -> None:
    told, seen = call()
    told.recorder.turn_started(2500.0, "agent", "a1")
    assert seen == [Silence(1500.0, "agent")]


def test_after_the_caller_it_is_the_agents_and_after_the_agent_the_callers() -> None:
    told, seen = call()
    told.recorder.turn_started(1100.0, "caller", "c1")
    told.recorder.turn_ended(2000.0, "c1")
    told.recorder.turn_started(2900.0, "agent", "a1")
    told.recorder.turn_ended(4000.0, "a1")
    told.recorder.turn_started(9000.0, "caller", "c2")
    assert seen == [Silence(900.0, "agent"), Silence(5000.0, "caller")]


def test_it_is_put_down_to_what_most_of_it_was_spent_on() -> None:
    told, seen = call()
    recorder = told.recorder
    recorder.turn_started(1000.0, "caller", "c1")
    recorder.turn_ended(2000.0, "c1")
    recorder.tool_call_started(2100.0, "t1", "quick", "inline")
    recorder.tool_call_finished(2110.0, "t1", "ok")
    recorder.turn_started(4000.0, "agent", "a1")
    recorder.turn_ended(5000.0, "a1")
    recorder.tool_call_started(5000.0, "t2", "slow", "queued")
    recorder.tool_call_finished(7000.0, "t2", "ok")
    recorder.turn_started(8000.0, "agent", "a2")
    assert seen == [Silence(2000.0, "agent"), Silence(3000.0, "tool")]


def test_a_waiting_tone_or_a_filler_ends_a_silence_and_is_no_answer() -> None:
    told, seen = call()
    recorder = told.recorder
    recorder.turn_started(1000.0, "caller", "c1")
    recorder.turn_ended(2000.0, "c1")
    recorder.tool_call_started(2000.0, "t1", "slow", "queued")
    recorder.sound_started(3500.0, "tone")
    recorder.tool_call_finished(6000.0, "t1", "ok")
    recorder.sound_ended(6500.0, "tone")
    recorder.turn_started(7000.0, "filler", "f1")
    recorder.turn_ended(8000.0, "f1")
    recorder.turn_started(9000.0, "agent", "a1")
    assert seen == [Silence(1500.0, "tool"), Silence(500.0, "agent"), Silence(1000.0, "agent")]


def test_the_last_one_ends_with_the_call_and_nothing_comes_after_it() -> None:
    told, seen = call()
    told.recorder.turn_started(1000.0, "caller", "c1")
    told.recorder.turn_ended(2000.0, "c1")
    told.recorder.tool_call_started(2000.0, "t1", "slow", "queued")
    told.recorder.ended(22_000.0, "failed")
    told.recorder.tool_call_finished(90_000.0, "t1", "continues")
    assert seen == [Silence(20_000.0, "tool")]


def test_what_nobody_answers_is_no_silence_and_a_breath_is_none() -> None:
    told = Telemetry.of_call(CallInfo("c1", "alice", "shop"), Metrics(), lambda: 0.0)
    seen: list[Silence] = []
    told.recorder.silences.over = seen.append
    told.recorder.ended(30_000.0, "abandoned")
    assert seen == []
    told, seen = call()
    for start in (1100.0, 2250.0):
        told.recorder.turn_started(start, "agent", f"a{start}")
        told.recorder.turn_ended(start + 1000, f"a{start}")
    assert seen == []


def test_it_goes_to_the_metrics_in_seconds() -> None:
    metrics = Metrics()
    told = Telemetry.of_call(CallInfo("c1", "alice", "shop"), metrics, lambda: 0.0)
    told.recorder.answered(0.0)
    told.recorder.turn_started(2500.0, "agent", "a1")
    text = metrics.exposition().decode()
    assert 'offhook_silence_seconds_bucket{le="2.0",waiting_for="agent"} 0.0' in text
    assert 'offhook_silence_seconds_bucket{le="3.0",waiting_for="agent"} 1.0' in text

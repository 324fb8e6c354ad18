"""Writes what a realtime session tells into the call's record, the history for a next session, the log, the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from worker.call.playout import Playout
from worker.realtime import events as realtime
from worker.realtime.history import History
from worker.records.record import UsageRecord
from worker.records.telemetry import Telemetry
from worker.turns.events import Unmet

__all__ = ["Transcript"]

REASON_CHARS = 300
VOICE_LAG_MS = 2000
"""A server's VAD tells of the end of speech at most so late; beyond it its clock is not believed."""


class Transcript:
    """The transcript of one call. Decides nothing."""

    def __init__(self, call: Telemetry, history: History, playout: Playout) -> None:
        self._recorder = call.recorder
        self._history = history
        self._playout = playout
        self._metrics = call.metrics
        self._tariff = call.tariff
        self._log = call.log
        self._clock = call.clock
        self._speech_ended: float | None = None
        self._speaking: str | None = None
        self._session_since: float | None = None
        self.sent_ms = 0.0
        """How much of the caller's audio this session was sent: the clock that its VAD counts by (ms)."""
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            realtime.SessionReady: self._session_ready,
            realtime.SpeechStarted: self._speech_started,
            realtime.SpeechStopped: self._speech_stopped,
            realtime.CallerTranscript: self._caller_transcript,
            realtime.AgentTranscriptDelta: self._agent_transcript_delta,
            realtime.AgentTranscript: self._agent_transcript,
            realtime.ProviderError: self._provider_error,
            realtime.ConnectionLost: self._connection_lost,
            realtime.ResponseDone: self._response_done,
            realtime.Usage: self._used,
            realtime.Unknown: self._unknown,
        }

    def note(self, event: realtime.RealtimeEvent) -> None:
        """Take an event down."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def agent_heard(self) -> None:
        """The agent's first audio of an item is queued: the answer to what the caller said last."""
        if self._speech_ended is not None:
            self._metrics.turn_latency.observe(self._clock() - self._speech_ended)
            self._speech_ended = None

    def cut(self, item_id: str, heard_ms: int, received_ms: int) -> None:
        """Of an item of the agent's only this much was heard (ms)."""
        self._history.cut(item_id, heard_ms, received_ms)
        self._recorder.turn_cut(item_id, heard_ms, received_ms)

    def _heard_at(self, audio_ms: int) -> float:
        """When the audio at `audio_ms` of all that was sent came in from the caller (s)."""
        ago = min(max(self.sent_ms - audio_ms, 0.0), VOICE_LAG_MS)
        return self._clock() - ago / 1000

    def _used(self, event: realtime.Usage) -> None:
        """What a response took goes into the record, and by its kind to the metrics."""
        took = _as_record(event)
        self._recorder.used(took)
        for kind, count in {
            **_kinds(took),
            "cached": took.cached_tokens,
            "cached_audio": took.cached_audio_tokens,
        }.items():
            self._metrics.realtime_tokens_total.labels(kind).inc(max(0, count))
        if self._tariff is not None and not self._by_the_minute():
            self._charge(self._tariff.model, took)

    def session_over(self) -> None:
        """The session is no more, or the call is: some models are billed for its length. It may be told again."""
        if self._session_since is None:
            return
        seconds, self._session_since = self._clock() - self._session_since, None
        self._metrics.realtime_session_seconds_total.inc(seconds)
        if self._tariff is not None and self._by_the_minute():
            took = UsageRecord(seconds=seconds)
            self._recorder.used(took)
            self._charge(self._tariff.model, took)

    def _by_the_minute(self) -> bool:
        """Whether the model is billed by its sessions' length, and not by tokens."""
        price = None if self._tariff is None else self._tariff.prices.find(self._tariff.model)
        return price is not None and price.minute is not None

    def _transcribed(self, event: realtime.Usage) -> None:
        """The same of writing down the caller's words."""
        took = _as_record(event)
        self._recorder.used(took, transcription=True)
        for kind, count in _kinds(took).items():
            self._metrics.transcription_tokens_total.labels(kind).inc(max(0, count))
        self._metrics.transcription_seconds_total.inc(took.seconds)
        if self._tariff is not None and self._tariff.transcriber is not None:
            self._charge(self._tariff.transcriber, took)

    def _charge(self, model: str, took: UsageRecord) -> None:
        """What it cost, where its model has a price."""
        assert self._tariff is not None
        prices = self._tariff.prices
        price = prices.find(model)
        amount = None if price is None else price.of(took)
        self._recorder.cost(model, amount, prices.currency, prices.date)
        if price is not None and amount is not None:
            self._metrics.cost_total.labels(prices.currency, price.names[0]).inc(amount)
        elif prices.first_time(model):
            self._log.warning("no_price", model=model, prices=prices.date, mend="name it in a file for OFFHOOK_PRICES")

    def _session_ready(self, event: realtime.SessionReady) -> None:
        self.sent_ms = 0.0
        self._session_since = self._clock()

    def _speech_started(self, event: realtime.SpeechStarted) -> None:
        self._speaking = event.item_id
        self._history.reserve(event.item_id, "user")
        self._recorder.turn_started(self._heard_at(event.audio_ms) * 1000, "caller", event.item_id)

    def _speech_stopped(self, event: realtime.SpeechStopped) -> None:
        self._speech_ended = self._heard_at(event.audio_ms)
        self._speaking = None
        self._recorder.turn_ended(self._speech_ended * 1000, event.item_id)

    def _caller_transcript(self, event: realtime.CallerTranscript) -> None:
        self._recorder.turn_text(event.item_id, event.text)
        self._history.caller_said(event.item_id, event.text)
        if event.took is not None:
            self._transcribed(event.took)

    def _agent_transcript_delta(self, event: realtime.AgentTranscriptDelta) -> None:
        self._recorder.turn_text_delta(event.item_id, event.text)

    def _agent_transcript(self, event: realtime.AgentTranscript) -> None:
        self._recorder.turn_text(event.item_id, event.text)
        if self._playout.who(event.item_id) != "filler":
            self._history.agent_said(event.item_id, event.text)

    def _provider_error(self, event: realtime.ProviderError) -> None:
        self._log.warning("realtime_error", code=event.code, message=event.message, request=event.request)

    def unmet(self, command: Unmet) -> None:
        """The provider did not do its part."""
        reason = command.detail[:REASON_CHARS]
        waited_ms = round(command.waited_s * 1000)
        told = {"expected": command.expected, "waited_ms": waited_ms, "then": command.then, "reason": reason}
        self._log.warning("provider_owes", **told)
        self._recorder.unmet(self._clock() * 1000, command.expected, waited_ms, command.then, reason)

    def _response_done(self, event: realtime.ResponseDone) -> None:
        """A response that did not end as it should; one that the caller spoke into did."""
        cut_off = event.status == "cancelled" and event.reason in ("turn_detected", "client_cancelled")
        if event.status != "completed" and not cut_off:
            told = {"status": event.status, "reason": event.reason, "code": event.error_code}
            self._log.warning("response_not_completed", response_id=event.response_id, **told)

    def _connection_lost(self, event: realtime.ConnectionLost) -> None:
        self.session_over()
        if self._speaking is not None:  # no speech_stopped will come for it
            self._recorder.turn_ended(self._clock() * 1000, self._speaking)
            self._speaking = None
        if event.reason == realtime.RECYCLED:
            return  # planned: no fault of anybody's
        self._metrics.realtime_lost_total.inc()
        reason = f"realtime connection lost ({event.code} {event.reason})".replace(" )", ")")
        self._recorder.error(self._clock() * 1000, reason)

    def _unknown(self, event: realtime.Unknown) -> None:
        self._log.info("realtime_event_unknown", type=event.type)


def _as_record(event: realtime.Usage) -> UsageRecord:
    """One response's usage, without its name."""
    return UsageRecord(responses=1, **{name: count for name, count in asdict(event).items() if name != "response_id"})


def _kinds(took: UsageRecord) -> dict[str, int]:
    """The tokens of a usage by their kind."""
    heard, said = took.input_audio_tokens, took.output_audio_tokens
    kinds = {"input_audio": heard, "input_text": took.input_tokens - heard}
    return {**kinds, "output_audio": said, "output_text": took.output_tokens - said}

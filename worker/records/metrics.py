"""The worker's metrics for Prometheus: every name in one place, in a registry of its own.

Make one `Metrics` per process and pass it down. Label values come from closed sets (an outcome, a loaded
tool's name), never from what a caller sends, so that the number of series stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from telephony.events import RefusedFor
from worker.records.record import OUTCOMES
from worker.records.silences import Silence

EntryOutcome = Literal["entered", "nothing", "short", "long", "late", "not_asked", "withdrawn", "hung_up"]
"""What became of keys that a caller was to type for a tool alone. nothing, short, long: given up after the third."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LATENCY = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
REACTION = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
SHORT = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
SILENCE = (0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)
TOOL = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0, 300.0)


class Metrics:
    """All metrics; the attributes are prometheus_client's own objects."""

    def __init__(self) -> None:
        """Make a new registry with every metric at nought."""
        self.registry = registry = CollectorRegistry()

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"offhook_{name}", text, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"offhook_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"offhook_{name}_seconds", text, labels, buckets=buckets, registry=registry)

        self.calls_active = gauge("calls_active", "Calls in progress.")
        self.calls_capacity = gauge("calls_capacity", "Calls at once that this worker accepts.")
        self.load = gauge("load", "The process's CPU time, as a share of one core, in the last half second.")
        self.overloaded = gauge("overloaded", "1 while the load is over its limits, so that new calls are refused.")
        self.draining = gauge("draining", "1 while the worker takes no new calls.")
        self.sip_registered = gauge(
            "sip_registered", "1 while the registrar has us: all of them, where there are several."
        )
        text = "1 while the registrar of an account has it, by the accounts' names."
        self.sip_account_registered = Gauge("offhook_sip_account_registered", text, ("account",), registry=registry)
        self._accounts: dict[str, bool] = {}
        self.sip_registration_wanted = gauge(
            "sip_registration_wanted", "1 where a registrar or a proxy is set that should have us."
        )
        self.redis_up = gauge("redis_up", "1 while the tools' Redis answers.")
        self.calls_total = counter("calls_total", "Calls that ended, by outcome.", "outcome")
        self.calls_refused_total = counter("calls_refused_total", "INVITEs turned away, by reason.", "reason")
        # A series that begins with its first call hides that one from `increase`.
        for outcome in OUTCOMES:
            self.calls_total.labels(outcome)
        for why in (*get_args(RefusedFor), "backlog"):
            self.calls_refused_total.labels(why)
        silence = "Nothing was heard in a call: for how long, and whom the caller waited for."
        self.silence = histogram("silence", silence, SILENCE, "waiting_for")
        self.turn_latency = histogram("turn_latency", "Caller's end of turn to the agent's first audio.", LATENCY)
        self.barge_in = histogram("barge_in", "speech_started to the last of the agent's audio.", REACTION)
        paused = "A barge-in that was withdrawn: how long the agent's voice had paused."
        self.barge_in_withdrawn = histogram("barge_in_withdrawn", paused, REACTION)
        self.tool_wait = histogram("tool_wait", "Tool call to its start.", TOOL, "tool")
        self.tool_run = histogram("tool_run", "Run time of a tool.", TOOL, "tool")
        depth = "Jobs that wait, by tool."
        self.tool_queue_depth = Gauge("offhook_tool_queue_depth", depth, ("tool",), registry=registry)
        self.tool_queue_wait = gauge("tool_queue_wait_seconds", "How long a new job would wait, as it stands.")
        self.tool_workers = gauge("tool_workers", "Tool workers on the queue.")
        self.tool_calls_total = counter("tool_calls_total", "Tool calls, by status.", "tool", "status")
        self.approvals_total = counter(
            "approvals_total", "Approvals of tool calls, by who answered what.", "by", "answer"
        )
        self.approval_wait = histogram("approval_wait", "Tool call to the answer whether it may run.", TOOL)
        self.call_backs_total = counter("call_backs_total", "Call backs, by how each try went.", "outcome")
        text = "Transfers, by means (refer, bridge, attended) and how they went."
        self.transfers_total = counter("transfers_total", text, "way", "outcome")
        text = "Calls that were to go on elsewhere by [refer], by means (refer, replaces): done, or refused."
        self.hand_overs_total = counter("hand_overs_total", text, "means", "outcome")
        text = "Callers who were asked whether the call may be recorded, by how they answered (voice, key, nobody)."
        self.recording_consents_total = counter("recording_consents_total", text, "by", "answer")
        text = "What callers were to type for a tool alone, by what came of it."
        self.key_entries_total = counter("key_entries_total", text, "outcome")
        for entry in get_args(EntryOutcome):
            self.key_entries_total.labels(entry)
        self.fillers_total = counter("fillers_total", "Fillers spoken.")
        self.realtime_lost_total = counter("realtime_lost_total", "Realtime connections lost in a call.")
        tokens = "Tokens that responses took, by kind; of the input were cached, of those cached_audio."
        self.realtime_tokens_total = counter("realtime_tokens_total", tokens, "kind")
        self.realtime_session_seconds_total = counter(
            "realtime_session_seconds_total", "How long realtime sessions were open, all calls together."
        )
        self.transcription_tokens_total = counter(
            "transcription_tokens_total", "Tokens that writing down the callers' words took, by kind.", "kind"
        )
        self.transcription_seconds_total = counter(
            "transcription_seconds_total", "Audio whose writing down is billed by its length."
        )
        cost = "What responses and transcription cost, by the table of prices."
        self.cost_total = counter("cost_total", cost, "currency", "model")
        self.rtp_foreign_packets_total = counter(
            "rtp_foreign_packets_total", "RTP and RTCP packets of strangers, dropped, in calls that have ended."
        )
        self.playout_underruns_total = counter("playout_underruns_total", "Playout ran dry within an item.")
        self.callback_lateness = histogram("callback_lateness", "Lateness of the media clock's callbacks.", SHORT)
        self.loop_lag = histogram("loop_lag", "Lateness of a timer on the event loop.", SHORT)

    def expect_accounts(self, names: Iterable[str]) -> None:
        """Say which accounts register. Each begins with 0: a series that isn't there raises no alert."""
        for name in names:
            self.registered(name, False)

    def registered(self, account: str, has_us: bool) -> None:
        """A registrar has answered. account: "" where there is only one."""
        self._accounts[account] = has_us
        if account:
            self.sip_account_registered.labels(account).set(has_us)
        self.sip_registered.set(all(self._accounts.values()))

    def silent(self, silence: Silence) -> None:
        """A silence in a call is over."""
        self.silence.labels(silence.waiting_for).observe(silence.lasted_ms / 1000)

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry)

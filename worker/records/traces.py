"""A call as a trace: pure, from the edges of its record and of its provider to spans that are over.

One trace a call, whose id is the call's. A span is made when its last edge has come: nothing is open across callbacks.
The names stand in `tools.traces.names`. Words, digits, arguments, results and numbers of callers are in no span: of an
edge only what is named here gets in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tools.traces import names
from tools.traces.span import Attribute, Kind, Span, SpanContext, SpanEvent, derived_id, trace_id_of
from worker.realtime import events as realtime
from worker.records import record as rec
from worker.records.record import CONTINUES, RecordEvent

__all__ = ["CallTrace", "OfCall", "root_context", "tells", "tool_context"]

PROVIDERS: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "openai": "openai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""What the semantic conventions call the providers; another one keeps its name."""

T = TypeVar("T")

_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
NS_PER_MS = 1_000_000
MOST_OPEN = 500
"""Of each kind: a provider that begins responses without end fills no memory. The oldest are let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCall:
    """What a trace tells of the whole call. invited_ns: the INVITE, as a Unix time in ns."""

    call_id: str
    invited_ns: int
    agent: str = ""
    route: str | None = None
    provider: str = ""
    model: str = ""
    outbound: bool = False
    second_line_of: str | None = None


@dataclass(slots=True)
class _Open:
    """A span whose last edge has not come. Times in ms since the INVITE."""

    name: str
    context: SpanContext
    parent: SpanContext
    start_ms: float
    kind: Kind = "internal"
    end_ms: float | None = None
    attributes: dict[str, Attribute] = field(default_factory=dict)
    events: list[tuple[str, float]] = field(default_factory=list)
    error: str = ""


def root_context(call_id: str) -> SpanContext:
    """Return the context of a call's root span."""
    return SpanContext(trace_id_of(call_id), derived_id(call_id, "call"))


def tool_context(call_id: str, tool_call_id: str) -> SpanContext:
    """Return the context of a tool call's span, whether or not it has begun: its job is to hang below it."""
    return SpanContext(trace_id_of(call_id), derived_id(call_id, "tool", tool_call_id))


class CallTrace:
    """One call's spans. Each method returns those that its edge has completed; `now_ms` is since the INVITE."""

    def __init__(self, call: OfCall) -> None:
        """Begin at the INVITE."""
        self.root = root_context(call.call_id)
        self._call = call
        self._answered_ms: float | None = None
        self._turns: dict[str, _Open] = {}
        self._last_turn = self.root
        """The caller's last turn: what the next response answers."""
        self._responses: dict[str, _Open] = {}
        self._done: dict[str, _Open] = {}
        """Responses that are over, whose usage may yet come."""
        self._items: dict[str, SpanContext] = {}
        self._asked: dict[str, SpanContext] = {}
        """By tool call: the response that asked for it."""
        self._tools: dict[str, _Open] = {}
        self._results: dict[str, _Open] = {}
        """Outcomes that the caller has not heard of."""

    # --- the record's edges -------------------------------------------------------------------------------------------

    def recorded(self, event: RecordEvent, now_ms: float) -> list[Span]:
        """Take an edge of the record."""
        take = _RECORDED.get(type(event))
        return [] if take is None else [*self._settled(), *take(self, event, now_ms)]

    def _answer(self, event: rec.Answered, now_ms: float) -> list[Span]:
        self._answered_ms = event.at_ms
        return [self._span(self._begin("INVITE", "invite", self.root, 0.0), event.at_ms)]

    def _turn_started(self, event: rec.TurnStarted, now_ms: float) -> list[Span]:
        over = self._turns_over()
        at = self._at(event.at_ms)
        parent = self.root if event.who == "caller" else self._items.get(event.key, self.root)
        opened = self._begin(f"turn {event.who}", "turn", parent, at, event.key)
        opened.attributes[names.OFFHOOK_TURN_WHO] = event.who
        self._turns[event.key] = opened
        if event.who == "caller":
            self._last_turn = opened.context
        return over

    def _turn_ended(self, event: rec.TurnEnded, now_ms: float) -> list[Span]:
        if event.key in self._turns:
            self._turns[event.key].end_ms = self._at(event.at_ms)
        return []

    def _turns_over(self, *, all_of_them: bool = False) -> list[Span]:
        """A turn may go on after its end, until somebody else has begun one."""
        over = [key for key, turn in self._turns.items() if all_of_them or turn.end_ms is not None]
        return [self._span(self._turns.pop(key)) for key in over]

    def _tool_started(self, event: rec.ToolStarted, now_ms: float) -> list[Span]:
        opened = self._tools.get(event.tool_call_id)
        if opened is None:
            name = event.tool if _TOOL_NAME.fullmatch(event.tool) else "(unknown)"  # the model may write anything
            parent = self._asked.get(event.tool_call_id, self.root)
            opened = _Open(
                f"execute_tool {name}",
                tool_context(self._call.call_id, event.tool_call_id),
                parent,
                self._at(event.at_ms),
            )
            opened.attributes |= {
                names.GEN_AI_OPERATION_NAME: "execute_tool",
                names.GEN_AI_TOOL_NAME: name,
                names.GEN_AI_TOOL_TYPE: "function",
                names.GEN_AI_TOOL_CALL_ID: event.tool_call_id,
            }
            self._tools[event.tool_call_id] = opened
        opened.attributes[names.OFFHOOK_TOOL_MODE] = event.mode
        if event.job_id is not None:
            opened.attributes[names.MESSAGING_MESSAGE_ID] = event.job_id
        return []

    def _tool_ended(self, event: rec.ToolEnded, now_ms: float) -> list[Span]:
        opened = self._tools.pop(event.tool_call_id, None)
        if opened is None:
            return []
        at, call = self._at(event.at_ms), event.call
        opened.attributes |= {names.OFFHOOK_TOOL_STATUS: call.status, names.OFFHOOK_TOOL_FILLERS: call.fillers}
        if call.wait_ms is not None:
            opened.attributes[names.OFFHOOK_TOOL_WAIT_MS] = call.wait_ms
        if call.run_ms is not None:
            opened.attributes[names.OFFHOOK_TOOL_RUN_MS] = call.run_ms
        opened.error = "" if call.status in ("ok", CONTINUES) else call.status
        tool = opened.name.partition(" ")[2]
        heard = self._begin(f"heard {tool}", "heard", opened.context, at, event.tool_call_id)
        _keep(self._results, event.tool_call_id, heard)
        return [self._span(opened, at)]

    def _result_told(self, event: rec.ResultTold, now_ms: float) -> list[Span]:
        opened = self._results.pop(event.tool_call_id, None)
        return [] if opened is None else [self._span(opened, self._at(event.at_ms))]

    def _approval(self, event: rec.ApprovalTold, now_ms: float) -> list[Span]:
        told = event.approval
        if told.answered_ms is None:
            return []
        parent = tool_context(self._call.call_id, told.tool_call_id)
        opened = self._begin("approval", "approval", parent, self._at(told.wanted_ms), str(told.number))
        opened.attributes |= {names.OFFHOOK_APPROVAL_APPROVED: told.approved, names.OFFHOOK_APPROVAL_BY: told.by}
        return [self._span(opened, self._at(told.answered_ms))]

    def _transferred(self, event: rec.Transferred, now_ms: float) -> list[Span]:
        told = event.transfer
        opened = self._begin("transfer", "transfer", self.root, self._at(told.at_ms), str(told.at_ms))
        opened.attributes |= {names.OFFHOOK_TRANSFER_MEANS: told.means, names.OFFHOOK_TRANSFER_OUTCOME: told.outcome}
        if told.sip_status is not None:
            opened.attributes[names.OFFHOOK_TRANSFER_SIP_STATUS] = told.sip_status
        opened.error = "" if told.outcome == "accepted" else told.outcome
        return [self._span(opened, self._at(event.at_ms))]

    def _barged_in(self, event: rec.BargedIn, now_ms: float) -> list[Span]:
        told, at = event.barge_in, self._at(event.barge_in.at_ms)
        opened = self._begin("barge_in", "barge_in", self._last_turn, at, str(told.at_ms))
        opened.attributes[names.OFFHOOK_BARGE_IN_HEARD_MS] = told.heard_ms
        return [self._span(opened, at + told.stopped_in_ms)]

    def _ended(self, event: rec.Ended, now_ms: float) -> list[Span]:
        found = self._turns_over(all_of_them=True)
        found += [self._span(self._responses.pop(key), now_ms, error="cancelled") for key in list(self._responses)]
        outcome = event.record.outcome
        failed = "" if outcome in ("completed", "machine", "limit", "drained") else outcome
        if self._answered_ms is None:
            found.append(self._span(self._begin("INVITE", "invite", self.root, 0.0), now_ms, error=failed))
        return [*found, self._whole(event.record.sip_call_id, outcome, failed, now_ms)]

    def _whole(self, sip_call_id: str, outcome: str, failed: str, now_ms: float) -> Span:
        call = self._call
        attributes: dict[str, Attribute] = {
            names.GEN_AI_OPERATION_NAME: "invoke_agent",
            names.GEN_AI_CONVERSATION_ID: call.call_id,
            names.OFFHOOK_CALL_OUTCOME: outcome,
            names.OFFHOOK_CALL_OUTBOUND: call.outbound,
            **self._of_model(),
        }
        told = {
            names.GEN_AI_AGENT_NAME: call.agent,
            names.OFFHOOK_CALL_ROUTE: call.route,
            names.OFFHOOK_CALL_SIP_CALL_ID: sip_call_id,
            names.OFFHOOK_CALL_SECOND_LINE_OF: call.second_line_of,
        }
        attributes |= {name: value for name, value in told.items() if value}
        kind: Kind = "client" if call.outbound else "server"
        name = f"invoke_agent {call.agent}".rstrip()
        return self._span(_Open(name, self.root, self.root, 0.0, kind, attributes=attributes), now_ms, error=failed)

    # --- the provider's events ----------------------------------------------------------------------------------------

    def provided(self, event: object, now_ms: float) -> list[Span]:
        """Take an event of the realtime session."""
        take = _PROVIDED.get(type(event))
        return [] if take is None else take(self, event, now_ms)

    def _response_started(self, event: realtime.ResponseStarted, now_ms: float) -> list[Span]:
        opened = self._begin(
            f"chat {self._call.model}".rstrip(), "response", self._last_turn, now_ms, event.response_id, kind="client"
        )
        opened.attributes |= {
            names.GEN_AI_OPERATION_NAME: "chat",
            names.GEN_AI_OUTPUT_TYPE: "speech",
            names.GEN_AI_RESPONSE_ID: event.response_id,
            **self._of_model(),
        }
        if purpose := event.metadata.get("purpose"):
            opened.attributes[names.OFFHOOK_RESPONSE_PURPOSE] = purpose
        _keep(self._responses, event.response_id, opened)
        return self._settled()

    def _audio(self, event: realtime.AudioDelta, now_ms: float) -> list[Span]:
        if event.item_id not in self._items and (opened := self._responses.get(event.response_id)) is not None:
            _keep(self._items, event.item_id, opened.context)
            if not opened.events:
                opened.events.append((names.FIRST_AUDIO, now_ms))
        return []

    def _tool_wanted(self, event: realtime.ToolCallRequested, now_ms: float) -> list[Span]:
        if (opened := self._responses.get(event.response_id)) is not None:
            _keep(self._asked, event.tool_call_id, opened.context)
        return []

    def _used(self, event: realtime.Usage, now_ms: float) -> list[Span]:
        opened = self._responses.get(event.response_id) or self._done.get(event.response_id)
        if opened is not None:
            opened.attributes |= {
                names.GEN_AI_INPUT_TOKENS: event.input_tokens,
                names.GEN_AI_OUTPUT_TOKENS: event.output_tokens,
                names.GEN_AI_CACHED_TOKENS: event.cached_tokens,
                names.OFFHOOK_INPUT_AUDIO_TOKENS: event.input_audio_tokens,
                names.OFFHOOK_OUTPUT_AUDIO_TOKENS: event.output_audio_tokens,
            }
        return []

    def _response_done(self, event: realtime.ResponseDone, now_ms: float) -> list[Span]:
        settled = self._settled()
        opened = self._responses.pop(event.response_id, None)
        if opened is not None:
            opened.end_ms = now_ms
            opened.attributes[names.GEN_AI_FINISH_REASONS] = (event.status,)
            opened.error = (event.error_code or "failed") if event.status == "failed" else ""
            self._done[event.response_id] = opened
        return settled

    def _lost(self, event: realtime.ConnectionLost, now_ms: float) -> list[Span]:
        lost = list(self._responses)
        return [self._span(self._responses.pop(key), now_ms, error="connection_lost") for key in lost]

    def _settled(self) -> list[Span]:
        """Responses that are over, once something else has come: their usage is known by then."""
        found = [self._span(opened) for opened in self._done.values()]
        self._done.clear()
        return found

    # --- spans --------------------------------------------------------------------------------------------------------

    def _of_model(self) -> dict[str, Attribute]:
        call = self._call
        told = {names.GEN_AI_PROVIDER_NAME: PROVIDERS.get(call.provider, call.provider)}
        told[names.GEN_AI_REQUEST_MODEL] = call.model
        return {name: value for name, value in told.items() if value}

    def _begin(
        self, name: str, what: str, parent: SpanContext, start_ms: float, key: str = "", kind: Kind = "internal"
    ) -> _Open:
        context = SpanContext(self.root.trace_id, derived_id(self._call.call_id, what, key))
        return _Open(name, context, parent, start_ms, kind)

    def _at(self, at_ms: float) -> float:
        """A time of the record's (ms since the answer, before it since the INVITE) as ms since the INVITE."""
        return at_ms + (self._answered_ms or 0.0)

    def _span(self, opened: _Open, end_ms: float | None = None, *, error: str = "") -> Span:
        end = opened.end_ms if end_ms is None else end_ms
        error = opened.error or error
        attributes = {**opened.attributes, names.ERROR_TYPE: error} if error else opened.attributes
        return Span(
            name=opened.name,
            context=opened.context,
            parent=None if opened.context == self.root else opened.parent,
            start_ns=self._ns(opened.start_ms),
            end_ns=self._ns(max(opened.start_ms, opened.start_ms if end is None else end)),
            kind=opened.kind,
            attributes=attributes,
            events=tuple(SpanEvent(name, self._ns(at)) for name, at in opened.events),
            error=error,
        )

    def _ns(self, ms: float) -> int:
        return self._call.invited_ns + round(ms * NS_PER_MS)


def tells(event: object) -> bool:
    """Whether an event of the realtime session is of interest to `CallTrace.provided`."""
    return type(event) in _PROVIDED


def _keep(kept: dict[str, T], key: str, value: T) -> None:
    if len(kept) >= MOST_OPEN:
        del kept[next(iter(kept))]
    kept[key] = value


_Take = Callable[[CallTrace, Any, float], list[Span]]

_RECORDED: Mapping[type[Any], _Take] = {
    rec.Answered: CallTrace._answer,
    rec.ApprovalTold: CallTrace._approval,
    rec.BargedIn: CallTrace._barged_in,
    rec.Ended: CallTrace._ended,
    rec.ResultTold: CallTrace._result_told,
    rec.ToolEnded: CallTrace._tool_ended,
    rec.ToolStarted: CallTrace._tool_started,
    rec.Transferred: CallTrace._transferred,
    rec.TurnEnded: CallTrace._turn_ended,
    rec.TurnStarted: CallTrace._turn_started,
}
_PROVIDED: Mapping[type[Any], _Take] = {
    realtime.AudioDelta: CallTrace._audio,
    realtime.ConnectionLost: CallTrace._lost,
    realtime.ResponseDone: CallTrace._response_done,
    realtime.ResponseStarted: CallTrace._response_started,
    realtime.ToolCallRequested: CallTrace._tool_wanted,
    realtime.Usage: CallTrace._used,
}

"""The recorder that a call's session feeds with edges, and that makes the record of them.

The caller of each method gives the time: ms of any monotonic clock, the same for all. Observers get each edge at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import structlog

from worker.realtime.history import heard_words
from worker.records.record import (
    IN_PROGRESS,
    LONGEST_ERROR,
    MOST_APPROVALS,
    MOST_ERRORS,
    MOST_PAUSES,
    MOST_UNMET,
    VERSION,
    Answered,
    AnsweredBy,
    ApprovalRecord,
    ApprovalTold,
    BargedIn,
    BargeInRecord,
    BargeInWithdrawn,
    CallOutcome,
    CallRecord,
    ConsentRecord,
    ConsentTold,
    CostRecord,
    DialRecord,
    Ended,
    Noted,
    Observer,
    PauseRecord,
    RecordEvent,
    RecordingBegan,
    RecordingPaused,
    RecordingResumed,
    ResultTold,
    SoundEnded,
    SoundStarted,
    ToolCallRecord,
    ToolEnded,
    ToolStarted,
    TransferRecord,
    Transferred,
    TurnEnded,
    TurnRecord,
    TurnStarted,
    TurnText,
    UnmetRecord,
    UsageRecord,
    Who,
    WithdrawnRecord,
    wall,
)
from worker.records.silences import Silences

log = structlog.get_logger(__name__)

COST_DIGITS = 6
"""After the point: a single token of the cheapest kind is still there."""


@dataclass(slots=True)
class SilenceMeter:
    """The longest span in which a tool call was pending and nothing was to be heard. Times in ms."""

    longest_ms: float = 0.0
    _since: float | None = None

    def update(self, now_ms: float, *, pending: bool, audible: bool) -> None:
        """Tell how things are from `now_ms` on."""
        if self._since is not None:
            self.longest_ms = max(self.longest_ms, now_ms - self._since)
        quiet = pending and not audible
        self._since = (now_ms if self._since is None else self._since) if quiet else None


@dataclass(frozen=True, slots=True)
class About:
    """What a call is answered with, as its record has it (see `CallRecord`)."""

    agent: str = ""
    route: str | None = None
    provider: str = ""
    model: str = ""


@dataclass(slots=True)
class _Turn:
    who: Who
    start_ms: int
    end_ms: int | None = None


@dataclass(slots=True)
class Recorder:
    """Collects one call's record. Made at the INVITE; every method takes the time in ms.

    A turn is named by a key of the session's choice (an item id): its text may come before or after it.
    """

    call_id: str
    invited_ms: float
    caller: str = ""
    dialled: str = ""
    display_name: str = ""
    diverted_from: tuple[str, ...] = ()
    account: str = ""
    calls_back: str | None = None
    second_line_of: str | None = None
    answered_by: AnsweredBy | None = None
    dialling: DialRecord | None = None
    started_at: float = field(default_factory=time.time)
    """The INVITE, as a Unix time (s)."""
    about: About = About()
    sip_call_id: str = ""
    words: bool = True
    """Whether the record has what was said; False: only who spoke when."""
    recording: str | None = None
    consent: ConsentRecord | None = None
    errors: list[str] = field(default_factory=list)
    heard_by_caller: list[str] = field(default_factory=list)
    silences: Silences = field(default_factory=Silences)
    _answered_ms: float | None = None
    _turns: dict[str, _Turn] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)
    _cuts: dict[str, float] = field(default_factory=dict)
    _tools: dict[str, ToolCallRecord] = field(default_factory=dict)
    _pending: set[str] = field(default_factory=set)
    _approvals: dict[int, ApprovalRecord] = field(default_factory=dict)
    _callers: set[int] = field(default_factory=set)
    """Approvals that the caller is asked for: the silence is theirs."""
    _sounds: set[str] = field(default_factory=set)
    _recorded_from_ms: int | None = None
    _pauses: list[PauseRecord] = field(default_factory=list)
    _transfers: list[TransferRecord] = field(default_factory=list)
    _barge_ins: list[BargeInRecord] = field(default_factory=list)
    _withdrawn: list[WithdrawnRecord] = field(default_factory=list)
    _unmet: list[UnmetRecord] = field(default_factory=list)
    _usage: UsageRecord | None = None
    _transcription: UsageRecord | None = None
    _costs: dict[str, float] = field(default_factory=dict)
    _unpriced: list[str] = field(default_factory=list)
    _prices: tuple[str, str] = ("", "")
    _silence: SilenceMeter = field(default_factory=SilenceMeter)
    _observers: list[Observer] = field(default_factory=list)
    _record: CallRecord | None = None

    def subscribe(self, observer: Observer) -> None:
        """Call `observer` with every event from now on. It must not block."""
        self._observers.append(observer)

    def answered(self, now_ms: float) -> None:
        """The call was answered (200 sent): the record's zero."""
        self._answered_ms = now_ms
        self.silences.begin(now_ms)
        self._tell(Answered(round(now_ms - self.invited_ms)))

    def turn_started(self, now_ms: float, who: Who, key: str) -> None:
        """Someone began to be heard. A turn that goes on again after an end is still one turn."""
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = _Turn(who, self._at(now_ms))
            self._tell(TurnStarted(turn.start_ms, key, who))
        turn.end_ms = None
        self.sound_started(now_ms, key)

    def turn_text(self, key: str, text: str, *, final: bool = True) -> None:
        """The whole text of a turn as it is known now."""
        text = text if self.words else ""
        self._texts[key] = text
        turn = self._turns.get(key)
        self._tell(TurnText(key, turn.who if turn else None, text, final))

    def turn_text_delta(self, key: str, text: str) -> None:
        """A further piece of a turn's text."""
        self.turn_text(key, self._texts.get(key, "") + text, final=False)

    def turn_cut(self, key: str, heard_ms: float, received_ms: float) -> None:
        """Of a turn of the agent's only so much was heard: its text is what was said until then."""
        self._cuts[key] = heard_ms / received_ms if received_ms > 0 else 0.0

    def turn_ended(self, now_ms: float, key: str) -> None:
        """A turn is not heard any more (unknown or ended keys are ignored)."""
        turn = self._turns.get(key)
        self.sound_ended(now_ms, key)
        if turn is not None and turn.end_ms is None:
            turn.end_ms = max(turn.start_ms, self._at(now_ms))
            self._tell(TurnEnded(turn.end_ms, key, turn.who))

    def sound_started(self, now_ms: float, key: str) -> None:
        """Something is heard that is no turn of its own, such as a waiting tone: it ends a silence."""
        if key not in self._turns and key not in self._sounds:
            self._tell(SoundStarted(self._at(now_ms), key))
        self._sounds.add(key)
        turn = self._turns.get(key)
        if turn is not None and turn.who != "filler":
            self.silences.spoke(turn.who)
        self._measure(now_ms)

    def sound_ended(self, now_ms: float, key: str) -> None:
        """A sound is over (unknown keys are ignored)."""
        if key not in self._turns and key in self._sounds:
            self._tell(SoundEnded(self._at(now_ms), key))
        self._sounds.discard(key)
        self._measure(now_ms)

    def tool_call_started(
        self, now_ms: float, tool_call_id: str, tool: str, mode: str, job_id: str | None = None
    ) -> None:
        """The model asked for a tool; to be told again once the job id is known."""
        if tool_call_id not in self._tools:
            self._tools[tool_call_id] = ToolCallRecord(tool=tool, mode=mode, start_ms=self._at(now_ms))
            self._pending.add(tool_call_id)
        call = self._tools[tool_call_id]
        call.mode, call.job_id = mode, job_id or call.job_id
        self._measure(now_ms)
        self._tell(ToolStarted(self._at(now_ms), tool_call_id, tool, mode, call.job_id))

    def tool_call_finished(
        self,
        now_ms: float,
        tool_call_id: str,
        status: str,
        *,
        detail: str = "",
        job_id: str | None = None,
        wait_ms: float | None = None,
        run_ms: float | None = None,
    ) -> None:
        """A tool call has its outcome, or goes on without the call. Only the first counts; unknown ids are ignored."""
        call = self._tools.get(tool_call_id)
        if call is None or tool_call_id not in self._pending:
            return
        call.status, call.job_id = status, job_id or call.job_id
        call.detail = "" if status == "ok" else detail[:LONGEST_ERROR]
        call.wait_ms = None if wait_ms is None else round(wait_ms)
        call.run_ms = None if run_ms is None else round(run_ms)
        self._pending.discard(tool_call_id)
        self._measure(now_ms)
        self._tell(ToolEnded(self._at(now_ms), tool_call_id, call.model_copy()))

    def pending(self) -> list[str]:
        """Return the ids of the tool calls that have no outcome."""
        return [tool_call_id for tool_call_id in self._tools if tool_call_id in self._pending]

    def promised(self, tool_call_id: str, way: str) -> None:
        """The caller was promised to hear later how a tool call ends (unknown ids are ignored)."""
        if tool_call_id in self._tools:
            self._tools[tool_call_id].promised = way

    def approval_wanted(self, now_ms: float, number: int, tool: str, tool_call_id: str) -> None:
        """A tool call waits for somebody's approval. Past `MOST_APPROVALS` nothing more is kept."""
        if len(self._approvals) >= MOST_APPROVALS:
            return
        entry = ApprovalRecord(number=number, tool=tool, tool_call_id=tool_call_id, wanted_ms=self._at(now_ms))
        self._approvals[number] = entry
        self._tell(ApprovalTold(entry.wanted_ms, entry.model_copy()))

    def approval_asked(self, now_ms: float, number: int) -> None:
        """The caller is asked for it."""
        self._callers.add(number)
        self._measure(now_ms)

    def approval_left(self, now_ms: float, number: int) -> None:
        """The caller has not answered, and somebody else may still."""
        self._callers.discard(number)
        self._measure(now_ms)

    def approval_answered(
        self, now_ms: float, number: int, approved: bool, by: str, why: str = "", who: str = ""
    ) -> None:
        """It is decided (unknown numbers are ignored)."""
        self.approval_left(now_ms, number)
        entry = self._approvals.get(number)
        if entry is not None:
            entry.answered_ms, entry.approved = self._at(now_ms), approved
            entry.by, entry.why, entry.who = by, why, who
            self._tell(ApprovalTold(entry.answered_ms, entry.model_copy()))

    def consent_asked(self, now_ms: float) -> None:
        """The caller is asked whether the call may be recorded."""
        self.consent = ConsentRecord(asked_ms=self._at(now_ms))
        self._tell(ConsentTold(self.consent.asked_ms, self.consent.model_copy()))

    def consent_answered(self, now_ms: float, given: bool, by: str, why: str = "") -> None:
        """They have answered, or won't."""
        if self.consent is not None:
            self.consent.answered_ms = self._at(now_ms)
            self.consent.given, self.consent.by, self.consent.why = given, by, why
            self._tell(ConsentTold(self.consent.answered_ms, self.consent.model_copy()))

    def recording_begun(self, now_ms: float, path: str) -> None:
        """The call is recorded from now on, there."""
        self.recording, self._recorded_from_ms = path, self._at(now_ms)
        self._tell(RecordingBegan(self._recorded_from_ms))

    def recording_paused(self, now_ms: float, why: str) -> None:
        """The recording is silent from now on. Past `MOST_PAUSES` nothing more is kept."""
        if len(self._pauses) < MOST_PAUSES:
            self._pauses.append(PauseRecord(at_ms=self._at(now_ms), why=why))
        self._tell(RecordingPaused(self._at(now_ms)))

    def recording_resumed(self, now_ms: float) -> None:
        """It is not any more."""
        if self._pauses and self._pauses[-1].until_ms is None:
            self._pauses[-1].until_ms = self._at(now_ms)
        self._tell(RecordingResumed(self._at(now_ms)))

    def result_told(self, now_ms: float, tool_call_id: str) -> None:
        """The caller begins to hear how a tool call ended."""
        self._tell(ResultTold(self._at(now_ms), tool_call_id))

    def filler_spoken(self) -> None:
        """A filler began: it counts for every tool call that is pending."""
        for tool_call_id in self._pending:
            self._tools[tool_call_id].fillers += 1

    def transferred(self, began_ms: float, transfer: TransferRecord) -> None:
        """A transfer that began then has its outcome."""
        entry = transfer.model_copy(update={"at_ms": self._at(began_ms)})
        self._transfers.append(entry)
        if self._record is not None:  # of a caller who hung up meanwhile
            self._record.transfers.append(entry)
        self._tell(Transferred(entry.at_ms + entry.took_ms, entry))

    def barge_in(self, at_ms: float, heard_ms: float, stopped_in_ms: float) -> None:
        """The caller spoke over the agent; `at_ms` is a time, the others are spans."""
        entry = BargeInRecord(at_ms=self._at(at_ms), heard_ms=round(heard_ms), stopped_in_ms=round(stopped_in_ms))
        self._barge_ins.append(entry)
        self._tell(BargedIn(entry))

    def barge_in_withdrawn(self, at_ms: float, heard_ms: float, paused_ms: float, by: str) -> None:
        """The caller had said nothing, and the voice goes on; `at_ms` is when it paused, the others are spans."""
        entry = WithdrawnRecord(at_ms=self._at(at_ms), heard_ms=round(heard_ms), paused_ms=round(paused_ms), by=by)
        self._withdrawn.append(entry)
        self._tell(BargeInWithdrawn(entry))

    def used(self, took: UsageRecord, *, transcription: bool = False) -> None:
        """A response took so much; or writing down the caller's words did."""
        if transcription:
            usage = self._transcription = self._transcription or UsageRecord()
        else:
            usage = self._usage = self._usage or UsageRecord()
        for name in UsageRecord.model_fields:
            setattr(usage, name, getattr(usage, name) + getattr(took, name))

    def cost(self, model: str, amount: float | None, currency: str, prices: str) -> None:
        """It cost so much by the table of a day; None: the table has no price for it."""
        if amount is not None:
            self._prices = (currency, prices)
            self._costs[model] = self._costs.get(model, 0.0) + amount
        elif model not in self._unpriced:
            self._unpriced.append(model)

    def unmet(self, now_ms: float, expected: str, waited_ms: float, then: str, reason: str = "") -> None:
        """The provider did not do its part; `waited_ms` is a span. Past `MOST_UNMET` nothing more is kept."""
        if len(self._unmet) >= MOST_UNMET:
            return
        at_ms = self._at(now_ms)
        self._unmet.append(
            UnmetRecord(at_ms=at_ms, expected=expected, waited_ms=round(waited_ms), then=then, reason=reason)
        )
        self._tell(Noted(at_ms, f"no {expected}: {then}"))

    def error(self, now_ms: float, text: str) -> None:
        """Something went wrong: one line, without secrets or digits."""
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(text[:LONGEST_ERROR])
        elif len(self.errors) == MOST_ERRORS:
            self.errors.append("and more; the log tells of them")
        self._tell(Noted(self._at(now_ms), text))

    def ended(self, now_ms: float, outcome: CallOutcome, reason: str = "") -> CallRecord:
        """The call is over. Further calls give the same record; what becomes of tools that still ran gets in yet."""
        if self._record is None:
            for key in list(self._turns):
                self.turn_ended(now_ms, key)
            self._silence.update(now_ms, pending=False, audible=False)
            self.silences.end(now_ms)
            self._record = self._build(now_ms, outcome, reason)
            self._tell(Ended(self._record))
        return self._record

    def so_far(self, now_ms: float) -> CallRecord:
        """The record as it stands; of a call that is over the record itself."""
        if self._record is not None:
            return self._record
        return self._build(now_ms, IN_PROGRESS, "").model_copy(deep=True)

    def _build(self, now_ms: float, outcome: str, reason: str) -> CallRecord:
        answered, going = self._answered_ms, self._at(now_ms)
        turns = [
            TurnRecord(
                who=turn.who,
                text=self._said(key),
                start_ms=turn.start_ms,
                end_ms=max(turn.start_ms, going) if turn.end_ms is None else turn.end_ms,
            )
            for key, turn in self._turns.items()
        ]
        return CallRecord(
            call_id=self.call_id,
            outcome=outcome,
            answered_ms=None if answered is None else round(answered - self.invited_ms),
            duration_ms=0 if answered is None else round(now_ms - answered),
            turns=sorted(turns, key=lambda turn: turn.start_ms),
            tool_calls=list(self._tools.values()),  # these very objects
            transfers=self._transfers,
            barge_ins=self._barge_ins,
            withdrawn=self._withdrawn,
            longest_tool_silence_ms=round(self._silence.longest_ms),
            heard_by_caller=self.heard_by_caller,
            recording=self.recording,
            recorded_from_ms=self._recorded_from_ms,
            consent=self.consent,
            pauses=self._pauses,
            reason=reason,
            answered_by=self.answered_by,
            dialling=self.dialling,
            errors=self.errors,
            approvals=list(self._approvals.values()),  # these, too: a hang-up is the answer to what waits
            unmet=self._unmet,
            usage=self._usage,
            transcription=self._transcription,
            cost=self._cost(),
            caller=self.caller,
            dialled=self.dialled,
            display_name=self.display_name,
            diverted_from=list(self.diverted_from),
            account=self.account,
            calls_back=self.calls_back,
            second_line_of=self.second_line_of,
            version=VERSION,
            started_at=wall(self.started_at),
            ended_at=None if outcome == IN_PROGRESS else wall(self.started_at + (now_ms - self.invited_ms) / 1000),
            sip_call_id=self.sip_call_id,
            agent=self.about.agent,
            route=self.about.route,
            provider=self.about.provider,
            model=self.about.model,
        )

    def _cost(self) -> CostRecord | None:
        if not self._costs:
            return None
        models = {model: round(amount, COST_DIGITS) for model, amount in self._costs.items()}
        return CostRecord(
            amount=round(sum(self._costs.values()), COST_DIGITS),
            currency=self._prices[0],
            prices=self._prices[1],
            models=models,
            unpriced=self._unpriced,
        )

    def _said(self, key: str) -> str:
        return heard_words(self._texts.get(key, ""), self._cuts.get(key, 1.0))

    def _at(self, now_ms: float) -> int:
        return round(now_ms - (self.invited_ms if self._answered_ms is None else self._answered_ms))

    def _measure(self, now_ms: float) -> None:
        pending, audible = bool(self._pending) and not self._callers, bool(self._sounds)
        self._silence.update(now_ms, pending=pending, audible=audible)
        if self._answered_ms is not None and self._record is None:
            self.silences.update(now_ms, pending=pending, audible=audible)

    def _tell(self, event: RecordEvent) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except BaseException:  # whoever looks on does no harm to the call, nor to the loop by sys.exit
                log.exception("observer_failed", call_id=self.call_id, edge=type(event).__name__)

"""The call record: what happened in a call, as JSON, and the edges that it is made of.

In the record times are ms since the answer (before it: since the INVITE), so that they are positions in the recording.
Each edge is a small frozen event, so that a terminal can show the conversation while it happens.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, JsonValue

Who = Literal["caller", "agent", "filler"]
CallOutcome = Literal["completed", "abandoned", "rejected", "failed", "drained", "limit", "machine"]
AnsweredBy = Literal["person", "machine", "silence"]

MOST_ERRORS, LONGEST_ERROR = 200, 1000
"""Lines of a record, and characters of each: a provider that sends errors without end fills no memory and no disk."""
CONTINUES = "continues"
"""The status of a tool call that outlives its call, until its end is known."""

VERSION = 2
"""Of the record's form. 1 had neither wall-clock times nor what the call was answered with."""

IN_PROGRESS = "in progress"
"""The outcome of a call that has none yet."""

MOST_PAUSES = 200
MOST_APPROVALS = 200
MOST_UNMET = 200
"""What a provider can make a record hold: a call with so many faults is told well enough."""
OUTCOMES: dict[CallOutcome, str] = {
    "completed": "caller and agent talked, and one of them hung up",
    "abandoned": "the caller gave up before the answer",
    "rejected": "we refused the INVITE",
    "failed": "the provider, the network or we ourselves broke off",
    "drained": "the worker was stopped and the call reached its bound",
    "limit": "the call reached the agent's time limit",
    "machine": "an answering machine took a call of ours, or nobody spoke there",
}


class TurnRecord(BaseModel):
    """What one side said in one go; times in ms."""

    who: Who
    text: str = ""
    start_ms: int
    end_ms: int


class ToolCallRecord(BaseModel):
    """One tool call; `wait_ms` is the time before it ran, `fillers` counts what was said meanwhile."""

    tool: str
    mode: str
    start_ms: int = 0
    job_id: str | None = None
    status: str = Field(
        default="pending",
        description="its outcome's; continues: it outlives the call, and its end is not known yet;"
        " pending: the call is not over yet",
    )
    detail: str = Field(default="", description="why it did not end well, for the operator; as the log has it")
    wait_ms: int | None = None
    run_ms: int | None = None
    fillers: int = 0
    promised: str | None = Field(default=None, description="what the caller was promised: call_back or send")
    ended_at: str | None = Field(default=None, description="of a tool that outlived the call: when it ended (RFC 3339)")
    result: JsonValue = Field(default=None, description="and what came of it")


class WithdrawnRecord(BaseModel):
    """A barge-in that was none: the agent's voice paused, and went on where it had paused."""

    at_ms: int
    heard_ms: int = Field(description="of the item that paused, by the playout clock")
    paused_ms: int
    by: str = Field(description="what said that it was nothing: words, length, sound, or session lost")


class ApprovalRecord(BaseModel):
    """Somebody was to approve a tool call before it ran; times in ms."""

    number: int = Field(description="in this call")
    tool: str
    tool_call_id: str
    wanted_ms: int
    answered_ms: int | None = None
    approved: bool = False
    by: str = Field(default="", description="who answered: voice, key, operator, rule, nobody, or hang-up")
    why: str = ""
    who: str = Field(default="", description="the operator's name, where one was given")


class UnmetRecord(BaseModel):
    """Something that was expected of the provider, and did not come or was not as it should be."""

    at_ms: int
    expected: str
    waited_ms: int
    then: str = Field(description="what was done about it")
    reason: str = Field(default="", description="the provider's words, where there were any")


class DialRecord(BaseModel):
    """How a call that we made came about, or did not."""

    outcome: str | None = Field(default=None, description="answered, busy, declined, no_answer, failed")
    rang_ms: int | None = Field(default=None, description="ms from the INVITE to 180; None: it did not ring")
    early_media: bool = Field(default=False, description="whether audio came before the answer, or in place of one")
    sip_status: int | None = Field(default=None, description="the final response; None: we did not wait for one")
    cause: int | None = Field(default=None, description="of ITU-T Q.850, where the other side told one (RFC 3326)")


class TransferRecord(BaseModel):
    """The call was to be handed on."""

    at_ms: int = 0
    to: str = Field(description="the target's label")
    way: str = Field(description="blind or attended, as it was wanted")
    means: str = Field(
        description="refer: the caller's side dialled; bridge: we did, and connected the two calls;"
        " attended: the same, once they had said that they take it"
    )
    outcome: str = Field(
        description="accepted, declined, busy, no_answer, voicemail, failed; hung_up: the caller did meanwhile"
    )
    sip_status: int | None = Field(default=None, description="the SIP status that decided it")
    took_ms: int = Field(default=0, description="from the end of the words before it to the outcome")
    second_line: str | None = Field(default=None, description="the id of our own call to the target")


class BargeInRecord(BaseModel):
    """The caller spoke over the agent.

    heard_ms: how much of the interrupted item had been played. stopped_in_ms: from speech_started to silence.
    """

    at_ms: int
    heard_ms: int
    stopped_in_ms: int


class UsageRecord(BaseModel):
    """What the model took for a call, in the provider's tokens."""

    responses: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = Field(default=0, description="how many of the input were cached")
    input_audio_tokens: int = Field(default=0, description="how many of the input were audio")
    output_audio_tokens: int = Field(default=0, description="how many of the output were audio")
    cached_audio_tokens: int = Field(default=0, description="how many of the cached ones were audio")
    seconds: float = Field(
        default=0.0, description="of audio or of sessions, where these are billed in place of tokens"
    )


class CostRecord(BaseModel):
    """What a call cost by the table of prices (`worker.records.prices`)."""

    amount: float = Field(description="what of it has a price")
    currency: str = Field(description="ISO 4217")
    prices: str = Field(description="the day that the table is of, as YYYY-MM-DD")
    models: dict[str, float] = Field(default={}, description="the amount by model")
    unpriced: list[str] = Field(default=[], description="models that were used, too, and have no price in the table")


class ConsentRecord(BaseModel):
    """The caller was asked whether the call may be recorded. Without a yes it was not."""

    asked_ms: int
    answered_ms: int | None = None
    given: bool = False
    by: str = Field(default="", description="how it was answered: voice, key, nobody (silence, or no clear answer)")
    why: str = ""


class PauseRecord(BaseModel):
    """The recording is silent from here to there."""

    at_ms: int
    until_ms: int | None = Field(default=None, description="None: to the end")
    why: str = Field(
        description="agent: it was paused; digits: the caller typed what is for a tool alone; hand-over: the call went"
        " on with somebody else, who was not asked"
    )


class CallRecord(BaseModel):
    """One call, as `offhook demo --json` prints it and as it is kept beside the recording."""

    call_id: str
    outcome: str = "failed"
    answered_ms: int | None = Field(default=None, description="ms from the INVITE to the answer")
    duration_ms: int = Field(default=0, description="ms from the answer to the end")
    turns: list[TurnRecord] = []
    tool_calls: list[ToolCallRecord] = []
    barge_ins: list[BargeInRecord] = []
    longest_tool_silence_ms: int = 0
    heard_by_caller: list[str] = Field(default=[], description="what the caller's own recogniser understood")
    recording: str | None = None
    recorded_from_ms: int | None = Field(default=None, description="where the recording begins")
    consent: ConsentRecord | None = Field(default=None, description="to the recording; None: nobody was asked")
    pauses: list[PauseRecord] = Field(default=[], description="of the recording, in order; the first 200")
    reason: str = Field(default="", description="why the call ended")
    dialling: DialRecord | None = Field(default=None, description="of a call that we made; None: it came in")
    answered_by: AnsweredBy | None = Field(
        default=None, description="who answered a call of ours, by its sound and words; None: not listened for"
    )
    errors: list[str] = Field(default=[], description="what went wrong on the way, in order")
    approvals: list[ApprovalRecord] = Field(default=[], description="of tool calls, in order; the first 200")
    withdrawn: list[WithdrawnRecord] = Field(default=[], description="barge-ins that were none: a cough, an mhm")
    unmet: list[UnmetRecord] = Field(default=[], description="what the provider owed, in order; the first 200")
    usage: UsageRecord | None = Field(default=None, description="of all responses; None: the provider does not say")
    transcription: UsageRecord | None = Field(default=None, description="of writing down the caller's words, likewise")
    cost: CostRecord | None = Field(default=None, description="None: nothing that was used has a price")
    caller: str = ""
    dialled: str = ""
    display_name: str = Field(default="", description="the caller's, as the INVITE had it")
    diverted_from: list[str] = Field(default=[], description="numbers that were dialled before, the last first")
    account: str = Field(default="", description="of OFFHOOK_SIP_ACCOUNTS, that the call came or went by")
    calls_back: str | None = Field(default=None, description="the call whose caller this one calls back")
    transfers: list[TransferRecord] = Field(default=[], description="how the call was to be handed on, in order")
    second_line_of: str | None = Field(default=None, description="the call that was handed on by this one")
    version: int = Field(default=1, description="of this form")
    started_at: str | None = Field(default=None, description="the INVITE, by the wall clock (RFC 3339)")
    ended_at: str | None = Field(default=None, description="the end, by the wall clock (RFC 3339)")
    sip_call_id: str = Field(default="", description="the SIP Call-ID, by which the other side's logs know the call")
    agent: str = Field(default="", description="the agent's name")
    route: str | None = Field(default=None, description="the agent file's route; None: its default agent")
    provider: str = ""
    model: str = Field(default="", description="as the provider was asked for it")


@dataclass(frozen=True, slots=True)
class Answered:
    """The call was answered."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """Someone began to speak. `key` names the turn in later events."""

    at_ms: int
    key: str
    who: Who


@dataclass(frozen=True, slots=True)
class TurnText:
    """What a turn says, as far as it is known; replaces what was known before."""

    key: str
    who: Who | None
    text: str
    final: bool
    """No more words will come."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """Someone stopped speaking."""

    at_ms: int
    key: str
    who: Who


@dataclass(frozen=True, slots=True)
class SoundStarted:
    """Something is heard that is no turn, such as the waiting tone."""

    at_ms: int
    key: str


@dataclass(frozen=True, slots=True)
class SoundEnded:
    """That sound is over."""

    at_ms: int
    key: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call began; told again when its job is known."""

    at_ms: int
    tool_call_id: str
    tool: str
    mode: str
    job_id: str | None


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool call has its outcome."""

    at_ms: int
    tool_call_id: str
    call: ToolCallRecord


@dataclass(frozen=True, slots=True)
class ResultTold:
    """The caller begins to hear what came of a tool call."""

    at_ms: int
    tool_call_id: str


@dataclass(frozen=True, slots=True)
class Transferred:
    """A transfer has its outcome."""

    at_ms: int
    transfer: TransferRecord


@dataclass(frozen=True, slots=True)
class BargedIn:
    """The caller spoke over the agent."""

    barge_in: BargeInRecord


@dataclass(frozen=True, slots=True)
class BargeInWithdrawn:
    """The caller made a sound over the agent, and had not said anything."""

    withdrawn: WithdrawnRecord


@dataclass(frozen=True, slots=True)
class ApprovalTold:
    """A tool call waits for its approval; told again when it is answered."""

    at_ms: int
    approval: ApprovalRecord


@dataclass(frozen=True, slots=True)
class RecordingBegan:
    """The call is recorded from here on."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class RecordingPaused:
    """The recording is silent from here on."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class RecordingResumed:
    """It is not any more."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class ConsentTold:
    """The caller was asked whether the call may be recorded; told again when they have answered."""

    at_ms: int
    consent: ConsentRecord


@dataclass(frozen=True, slots=True)
class Noted:
    """Something went wrong, and the call goes on."""

    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over; `record` is whole now, but for tools that still run: a ToolEnded follows for each."""

    record: CallRecord


RecordEvent = (
    Answered
    | TurnStarted
    | TurnText
    | TurnEnded
    | SoundStarted
    | SoundEnded
    | ToolStarted
    | ToolEnded
    | ResultTold
    | Transferred
    | ApprovalTold
    | ConsentTold
    | RecordingBegan
    | RecordingPaused
    | RecordingResumed
    | BargedIn
    | BargeInWithdrawn
    | Noted
    | Ended
)
Observer = Callable[[RecordEvent], None]


def write_record(record: CallRecord, path: Path) -> None:
    """Write the record as JSON. Raises OSError."""
    write_whole(path, f"{record.model_dump_json(indent=2)}\n".encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one, never a part. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def wall(unix_s: float) -> str:
    """Return a Unix time (s) as RFC 3339, in UTC and to the millisecond."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

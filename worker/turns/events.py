"""What the turn machine is told and what it commands, beside the provider's own events (worker.realtime.events).

All are frozen; none carries audio. A *response id*, *item id* and *tool call id* are the provider's strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "AnswerApproval",
    "Apologise",
    "ApprovalAnswered",
    "ApprovalAwaited",
    "ApprovalEnded",
    "ApprovalGiven",
    "AskApproval",
    "AskOurselves",
    "AudioStarted",
    "CallerHeard",
    "CallerPressed",
    "CallerSounds",
    "CallerTyped",
    "CancelResponse",
    "CancelTool",
    "Command",
    "GoodbyeWanted",
    "HangUp",
    "MediaReady",
    "NewSession",
    "ProbeSession",
    "NoticeWanted",
    "OfferSpoken",
    "OwnWords",
    "PlayTone",
    "PausePlayout",
    "PlayoutChanged",
    "Purpose",
    "Question",
    "QuestionUnsaid",
    "RemoteGivenUp",
    "RequestResponse",
    "ResultsTold",
    "ResumePlayout",
    "SendOutput",
    "SendResult",
    "SpeakFiller",
    "StartTool",
    "StopPlayout",
    "TellModel",
    "Tick",
    "ToolFinished",
    "ToolProgress",
    "TurnEvent",
    "Unmet",
    "Words",
]


class Purpose(StrEnum):
    """Why a response is asked for; goes with it as metadata and comes back in response.created."""

    GREETING = "greeting"
    TOOL_RESULT = "tool_result"
    RESUME = "resume"
    NOTICE = "notice"
    SILENCE = "silence"
    APPROVAL = "approval"
    GOODBYE = "goodbye"
    FILLER = "filler"


class Words(StrEnum):
    """What we say ourselves, in a recorded voice, where the model says nothing."""

    MOMENT = "moment"
    """That it takes a moment."""
    AGAIN = "again"
    """That there is no answer, and the caller may ask again."""
    GOODBYE = "goodbye"
    """That the call ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a caller is asked before a tool call runs, in words of ours."""

    text: str
    again: str
    """How it is asked once more."""
    keys: str
    """How it is asked where words can't be told: with the key to press."""
    language: str
    """Of the answer (a BCP 47 tag)."""
    voice: bool = True
    """Whether a spoken yes counts. A spoken no always does, and so does a key."""
    entry: bool = False
    """It asks for keys that are for a tool alone: nothing here is an answer to it, whoever takes the keys ends it."""


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MediaReady:
    """The call was answered and its audio flows."""


@dataclass(frozen=True, slots=True)
class AudioStarted:
    """The first audio of an item was queued for playout."""

    response_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class PlayoutChanged:
    """Another item is being sent to the caller now; None when nothing is left to send."""

    item_id: str | None


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call has its outcome; `output` is the JSON text for the model."""

    tool_call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """A tool that runs says how far it is; `text` is fit for the caller."""

    tool_call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class NoticeWanted:
    """The caller has to be told something of ours (little time left, a long queue), when the floor is free."""

    text: str


@dataclass(frozen=True, slots=True)
class CallerSounds:
    """By our own ears the caller's line has become loud, or quiet: whatever the provider's VAD says."""

    loud: bool


@dataclass(frozen=True, slots=True)
class CallerHeard:
    """By our own ears a sound of the caller's has begun, or has ended: each word and each cough, with its length."""

    began: bool
    lasted_ms: int
    """How long it has lasted so far, or did in all, without the quiet that told its end."""
    voiced_ms: int = 0
    """Once it has ended: for how long of it there was a voice."""


@dataclass(frozen=True, slots=True)
class CallerTyped:
    """Digits of the caller were put into the conversation as one item: they want an answer."""


@dataclass(frozen=True, slots=True)
class CallerPressed:
    """The caller pressed a key while a question of ours stood (`TurnMachine.takes_keys`)."""

    digit: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApprovalAwaited:
    """A tool call waits for somebody's approval; with a question, for the caller's.

    The question of a number that stands is put in its place: what is asked is the same.
    """

    number: int
    """Of the approval, in this call."""
    tool_call_id: str
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class ApprovalEnded:
    """It is decided, whoever did: the tool begins now, or has its outcome. The question is asked no more."""

    number: int
    tool_call_id: str


@dataclass(frozen=True, slots=True)
class QuestionUnsaid:
    """A question that was to be asked in a voice of ours could not be spoken."""

    item_id: str


@dataclass(frozen=True, slots=True)
class GoodbyeWanted:
    """The call has to end for a reason of ours (drain, time limit): say `text`, then hang up."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class ApprovalGiven:
    """Somebody who may has decided on a call that the provider wants to make (`AskApproval`)."""

    approval_id: str
    approve: bool
    reason: str = ""
    """For the model, where it is declined."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that `TurnMachine.wake` named has come."""


TurnEvent = (
    MediaReady
    | AudioStarted
    | PlayoutChanged
    | ToolFinished
    | ToolProgress
    | CallerSounds
    | CallerHeard
    | CallerTyped
    | CallerPressed
    | ApprovalAwaited
    | ApprovalEnded
    | QuestionUnsaid
    | NoticeWanted
    | GoodbyeWanted
    | ApprovalGiven
    | Tick
)


# --- commands -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartTool:
    """Run a tool; its outcome comes back as ToolFinished."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CancelTool:
    """Stop a tool that runs, for the caller has said something meanwhile. Its outcome comes as ToolFinished."""

    tool_call_id: str


@dataclass(frozen=True, slots=True)
class SendOutput:
    """Answer a tool call in the conversation. Given exactly once a tool call."""

    tool_call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class SendResult:
    """Tell the model what a tool returned whose call was answered with a placeholder, or whose output was refused.

    It is one message, for there are servers that keep only the last.
    """

    tool_call_id: str
    name: str
    output: str
    also: tuple[tuple[str, str, str], ...] = ()
    """Further results that are due (tool call id, name, output): new ones, and those that are not told yet."""


@dataclass(frozen=True, slots=True)
class AskApproval:
    """Ask whoever may approve it: the provider wants to run this tool. The answer comes back as `ApprovalGiven`."""

    approval_id: str
    label: str
    """The MCP server."""
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class AnswerApproval:
    """Answer the provider's request. Given exactly once for each; by the bound with a no."""

    approval_id: str
    approve: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RemoteGivenUp:
    """A call that the provider ran, or an approval that it asked for, is waited for no longer."""

    tool_call_id: str
    reason: str
    """timeout, or session lost."""


@dataclass(frozen=True, slots=True)
class TellModel:
    """Tell the model something, also in the sessions that follow; asks for no response."""

    key: str
    """A later text of the same key takes its place."""
    text: str


@dataclass(frozen=True, slots=True)
class RequestResponse:
    """Ask for an in-band response. Only ever given while the slot is free."""

    purpose: Purpose
    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class SpeakFiller:
    """Ask for an out-of-band response that says `text`; the metadata correlates it."""

    text: str
    metadata: Mapping[str, str]
    tool_call_ids: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class OfferSpoken:
    """The caller hears the offer to be told later: the model has to know, for it gets the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ResultsTold:
    """The caller begins to hear the model's words on how these tool calls ended."""

    tool_call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlayTone:
    """Play the soft tone."""


@dataclass(frozen=True, slots=True)
class OwnWords:
    """Say something in a recorded voice, as the item `item_id`; its end comes as PlayoutChanged."""

    item_id: str
    words: Words


@dataclass(frozen=True, slots=True)
class AskOurselves:
    """Ask a question in a voice of ours, as the item `item_id`; its end comes as PlayoutChanged."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ApprovalAnswered:
    """The caller has answered, or won't: `by` says how, `why` says more for log and record."""

    number: int
    approved: bool
    by: str
    """voice, key, or nobody."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class NewSession:
    """Give the provider's session up and begin a new one, with the conversation so far."""

    reason: str


@dataclass(frozen=True, slots=True)
class ProbeSession:
    """Find out whether the provider is there at all: one that is not is lost."""


@dataclass(frozen=True, slots=True)
class Unmet:
    """Something that was expected of the provider did not come, or was not what it should be: for log and record."""

    expected: str
    waited_s: float
    then: str
    """What is done about it."""
    detail: str = ""
    """The provider's words, if there were any."""


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Cancel a response ("": the one in progress, whatever it is); what still comes of its audio is dropped."""

    response_id: str


@dataclass(frozen=True, slots=True)
class StopPlayout:
    """Flush what the caller has not heard, and truncate it in the conversation at the heard ms."""

    barge_in: bool


@dataclass(frozen=True, slots=True)
class PausePlayout:
    """Fall silent at once, and keep what the caller has not heard; more of it may come. ResumePlayout or StopPlayout
    follows.
    """


@dataclass(frozen=True, slots=True)
class ResumePlayout:
    """Go on at the heard ms: the caller had not said anything."""

    paused_ms: int
    by: str
    """What said so: words, length, sound, session lost."""


@dataclass(frozen=True, slots=True)
class Apologise:
    """The provider can't speak any more: play the recorded apology, then hang up."""

    reason: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call. Given once."""

    reason: str


Command = (
    StartTool
    | CancelTool
    | SendOutput
    | SendResult
    | AskApproval
    | AnswerApproval
    | RemoteGivenUp
    | TellModel
    | RequestResponse
    | SpeakFiller
    | OfferSpoken
    | ResultsTold
    | PlayTone
    | OwnWords
    | AskOurselves
    | ApprovalAnswered
    | NewSession
    | ProbeSession
    | Unmet
    | CancelResponse
    | StopPlayout
    | PausePlayout
    | ResumePlayout
    | Apologise
    | HangUp
)

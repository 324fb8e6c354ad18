"""Why a call was silent: the reason of every silence over a second. A pure function over the journal's edges.

A silence is a time in which the caller hears nothing of ours, neither voice nor tone, and does not speak by itself. It
may have several reasons one after another; the one that took the longest gives it its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from worker.records.edges import Edge

__all__ = ["LEAST_MS", "WORDS", "Phase", "Silence", "Why", "in_short", "silences"]

LEAST_MS = 1000
TRANSFER_CALL = "transfer_call"
"""The function by which a model hands a call on; it is the call's own, so that no tool call of the record is it."""


class Why(StrEnum):
    """What a silence comes from."""

    ENDING = "ending"
    HELD = "held"
    NO_MEDIA = "no_media"
    NO_SESSION = "no_session"
    SESSION_LOST = "session_lost"
    PAUSED = "voice_paused"
    TRANSFER = "transfer"
    APPROVAL = "approval"
    TOOL = "tool_without_filler"
    CALLER_FLOOR = "caller_floor"
    UNHEARD = "sound_no_speech"
    TOLD_TO_WAIT = "told_to_wait"
    RESPONSE = "response_not_begun"
    FIRST_AUDIO = "first_audio"
    STALLED = "audio_stalled"
    CANCELLING = "cancelling"
    NOTHING_DUE = "nothing_due"


WORDS: Mapping[Why, str] = {
    Why.ENDING: "the call was about to be hung up",
    Why.HELD: "the call was on hold",
    Why.NO_MEDIA: "no audio flowed yet",
    Why.NO_SESSION: "the provider had not begun a session",
    Why.SESSION_LOST: "the provider's session was lost",
    Why.PAUSED: "the agent's voice was paused: the caller made a sound over it, and it was not known yet what",
    Why.TRANSFER: "the call was being handed on",
    Why.APPROVAL: "a tool call waited for somebody's approval",
    Why.TOOL: "a tool ran, and no filler was said",
    Why.CALLER_FLOOR: "the provider had not heard the end of the caller's speech",
    Why.UNHEARD: "the caller's line was loud, and the provider had told of no speech",
    Why.TOLD_TO_WAIT: "the provider had said to wait",
    Why.RESPONSE: "the provider had not begun its response",
    Why.FIRST_AUDIO: "the provider had sent no audio of its response yet",
    Why.STALLED: "the provider's audio stalled within a response",
    Why.CANCELLING: "a cancelled response had not ended",
    Why.NOTHING_DUE: "nothing was due: it was the caller's turn",
}


class Phase(BaseModel):
    """A part of a silence with one reason."""

    why: Why
    ms: int
    tools: list[str] = Field(default=[], description="the tools that ran, where that is the reason")


class Silence(BaseModel):
    """A silence of over a second; times in ms since the answer."""

    start_ms: int
    end_ms: int
    why: Why
    words: str = Field(description="the reason, for people")
    phases: list[Phase]


@dataclass(slots=True)
class _State:
    """How a call stands between two edges."""

    answered: bool = False
    ended: bool = False
    ending: bool = False
    held: bool = False
    media: bool = False
    session: bool | None = None
    """None: there was none yet."""
    floor: str = "nobody"
    slot: str = "free"
    spoken: bool = False
    """Of the response in the slot some audio came."""
    told_to_wait: bool = False
    paused: bool = False
    """The agent's voice is, and what is queued of it is not heard."""
    loud: bool | None = None
    unheard: bool = False
    """It has become loud, and nobody has told of speech or said anything since."""
    sounds: set[str] = field(default_factory=set)
    speeches: set[str] = field(default_factory=set)
    tools: dict[str, str] = field(default_factory=dict)
    approvals: set[str] = field(default_factory=set)
    transfer: str | None = None
    """The tool call id of a transfer that is under way."""
    aside: bool = False
    """Others have the line."""

    @property
    def silent(self) -> bool:
        """Whether nobody is to be heard."""
        speaks = (bool(self.speeches) or self.floor == "caller") and self.loud is not False
        heard = bool(self.sounds) and not self.paused
        return self.answered and not self.ended and not self.aside and not heard and not speaks

    def why(self) -> Why:
        """Why nobody is."""
        reasons: tuple[tuple[bool, Why], ...] = (
            (self.ending, Why.ENDING),
            (self.held, Why.HELD),
            (not self.media, Why.NO_MEDIA),
            (self.session is None, Why.NO_SESSION),
            (self.session is False, Why.SESSION_LOST),
            (self.paused, Why.PAUSED),
            (self.floor == "caller", Why.CALLER_FLOOR),
            (self.transfer is not None, Why.TRANSFER),
            (bool(self.approvals) and self.slot == "free", Why.APPROVAL),
            (bool(self.tools), Why.TOOL),
            (self.told_to_wait, Why.TOLD_TO_WAIT),
            (self.slot == "requested", Why.RESPONSE),
            (self.slot == "active", Why.STALLED if self.spoken else Why.FIRST_AUDIO),
            (self.slot == "cancelling", Why.CANCELLING),
            (self.unheard, Why.UNHEARD),
        )
        return next((why for holds, why in reasons if holds), Why.NOTHING_DUE)


def in_short(found: Sequence[Silence]) -> str:
    """Return all silences of a call in a line, the worst of those for which something was due with its reason."""
    if not found:
        return "never for over a second"
    owed = [one for one in found if one.why is not Why.NOTHING_DUE]
    if not owed:
        return f"{_times(len(found))} over a second, when it was the caller's turn"
    worst = max(owed, key=lambda one: one.end_ms - one.start_ms)
    told = f"{(worst.end_ms - worst.start_ms) / 1000:.1f} s at {worst.start_ms / 1000:.2f} s: {worst.words}"
    if len(owed) == 1:
        return told
    in_all_ms = sum(one.end_ms - one.start_ms for one in owed)
    return f"{_times(len(owed))} over a second, {in_all_ms / 1000:.1f} s in all; the longest {told}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def silences(edges: Iterable[Edge], end_ms: int) -> list[Silence]:
    """Return the silences of a call, in order. edges: in order of time; end_ms: where the call ended, or stands now."""
    state = _State()
    found: list[Silence] = []
    phases: list[Phase] = []
    start = last = 0

    def step(until: int) -> None:
        nonlocal start, last, phases
        if not state.silent:
            if phases:
                found.append(_silence(start, last, phases))
                phases = []
            last = until
            return
        if not phases:
            start = last
        why, tools = state.why(), sorted(set(state.tools.values()))
        if phases and phases[-1].why == why:
            phases[-1].ms += until - last
            phases[-1].tools = sorted({*phases[-1].tools, *tools}) if why is Why.TOOL else []
        elif until > last:
            phases.append(Phase(why=why, ms=until - last, tools=tools if why is Why.TOOL else []))
        last = until

    for edge in edges:
        step(max(edge.ms, last))
        _take(state, edge)
    step(max(end_ms, last))
    if phases:
        found.append(_silence(start, last, phases))
    return [one for one in found if one.end_ms - one.start_ms > LEAST_MS]


def _silence(start: int, end: int, phases: Sequence[Phase]) -> Silence:
    longest = max(phases, key=lambda phase: phase.ms)
    names = f": {', '.join(longest.tools)}" if longest.tools else ""
    return Silence(start_ms=start, end_ms=end, why=longest.why, words=WORDS[longest.why] + names, phases=list(phases))


# --- what each edge changes -------------------------------------------------------------------------------------------


def _take(state: _State, edge: Edge) -> None:
    handler = _TAKES.get((edge.kind, edge.what))
    if handler is not None:
        handler(state, edge.data)
    if edge.kind == "turn":
        _decision(state, edge)


def _decision(state: _State, edge: Edge) -> None:
    slot = str(edge.data.get("slot", state.slot))
    if slot != state.slot:
        if state.slot == "free" or slot == "requested":
            state.spoken = False
        state.slot = slot
    state.floor = str(edge.data.get("floor", state.floor))
    if edge.what == "AudioStarted":
        state.spoken, state.told_to_wait = True, False
    elif edge.what == "CallerSounds":
        state.loud = bool(edge.data.get("loud"))
        if state.loud and not state.speeches and state.floor != "caller":
            state.unheard = True
    elif edge.what == "MediaReady":
        state.media = True
    elif edge.what == "ToolFinished" and edge.data.get("tool_call_id") == state.transfer:
        state.transfer = None
    commands = edge.data.get("commands")
    for command in commands if isinstance(commands, list) else ():
        if isinstance(command, dict):
            _command(state, command)


def _command(state: _State, command: Mapping[str, Any]) -> None:
    name = command.get("command")
    if name in ("HangUp", "Apologise"):
        state.ending = True
    elif name in ("PausePlayout", "ResumePlayout", "StopPlayout"):
        state.paused = name == "PausePlayout"
    elif name == "StartTool" and command.get("name") == TRANSFER_CALL:
        state.transfer = str(command.get("tool_call_id"))
    elif name == "NewSession":
        state.session = False
    elif name == "Unmet" and command.get("then") == "waits as told":
        state.told_to_wait = True
    elif name == "RequestResponse":
        state.told_to_wait = False


def _answered(state: _State, data: Mapping[str, Any]) -> None:
    state.answered = True


def _ended(state: _State, data: Mapping[str, Any]) -> None:
    state.ended = True


def _turn_started(state: _State, data: Mapping[str, Any]) -> None:
    (state.speeches if data.get("who") == "caller" else state.sounds).add(str(data.get("key")))
    state.unheard = False


def _turn_ended(state: _State, data: Mapping[str, Any]) -> None:
    state.speeches.discard(str(data.get("key")))
    state.sounds.discard(str(data.get("key")))


def _sound_started(state: _State, data: Mapping[str, Any]) -> None:
    state.sounds.add(str(data.get("key")))


def _tool_started(state: _State, data: Mapping[str, Any]) -> None:
    state.tools[str(data.get("tool_call_id"))] = str(data.get("tool"))


def _tool_ended(state: _State, data: Mapping[str, Any]) -> None:
    state.tools.pop(str(data.get("tool_call_id")), None)


def _approval(state: _State, data: Mapping[str, Any]) -> None:
    told = data.get("approval")
    if isinstance(told, dict):
        answered = told.get("answered_ms") is not None
        (state.approvals.discard if answered else state.approvals.add)(str(told.get("number")))


def _session_ready(state: _State, data: Mapping[str, Any]) -> None:
    state.session = True


def _session_lost(state: _State, data: Mapping[str, Any]) -> None:
    state.session = False


def _stepped_aside(state: _State, data: Mapping[str, Any]) -> None:
    state.aside = True


def _held(state: _State, data: Mapping[str, Any]) -> None:
    state.held = bool(data.get("held"))


_TAKES: Mapping[tuple[str, str], Callable[[_State, Mapping[str, Any]], None]] = {
    ("record", "Answered"): _answered,
    ("record", "Ended"): _ended,
    ("record", "TurnStarted"): _turn_started,
    ("record", "TurnEnded"): _turn_ended,
    ("record", "SoundStarted"): _sound_started,
    ("record", "SoundEnded"): _turn_ended,
    ("record", "ToolStarted"): _tool_started,
    ("record", "ToolEnded"): _tool_ended,
    ("record", "ApprovalTold"): _approval,
    ("provider", "SessionReady"): _session_ready,
    ("provider", "ConnectionLost"): _session_lost,
    ("phone", "MediaHeld"): _held,
    ("phone", "SteppedAside"): _stepped_aside,
    ("phone", "CallEnded"): _ended,
}

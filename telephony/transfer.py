"""One transfer of a call: what is tried in which order, how long, and what came of it. Pure: time is a parameter.

Where the other side of the call takes REFER (RFC 3515) it is asked to dial the target, and its NOTIFYs tell how that
goes. Where it refuses, or is not to be asked, we dial the target and connect the two calls (a B2BUA, RFC 7092).

    referring ── 2xx ──► referred ── NOTIFY 2xx, or BYE ──► accepted
        │ refused, or no answer      └─ NOTIFY 3xx-6xx, or none in time ──► busy, declined, ...
        ▼
    dialling ── 180 ── answered ──► [briefing ── taken ──►] connecting ──► accepted
        └─ refused, or not in time      └─ declined, hung up, or not in time ──► busy, declined, ...

An attended one is never referred: the target is dialled, is told who waits (briefing), and takes or declines the call.
In any of them the caller may hang up: then the second line goes, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal

__all__ = [
    "REFER_S",
    "SECOND_LINE",
    "CallerGone",
    "Command",
    "Connect",
    "Connected",
    "Declined",
    "Dial",
    "Dismiss",
    "DropLine",
    "Ended",
    "Event",
    "LineEnded",
    "LineRings",
    "LineUp",
    "Means",
    "Notified",
    "Outcome",
    "Plan",
    "ReferAnswer",
    "Ringing",
    "SendRefer",
    "Taken",
    "Tick",
    "Transfer",
    "Unable",
    "outcome_of",
]

REFER_S = 6.0
"""So long a REFER waits for its answer; the library itself would wait for 32 s."""
CONNECT_S = 5.0
"""From the target's answer to audio both ways."""
SECOND_LINE = "X-Offhook-Second-Line"
"""Header of the INVITE to a target, with the id of the call that is handed on. One that comes back to one of our kind
is a loop, and is told so (482)."""

Outcome = Literal["accepted", "declined", "busy", "no_answer", "voicemail", "failed", "hung_up"]
"""hung_up: the caller did, before it was decided."""
Means = Literal["refer", "bridge", "attended"]
"""How it was done: the other side dialled; we did; we did, and the target was asked first."""

BUSY = (486, 600)
DECLINED = (603, 607, 608)
NO_ANSWER = (408, 480, 487)


CAUSES: Mapping[int, Outcome] = {17: "busy", 18: "no_answer", 19: "no_answer", 21: "declined"}
"""Of ITU-T Q.850: user busy, no user responding, no answer from the user (alerted), call rejected."""


def outcome_of(status: int, cause: int | None = None) -> Outcome:
    """What a final SIP status means to who dialled (RFC 3261 section 21, RFC 8197, RFC 8688).

    cause: of Q.850, where it was told. A gateway may say 480 or 503 for all that it is told, and the cause then knows.
    """
    if status // 100 == 2:
        return "accepted"
    if status not in (*BUSY, *DECLINED) and cause is not None and cause in CAUSES:
        return CAUSES[cause]
    table: dict[Outcome, tuple[int, ...]] = {"busy": BUSY, "declined": DECLINED, "no_answer": NO_ANSWER}
    return next((outcome for outcome, statuses in table.items() if status in statuses), "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is wanted."""

    uri: str
    refer: bool = True
    """Whether the other side is asked first."""
    ring_s: float = 30.0
    attended: bool = False
    """Whether the target is asked before it has the caller; then `refer` counts for nothing."""
    brief_s: float = 30.0
    """So long the target has for it, once it has answered."""


# --- what happens -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReferAnswer:
    """The final response to our REFER."""

    status: int


@dataclass(frozen=True, slots=True)
class Notified:
    """A NOTIFY told how the other side's call to the target goes (the status line in its message/sipfrag)."""

    status: int
    final: bool = False


@dataclass(frozen=True, slots=True)
class LineRings:
    """The target rings."""


@dataclass(frozen=True, slots=True)
class LineUp:
    """The target has answered, and audio flows."""


@dataclass(frozen=True, slots=True)
class LineEnded:
    """The target refused, or hung up."""

    status: int
    by_us: bool = False
    """It was a fault of ours, or nobody was there to ask:"""
    machine: bool = False
    """an answering machine had taken it,"""
    silent: bool = False
    """or nobody spoke."""
    cause: int | None = None
    """Of Q.850, where the target's side told one."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The target takes the call."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The target does not take the call."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The two calls hear each other."""


@dataclass(frozen=True, slots=True)
class CallerGone:
    """The call that was to be handed on is over."""


@dataclass(frozen=True, slots=True)
class Unable:
    """What was commanded can't be done: no line is free, the URI can't be dialled."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that `Transfer.wake` named has come."""


Event = (
    ReferAnswer | Notified | LineRings | LineUp | LineEnded | Taken | Declined | Connected | CallerGone | Unable | Tick
)

# --- what is to be done -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendRefer:
    """Ask the other side to dial this URI."""

    uri: str


@dataclass(frozen=True, slots=True)
class Dial:
    """Dial this URI ourselves, on a second line."""

    uri: str


@dataclass(frozen=True, slots=True)
class Ringing:
    """The target rings: for whoever waits. Given once."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Let the caller and the second line hear each other."""


@dataclass(frozen=True, slots=True)
class DropLine:
    """Hang the second line up."""


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Say goodbye on the second line, and hang it up: somebody listens there."""

    gone: bool = False
    """Since the caller is."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It is decided. The last command."""

    outcome: Outcome
    means: Means
    status: int = 0
    """The SIP status that decided it; 0 where none did."""


Command = SendRefer | Dial | Ringing | Connect | DropLine | Dismiss | Ended


class State(Enum):
    """Where a transfer stands."""

    REFERRING = auto()
    REFERRED = auto()
    DIALLING = auto()
    BRIEFING = auto()
    CONNECTING = auto()
    OVER = auto()


class Transfer:
    """One transfer. `wake` is the time (s) at which it wants a Tick, None for never."""

    def __init__(self, plan: Plan) -> None:
        self.state = State.REFERRING if plan.refer and not plan.attended else State.DIALLING
        self.wake: float | None = None
        self._plan = plan
        self._means: Means = "refer"
        self._rang = False
        self._handlers: dict[type[Any], Callable[[Any, float], list[Command]]] = {
            ReferAnswer: self._refer_answered,
            Notified: self._notified,
            LineRings: self._rings,
            LineUp: self._line_up,
            LineEnded: self._line_ended,
            Taken: self._taken,
            Declined: self._declined,
            Connected: self._connected,
            CallerGone: self._caller_gone,
            Unable: self._unable,
            Tick: self._tick,
        }

    def start(self, now: float) -> list[Command]:
        """Begin."""
        if self.state is State.DIALLING:
            return self._dial(now)
        self.wake = now + REFER_S
        return [SendRefer(self._plan.uri)]

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take one event at `now` (s, any monotonic clock)."""
        return [] if self.state is State.OVER else self._handlers[type(event)](event, now)

    # --- the other side dials -----------------------------------------------------------------------------------------

    def _refer_answered(self, event: ReferAnswer, now: float) -> list[Command]:
        if event.status // 100 == 2:
            if self.state is State.REFERRING:
                return self._referred(now)
            if self.state is State.DIALLING:  # late, when we had begun ourselves: two calls would be one too many
                return [DropLine(), *self._referred(now)]
        elif self.state is State.REFERRING:
            if event.status == 481:  # RFC 3261 section 12.2.1.2: the other side has no such call any more
                return self._end("failed", event.status)
            return self._dial(now)
        return []

    def _referred(self, now: float) -> list[Command]:
        self.state, self._means = State.REFERRED, "refer"
        self.wake = now + self._plan.ring_s
        return []

    def _notified(self, event: Notified, now: float) -> list[Command]:
        if self.state is State.REFERRING and event.status // 100 in (1, 2):
            self._referred(now)  # a NOTIFY may overtake the 202
        if self.state is not State.REFERRED:
            return []
        if event.status >= 200:
            return self._end(outcome_of(event.status), event.status)
        if event.final:  # the subscription ended, and nothing was said of the call: RFC 3515 section 2.4.7
            return self._end("failed", event.status)
        return self._told_ringing() if event.status in (180, 183) else []

    # --- we dial ------------------------------------------------------------------------------------------------------

    def _dial(self, now: float) -> list[Command]:
        self.state, self._means = State.DIALLING, "attended" if self._plan.attended else "bridge"
        self.wake = now + self._plan.ring_s
        return [Dial(self._plan.uri)]

    def _rings(self, event: LineRings, now: float) -> list[Command]:
        return self._told_ringing() if self.state is State.DIALLING else []

    def _line_up(self, event: LineUp, now: float) -> list[Command]:
        if self.state is not State.DIALLING:
            return []
        if self._plan.attended:
            self.state, self.wake = State.BRIEFING, now + self._plan.brief_s
            return []
        return self._connect(now)

    def _connect(self, now: float) -> list[Command]:
        self.state, self.wake = State.CONNECTING, now + CONNECT_S
        return [Connect()]

    def _taken(self, event: Taken, now: float) -> list[Command]:
        return self._connect(now) if self.state is State.BRIEFING else []

    def _declined(self, event: Declined, now: float) -> list[Command]:
        return [Dismiss(), *self._end("declined")] if self.state is State.BRIEFING else []

    def _line_ended(self, event: LineEnded, now: float) -> list[Command]:
        if self.state is State.BRIEFING:  # who hangs up when asked declines
            nobody: Outcome | None = "voicemail" if event.machine else "no_answer" if event.silent else None
            return self._end(nobody or ("failed" if event.by_us else "declined"), event.status)
        if self.state not in (State.DIALLING, State.CONNECTING):
            return []
        outcome = outcome_of(event.status, event.cause)
        return self._end("failed" if outcome == "accepted" else outcome, event.status)

    def _connected(self, event: Connected, now: float) -> list[Command]:
        return self._end("accepted", 200) if self.state is State.CONNECTING else []

    # --- either -------------------------------------------------------------------------------------------------------

    def _told_ringing(self) -> list[Command]:
        told, self._rang = self._rang, True
        return [] if told else [Ringing()]

    def _caller_gone(self, event: CallerGone, now: float) -> list[Command]:
        if self.state is State.REFERRED:
            return self._end("accepted", 200)  # who was asked to call somebody else, and agreed, hangs up for that
        left: list[Command] = [Dismiss(gone=True)] if self.state is State.BRIEFING else self._drop()
        return [*left, *self._end("hung_up")]

    def _unable(self, event: Unable, now: float) -> list[Command]:
        return self._dial(now) if self.state is State.REFERRING else [*self._drop(), *self._end("failed")]

    def _tick(self, event: Tick, now: float) -> list[Command]:
        if self.wake is None or now < self.wake:
            return []
        if self.state is State.REFERRING:
            return self._dial(now)
        if self.state is State.BRIEFING:
            return [Dismiss(), *self._end("no_answer", 408)]
        return [*self._drop(), *self._end("failed" if self.state is State.CONNECTING else "no_answer", 408)]

    def _drop(self) -> list[Command]:
        return [DropLine()] if self.state in (State.DIALLING, State.BRIEFING, State.CONNECTING) else []

    def _end(self, outcome: Outcome, status: int = 0) -> list[Command]:
        self.state, self.wake = State.OVER, None
        return [Ended(outcome, self._means, status)]

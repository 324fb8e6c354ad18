"""A call's journal: every edge of it, as they came, bounded by kind. This is what the call itself does for it.

An edge costs a tuple: nothing is formatted or looked up by name while the call lasts; `worker.records.edges` makes
something to read of it, elsewhere. What kind of event it is does not matter here: one of a new type is kept under its
type's name, with those of its fields whose names are in `SAFE`. **Words, digits, arguments, outputs and audio have none
of these names**, so that they can't get in by an event that nobody thought of.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from operator import attrgetter
from typing import Any, Literal

from telephony.events import RtpReport, SipMessage
from worker.realtime.events import AgentTranscriptDelta, AudioDelta
from worker.records.envelope import Envelope, Levels
from worker.records.record import (
    Answered,
    BargedIn,
    BargeInWithdrawn,
    CallRecord,
    Ended,
    Noted,
    RecordEvent,
    ToolEnded,
    TurnText,
)

__all__ = ["LIMITS", "SAFE", "Journal", "Kind", "Raw", "Shape", "Taken", "shape_of"]

Kind = Literal["record", "turn", "provider", "phone", "sip", "rtp", "line"]

LIMITS: Mapping[Kind, int] = {
    "record": 1500,
    "turn": 1500,
    "provider": 1500,
    "phone": 100,
    "sip": 200,
    "rtp": 720,
    "line": 200,
}
"""Edges that are kept of each kind, the latest: an hour of a lively call, and 1.2 MB at most. How many were let go is
counted."""

SAFE = frozenset(
    "answered_ms approved began by cause code codec early_media error_code expected fatal held item_id job_id key"
    " kind lasted_ms left_s loud means metadata mode name number outcome paused_ms purpose rate_hz reason"
    " response_id retry_after_s role second_line session_id sip_status status then to took_ms tool tool_call_id"
    " tool_call_ids type via wait_ms waited_s way who words".split()
)
"""Names of fields that may be kept. `metadata` is kept for its purpose alone; `words` are of a closed set (`turns`),
`to` is the label that the agent file gives a target."""

COUNTED = (AudioDelta, AgentTranscriptDelta)
"""Events of the provider that are counted, not listed."""

TICK = "Tick"


@dataclass(frozen=True, slots=True)
class Shape:
    """What is kept of events of one type."""

    what: str
    """The type's name."""
    names: tuple[str, ...]
    """The fields that are kept, in order."""
    read: Callable[[Any], Any]
    """Gives their values: a tuple, of one field the value itself, of none None."""


_SHAPES: dict[type[Any], Shape] = {}

NESTED: Mapping[type[Any], tuple[str, ...]] = {
    ToolEnded: ("call.tool", "call.status", "call.wait_ms", "call.run_ms", "call.job_id", "tool_call_id"),
    BargedIn: ("barge_in.heard_ms", "barge_in.stopped_in_ms"),
    BargeInWithdrawn: ("withdrawn.heard_ms", "withdrawn.paused_ms", "withdrawn.by"),
    Noted: ("text",),
    Ended: ("record.outcome", "record.reason"),
    SipMessage: ("sent", "line", "method"),
    RtpReport: tuple(field.name for field in fields(RtpReport) if field.name not in ("call_id", "at_s")),
}
"""Types of which other fields are wanted than those with safe names."""


def shape_of(kind: type[Any]) -> Shape:
    """Return what is kept of events of a type; found out once for each type."""
    shape = _SHAPES.get(kind)
    if shape is None:
        names = NESTED.get(kind)
        if names is None:
            own = fields(kind) if is_dataclass(kind) else ()
            names = tuple(field.name for field in own if field.name in SAFE or _is_part(field.type))
        read = attrgetter(*names) if names else (lambda event: None)
        shape = _SHAPES[kind] = Shape(kind.__name__, tuple(name.rpartition(".")[2] for name in names), read)
    return shape


def _is_part(annotation: Any) -> bool:
    """Whether a field is a part of the record (`BargeInRecord`): of it, too, the safe fields are kept."""
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return name.endswith("Record") and name != CallRecord.__name__


Raw = tuple[float, int, Kind, Shape, Any, Sequence[tuple[Shape, Any]], Any, Any]
"""An edge: when (s), its number, kind, shape, values; of a decision its commands, the floor and the slot after it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A journal as it stood at a moment. Times in s of the call's clock, `started_at` is a Unix time."""

    started_at: float
    invited_s: float
    answered_s: float | None
    now_s: float
    raw: tuple[Raw, ...]
    left_out: Mapping[str, int]
    """How many edges of each kind were let go."""
    counted: Mapping[str, int]
    """Events that are counted by type."""
    levels: Levels | None = None
    """How loud both voices were."""


class Journal:
    """One call's. On the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, on: bool = True) -> None:
        """Begin at the INVITE. on: False keeps nothing."""
        self.on = on
        self.started_at = time.time()
        self._clock = clock
        self._invited = clock()
        self._answered: float | None = None
        self._zero = self._invited
        self._envelope = Envelope(self._invited) if on else None
        self._number = 0
        self._rings: dict[Kind, deque[Raw]] = (
            {kind: deque(maxlen=limit) for kind, limit in LIMITS.items()} if on else {}
        )
        self._turns = self._rings.get("turn", deque(maxlen=0))
        self._seen: dict[Kind, int] = dict.fromkeys(LIMITS, 0)
        self._counted: dict[type[Any], int] = dict.fromkeys(COUNTED, 0)
        self._stands: tuple[Any, Any] | None = None
        self._latest: object = None
        """The provider's last event: the turn machine is told of it next."""
        self._underruns = self._dropped = 0

    # --- what is told -------------------------------------------------------------------------------------------------

    def recorded(self, event: RecordEvent) -> None:
        """Take an edge of the record: to be subscribed to the recorder."""
        kind = type(event)
        if kind is TurnText:
            return
        at_ms = getattr(event, "at_ms", None)
        at = self._clock() if at_ms is None else self._zero + at_ms / 1000
        if kind is Answered:
            self._answered = self._zero = at
        self._keep("record", at, event)

    def decided(self, now: float, event: object, commands: Iterable[object], floor: Any, slot: Any) -> None:
        """Take a decision of the turn machine: what it was told, its commands, who has the floor and the slot now."""
        if not self.on:
            return
        stands, kind = (floor, slot), type(event)
        if not commands and stands == self._stands:
            if event is self._latest or kind in self._counted or kind.__name__ == TICK:
                return  # nothing came of it
        self._stands = stands
        shape = shape_of(kind)
        told = [((of := shape_of(type(command))), of.read(command)) for command in commands]
        self._number = number = self._number + 1
        self._seen["turn"] += 1
        self._turns.append((now, number, "turn", shape, shape.read(event), told, floor, slot))

    def provided(self, event: object) -> None:
        """Take an event of the realtime session. Audio and words are counted."""
        kind = type(event)
        if kind in self._counted:
            self._counted[kind] += 1
            return
        self._latest = event
        self._keep("provider", self._clock(), event)

    def phoned(self, event: object) -> None:
        """Take an event of the telephone's."""
        kind: Kind = "sip" if type(event) is SipMessage else "rtp" if type(event) is RtpReport else "phone"
        at = getattr(event, "at_s", None)
        self._keep(kind, self._clock() if at is None else at, event)

    def looked(self, underruns: int, dropped: int, caller: bytes, agent: bytes) -> None:
        """Once a second: how often playout ran dry so far, and how many of the caller's frames were dropped.

        caller, agent: how loud they were in each frame since the last time (`telephony.bridge.Bridge.take_levels`).
        """
        if self._envelope is not None:
            self._envelope.look(self._clock(), caller, agent)
        if underruns != self._underruns or dropped != self._dropped:
            more = _LineLoss(underruns - self._underruns, dropped - self._dropped)
            self._underruns, self._dropped = underruns, dropped
            self._keep("line", self._clock(), more)

    def stepped_aside(self) -> None:
        """The agent has left the line to others: from now on who is silent on it is not its business."""
        self._keep("phone", self._clock(), _SteppedAside())

    # --- what is kept -------------------------------------------------------------------------------------------------

    def taken(self) -> Taken:
        """Return how it stands, for others to read in their own time."""
        raw = [edge for ring in self._rings.values() for edge in ring]
        raw.sort(key=lambda edge: edge[:2])
        now = self._clock()
        left = {kind: seen - len(self._rings[kind]) for kind, seen in self._seen.items() if kind in self._rings}
        return Taken(
            self.started_at,
            self._invited,
            self._answered,
            now,
            tuple(raw),
            {kind: count for kind, count in left.items() if count},
            {kind.__name__: count for kind, count in self._counted.items() if count},
            None if self._envelope is None else self._envelope.taken(),
        )

    def _keep(self, kind: Kind, at: float, event: object) -> None:
        if self.on:
            shape = shape_of(type(event))
            self._number = number = self._number + 1
            self._seen[kind] += 1
            self._rings[kind].append((at, number, kind, shape, shape.read(event), (), None, None))


@dataclass(frozen=True, slots=True)
class _SteppedAside:
    """Others have the line."""


@dataclass(frozen=True, slots=True)
class _LineLoss:
    """What the line lost since it was looked at last."""

    underruns: int
    dropped_in_frames: int


_SHAPES[_SteppedAside] = Shape("SteppedAside", (), lambda event: None)
_SHAPES[_LineLoss] = Shape("LineLoss", ("underruns", "dropped_in_frames"), attrgetter("underruns", "dropped_in_frames"))

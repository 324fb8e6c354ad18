"""What the parts of a call's turn machine know together: who speaks, what is open, what is owed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.turns.ending import Ending
from worker.turns.filler_voice import FillerConfig, FillerVoice
from worker.turns.floor import FLOOR, Floor, FloorEdge
from worker.turns.owed import Owed
from worker.turns.pending import PendingTool, PendingTools
from worker.turns.silence import Patience, SilenceConfig
from worker.turns.slot import ResponseSlot

__all__ = ["END_CALL", "TONE", "TurnConfig", "TurnState"]

END_CALL = "end_call"
"""The function with which the model ends the call: it belongs to the call itself and never becomes a job."""
TONE = "tone"
"""Item id of the soft tone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnConfig:
    """What the machine has to know of the agent and the provider."""

    greeting: str | None = None
    goodbye: str = "Goodbye."
    fillers: FillerConfig = FillerConfig()
    server_responds: bool = True
    """The server creates a response at the end of the caller's turn (create_response)."""
    server_interrupts: bool = True
    """The server cancels its response when the caller begins to speak (interrupt_response)."""
    silence: SilenceConfig = SilenceConfig()
    cancelled_by_barge_in: frozenset[str] = frozenset()
    """Tools that are stopped when the caller says something while they run."""
    talks_while_call_pending: bool = True
    """The model may respond while a tool call is open. False: a call that takes long is answered with a placeholder."""


@dataclass(slots=True)
class TurnState:
    """One call's turns as they stand. Its parts change it; only `TurnMachine` hands it out."""

    config: TurnConfig
    fillers: FillerVoice = field(init=False)
    patience: Patience = field(init=False)
    floor: Floor = Floor.NOBODY
    slot: ResponseSlot = field(default_factory=ResponseSlot)
    pending: PendingTools = field(default_factory=PendingTools)
    owed: Owed = field(default_factory=Owed)
    ending: Ending | None = None
    over: bool = False
    """The call is hung up or can't be saved: no further event counts."""
    connected: bool = False
    """There is a session."""
    media: bool = False
    """The call was answered and its audio flows."""
    playing: str | None = None
    """The item that the caller is being sent."""

    def __post_init__(self) -> None:
        self.fillers = FillerVoice(self.config.fillers)
        self.patience = Patience(self.config.silence)

    @property
    def quiet(self) -> bool:
        """Whether nobody speaks and nothing plays."""
        return self.floor is Floor.NOBODY and self.playing is None

    @property
    def idle(self) -> bool:
        """Whether nobody speaks, nothing is being generated and nothing is owed: a moment between turns."""
        nothing_owed = not self.pending and not self.owed and self.ending is None
        return self.quiet and self.slot.free and self.connected and nothing_owed

    @property
    def unplaced(self) -> list[PendingTool]:
        """Calls of tools that run, which bar the provider's mouth until they have a placeholder."""
        if self.config.talks_while_call_pending or not self.connected:
            return []
        return [tool for tool in self.pending.running() if not tool.placeholder]

    def move_floor(self, edge: FloorEdge) -> None:
        """Take one edge of the floor's table."""
        self.floor = FLOOR[(self.floor, edge)]

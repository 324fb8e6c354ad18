"""What the parts of a call's turn machine know together: who speaks, what is open, what is owed. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.turns.budget import Budget
from worker.turns.ending import Ending
from worker.turns.expectations import TABLE, Expect, StopWatch
from worker.turns.filler_voice import FillerConfig, FillerVoice
from worker.turns.floor import FLOOR, Floor, FloorEdge, Slot
from worker.turns.owed import Owed
from worker.turns.pending import PendingTool, PendingTools
from worker.turns.silence import Patience, SilenceConfig
from worker.turns.slot import ResponseSlot

__all__ = ["END_CALL", "OWN", "TONE", "TRANSFER_CALL", "TurnConfig", "TurnState"]

END_CALL = "end_call"
"""The function with which the model ends the call: it belongs to the call itself and never becomes a job."""
TRANSFER_CALL = "transfer_call"
"""The function with which the model hands the call on: it waits until what was said before it was heard."""
TONE = "tone"
"""Item id of the soft tone."""
OWN = "own:"
"""Item ids of what we say ourselves begin so."""
REMEMBERED = 64
"""Responses of which something is kept in mind until they are done: a call has one or two in flight."""
REQUESTS, REQUESTS_S = 8, 8.0
"""So many responses may be asked for within so many seconds, whatever a provider answers: a chain of quick tools takes
one a second, and a provider that refuses what it then says made it 540."""
UNHEARD_S = 10.0
"""What was said so long ago, and nobody heard, is waited for by nobody."""
CANCELS = 32
"""So many are cancelled in that time."""


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
    reversible: bool = False
    """A barge-in may be withdrawn (`caller`): the server does neither of the two by itself then."""
    language: str = "en"
    """The caller's (a BCP 47 tag)."""
    silence: SilenceConfig = SilenceConfig()
    cancelled_by_barge_in: frozenset[str] = frozenset()
    """Tools that are stopped when the caller says something while they run."""
    transfers: bool = False
    """The model has the function TRANSFER_CALL."""
    acknowledges: bool = True
    """The provider says which outputs are in the conversation."""
    remote: tuple[str, ...] = ()
    """Labels of the MCP servers whose tools the provider runs: each session lists them anew."""
    remote_s: Callable[[str], float] = lambda tool: TABLE[Expect.REMOTE_CALL].seconds
    """So long a call that the provider runs is waited for, by its tool's name (s)."""
    approval_s: float = TABLE[Expect.APPROVAL].seconds
    """So long an approval of one is waited for; none is a no."""
    talks_while_call_pending: bool = True
    """The model may respond while a tool call is open. False: a call that takes long is answered with a placeholder."""
    asks_itself: bool = False
    """A question can be asked in a voice of ours, where the model does not say it as it was given."""


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
    talks: bool = field(init=False)
    """The model may respond while a tool call is open, by all that is known; see `TurnConfig`."""
    asking: bool = False
    """A question of ours stands: nothing else is asked of the provider, and its own answers are not heard."""
    listening: bool = False
    """It was heard: the caller has the word, and nothing of ours sounds."""
    turn_over: bool = False
    """The caller's turn is over, and the agent was not heard since."""
    loud: bool | None = None
    """Whether the caller's line is loud, by our own ears; None where nobody listens."""
    loud_changes: int = 0
    unheard: float | None = None
    """When the caller's line became loud (s), while the provider has not told of speech since; see `unheard_since`."""
    probed: bool = False
    """And whether it was found out that the provider is there: then it was no speech."""
    paused: bool = False
    """The voice is paused: the caller makes a sound over it, and nobody knows yet whether they speak."""
    speeches: int = 0
    """How often the caller has begun to speak."""
    spoke: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """Responses of which something was queued for playout."""
    purposes: dict[str, str | None] = field(default_factory=dict)
    """What the responses in flight were asked for; None: a server's own."""
    progress: int = 0
    """Counts signs of life of the response in the slot."""
    all_sent: bool = False
    """Of the response in the slot no more audio comes, but perhaps of a further item."""
    waiting: StopWatch = field(default_factory=StopWatch)
    """How long the caller has waited for the provider, since it was last of use."""
    strikes: int = 0
    """How often nothing came since a whole response was heard."""
    told_until: float = 0.0
    """The provider has said how long to wait: until then (s)."""
    greets_from: float = 0.0
    """The greeting waits for the provider's lists of tools until then (s)."""
    model_goes_on: bool = False
    """A call that the provider ran has ended: the model may go on by itself, or will be asked to."""
    fill_in: bool = False
    """The provider owes us a filler: words of ours are due."""
    requests: Budget = field(default_factory=lambda: Budget(REQUESTS, REQUESTS_S))
    """Bounds what we ask of the provider."""
    cancels: Budget = field(default_factory=lambda: Budget(CANCELS, REQUESTS_S))
    """Bounds what we cancel."""

    def __post_init__(self) -> None:
        self.fillers = FillerVoice(self.config.fillers)
        self.patience = Patience(self.config.silence)
        self.talks = self.config.talks_while_call_pending

    @property
    def quiet(self) -> bool:
        """Whether nobody speaks and nothing plays."""
        return self.floor is Floor.NOBODY and self.playing is None

    @property
    def idle(self) -> bool:
        """Whether nobody speaks, nothing is being generated and nothing is owed: a moment between turns."""
        nothing_owed = not (self.pending or self.owed or self.model_goes_on or self.asking) and self.ending is None
        return self.quiet and self.slot.free and self.connected and nothing_owed

    @property
    def unplaced(self) -> list[PendingTool]:
        """Calls of tools that run, which bar the provider's mouth until they have a placeholder."""
        if self.talks or not self.connected:
            return []
        return [tool for tool in self.pending.ours() if not tool.placeholder]

    @property
    def server_answers(self) -> bool:
        """Whether the response that is to come is the server's own answer to what the caller said."""
        return self.slot.state is Slot.REQUESTED and not self.owed.asked

    @property
    def silent(self) -> bool:
        """Whether the caller hears nothing of the model's: at most the tone, a filler or words of ours."""
        playing = self.playing
        return playing in (None, TONE) or playing.startswith(OWN) or self.fillers.is_filler_item(playing)

    def unheard_since(self, now: float) -> float | None:
        """When the caller began to say what no provider has heard (s); None where they have not, lately."""
        return self.unheard if self.unheard is not None and now - self.unheard < UNHEARD_S else None

    def remember(self, response_id: str, purpose: str | None) -> None:
        """Keep what a response is for."""
        self.purposes[response_id] = purpose
        if len(self.purposes) > REMEMBERED:
            del self.purposes[next(iter(self.purposes))]

    def move_floor(self, edge: FloorEdge) -> None:
        """Take one edge of the floor's table."""
        self.floor = FLOOR[(self.floor, edge)]

"""A turn machine with a clock that is moved by hand: what the scenes of this folder are played with."""

from __future__ import annotations

from typing import Any

from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.events import Purpose, Words
from worker.turns.filler_voice import FillerConfig
from worker.turns.machine import TurnConfig, TurnMachine

RESUME = turn.RequestResponse(Purpose.RESUME, None)
TOOL_RESULT = turn.RequestResponse(Purpose.TOOL_RESULT, None)
FILLERS = FillerConfig(
    texts=("One moment.", "Still looking."),
    grace_s=0.5,
    interval_s=4.0,
    tone_after_s=0.9,
    tool_texts={"order_status": ("Let me look.",)},
)


class Scene:
    """A machine with a clock that is moved by hand."""

    def __init__(self, **config: Any) -> None:
        self.machine = TurnMachine(TurnConfig(**{"fillers": FILLERS, **config}))
        self.now = 100.0
        self.commands: list[turn.Command] = []
        self.unmet: list[turn.Unmet] = []
        """What was told of the provider's faults; not among the commands."""

    def feed(self, *events: object) -> list[turn.Command]:
        found = [command for event in events for command in self.machine.handle(event, self.now)]
        commands = [command for command in found if not isinstance(command, turn.Unmet)]
        self.unmet += [command for command in found if isinstance(command, turn.Unmet)]
        self.commands += commands
        return commands

    def wait(self, seconds: float) -> list[turn.Command]:
        """Let time pass, with a tick at each moment that the machine asked for."""
        end, commands = self.now + seconds, []
        while self.machine.wake is not None and self.machine.wake <= end:
            self.now = max(self.now, self.machine.wake)
            commands += self.feed(turn.Tick())
        self.now = end
        return commands

    def connect(self) -> list[turn.Command]:
        return self.feed(realtime.SessionReady("s", "pcm24k", "pcm24k"), turn.MediaReady())

    def respond(self, response_id: str, purpose: str | None = None, *, audio: bool = True) -> list[turn.Command]:
        """A whole response of the provider's: created, its first audio queued, done. It plays on."""
        metadata = {"purpose": purpose} if purpose else {}
        commands = self.feed(realtime.ResponseStarted(response_id, metadata))
        if audio:
            commands += self.feed(turn.AudioStarted(response_id, f"item-{response_id}"))
        return commands + self.feed(realtime.ResponseDone(response_id, "completed", metadata=metadata))

    def played(self) -> list[turn.Command]:
        return self.feed(turn.PlayoutChanged(None))

    def caller_speaks(self, item: str = "c1") -> list[turn.Command]:
        return self.feed(realtime.SpeechStarted(item, 0))

    def caller_stops(self, item: str = "c1") -> list[turn.Command]:
        return self.feed(realtime.SpeechStopped(item, 900))

    def call_tool(self, response_id: str = "r1", call: str = "t1", name: str = "order_status") -> list[turn.Command]:
        return self.feed(realtime.ToolCallRequested(response_id, f"fc-{call}", call, name, "{}"))

    def turn_with_tool(self) -> list[turn.Command]:
        """The caller asks; the model answers with a tool call and no words."""
        self.caller_speaks()
        self.caller_stops()
        commands = self.feed(realtime.ResponseStarted("r1", {}))
        commands += self.call_tool()
        return commands + self.feed(realtime.ResponseDone("r1", "completed"))


def kinds(commands: list[turn.Command]) -> list[type]:
    return [type(command) for command in commands]


def start_filler(scene: Scene, response_id: str = "f1", *, audio: bool = True) -> turn.SpeakFiller:
    command = next(c for c in reversed(scene.commands) if isinstance(c, turn.SpeakFiller))
    scene.feed(realtime.ResponseStarted(response_id, command.metadata))
    if audio:
        scene.feed(turn.AudioStarted(response_id, f"item-{response_id}"))
        scene.feed(realtime.ResponseDone(response_id, "completed", metadata=command.metadata))
    return command


def told(scene: Scene) -> list[tuple[str, str]]:
    return [(one.expected, one.then) for one in scene.unmet]


def sessions(scene: Scene) -> int:
    return kinds(scene.commands).count(turn.NewSession)


def own_words(scene: Scene) -> list[Words]:
    return [one.words for one in scene.commands if isinstance(one, turn.OwnWords)]


def pass_time(scene: Scene, seconds: float, *, reconnects: bool = True) -> None:
    """Let time pass for a caller who hears what is played, with a provider that begins sessions and says nothing."""
    end = scene.now + seconds
    while scene.now < end and not scene.machine.over:
        scene.wait(0.1)
        if not scene.machine.state.connected and reconnects:
            scene.feed(realtime.SessionReady("s", "pcm24k", "pcm24k"))
        if scene.machine.state.playing is not None:
            scene.played()

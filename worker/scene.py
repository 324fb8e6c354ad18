"""A whole dialogue against a tool, in a test of its author's: no network, no Redis, no audio, and no waiting.

    from worker.scene import Scene

    def test_the_caller_does_not_wait_in_silence() -> None:
        with Scene(order_status) as scene:
            scene.takes(order_status, 12)
            scene.caller_says("Where is my order 427?")
            scene.model_calls(order_status, order="427")
            scene.hears("Let me look that order up.")
            assert scene.model_is_told(order_status).value["arrives"] == "Thursday"
            scene.model_says("It arrives on Thursday.")
            scene.hears("Thursday")

The call's own session runs in it: turn machine, tool calls, fillers, playout, all that the agent file says. Its ends
are a scene's: a model that says and calls what the scene says, a caller with words but no voice, and a clock that
goes on by itself. Tools run inline, whatever they declare. What is expected has to come in that order; where it does
not, the failure shows the whole dialogue with its seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from structlog.testing import capture_logs

from telephony.bridge import Bridge
from tools.catalog import Catalog
from tools.errors import ToolDefinitionError
from tools.inline import InlineRunner
from tools.loading import load_tools
from tools.spec import ATTRIBUTE, ToolSpec
from worker import records
from worker.agent import Agent, load_agent_file
from worker.factory import make_session, turn_config
from worker.floor import Floor
from worker.metrics import Metrics
from worker.realtime.connection import Provider
from worker.realtime.history import heard_words
from worker.session import CallInfo, CallSession, Services
from worker.stage.clock import SceneLoop
from worker.stage.model import Asked, SceneConnection, SceneModel, speech_s
from worker.stage.script import Line, Run, Script
from worker.stage.tools import StagedTools
from worker.turns import TONE

__all__ = ["Call", "Line", "Run", "Scene", "SceneFailed"]

P = ParamSpec("P")
T = TypeVar("T")

TICK_S = 0.02
RATE_HZ = 24_000
"""The rate of the session's audio: silence need not be resampled."""
PUMP_TICKS = 2
KEY_S = 0.2
STEPS = 20
"""Turns of the loop: enough for a task that starts a task that starts a task."""
PATIENCE_S = 60.0
CALL = "scene"


class SceneFailed(AssertionError):
    """What a scene expected did not happen; the message has the dialogue."""


class Call:
    """A tool call for the model to make: `Call(order_status, order="427")`. A text is taken as the raw arguments."""

    def __init__(self, tool: Callable[..., Any] | str, raw: str | None = None, /, **arguments: Any) -> None:
        self.name = _name_of(tool)
        self.arguments = json.dumps(arguments) if raw is None else raw


class Scene:
    """One call, from its answer on. Use it as a context manager; times are s since the answer.

    tools: functions with `@tool` on them; those that the agent file names come along. agent: an `Agent`, or the path of
    an agent file, whose greeting is then spoken first. caller, dialled: numbers. secrets: for tools that ask for some,
    by name. latency: from the end of the caller's turn, or a tool's answer, to the model's first word.
    """

    def __init__(
        self,
        *tools: Callable[..., Any],
        agent: Agent | Path | str | None = None,
        caller: str = "+15550100",
        dialled: str = "+15550199",
        secrets: Mapping[str, str] | None = None,
        latency: float = 0.4,
    ) -> None:
        self.agent = _agent(agent, dialled)
        self.script = Script()
        self.over = False
        self._latency = latency
        self._info = CallInfo(CALL, caller, dialled)
        self._tools = StagedTools(lambda: self.now, self._run_began, self._run_ended)
        specs = {spec.name: spec for spec in load_tools(self.agent.tools.modules)}
        specs.update((spec.name, spec) for spec in map(_spec_of, tools))
        self._inline = InlineRunner()
        staged = [self._tools.staged(spec) for spec in specs.values()]
        self._catalog = Catalog(staged, inline=self._inline, most_s=self.agent.limits.tool_seconds, secrets=secrets)
        self._bridge = Bridge(RATE_HZ)
        self._ticks = 0
        self._texts: dict[str, str] = {}
        self._turns: dict[str, Line] = {}
        self._statuses: dict[str, str] = {}
        self._record: records.CallRecord | None = None
        self._faults: list[BaseException] = []
        self._closing: asyncio.Task[None] | None = None
        self._logs = capture_logs()
        self._loop: SceneLoop
        self._began: float
        self._model: SceneModel
        self._session: CallSession

    def __enter__(self) -> Self:
        """Answer the call. Raises RuntimeError where an event loop runs already."""
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a scene has an event loop of its own: write the test as `def`, not as `async def`")
        self._loop = SceneLoop()
        self._began = self._loop.time()
        self._logs.__enter__()
        self._loop.set_exception_handler(self._fault)
        try:
            self._play(self._answer())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it. What failed in the block is shown with the dialogue."""
        try:
            self._play(self._close())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            self._logs.__exit__(None, None, None)
        if error is not None and not isinstance(error, SceneFailed):
            error.add_note(f"The scene so far:\n{self.script}")
        elif error is None and self._faults:
            raise SceneFailed(f"something broke: {self._faults[0]!r}\n{self.script}") from self._faults[0]

    # --- before and between -------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time."""
        return round(self._loop.time() - self._began, 3)

    def takes(self, tool: Callable[..., Any] | str, *seconds: float) -> None:
        """Let each further run of a tool take so long. Its function runs for real, and its answer is held back.

        With several numbers, one goes by before each report of its progress, and the last after them. A tool with
        `async def` takes one; what it sleeps by itself (asyncio.sleep) is the scene's time in any case.
        """
        self._tools.takes(_name_of(tool), seconds)

    def waits(self, seconds: float) -> None:
        """Let time go by."""
        until = self.now + seconds
        self._until(lambda: self.now >= until - TICK_S / 2 or None, seconds + 1, "time")

    def runs(self, tool: Callable[..., Any] | str) -> list[Run]:
        """Every run of a tool's function so far: what was done, whatever anybody was told of it."""
        name = _name_of(tool)
        return [run for run in self._tools.runs if run.tool == name]

    @property
    def record(self) -> records.CallRecord:
        """The call's record, once it is over."""
        assert self._record is not None, "the call is not over"
        return self._record

    # --- the caller ---------------------------------------------------------------------------------------------------

    def caller_says(self, text: str, *, interrupting: bool = False) -> Line:
        """The caller speaks, when nobody else does; `interrupting`: at once. Returns when the last word is said."""
        if not interrupting:
            self._until(lambda: self._quiet or None, PATIENCE_S, "silence, for the caller to speak into")
        self._in_call("the caller can't speak")
        self._do(self._model.caller_begins)
        line = self.script.add(Line(self.now, "caller", text))
        self.waits(speech_s(text))
        line.until = self.now
        self._do(self._model.caller_ends, text)
        return line

    def caller_types(self, digits: str) -> Line:
        """The caller types on the keypad, 0.2 s a key; `#` ends an entry, and so do 2 s without a key."""
        self._in_call("the caller can't type")
        line = self.script.add(Line(self.now, "caller", f"[types {digits}]"))
        for digit in digits:
            self._do(self._session.digit, digit)
            self.waits(KEY_S)
        line.until = self.now
        return line

    def caller_hangs_up(self) -> None:
        """The caller hangs up; what that means for each tool is done. Time can go on after it: `waits`, `runs`."""
        self._in_call("the caller can't hang up")
        self._do(self._end, "caller", "the caller hangs up")

    # --- the model ----------------------------------------------------------------------------------------------------

    def model_says(self, text: str, *calls: Call, within: float = PATIENCE_S) -> None:
        """The model says this, and then makes these calls, as soon as it is its turn."""
        self._until(lambda: self._model.waits_for_words or None, within, "the model's turn")
        view = self._session.offer.catalog.view
        asked = tuple(Asked(call.name, *view.wrap(call.name, call.arguments)) for call in calls)
        self._do(self._model.say, text, asked)

    def model_calls(self, tool: Callable[..., Any] | str | Call, /, *more: Call, **arguments: Any) -> None:
        """The model calls a tool, without a word, as soon as it is its turn; or several at once, each a `Call`."""
        calls = (tool, *more) if isinstance(tool, Call) else (Call(tool, **arguments), *more)
        self.model_says("", *calls)
        self._until(lambda: not self._model.about_to_speak or None, PATIENCE_S, "the model's tool call")

    def model_is_told(self, what: Callable[..., Any] | str, *, within: float = PATIENCE_S) -> Line:
        """Wait until the model is given a tool's answer, or a message with this text; returns that line."""
        name = _name_of(what) if callable(what) or what in self._model.called.values() else ""

        def fits(line: Line) -> bool:
            return line.who == "told" and (line.tool == name if name else str(what).lower() in line.text.lower())

        return self._next(fits, within, f"the model to be told {name or what!r}")

    def model_is_lost(self) -> None:
        """The connection to the model breaks; the session is begun anew."""
        self._in_call("there is no connection")
        self.script.add(Line(self.now, "call", "the connection to the model breaks"))
        self._do(self._model.lose)

    # --- what is heard ------------------------------------------------------------------------------------------------

    def hears(self, text: str, *, within: float = PATIENCE_S) -> Line:
        """Wait until the caller has heard these words (of the agent or a filler); returns their line."""

        def fits(line: Line) -> bool:
            return line.who in ("agent", "filler") and text.lower() in line.text.lower()

        return self._next(fits, within, f"the caller to hear {text!r}")

    def hears_tone(self, *, within: float = PATIENCE_S) -> Line:
        """Wait until the caller has heard the soft tone."""
        return self._next(lambda line: line.who == "tone", within, "the caller to hear the soft tone")

    def agent_hangs_up(self, *, within: float = PATIENCE_S) -> Line:
        """Wait until the agent ends the call."""
        return self._next(lambda line: line.who == "call" and "agent" in line.text, within, "the agent to hang up")

    # --- time ---------------------------------------------------------------------------------------------------------

    def _next(self, fits: Callable[[Line], bool], within: float, what: str) -> Line:
        """Go on to a line that comes after those that were expected before."""

        def found() -> int | None:
            later = range(self.script.seen, len(self.script.lines))
            return next((index + 1 for index in later if fits(self.script.lines[index])), None)

        self.script.seen = self._until(found, within, what)
        return self.script.lines[self.script.seen - 1]

    def _until(self, met: Callable[[], T | None], within: float, what: str) -> T:
        async def body() -> T:
            give_up = self.now + within
            while (found := met()) is None:
                if self.now >= give_up:
                    raise SceneFailed(f"in vain for {within:g} s: {what}{self._hint()}\n{self.script}")
                self._ticks += 1
                await asyncio.sleep(self._began + self._ticks * TICK_S - self._loop.time())
                self._tick()
                if self._faults:
                    raise SceneFailed(f"something broke: {self._faults[0]!r}\n{self.script}") from self._faults[0]
            return found

        return self._play(body())

    def _play(self, body: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(body)

    def _do(self, action: Callable[P, object], *args: P.args, **options: P.kwargs) -> None:
        """Do something within the loop, and let it have its consequences."""

        async def body() -> None:
            action(*args, **options)
            for _ in range(STEPS):
                await asyncio.sleep(0)

        self._play(body())

    def _tick(self) -> None:
        """20 ms of the call, as the media clock and the pacer drive it."""
        if self.over:
            return
        bridge, session = self._bridge, self._session
        bridge.push(SILENCE)
        if (playing := bridge.playing()) is not None and playing.startswith(TONE):
            self.script.tone(self.now)
        bridge.pull()
        if self._ticks % PUMP_TICKS == 0:
            session.append(session.uplink.convert(session.take()))
        session.poll(self._loop.time())
        for key, line in self._turns.items():
            line.text = self._heard(key)

    def _heard(self, key: str) -> str:
        text, received = self._texts.get(key, ""), self._bridge.received_ms(key)
        heard = self._bridge.heard_ms(key)
        return heard_words(text, heard / received if heard < received - TICK_S * 1000 else 1.0)

    @property
    def _quiet(self) -> bool:
        machine = self._session.machine
        return machine.floor is Floor.NOBODY and not self._model.about_to_speak

    def _hint(self) -> str:
        if self.over:
            return " (the call is over)"
        return (
            " (the model has its turn, and the scene no words for it: model_says)"
            if self._model.waits_for_words
            else ""
        )

    def _in_call(self, what: str) -> None:
        if self.over:
            raise SceneFailed(f"{what}: the call is over\n{self.script}")

    # --- the call -----------------------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        self._model = model = SceneModel(self._latency, self._told, self._called)
        provider = Provider(name=CALL, url="ws://scene.invalid", key="none", model=CALL)
        services = Services(self._catalog, Metrics(), clock=self._loop.time)
        self._session = make_session(
            self._info,
            self.agent,
            provider,
            self._bridge,
            services,
            self._hang_up,
            connect=lambda *args, **kwargs: SceneConnection(model, *args, **kwargs),
        )
        turns = turn_config(self.agent, self._catalog)
        model.responds, model.interrupts = turns.server_responds, turns.server_interrupts
        self._session.recorder.subscribe(self._recorded)
        await self._session.open()
        self._session.answered()
        self._session.start_media()

    def _hang_up(self, reason: str) -> None:
        self._loop.call_soon(self._agent_ends, reason)

    def _agent_ends(self, reason: str) -> None:
        if not self.over:
            self._end("agent", f"the agent hangs up ({reason})")

    def _end(self, by: str, text: str) -> None:
        self.over = True
        self.script.add(Line(self.now, "call", text))
        self._session.hung_up(by, "")
        self._closing = self._loop.create_task(self._session.close())

    async def _close(self) -> None:
        if not self.over and hasattr(self, "_session"):
            self.over = True
            self._session.hung_up("caller", "the scene ends")
            await self._session.close()
        await self._inline.aclose()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    def _fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._faults.append(context.get("exception") or RuntimeError(context["message"]))

    # --- what is written down -----------------------------------------------------------------------------------------

    def _recorded(self, event: records.RecordEvent) -> None:
        match event:
            case records.TurnStarted() if event.who != "caller":
                self._turns[event.key] = self.script.add(Line(event.at_ms / 1000, event.who, ""))
            case records.TurnText():
                self._texts[event.key] = event.text
            case records.TurnEnded() if event.key in self._turns:
                line = self._turns.pop(event.key)
                line.until, line.text = event.at_ms / 1000, self._heard(event.key)
            case records.ToolEnded():
                self._statuses[event.tool_call_id] = event.call.status
            case records.Ended():
                self._record = event.record
            case _:
                pass

    def _told(self, tool_call_id: str, text: str) -> None:
        tool, status = self._model.called.get(tool_call_id, ""), self._statuses.get(tool_call_id, "")
        shown = " ".join(word for word in (f"{tool}:", status, text) if word) if tool_call_id else text
        self.script.add(Line(self.now, "told", shown, tool=tool, status=status, output=text))

    def _called(self, tool: str, arguments: str) -> None:
        self.script.add(Line(self.now, "model", f"{tool}({arguments})"))

    def _run_began(self, run: Run) -> None:
        self.script.add(Line(run.at, "tool", f"{run.tool} begins"))

    def _run_ended(self, run: Run) -> None:
        self.script.add(Line(self.now, "tool", f"{run.tool} {run.how}"))


SILENCE = bytes(round(RATE_HZ * TICK_S) * 2)


def _agent(given: Agent | Path | str | None, dialled: str) -> Agent:
    if given is None:
        return Agent()
    return given if isinstance(given, Agent) else load_agent_file(Path(given)).agent_for(dialled)


def _spec_of(function: Callable[..., Any]) -> ToolSpec:
    spec = getattr(function, ATTRIBUTE, None)
    if not isinstance(spec, ToolSpec):
        raise ToolDefinitionError(f"{function!r} is no tool: put @tool (from tools import tool) above it")
    return spec


def _name_of(tool: Callable[..., Any] | str) -> str:
    return tool if isinstance(tool, str) else _spec_of(tool).name

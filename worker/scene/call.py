"""The call of a scene: its session with all that belongs to it, driven on the scene's clock, and written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from telephony.bridge import Bridge
from tools.define.spec import ToolSpec
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.agent.agent import Agent
from worker.call.config import turn_config
from worker.call.factory import make_session
from worker.call.session import CallInfo, CallSession, PhoneLine, Services
from worker.realtime.choose import codec_for
from worker.realtime.history import heard_words
from worker.realtime.provider import Provider
from worker.records import record as records
from worker.records.metrics import Metrics
from worker.scene.clock import SceneLoop
from worker.scene.model import SceneConnection, SceneModel
from worker.scene.script import Line, Run, Script
from worker.scene.tools import StagedTools
from worker.turns.floor import Floor
from worker.turns.machine import TONE

__all__ = ["TICK_S", "PlayedCall", "SceneFailed"]

P = ParamSpec("P")
T = TypeVar("T")

TICK_S = 0.02
RATE_HZ = 24_000
"""The rate of the session's audio: silence need not be resampled."""
SILENCE = bytes(round(RATE_HZ * TICK_S) * 2)
PUMP_TICKS = 2
STEPS = 20
"""Turns of the loop: enough for a task that starts a task that starts a task."""
NAME = "scene"


class SceneFailed(AssertionError):
    """What a scene expected did not happen; the message has the dialogue."""


class PlayedCall:
    """One call with scripted ends. Nothing happens but within `until` and `do`."""

    def __init__(
        self,
        specs: Iterable[ToolSpec],
        agent: Agent,
        numbers: tuple[str, str],
        secrets: Mapping[str, str] | None,
        latency_s: float,
    ) -> None:
        """Take the tools and who calls whom (caller, dialled); see `Scene` for the rest."""
        self.script = Script()
        self.over = False
        self.record: records.CallRecord | None = None
        self.tools = StagedTools(lambda: self.now, self._run_began, self._run_ended)
        self.model: SceneModel
        self.session: CallSession
        self._agent = agent
        self._info = CallInfo(NAME, *numbers)
        self._latency_s = latency_s
        self._inline = InlineRunner()
        self._catalog = Catalog(
            [self.tools.staged(spec) for spec in specs],
            inline=self._inline,
            most_s=agent.limits.tool_seconds,
            secrets=secrets,
        )
        self._bridge = Bridge(RATE_HZ)
        self._loop: SceneLoop
        self._began: float
        self._ticks = 0
        self._texts: dict[str, str] = {}
        self._turns: dict[str, Line] = {}
        self._statuses: dict[str, str] = {}
        self._faults: list[BaseException] = []
        self._closing: asyncio.Task[None] | None = None

    @property
    def now(self) -> float:
        """The time in s since the answer."""
        return round(self._loop.time() - self._began, 3)

    @property
    def quiet(self) -> bool:
        """Whether nobody speaks, and the model is not about to."""
        return self.session.machine.floor is Floor.NOBODY and not self.model.about_to_speak

    # --- from the answer to the end -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Answer the call. Raises RuntimeError where an event loop runs already."""
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a scene has an event loop of its own: write the test as `def`, not as `async def`")
        self._loop = SceneLoop()
        self._loop.set_exception_handler(lambda loop, context: self._fault(context))
        self._began = self._loop.time()
        try:
            self._play(self._answer())
        except BaseException:
            self.close()
            raise

    def end(self, by: str, text: str) -> None:
        """The call is over. To be called within the loop."""
        self.over = True
        self.script.add(Line(self.now, "call", text))
        self.session.hung_up(by, "")
        self._closing = self._loop.create_task(self.session.close())

    def close(self) -> None:
        """End what is left, and the loop."""
        try:
            self._play(self._close())
        finally:
            self._loop.close()

    def check(self) -> None:
        """Raise SceneFailed for what broke behind everybody's back."""
        if self._faults:
            raise SceneFailed(f"something broke: {self._faults[0]!r}\n{self.script}") from self._faults[0]

    async def _answer(self) -> None:
        self.model = model = SceneModel(self._latency_s, self._told, self._called)
        provider = Provider(name=NAME, url="ws://scene.invalid", key="none", model=NAME)
        turns = turn_config(self._agent, self._catalog, codec_for(provider))
        model.responds, model.interrupts = turns.server_responds, turns.server_interrupts
        self.session = make_session(
            self._info,
            self._agent,
            PhoneLine(self._bridge, self._hang_up),
            Services(
                self._catalog,
                Metrics(),
                provider,
                clock=self._loop.time,
                connect=lambda *args, **kwargs: SceneConnection(model, *args, **kwargs),
            ),
        )
        self.session.recorder.subscribe(self._recorded)
        await self.session.open()
        self.session.answered()
        self.session.start_media()

    def _hang_up(self, reason: str) -> None:
        self._loop.call_soon(self._agent_ends, reason)

    def _agent_ends(self, reason: str) -> None:
        if not self.over:
            self.end("agent", f"the agent hangs up ({reason})")

    async def _close(self) -> None:
        if not self.over and hasattr(self, "session"):
            self.over = True
            self.session.hung_up("caller", "the scene ends")
            await self.session.close()
        await self._inline.aclose()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    def _fault(self, context: dict[str, Any]) -> None:
        self._faults.append(context.get("exception") or RuntimeError(context["message"]))

    # --- time ---------------------------------------------------------------------------------------------------------

    def do(self, action: Callable[P, object], *args: P.args, **options: P.kwargs) -> None:
        """Do something within the loop, and let it have its consequences."""

        async def body() -> None:
            action(*args, **options)
            for _ in range(STEPS):
                await asyncio.sleep(0)

        self._play(body())

    def until(self, met: Callable[[], T | None], within: float, what: str) -> T:
        """Let time go by until `met` returns something. Raises SceneFailed after `within` s: in vain for `what`."""

        async def body() -> T:
            give_up = self.now + within
            while (found := met()) is None:
                if self.now >= give_up:
                    raise SceneFailed(f"in vain for {within:g} s: {what}{self._hint()}\n{self.script}")
                self._ticks += 1
                await asyncio.sleep(self._began + self._ticks * TICK_S - self._loop.time())
                self._tick()
                self.check()
            return found

        return self._play(body())

    def _play(self, body: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(body)

    def _tick(self) -> None:
        """20 ms of the call, as the media clock and the pacer drive it."""
        if self.over:
            return
        bridge, session = self._bridge, self.session
        bridge.push(SILENCE)
        if (playing := bridge.playing()) is not None and playing.startswith(TONE):
            self.script.tone(self.now)
        bridge.pull()
        if self._ticks % PUMP_TICKS == 0:
            session.append(session.uplink.convert(session.take()))
        session.poll(self._loop.time())
        for key, line in self._turns.items():
            line.text = self._heard(key)

    def _hint(self) -> str:
        if self.over:
            return " (the call is over)"
        return (
            " (the model has its turn, and the scene no words for it: model_says)" if self.model.waits_for_words else ""
        )

    # --- what is written down -----------------------------------------------------------------------------------------

    def _heard(self, key: str) -> str:
        text, received = self._texts.get(key, ""), self._bridge.received_ms(key)
        heard = self._bridge.heard_ms(key)
        return heard_words(text, heard / received if heard < received - TICK_S * 1000 else 1.0)

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
                self.record = event.record
            case _:
                pass

    def _told(self, tool_call_id: str, text: str) -> None:
        tool, status = self.model.called.get(tool_call_id, ""), self._statuses.get(tool_call_id, "")
        shown = " ".join(word for word in (f"{tool}:", status, text) if word) if tool_call_id else text
        self.script.add(Line(self.now, "told", shown, tool=tool, status=status, output=text))

    def _called(self, tool: str, arguments: str) -> None:
        self.script.add(Line(self.now, "model", f"{tool}({arguments})"))

    def _run_began(self, run: Run) -> None:
        self.script.add(Line(run.at, "tool", f"{run.tool} begins"))

    def _run_ended(self, run: Run) -> None:
        self.script.add(Line(self.now, "tool", f"{run.tool} {run.how}"))

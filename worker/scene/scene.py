"""A whole dialogue against a tool, in a test of its author's: no network, no Redis, no audio, and no waiting.

    from worker.scene.scene import Scene

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

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from structlog.testing import capture_logs

from tools.define.loading import load_tools
from tools.define.spec import ATTRIBUTE, ToolSpec
from tools.errors import ToolDefinitionError
from worker.agent.agent import Agent
from worker.agent.agent_file import load_agent_file
from worker.records.record import CallRecord
from worker.scene.call import TICK_S, PlayedCall, SceneFailed
from worker.scene.model import Asked, speech_s
from worker.scene.script import Line, Run, Script

__all__ = ["Call", "Line", "Run", "Scene", "SceneFailed"]

KEY_S = 0.2
PATIENCE_S = 60.0


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
        specs = {spec.name: spec for spec in load_tools(self.agent.tools.modules)}
        specs.update((spec.name, spec) for spec in map(_spec_of, tools))
        self._call = PlayedCall(specs.values(), self.agent, (caller, dialled), secrets, latency)
        self._logs = capture_logs()

    def __enter__(self) -> Self:
        """Answer the call. Raises RuntimeError where an event loop runs already."""
        self._logs.__enter__()
        try:
            self._call.begin()
        except BaseException:
            self._logs.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it. What failed in the block is shown with the dialogue."""
        try:
            self._call.close()
        finally:
            self._logs.__exit__(None, None, None)
        if error is None:
            self._call.check()
        elif not isinstance(error, SceneFailed):
            error.add_note(f"The scene so far:\n{self.script}")

    # --- before and between -------------------------------------------------------------------------------------------

    @property
    def script(self) -> Script:
        """The dialogue so far; its text is what a failure shows."""
        return self._call.script

    @property
    def now(self) -> float:
        """The time."""
        return self._call.now

    @property
    def record(self) -> CallRecord:
        """The call's record, once it is over."""
        assert self._call.record is not None, "the call is not over"
        return self._call.record

    def takes(self, tool: Callable[..., Any] | str, *seconds: float) -> None:
        """Let each further run of a tool take so long. Its function runs for real, and its answer is held back.

        With several numbers, one goes by before each report of its progress, and the last after them. A tool with
        `async def` takes one; what it sleeps by itself (asyncio.sleep) is the scene's time in any case.
        """
        self._call.tools.takes(_name_of(tool), seconds)

    def waits(self, seconds: float) -> None:
        """Let time go by."""
        until = self.now + seconds
        self._call.until(lambda: self.now >= until - TICK_S / 2 or None, seconds + 1, "time")

    def runs(self, tool: Callable[..., Any] | str) -> list[Run]:
        """Every run of a tool's function so far: what was done, whatever anybody was told of it."""
        name = _name_of(tool)
        return [run for run in self._call.tools.runs if run.tool == name]

    # --- the caller ---------------------------------------------------------------------------------------------------

    def caller_says(self, text: str, *, interrupting: bool = False) -> Line:
        """The caller speaks, when nobody else does; `interrupting`: at once. Returns when the last word is said."""
        if not interrupting:
            self._call.until(lambda: self._call.quiet or None, PATIENCE_S, "silence, for the caller to speak into")
        self._in_call("the caller can't speak")
        self._call.do(self._call.model.caller_begins)
        line = self.script.add(Line(self.now, "caller", text))
        self.waits(speech_s(text))
        line.until = self.now
        self._call.do(self._call.model.caller_ends, text)
        return line

    def caller_types(self, digits: str) -> Line:
        """The caller types on the keypad, 0.2 s a key; `#` ends an entry, and so do 2 s without a key."""
        self._in_call("the caller can't type")
        line = self.script.add(Line(self.now, "caller", f"[types {digits}]"))
        for digit in digits:
            self._call.do(self._call.session.digit, digit)
            self.waits(KEY_S)
        line.until = self.now
        return line

    def caller_hangs_up(self) -> None:
        """The caller hangs up; what that means for each tool is done. Time can go on after it: `waits`, `runs`."""
        self._in_call("the caller can't hang up")
        self._call.do(self._call.end, "caller", "the caller hangs up")

    # --- the model ----------------------------------------------------------------------------------------------------

    def model_says(self, text: str, *calls: Call, within: float = PATIENCE_S) -> None:
        """The model says this, and then makes these calls, as soon as it is its turn."""
        self._call.until(lambda: self._call.model.waits_for_words or None, within, "the model's turn")
        view = self._call.session.offer.view.now
        asked = tuple(Asked(call.name, *view.wrap(call.name, call.arguments)) for call in calls)
        self._call.do(self._call.model.say, text, asked)

    def model_calls(self, tool: Callable[..., Any] | str | Call, /, *more: Call, **arguments: Any) -> None:
        """The model calls a tool, without a word, as soon as it is its turn; or several at once, each a `Call`."""
        calls = (tool, *more) if isinstance(tool, Call) else (Call(tool, **arguments), *more)
        self.model_says("", *calls)
        self._call.until(lambda: not self._call.model.about_to_speak or None, PATIENCE_S, "the model's tool call")

    def model_is_told(self, what: Callable[..., Any] | str, *, within: float = PATIENCE_S) -> Line:
        """Wait until the model is given a tool's answer, or a message with this text; returns that line."""
        name = _name_of(what) if callable(what) or what in self._call.model.called.values() else ""

        def fits(line: Line) -> bool:
            return line.who == "told" and (line.tool == name if name else str(what).lower() in line.text.lower())

        return self._next(fits, within, f"the model to be told {name or what!r}")

    def model_is_lost(self) -> None:
        """The connection to the model breaks; the session is begun anew."""
        self._in_call("there is no connection")
        self.script.add(Line(self.now, "call", "the connection to the model breaks"))
        self._call.do(self._call.model.lose)

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

    def _next(self, fits: Callable[[Line], bool], within: float, what: str) -> Line:
        """Go on to a line that comes after those that were expected before."""
        script = self.script

        def found() -> int | None:
            later = range(script.seen, len(script.lines))
            return next((index + 1 for index in later if fits(script.lines[index])), None)

        script.seen = self._call.until(found, within, what)
        return script.lines[script.seen - 1]

    def _in_call(self, what: str) -> None:
        if self._call.over:
            raise SceneFailed(f"{what}: the call is over\n{self.script}")


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

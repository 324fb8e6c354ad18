"""A simulated caller: a process of its own with a SIP endpoint, a voice and ears, which makes one call by a plan.

It tells what happens as JSON lines on stdout: {"event": "said"|"heard"|"gave_up"|"ended"|..., ...}. It shares nothing
with the worker but the telephone line.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from telephony import events as phone
from telephony.bridge import Bridge
from telephony.endpoint import Endpoint
from telephony.errors import SipRequestError
from telephony.settings import SipSettings
from worker.demo.ears import Started, Stopped
from worker.demo.recognising import recogniser_of, understand
from worker.demo.simulated import FRAME_BYTES, POLL_S, Hearing, spoken, tell
from worker.eval.behaviour import Ask, Behaviour, GiveUp
from worker.eval.line import Line, speech_level
from worker.eval.persona import Persona
from worker.eval.plan import Act, Plan
from worker.eval.text_model import TextModel
from worker.log import setup_logging
from worker.settings.environment import named_secret

if TYPE_CHECKING:
    from worker.eval.chat import Chat

__all__ = ["KEY", "Errand", "main"]

KEY = "OFFHOOK_EVAL_KEY"
"""The environment variable in which a caller's process gets the text model's key."""
SAMPLE = "hello, how are you today"
"""Says how loud a voice is of which no words are known yet."""

LEAD_MS = 100
"""So much of the caller's audio waits for the clock: more than the loop is ever late."""
KEY_S = 0.3
"""A key as an RTP event, and the pause after it."""
LAST_WORDS_S = 5.0


class Errand(BaseModel):
    """What a caller's process is started with. grammar: of its ears (JSGF); None: it has none.

    model: plays the persona, where the plan has one to play.
    """

    uri: str
    caller: str
    display_name: str
    plan: Plan
    grammar: str | None = None
    model: TextModel | None = None
    at_most_s: float


@dataclass(slots=True)
class Caller:
    """One outbound call, driven by its plan."""

    endpoint: Endpoint
    call_id: str
    bridge: Bridge
    voices: dict[str, bytes]
    line: Line
    behaviour: Behaviour
    ears: ProcessPoolExecutor | None
    chat: Chat | None = None
    """Plays the persona."""
    persona: Persona = field(default_factory=lambda: Persona(""))
    seed: int = 0
    hearing: Hearing = field(default_factory=Hearing)
    up_since: float | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    late_s: float = 0.0
    """How late this process's media clock was at the worst."""
    _speech: deque[bytes] = field(default_factory=deque)
    _done_at: float | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def on_phone(self, event: phone.CallEvent) -> None:
        """Take an event of the endpoint."""
        match event:
            case phone.CallConfirmed():
                self.up_since = time.monotonic()
                self.bridge.take()
                self.behaviour.begin(self.up_since)
                tell("answered")
            case phone.CallEnded():
                tell("ended", by=event.by, status=event.status, reason=event.reason)
                self.ended.set()
            case _:
                pass

    def step(self, now: float) -> None:
        """Listen to what came in, speak on, and do what the plan says."""
        if self.up_since is None:
            return
        for edge in self.hearing.hear(self.bridge.take()):
            self._edge(edge, now)
        self._speak(now)
        self.late_s = max(self.late_s, self.bridge.worst_lateness_s())
        if self._done_at is not None and now >= self._done_at:
            self._done_at = None
            self.behaviour.said(now)
        self._do(self.behaviour.tick(now), now)

    def give_up(self, reason: str) -> None:
        """End the call: it did not go as it was meant to."""
        tell("gave_up", reason=reason)
        self.endpoint.hang_up(self.call_id)

    def _speak(self, now: float) -> None:
        """Keep the line's audio going: words, or silence with the line's noise in it."""
        while self.bridge.queued_ms < LEAD_MS:
            frame = self._speech.popleft() if self._speech else bytes(FRAME_BYTES)
            if not self.bridge.play("line", self.line.carry(frame)):
                return
            if frame and not self._speech and self._done_at == float("inf"):
                self._done_at = now + self.bridge.queued_ms / 1000

    def _do(self, act: Act | Ask | GiveUp | None, now: float) -> None:
        if isinstance(act, GiveUp):
            self.give_up(act.reason)
        elif isinstance(act, Ask):
            self._run(self._decide(act))
        elif act is None:
            return
        elif act.hang_up:
            tell("hung_up")
            self.endpoint.hang_up(self.call_id)
        elif act.keys:
            tell("pressed", keys=len(act.keys))
            self.endpoint.send_digits(self.call_id, act.keys)
            self._done_at = now + KEY_S * len(act.keys)
        elif act.say:
            tell("said", text=act.say)
            pcm = self.voices[act.say]
            self._speech.extend(pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES))
            self._done_at = float("inf")

    def _edge(self, edge: Started | Stopped, now: float) -> None:
        if isinstance(edge, Started):
            self.behaviour.agent_speaks(now)
        else:
            self.behaviour.agent_quiet(now)
            if self.ears is not None:
                self._run(self._listen(self.ears, edge.pcm))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _decide(self, ask: Ask) -> None:
        """Have the model say what the caller does, and its words at hand."""
        from worker.eval.chat import ChatError

        assert self.chat is not None
        try:
            acts = self.persona.answers(await self.chat.ask(self.persona.hears(ask.heard), self.seed))
        except ChatError as error:
            self.behaviour.undecided(f"the persona can't be played: {error}")
            return
        for act in acts:
            if act.say and act.say not in self.voices:
                self.voices[act.say] = await asyncio.to_thread(spoken, act.say)
        self.behaviour.decided(acts)

    async def _listen(self, ears: ProcessPoolExecutor, pcm: bytes) -> None:
        text = await asyncio.get_running_loop().run_in_executor(ears, understand, pcm)
        tell("heard", text=text)
        self.behaviour.understood(text)

    async def finish(self) -> None:
        """Wait for what is still being understood."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS_S)


def _voices(plan: Plan) -> dict[str, bytes]:
    """All that may be said, as 16-bit PCM at the telephone's rate."""
    return {text: spoken(text) for text in plan.words() or (SAMPLE,)}


def _chat(errand: Errand) -> Chat | None:
    if errand.model is None or not errand.plan.who:
        return None
    from worker.eval.chat import Chat  # a second's import, which others need not wait for

    return Chat(errand.model, named_secret(KEY))


@asynccontextmanager
async def _ears(grammar: str | None) -> AsyncIterator[ProcessPoolExecutor | None]:
    """A recogniser that is ready; None where none is wanted."""
    if grammar is None:
        yield None
        return
    with recogniser_of(grammar) as ears:
        await asyncio.get_running_loop().run_in_executor(ears, understand, bytes(FRAME_BYTES * 20))
        yield ears


async def call(errand: Errand) -> None:
    """Make the call; returns when it is over."""
    plan = errand.plan
    voices = await asyncio.to_thread(_voices, plan)
    speech = speech_level(b"".join(voices.values()), FRAME_BYTES)
    line = Line(plan.seed, speech=speech, noise_db=plan.noise_db, loss_percent=plan.loss_percent)
    events: deque[phone.CallEvent] = deque()  # filled on the pj thread, emptied here
    settings = SipSettings(
        host="127.0.0.1" if "@127." in errand.uri else "0.0.0.0",
        port=0,
        transports=("udp",),
        rtp_ports=(0, 0),
        username=errand.caller,
        display_name=errand.display_name,
        drop_percent=plan.packet_loss_percent,
    )
    endpoint, chat = Endpoint(settings, events.append), _chat(errand)
    async with _ears(errand.grammar) as ears:
        await asyncio.to_thread(endpoint.start)
        try:
            call_id = await asyncio.wrap_future(endpoint.invite(errand.uri))
            bridge = endpoint.bridge(call_id)
            assert bridge is not None
            behaviour, persona = Behaviour(plan), Persona(plan.who)
            caller = Caller(endpoint, call_id, bridge, voices, line, behaviour, ears, chat, persona, plan.seed)
            await _drive(caller, events, time.monotonic() + errand.at_most_s, errand.at_most_s)
            tell("line", frames=line.frames, lost=line.lost, late_ms=round(caller.late_s * 1000))
        except SipRequestError as error:
            tell("gave_up", reason=f"could not call: {error}")
        finally:
            await asyncio.to_thread(endpoint.stop)
            if chat is not None:
                await chat.close()


async def _drive(caller: Caller, events: deque[phone.CallEvent], until: float, at_most_s: float) -> None:
    while not caller.ended.is_set():
        while events:
            caller.on_phone(events.popleft())
        now = time.monotonic()
        if now >= until:
            caller.give_up(f"the call was not over after {at_most_s:g} s")
            until = now + at_most_s
        caller.step(now)
        await asyncio.sleep(POLL_S)
    await caller.finish()


def main() -> None:
    """Run the caller: `python -m worker.eval.caller ERRAND`, with the errand as JSON."""
    setup_logging("error", "auto", process="caller")
    sys.setswitchinterval(0.0001)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(call(Errand.model_validate_json(sys.argv[1])))


if __name__ == "__main__":
    main()

"""The responses in progress: who may begin one, what it says, and when its next piece is due. Pure.

One response at a time belongs to the conversation; out-of-band ones run beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from worker.local.brain import STALLS, Ask, Brain, Call, Faults, Plan, Say
from worker.local.config import Config
from worker.local.conversation import Conversation, Item
from worker.local.errors import RequestError
from worker.local.remote import RemoteTools
from worker.local.response import Emit, Pace, RemoteCalls, Response

__all__ = ["Responder", "Speak"]

HALF_MS = 600
"""Of audio, and a response that is to stop in the middle stops."""
MOST_ROUNDS = 5
"""So often one response goes on after calls of MCP tools."""
MOST_RESPONSES = 16
"""At one time; more are refused."""


@dataclass(frozen=True, slots=True)
class Speak:
    """A job for the mouth: a text, and the format in which it goes out."""

    response_id: str
    index: int
    text: str
    voice: str
    speed: float
    format: str


class Responder:
    """Makes and streams the responses of one session.

    close: called with a close code when the script wants the socket closed. order: called with a job for the mouth.
    """

    def __init__(
        self,
        brain: Brain,
        config: Config,
        conversation: Conversation,
        remote: RemoteTools,
        *,
        conversation_id: str,
        emit: Emit,
        new_id: Callable[[str], str],
        order: Callable[[Speak], None],
        close: Callable[[int], None],
        pace: Pace,
        faults: Faults,
    ) -> None:
        self.brain = brain
        self.config = config
        self.conversation = conversation
        self.remote = remote
        self.conversation_id = conversation_id
        self.faults = faults
        self.pace = replace(pace, first_audio_ms=pace.first_audio_ms + faults.first_audio_delay_ms)
        self.responses: list[Response] = []
        self.audio_was_out = False
        self.idle_at: float | None = None
        self._stalled = 0
        self._emit, self._new_id, self._order, self._close = emit, new_id, order, close

    def stalls(self, *how: str) -> bool:
        """Whether the next response is to go wrong in one of these ways."""
        first = self.faults.stall_first
        return self.faults.stall in how and (first is None or self._stalled < first)

    @property
    def active(self) -> Response | None:
        """The conversation's response, if one is in progress."""
        return next((response for response in self.responses if response.in_band), None)

    @property
    def wake(self) -> float | None:
        """When the next piece of a response is due."""
        due = (response.due for response in self.responses if response.run is not None)
        return min((time for time in due if time < inf), default=None)

    def respond(self, options: Mapping[str, Any], now: float, *, idle: bool = False) -> None:
        """Begin a response with the options of a checked response.create; raises RequestError when it may not begin."""
        in_band = options.get("conversation", "auto") != "none"
        if self.stalls("request"):
            self._stalled += 1
            return
        self._check_free(in_band)
        context = self._context(options)
        audio = options.get("audio", {}).get("output", {})
        response = Response(
            id=self._new_id("resp"),
            conversation=self.conversation if in_band else None,
            conversation_id=self.conversation_id,
            options=options,
            modality=(options.get("output_modalities") or self.config.values["output_modalities"])[0],
            voice=audio.get("voice", self.config.voice),
            format=audio.get("format", {}).get("type", self.config.output_format),
            emit=self._emit,
            new_id=self._new_id,
            context=context,
            idle=idle,
        )
        self.idle_at = None if in_band else self.idle_at
        if self.faults.unknown_events:
            self._emit("offhook.unknown_event", {"surprise": True})
        self.responses.append(response)
        self._emit("response.created", {"response": response.wire()})
        self._emit("rate_limits.updated", {"rate_limits": []})
        self.remote.define(options.get("tools") or ())
        self._think(response, now)

    def _check_free(self, in_band: bool) -> None:
        active = self.active
        taken = in_band and self.stalls("taken")
        self._stalled += taken
        if in_band and (active is not None or taken):
            message = (
                f"Conversation already has an active response in progress: {active.id if active else 'none'}. "
                "Wait until the response is finished before creating a new one."
            )
            raise RequestError(message, code="conversation_already_has_active_response")
        if len(self.responses) >= MOST_RESPONSES:
            raise RequestError("Too many responses in progress.", code="too_many_responses")
        if self.faults.refuse_open_calls and in_band and self.conversation.open_calls():
            raise RequestError("A function call has no output yet.", code="function_call_output_missing")

    def _context(self, options: Mapping[str, Any]) -> list[Item]:
        given = options.get("input")
        if given is None:
            return list(self.conversation.items)
        return [
            self.conversation.find(one["id"], "retrieve")
            if one["type"] == "item_reference"
            else Item.of_client(one, self._new_id("item"), self._new_id("call"))
            for one in given
        ]

    def understood(self, now: float) -> None:
        """Something that was said is understood now: go on with what waited for it."""
        for response in list(self.responses):
            self._think(response, now)

    def _think(self, response: Response, now: float) -> None:
        """Ask the brain, once everything that was said is understood, and this response's own servers are there."""
        own = [tool["server_label"] for tool in response.options.get("tools") or () if tool["type"] == "mcp"]
        if response.plan is not None or any(not item.heard for item in response.context) or self.remote.pending(own):
            return
        plan = self._approved(response) or self.brain.answer(self._ask(response))
        response.plan = plan
        if plan.close is not None:
            self._close(plan.close)
        elif plan.fail is not None or self.faults.fail is not None:
            self._fail(response, now, plan.fail or self.faults.fail or "", "A scripted failure.")
        elif response.in_band and self._goes_wrong(response, now):
            pass
        elif not (plan.silent or self.faults.silent):
            self._order_speech(response)
            self._start(response, now)

    # --- tools of MCP servers

    def _approved(self, response: Response) -> Plan | None:
        """The call that was approved comes before all else."""
        request = self.remote.approved() if response.in_band else None
        if request is None:
            return None
        request.answered = True
        return Plan((Call(request.name, request.arguments, approval=request),))

    def decided(self, now: float) -> None:
        """A request for an approval has its answer: the model goes on by itself, unless it speaks, or is not to."""
        if self.active is None and not self.faults.approval_waits:
            self.respond({}, now)

    def ran(self, item_id: str, now: float) -> None:
        """A call has its outcome: its response goes on, if it still waits for it."""
        for response in list(self.responses):
            if response.waits_for == item_id:
                response.waits_for, response.due = None, now
                self._advance(response, now)

    def _goes_on(self, response: Response, now: float) -> bool:
        """Whether a response whose calls have run goes on with words, or with more calls."""
        new = [item for item in response.items if item.kind == "mcp_call" and item.ran and not item.answered]
        if not (new and response.in_band and response.rounds < MOST_ROUNDS) or self.faults.remote_done_first:
            return False
        response.rounds += 1
        response.plan, response.run = None, None
        response.context = list(self.conversation.items)
        self._think(response, now)
        return True

    def _goes_wrong(self, response: Response, now: float) -> bool:
        """Begin one of `STALLS`, if that is its turn. True: nothing else is to be done with the response."""
        assert response.plan is not None
        if not self.stalls(*STALLS):
            return False
        stall, self._stalled = self.faults.stall, self._stalled + 1
        response.stall = stall
        match stall:
            case "empty":
                self.finish(response, now, "completed")
            case "filtered":
                self.finish(response, now, "incomplete", reason="content_filter")
            case "cancelled":
                self.finish(response, now, "cancelled", reason="server_cancelled")
            case "rate":
                self._fail(response, now, "rate_limit_exceeded", "Rate limit reached. Please try again in 6.2s.")
            case "text":
                response.modality = "text"
        return stall in ("created", "empty", "filtered", "cancelled", "rate")

    def _fail(self, response: Response, now: float, code: str, message: str) -> None:
        self.finish(response, now, "failed", error={"type": "server_error", "code": code, "message": message})

    def _ask(self, response: Response) -> Ask:
        options = response.options
        offered = options.get("tools")
        if offered is None:
            offered = self.config.values["tools"] if response.in_band else ()
        response.remote = self.remote.offered(offered) if response.in_band else {}
        functions = tuple(tool["name"] for tool in offered if tool["type"] == "function")
        tools = (*functions, *(name for name in response.remote if name not in functions))
        response.functions = functions
        choice = options.get("tool_choice", self.config.values["tool_choice"])
        if isinstance(choice, dict):
            tools = tuple(name for name in tools if self._chosen(choice, name, response.remote))
        return Ask(
            items=response.context,
            instructions=options.get("instructions"),
            in_band=response.in_band,
            open_calls=[*self.conversation.open_calls(), *self.remote.running()],
            tools=() if choice == "none" else tools,
            idle=response.idle,
        )

    @staticmethod
    def _chosen(choice: Mapping[str, Any], name: str, remote: Mapping[str, str]) -> bool:
        """Whether a tool_choice means this tool."""
        if choice["type"] == "function":
            return bool(name == choice["name"])
        return remote.get(name) == choice["server_label"] and choice.get("name") in (None, name)

    def _order_speech(self, response: Response) -> None:
        assert response.plan is not None
        if response.modality == "text":
            return
        for index, part in enumerate(response.plan.output, len(response.items)):
            if isinstance(part, Say):
                speed = self.config.speed
                self._order(Speak(response.id, index, part.text, response.voice, speed, response.format))

    def spoken(self, job: Speak, audio: bytes | None, now: float) -> None:
        """The mouth's result, in the wire's format; None when it failed."""
        response = next((one for one in self.responses if one.id == job.response_id), None)
        if response is None:  # cancelled meanwhile
            return
        if audio is None:
            self._fail(response, now, "speech_failed", "The voice failed.")
            return
        response.sounds[job.index] = audio
        self._start(response, now)

    def _start(self, response: Response, now: float) -> None:
        """Begin to stream, once all its speech is there."""
        assert response.plan is not None
        said = sum(isinstance(part, Say) for part in response.plan.output)
        if response.run is None and (response.modality == "text" or len(response.sounds) == said):
            calls = RemoteCalls(self.remote, late=self.faults.remote_done_first)
            response.run = response.stream(self.pace, calls, twice=self.faults.duplicate_arguments)
            response.due = now
            self._advance(response, now)

    def tick(self, now: float) -> None:
        """Stream what is due."""
        for response in list(self.responses):
            self._advance(response, now)

    def _advance(self, response: Response, now: float) -> None:
        while response.run is not None and response.due <= now:
            pause_ms = next(response.run, None)
            if response.items:
                self._answered(response)
            if response.audio_ms:
                self.audio_was_out = True
                response.audio_began = now if response.audio_began is None else response.audio_began
            half = response.audio_ms >= HALF_MS
            if response.stall == "half" and half:
                response.run = None
            elif response.stall == "cut" and half:
                self.finish(response, now, "incomplete", reason="max_output_tokens")
            elif pause_ms is None and self._goes_on(response, now):
                return
            elif pause_ms is None and response.stall == "never_ends":
                response.run = None
            elif pause_ms is None:
                self.finish(response, now, "completed")
            else:
                response.due += pause_ms / 1000

    def _answered(self, response: Response) -> None:
        """From its first output on, what a response answers needs no other one."""
        if response.plan is not None:
            for item in response.plan.answers:
                item.answered = True

    def cancel(self, response_id: str | None, now: float, reason: str) -> bool:
        """Cancel a response, the conversation's one if no id is given; False when it is not in progress."""
        for response in self.responses:
            if response.id == response_id or (response_id is None and response.in_band):
                self.finish(response, now, "cancelled", reason=reason)
                return True
        return False

    def finish(self, response: Response, now: float, status: str, **details: Any) -> None:
        """End a response and arm the idle time-out, which counts from the end of its playing."""
        self.responses.remove(response)
        if status == "completed":
            self._answered(response)
        response.finish(status, **details)
        vad = self.config.vad
        if response.in_band and status == "completed" and vad is not None and vad.idle_timeout_ms is not None:
            began = now if response.audio_began is None else response.audio_began
            self.idle_at = max(now, began + response.audio_ms / 1000) + vad.idle_timeout_ms / 1000

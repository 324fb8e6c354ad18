"""One realtime session, without I/O: what a client sends goes in, what it gets comes out. Time is a parameter (s).

    session = Session(brain, now=now, ...)
    session.receive(text, now)        a frame of the client's
    session.heard(item_id, text, now), session.spoken(speak, audio, now)      results of the jobs
    session.tick(now)                 when session.wake is due
    session.take_events(), session.take_jobs(), session.closing               what the shell has to carry out

The shell calls one method after the other, never two at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from worker.local.brain import Brain, Faults
from worker.local.config import Config
from worker.local.conversation import Conversation, Item
from worker.local.errors import RequestError
from worker.local.hearing import InputBuffer, Turn
from worker.local.remote import Fault, Import, RemoteTools, RunTool, check_tools
from worker.local.responding import Responder, Speak
from worker.local.response import Pace
from worker.local.wire import check_event

__all__ = ["Job", "Session", "Speak", "Transcribe"]


@dataclass(frozen=True, slots=True)
class Transcribe:
    """A job for the ears: an utterance, PCM at rate_hz. Its result goes to `Session.heard`."""

    item_id: str
    pcm: bytes
    rate_hz: int


Job = Transcribe | Speak | Import | RunTool


class Session:
    """The server's side of one connection.

    nonce: a piece of every id that this session gives, up to 10 characters. faults: what goes wrong on purpose.
    """

    def __init__(
        self,
        brain: Brain,
        *,
        now: float,
        nonce: str,
        model: str = "local",
        pace: Pace | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._nonce, self._count = nonce, 0
        self.faults = faults or Faults()
        self.closing: tuple[int, str] | None = None
        self._events: list[dict[str, Any]] = []
        self._jobs: list[Job] = []
        self.config = Config(self._id("sess"), model)
        self.conversation = Conversation()
        self.input = InputBuffer(self.config.input_format, self.config.vad)
        self.remote = RemoteTools(self.conversation, self._emit, self._id, self._jobs_add)
        self.responder = Responder(
            brain,
            self.config,
            self.conversation,
            self.remote,
            conversation_id=self._id("conv"),
            emit=self._emit,
            new_id=self._id,
            order=self._jobs_add,
            close=lambda code: self.close(code, "scripted"),
            pace=pace or Pace(),
            faults=self.faults,
        )
        self._unheard: dict[str, Item] = {}
        self._turn_item: str | None = None
        self._close_at = None if self.faults.close_after_s is None else now + self.faults.close_after_s
        self._handlers: Mapping[str, Callable[[dict[str, Any], float], None]] = {
            "session.update": self._session_update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._item_create,
            "conversation.item.retrieve": self._item_retrieve,
            "conversation.item.truncate": self._item_truncate,
            "conversation.item.delete": self._item_delete,
            "response.create": self._response_create,
            "response.cancel": self._response_cancel,
        }
        self._emit("session.created", {"session": self.config.wire()})

    # what the shell calls

    def receive(self, frame: str | bytes, now: float) -> None:
        """Take a frame of the client's; what is wrong with it becomes an error event."""
        event_id = None
        try:
            try:
                event = orjson.loads(frame)
            except orjson.JSONDecodeError:
                raise RequestError("The event is not valid JSON.", code="invalid_json") from None
            if isinstance(event, dict):
                given = event.get("event_id")
                event_id = given if isinstance(given, str) else None
            check_event(event)
            self._handlers[event["type"]](event, now)
        except RequestError as error:
            self._refuse(error, event_id)

    def heard(self, item_id: str, text: str | None, now: float) -> None:
        """The ears' result for an item; None when they failed."""
        item = self._unheard.pop(item_id)
        item.heard = True
        item.content[0]["transcript"] = text or ""
        if self.config.transcribes:
            self._emit_transcript(item, text)
        self.responder.understood(now)

    def spoken(self, job: Speak, audio: bytes | None, now: float) -> None:
        """The mouth's result, in the wire's format; None when it failed."""
        self.responder.spoken(job, audio, now)

    def imported(self, item_id: str, result: list[dict[str, Any]] | Fault, now: float) -> None:
        """The MCP client's result of an `Import`: the server's tools, or why there are none."""
        self.remote.imported(item_id, result)
        self.responder.understood(now)

    def ran(self, item_id: str, result: str | Fault, now: float) -> None:
        """The MCP client's result of a `RunTool`: the tool's output, or why there is none."""
        self.remote.ran(item_id, result)
        self.responder.ran(item_id, now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self._close_at is not None and now >= self._close_at:
            self.close(self.faults.close_code, "scripted")
        self.responder.tick(now)
        if self.responder.idle_at is not None and now >= self.responder.idle_at:
            self.responder.idle_at = None
            self._idle(now)

    @property
    def wake(self) -> float | None:
        """When `tick` is to be called next; None: not before something else happens."""
        times = (self.responder.wake, self.responder.idle_at, self._close_at)
        return min((time for time in times if time is not None), default=None)

    @property
    def unsent(self) -> int:
        """How many events wait to be taken."""
        return len(self._events)

    def take_events(self) -> list[dict[str, Any]]:
        """The events to send, in order."""
        events, self._events = self._events, []
        return events

    def take_jobs(self) -> list[Job]:
        """The jobs to run off the loop."""
        jobs, self._jobs = self._jobs, []
        return jobs

    def close(self, code: int, reason: str) -> None:
        """Have the shell close the socket once the events are sent."""
        if self.closing is None:
            self.closing = (code, reason)
        self._close_at = None

    # inside

    def _jobs_add(self, job: Job) -> None:
        self._jobs.append(job)

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._nonce}{self._count:05x}"

    def _emit(self, kind: str, fields: Mapping[str, Any]) -> None:
        self._events.append({"type": kind, "event_id": self._id("event"), **fields})

    def _refuse(self, error: RequestError, event_id: str | None) -> None:
        detail = {"type": error.kind, "code": error.code, "message": error.message, "param": error.param}
        self._emit("error", {"error": {**detail, "event_id": event_id}})

    def _emit_transcript(self, item: Item, text: str | None) -> None:
        head = "conversation.item.input_audio_transcription"
        where = {"item_id": item.id, "content_index": 0}
        if text is None:
            error = {"type": "server_error", "code": "transcription_failed", "message": "The ears failed."}
            self._emit(f"{head}.failed", {**where, "error": {**error, "param": None}})
            return
        if text:
            self._emit(f"{head}.delta", {**where, "delta": text})
        usage = {"type": "duration", "seconds": round(item.audio_ms / 1000, 3)}
        self._emit(f"{head}.completed", {**where, "transcript": text, "usage": usage})

    def _session_update(self, event: dict[str, Any], now: float) -> None:
        before = (self.config.input_format, self.config.vad)
        tools = event["session"].get("tools", ())
        check_tools(tools, "session.tools", self.remote.servers)
        self.config.update(event["session"], audio_was_out=self.responder.audio_was_out)
        if (self.config.input_format, self.config.vad) != before:
            self.input.configure(self.config.input_format, self.config.vad)
            self._turn_item = None
        shown = self.config.wire()
        if self.faults.output_format is not None:
            shown["audio"]["output"]["format"] = {"type": self.faults.output_format}
        self._emit("session.updated", {"session": shown})
        self.remote.define(tools)

    def _append(self, event: dict[str, Any], now: float) -> None:
        for edge in self.input.append(event["audio"]):
            if edge.started:
                self._speech_started(edge.at_ms, now)
            elif not self.responder.stalls("speech"):
                self._speech_stopped(edge.at_ms, now)

    def _speech_started(self, at_ms: int, now: float) -> None:
        self.responder.idle_at = None
        self._turn_item = self._id("item")
        self.input.started(at_ms)
        self._emit("input_audio_buffer.speech_started", {"audio_start_ms": at_ms, "item_id": self._turn_item})
        if self.config.vad is not None and self.config.vad.interrupt_response:
            self.responder.cancel(None, now, "turn_detected")

    def _speech_stopped(self, at_ms: int, now: float) -> None:
        item_id = self._turn_item or self._id("item")
        self._emit("input_audio_buffer.speech_stopped", {"audio_end_ms": at_ms, "item_id": item_id})
        self._committed(self.input.commit(at_ms), item_id)
        if self.config.vad is not None and self.config.vad.create_response:
            try:
                self.responder.respond({}, now)
            except RequestError as error:
                self._refuse(error, None)

    def _commit(self, event: dict[str, Any], now: float) -> None:
        turn = self.input.commit()
        self._committed(turn, self._turn_item or self._id("item"))

    def _committed(self, turn: Turn, item_id: str) -> None:
        self._turn_item = None
        item = Item(item_id, "message", "user", heard=False, audio_ms=turn.ms)
        item.content.append({"type": "input_audio", "transcript": None})
        previous = self.conversation.add(item)
        self._unheard[item_id] = item  # also when the client deletes it meanwhile: a response may wait for it
        self._emit("input_audio_buffer.committed", {"previous_item_id": previous, "item_id": item_id})
        self._added(item, previous)
        self._jobs.append(Transcribe(item_id, turn.pcm, turn.rate_hz))

    def _added(self, item: Item, previous: str | None) -> None:
        for kind in ("conversation.item.added", "conversation.item.done"):
            self._emit(kind, {"previous_item_id": previous, "item": item.wire()})

    def _clear(self, event: dict[str, Any], now: float) -> None:
        self.input.clear()
        self._turn_item = None
        self._emit("input_audio_buffer.cleared", {})

    def _item_create(self, event: dict[str, Any], now: float) -> None:
        item = Item.of_client(event["item"], self._id("item"), self._id("call"))
        request = self.remote.request_of(item) if item.kind == "mcp_approval_response" else None
        previous = self.conversation.add(item, event.get("previous_item_id"))
        self._added(item, previous)
        if request is not None:
            request.approve = item.approve
            self.responder.decided(now)

    def _item_retrieve(self, event: dict[str, Any], now: float) -> None:
        item = self.conversation.find(event["item_id"], "retrieve")
        self._emit("conversation.item.retrieved", {"item": item.wire()})

    def _item_truncate(self, event: dict[str, Any], now: float) -> None:
        where = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
        self.conversation.truncate(**where)
        self._emit("conversation.item.truncated", where)

    def _item_delete(self, event: dict[str, Any], now: float) -> None:
        self.conversation.delete(event["item_id"])
        self._emit("conversation.item.deleted", {"item_id": event["item_id"]})

    def _response_create(self, event: dict[str, Any], now: float) -> None:
        if self.faults.error is not None:
            self._refuse(RequestError("A scripted error.", code=self.faults.error, kind="server_error"), None)
        if self.responder.stalls("spurious"):
            spurious = RequestError("A scripted error.", code="server_error", kind="server_error")
            self._refuse(spurious, event.get("event_id"))
        options = event.get("response") or {}
        tools = options.get("tools") or ()
        check_tools(tools, "response.tools", self.remote.servers)
        self.responder.respond(options, now)

    def _response_cancel(self, event: dict[str, Any], now: float) -> None:
        wanted = event.get("response_id")
        if self.responder.cancel(wanted, now, "client_cancelled"):
            return
        message = "Cancellation failed: no active response found"
        raise RequestError(message, code="response_cancel_not_active", param="response_id" if wanted else None)

    def _idle(self, now: float) -> None:
        if self.responder.active is not None or self.input.speaking or self.config.vad is None:
            return
        item = Item(self._id("item"), "message", "user", answered=True)
        item.content.append({"type": "input_audio", "transcript": ""})
        end = int(self.input.clock_ms)
        start = max(0, end - (self.config.vad.idle_timeout_ms or 0))
        where = {"audio_start_ms": start, "audio_end_ms": end, "item_id": item.id}
        self._emit("input_audio_buffer.timeout_triggered", where)
        previous = self.conversation.add(item)
        self._emit("input_audio_buffer.committed", {"previous_item_id": previous, "item_id": item.id})
        self._added(item, previous)
        self.responder.respond({}, now, idle=True)

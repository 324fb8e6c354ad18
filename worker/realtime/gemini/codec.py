"""The codec of Google's Live API. Pure.

What the model has to know and need not answer at once is held until something is asked of it: a `clientContent` that
is not complete makes it wait for more, and an answer to a tool call makes it speak by itself. So tool outputs and
notes go out with the request for the response that tells them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
import pybase64

from worker.realtime.base import Entry, Frame, OpenCall, ResponseRequest, Role, SessionConfig, TurnTaking
from worker.realtime.events import RealtimeEvent, SessionReady
from worker.realtime.gemini.decode import Json, Listener, bad_frame
from worker.realtime.gemini.models import capabilities, traits_of
from worker.realtime.gemini.wire import (
    ACTIVITY_ENDED,
    ACTIVITY_STARTED,
    content,
    context_update,
    said_text,
    setup,
    tool_response,
    turn,
    value_of,
)

__all__ = ["GeminiCodec"]

_APPEND_HEAD: Final = b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
_APPEND_TAIL: Final = b'"}}}'
TRIES: Final = 2
"""A handle with which no session began so often is of no use."""
PROCEED: Final = "(Go on.)"
"""Where an answer is wanted and there is nothing new to say."""
STILL_OPEN: Final = "(The tool {name} was called with {arguments}; its result is still to come.)"
RESULT: Final = "The result of {name}, which was pending ({call_id}): {output}"
SILENT, WHEN_IDLE = "SILENT", "WHEN_IDLE"


class GeminiCodec:
    """See `Codec`. One per phone call; `reset()` makes it ready for the next session."""

    def __init__(self, model: str) -> None:
        """Begin with no session. model: its full path, such as models/gemini-3.8-live."""
        self._model = model
        self._traits = traits_of(model)
        self.capabilities = capabilities(self._traits)
        self._listener = Listener()
        self._sessions = 0
        self._tried: dict[str, int] = {}
        self._handle: str | None = None
        """Of the session that is to be resumed; None: a new one."""
        self._ready = False
        self._is_setup = False
        self._outputs: list[dict[str, Any]] = []
        self._notes: list[str] = []
        self._speaks = False
        """An answer to a tool call was sent that makes the model speak by itself."""

    # --- sessions

    def reset(self) -> None:
        """A new connection begins: with the last handle, where nothing was said since it came."""
        if self._ready:
            self._sessions += 1
        handle = self._listener.handle
        self._handle = handle if handle is not None and self._tried.get(handle, 0) < TRIES else None
        self._ready = self._is_setup = self._speaks = False
        self._listener.forget(calls=self._handle is None)
        if self._handle is None:  # the history has all that was held back
            self._outputs.clear()
            self._notes.clear()

    def closed(self, code: int, reason: str) -> bool:
        """A session that can't be resumed is followed by a new one."""
        if self._ready or self._handle is None:
            return False
        self._listener.handle = None
        return True

    def turn_taking(self, options: Mapping[str, Any]) -> TurnTaking:
        """It answers the end of an activity, and its beginning interrupts it, unless `activityHandling` says no."""
        found = options.get("realtimeInputConfig")
        handling = found.get("activityHandling") if isinstance(found, Mapping) else None
        return TurnTaking(responds=True, interrupts=handling != "NO_INTERRUPTION")

    def session_update(self, config: SessionConfig) -> list[Frame]:
        """Encode the settings: `setup` comes first and once, after it what may change.

        Raises ValueError for formats (the service has one each way), and for MCP servers that it would have to run.
        """
        if config.remote:
            labels = ", ".join(server.label for server in config.remote)
            raise ValueError(f"the Live API runs no MCP servers ({labels}): let them be run by offhook")
        for side, wanted in (("input_format", "pcm16k"), ("output_format", "pcm24k")):
            if (found := getattr(config, side)) != wanted:
                raise ValueError(f"the Live API has no {side} {found}; it has {wanted}")
        non_blocking = self._traits.schedules
        if self._is_setup:
            update = {"contextUpdate": context_update(config, non_blocking=non_blocking)}
            return [orjson.dumps(update)] if self._traits.updates else []
        self._is_setup = True
        if self._handle is not None:
            self._tried[self._handle] = self._tried.get(self._handle, 0) + 1
        first = setup(
            config,
            self._model,
            non_blocking=non_blocking,
            handle=self._handle,
            with_history=self._waits_for_history,
        )
        return [orjson.dumps({"setup": first})]

    @property
    def _waits_for_history(self) -> bool:
        """Whether this session replaces one whose handle is of no use."""
        return self._handle is None and self._sessions > 0

    def history(self, said: Iterable[Entry], open_calls: Iterable[OpenCall]) -> list[Frame]:
        """Encode what was said as turns. Open calls are told of: the service takes no call that it did not make."""
        roles = {"assistant": "model"}
        turns = [turn(roles.get(one.role, "user"), one.text) for one in said]
        for call in open_calls:
            self._listener.names[call.tool_call_id] = call.name
            turns.append(turn("user", STILL_OPEN.format(name=call.name, arguments=call.arguments)))
        if not turns and not self._waits_for_history:
            return []
        return [content(turns, complete=self._waits_for_history)]

    # --- encoding

    def append(self, pcm: bytes) -> Frame:
        """Encode the caller's audio."""
        return _APPEND_HEAD + pybase64.b64encode(pcm) + _APPEND_TAIL

    def activity_started(self, item_id: str) -> list[Frame]:
        """Encode that the caller speaks: it interrupts the model."""
        self._listener.spoken_to(item_id)
        self._speaks = False
        return [ACTIVITY_STARTED]

    def activity_ended(self) -> list[Frame]:
        """Encode that the caller has spoken."""
        self._listener.heard()
        return [ACTIVITY_ENDED]

    def tool_output(self, tool_call_id: str, output: str, *, told: bool = True) -> list[Frame]:
        """Encode the answer to a tool call, or hold it until what tells it is asked for.

        The answer to a call that the session does not know, or has withdrawn, is told as text.
        """
        listener = self._listener
        name = listener.names.get(tool_call_id, "a tool")
        if tool_call_id not in listener.open:
            if told:
                self._notes.append(RESULT.format(name=name, call_id=tool_call_id, output=output))
            return []
        given = listener.open.pop(tool_call_id)
        listener.handle = None
        answer: dict[str, Any] = {"name": name, "response": {"output": value_of(output)}}
        if given is not None:
            answer["id"] = given
        if not self._traits.schedules:
            self._speaks = True
            return [tool_response([self._with_notes(answer)])]
        if told:
            self._outputs.append(answer)
            return []
        return [tool_response([{**answer, "scheduling": SILENT}])]

    def message(self, role: Role, text: str) -> list[Frame]:
        """Hold a text until something is asked of the model."""
        self._notes.append(f"(You said to the caller: {text})" if role == "assistant" else text)
        return []

    def create_response(self, request: ResponseRequest) -> list[Frame]:
        """Encode a request for a response: for given words, for what tools have brought, or for what was noted."""
        if request.out_of_band:
            return []
        self._listener.asked(dict(request.metadata))
        if request.instructions is None and self._outputs:
            *others, last = self._outputs
            self._outputs = []
            # One of several is enough to make it speak.
            answers = [{**one, "scheduling": SILENT} for one in others]
            return [tool_response([*answers, {**self._with_notes(last), "scheduling": WHEN_IDLE}])]
        if request.instructions is None and self._speaks and not self._notes:
            self._speaks = False
            return []
        texts, self._notes = self._notes, []
        texts.append(request.instructions or ("" if texts else PROCEED))
        texts = [text for text in texts if text]
        if self._traits.takes_content:
            return [content([turn("user", text) for text in texts])]
        return [said_text("\n".join(texts))]

    def _with_notes(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Put what the model has to know into an answer that goes to it in any case."""
        notes, self._notes = self._notes, []
        if not notes:
            return answer
        return {**answer, "response": {**answer["response"], "note": "\n".join(notes)}}

    def cancel_response(self, response_id: str | None = None) -> list[Frame]:
        """Nothing: only the caller's voice interrupts the model."""
        return []

    def truncate(self, item_id: str, audio_end_ms: int) -> list[Frame]:
        """Nothing: the service keeps what it sent."""
        return []

    def delete_item(self, item_id: str) -> list[Frame]:
        """Nothing: the service has no items."""
        return []

    def approve(self, approval_id: str, approve: bool, reason: str = "") -> list[Frame]:
        """Nothing: the service runs no tools that are approved."""
        return []

    # --- decoding

    def decode(self, raw: str | bytes | bytearray | memoryview) -> list[RealtimeEvent]:
        """Decode one message. Never raises for its content."""
        try:
            message = orjson.loads(raw)
        except ValueError as exc:
            return [bad_frame(f"a message of {len(raw)} characters is not JSON: {exc}")]
        if not isinstance(message, dict):
            return [bad_frame("a message is not an object")]
        try:
            complete = message.pop("setupComplete", None)
            events = [] if complete is None else self._begun(complete)
            return events + self._listener.decode(message)
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as exc:
            return [bad_frame(f"a message ({', '.join(map(str, message))}) can't be used: {exc!r}")]

    def _begun(self, complete: Json) -> list[RealtimeEvent]:
        if self._ready:
            return []
        self._ready = True
        session_id = complete.get("sessionId")
        resumed = self._handle is not None
        return [SessionReady(session_id if isinstance(session_id, str) else "", "pcm16k", "pcm24k", resumed)]

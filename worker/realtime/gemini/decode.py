"""What the Live API says, as events: turns are counted here, for the service names none. Pure.

A *response* begins with the first audio, words or tool call after the last one ended. It ends with
`generationComplete` (`turnComplete` waits until it may have been played), with `interrupted`, and with a tool call:
blocking models say nothing more until it is answered, and what others still say is a response of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

import orjson
import pybase64

from worker.realtime.call_ids import TOOL_CALLS, CallIds
from worker.realtime.events import (
    AgentTranscript,
    AgentTranscriptDelta,
    AudioDelta,
    AudioDone,
    CallerTranscript,
    GoingAway,
    ProviderError,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    ToolCallRequested,
    ToolCallsWithdrawn,
    Unknown,
    Usage,
)

__all__ = ["MESSAGE_CHARS", "Json", "Listener", "bad_frame"]

Json: TypeAlias = dict[str, Any]

MESSAGE_CHARS: Final = 500
ODDLY_ENDED: Final[Mapping[str, ResponseStatus]] = {"MALFORMED_FUNCTION_CALL": "failed"}
"""`turnCompleteReason` of a turn that may go well the next time; by all other reasons it is incomplete."""
WELL_ENDED: Final = ("", "TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT")


def bad_frame(why: str) -> ProviderError:
    """Return the error for a frame that can't be used; the session goes on."""
    return ProviderError("bad_frame", why[:MESSAGE_CHARS])


class Listener:
    """Follows one session after another: what a phone call numbers is never numbered anew."""

    def __init__(self) -> None:
        self.handle: str | None = None
        """With which a session like this one can be had; None: there is none, or something was said since."""
        self.open: OrderedDict[str, str | None] = OrderedDict()
        """Tool calls that wait for an answer, and the name by which the service knows them (None: it gave no id)."""
        self.names: OrderedDict[str, str] = OrderedDict()
        """The names of the functions that were called."""
        self._ids = CallIds()
        self._number = 0
        self._messages: Mapping[str, Callable[[Any], list[RealtimeEvent]]] = {
            "serverContent": self._content,
            "toolCall": self._tool_call,
            "toolCallCancellation": self._withdrawn,
            "goAway": self._going_away,
            "sessionResumptionUpdate": self._resumption,
            "usageMetadata": self._usage,
            "voiceActivity": lambda message: [],
            "voiceActivityDetectionSignal": lambda message: [],
        }
        self.forget()

    def forget(self, *, calls: bool = True) -> None:
        """A session is over. calls: its tool calls are, too."""
        self._turn = ""
        self._last = ""
        self._closing = False
        self._asked: Mapping[str, str] | None = None
        self._metadata: Mapping[str, str] = {}
        self._words = ""
        self._sounded = False
        self._half = b""
        self._caller = ""
        self._caller_words = ""
        if calls:
            self._ids.new_session()
            self.open.clear()

    def asked(self, metadata: Mapping[str, str]) -> None:
        """A response was asked for: the next to begin is taken for it."""
        self._asked, self.handle = metadata, None

    def spoken_to(self, item_id: str) -> list[RealtimeEvent]:
        """The caller begins to speak: what begins next answers that."""
        self._asked, self.handle = None, None
        self._caller, self._caller_words = item_id, ""
        return []

    def heard(self) -> None:
        """The caller has spoken, and is to be answered."""
        self._asked = {}

    def decode(self, message: Json) -> list[RealtimeEvent]:
        """The events of one message, which may say several things at once."""
        events: list[RealtimeEvent] = []
        for key, body in message.items():
            handler = self._messages.get(key)
            events += [Unknown(key[:MESSAGE_CHARS])] if handler is None else handler(body)
        return events

    # --- a turn of the model's

    def _begin(self) -> list[RealtimeEvent]:
        if self._turn:
            return []
        self.handle = None
        self._number += 1
        self._turn = f"turn_{self._number}"
        self._metadata, self._asked = self._asked or {}, None
        self._words, self._sounded, self._half, self._closing = "", False, b"", False
        return [*self._caller_said(), ResponseStarted(self._turn, self._metadata)]

    def _end(self, status: ResponseStatus, reason: str = "") -> list[RealtimeEvent]:
        if not self._turn:
            return []
        turn, self._turn, self._last = self._turn, "", self._turn
        self._closing = True
        events: list[RealtimeEvent] = [AudioDone(turn, turn)] if self._sounded else []
        if self._words:
            events.append(AgentTranscript(turn, turn, self._words))
        return [*events, ResponseDone(turn, status, reason, metadata=self._metadata)]

    def _content(self, content: Json) -> list[RealtimeEvent]:
        events: list[RealtimeEvent] = []
        if (heard := content.get("inputTranscription")) is not None:
            events += self._caller_words_came(heard)
        if (turn := content.get("modelTurn")) is not None:
            for part in turn.get("parts") or ():
                events += self._part(part)
        if (words := content.get("outputTranscription")) is not None and words.get("text"):
            events += self._agent_words(words["text"])
        if content.get("interrupted"):
            events += self._end("cancelled", "turn_detected")
        elif content.get("generationComplete"):
            events += self._end("completed")
        if content.get("turnComplete"):
            events += self._turn_complete(content.get("turnCompleteReason") or "")
        return events

    def _part(self, part: Json) -> list[RealtimeEvent]:
        """Audio. Text is a thought of the model's, and not for the caller."""
        blob = part.get("inlineData")
        if blob is None:
            return []
        audio = self._half + pybase64.b64decode(blob["data"], validate=True)
        events = self._begin()
        whole = len(audio) & ~1  # a shift by one byte turns speech into full-scale noise
        audio, self._half = audio[:whole], audio[whole:]
        if audio:
            self._sounded = True
            events.append(AudioDelta(self._turn, self._turn, audio))
        return events

    def _agent_words(self, text: str) -> list[RealtimeEvent]:
        if not self._turn and self._closing:  # they may come after the end of what they are the words of
            self._words += text
            return [
                AgentTranscriptDelta(self._last, self._last, text),
                AgentTranscript(self._last, self._last, self._words),
            ]
        events = self._begin()
        self._words += text
        return [*events, AgentTranscriptDelta(self._turn, self._turn, text)]

    def _turn_complete(self, reason: str) -> list[RealtimeEvent]:
        events: list[RealtimeEvent] = []
        well = reason in WELL_ENDED
        if not self._turn and not self._closing and (self._asked is not None or not well):
            events += self._begin()  # it had nothing to say, or may not
        status: ResponseStatus = "completed" if well else ODDLY_ENDED.get(reason, "incomplete")
        events += self._end(status, "" if well else reason.lower()[:MESSAGE_CHARS])
        self._closing = False
        return events

    # --- tool calls

    def _tool_call(self, message: Json) -> list[RealtimeEvent]:
        events: list[RealtimeEvent] = []
        for number, call in enumerate(message.get("functionCalls") or ()):
            given = call.get("id") or None
            # An id is one call in a session: a second request for it would begin a turn of its own.
            call_id = self._ids.name("", given or f"turn_{self._number}:call_{number}:{len(self.names)}")
            if call_id is None:
                continue
            events += self._begin()
            self.names[call_id] = str(call["name"])
            self.open[call_id] = given
            if len(self.names) > TOOL_CALLS:
                self.names.popitem(last=False)
            arguments = orjson.dumps(call.get("args") or {}).decode()
            events.append(ToolCallRequested(self._turn, f"item_{call_id}", call_id, str(call["name"]), arguments))
        return [*events, *self._end("completed")]

    def _withdrawn(self, message: Json) -> list[RealtimeEvent]:
        withdrawn = message.get("ids") or ()
        ids = tuple(call_id for call_id, given in self.open.items() if given in withdrawn)
        for call_id in ids:
            del self.open[call_id]
        return [ToolCallsWithdrawn(ids)] if ids else []

    # --- the caller's words

    def _caller_words_came(self, heard: Json) -> list[RealtimeEvent]:
        self._caller_words += heard.get("text") or ""
        return self._caller_said() if heard.get("finished") or not self._waits else []

    @property
    def _waits(self) -> bool:
        """Whether the model has not begun to answer what the caller says."""
        return not self._turn and not self._closing

    def _caller_said(self) -> list[RealtimeEvent]:
        text = self._caller_words.strip()
        return [CallerTranscript(self._caller, text)] if text and self._caller else []

    # --- the session

    def _going_away(self, message: Json) -> list[RealtimeEvent]:
        return [GoingAway(float(str(message.get("timeLeft") or "0s").removesuffix("s")))]

    def _resumption(self, message: Json) -> list[RealtimeEvent]:
        if message.get("resumable") and message.get("newHandle"):
            self.handle = str(message["newHandle"])
        return []

    def _usage(self, message: Json) -> list[RealtimeEvent]:
        taken = _count(message, "promptTokenCount") + _count(message, "toolUsePromptTokenCount")
        made = "responseTokensDetails" if "responseTokensDetails" in message else "candidatesTokensDetails"
        made_count = "responseTokenCount" if "responseTokenCount" in message else "candidatesTokenCount"
        usage = Usage(
            self._turn or self._last,
            input_tokens=taken,
            output_tokens=_count(message, made_count) + _count(message, "thoughtsTokenCount"),
            cached_tokens=_count(message, "cachedContentTokenCount"),
            input_audio_tokens=_audio(message, "promptTokensDetails"),
            output_audio_tokens=_audio(message, made),
            cached_audio_tokens=_audio(message, "cacheTokensDetails"),
        )
        return [usage]


def _count(message: Json, key: str) -> int:
    value = message.get(key)
    return int(value) if isinstance(value, int) else 0


def _audio(message: Json, key: str) -> int:
    details = cast("list[Json]", message.get(key) or [])
    return sum(_count(one, "tokenCount") for one in details if one.get("modality") == "AUDIO")

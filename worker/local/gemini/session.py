"""One session of the Live API, without I/O; see `worker.local.protocol`, whose face it has. Time is a parameter (s).

It refuses as the service does: with a close, not with an error, and the reason says why.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from worker.local.brain import EXACT, Ask, Brain, Faults, Say
from worker.local.conversation import Conversation, Item
from worker.local.errors import RequestError
from worker.local.gemini.config import Config, family_of
from worker.local.gemini.generating import PCM, Turn
from worker.local.gemini.telling import told_item
from worker.local.gemini.wire import check_message
from worker.local.protocol import Transcribe
from worker.local.responding import Speak
from worker.local.response import Pace
from worker.local.vad import Vad

__all__ = ["GeminiSession", "Memory"]

INVALID, POLICY, OVER, BROKEN = 1007, 1008, 1001, 1011
REASON_BYTES = 120  # RFC 6455, 5.5: a close's reason has 123 bytes at most
GO_AWAY_S = 60.0
CONNECTION_S = 600.0
LONGEST_TURN_MS = 60_000
TOKENS_PER_S = 25
"""Of audio, either way."""


@dataclass(slots=True)
class Memory:
    """What outlives a connection: the conversation, its brain, and what is known of its functions."""

    brain: Brain
    conversation: Conversation = field(default_factory=Conversation)
    open: dict[str, bool] = field(default_factory=dict)
    """Tool calls without an answer: id -> whether the model goes on meanwhile."""
    connected: bool = False


class GeminiSession:
    """The server's side of one connection.

    memories: by handle, those of all sessions of the server. nonce: a piece of every id. key_fits: whether the key was
    right; a wrong one is told by a close.
    """

    def __init__(
        self,
        brain: Brain,
        *,
        now: float,
        nonce: str,
        memories: dict[str, Memory],
        key_fits: bool = True,
        pace: Pace | None = None,
        faults: Faults | None = None,
        connection_s: float = CONNECTION_S,
    ) -> None:
        self.faults = faults or Faults()
        self.closing: tuple[int, str] | None = None
        self._nonce, self._count = nonce, 0
        pace = pace or Pace()
        self._pace = Pace(
            pace.chunk_ms, pace.speed, pace.first_audio_ms + self.faults.first_audio_delay_ms, pace.piece_ms
        )
        self._messages: list[Mapping[str, Any]] = []
        self._jobs: list[Transcribe | Speak] = []
        self._memories = memories
        self._memory = Memory(brain)
        self._config: Config | None = None
        self._history = False
        self._turn: Turn | None = None
        self._wants_turn: str | None = None
        """A turn is due as soon as nothing is generated; the words that it was asked for with."""
        self._complete_at: float | None = None
        self._speaking = False
        self._heard = bytearray()
        self._rate_hz = 16_000
        self._vad: Vad | None = None
        self._unheard: dict[str, Item] = {}
        self._go_away_at = now + max(0.0, connection_s - GO_AWAY_S)
        self._ends_at = now + connection_s
        self._left_s = min(GO_AWAY_S, connection_s)
        self._close_at = None if self.faults.close_after_s is None else now + self.faults.close_after_s
        self._handlers: Mapping[str, Callable[[Mapping[str, Any], float], None]] = {
            "clientContent": self._client_content,
            "realtimeInput": self._realtime_input,
            "toolResponse": self._tool_response,
            "contextUpdate": self._context_update,
        }
        self._key_fits = key_fits and not self.faults.refuse_key

    # what the shell calls

    def receive(self, frame: str | bytes, now: float) -> None:
        """Take a message of the client's; what is wrong with it closes the connection."""
        if self.closing is not None:
            return
        if not self._key_fits:
            self.close(INVALID, "API key not valid. Please pass a valid API key.")
            return
        try:
            message = check_message(_parsed(frame))
            ((kind, body),) = message.items()
            if kind == "setup":
                self._setup(body, now)
            elif self._config is None:
                raise RequestError("setup must be the first message.", code="invalid_argument")
            else:
                self._handlers[kind](body, now)
        except RequestError as error:
            self.close(POLICY if error.code == "not_found" else INVALID, error.message)

    def heard(self, item_id: str, text: str | None, now: float) -> None:
        """The ears' result for what was said."""
        item = self._unheard.pop(item_id)
        item.heard = True
        item.content[0]["transcript"] = text or ""
        if text and self._config is not None and self._config.hears_words:
            self._content(inputTranscription={"text": text})
        self._think(now)

    def spoken(self, job: Speak, audio: bytes | None, now: float) -> None:
        """The mouth's result, 24 kHz; None when it failed."""
        turn = self._turn
        if turn is None or turn.id != job.response_id:
            return
        turn.sounds[job.index] = audio or b""
        self._start(now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self._close_at is not None and now >= self._close_at:
            self.close(self.faults.close_code, "scripted")
        if now >= self._ends_at:
            self.close(BROKEN, "The connection has reached its longest duration.")
        elif now >= self._go_away_at:
            self._go_away_at = self._ends_at + 1
            self._messages.append({"goAway": {"timeLeft": f"{self._left_s:g}s"}})
        self._advance(now)
        if self._complete_at is not None and now >= self._complete_at:
            self._turn_complete()

    @property
    def wake(self) -> float | None:
        """When `tick` is to be called next; None: not before something else happens."""
        if self.closing is not None:
            return None
        turn = self._turn
        times = (
            turn.due if turn is not None and turn.run is not None else None,
            self._complete_at,
            self._close_at,
            self._go_away_at if self._go_away_at < self._ends_at else self._ends_at,
        )
        return min((time for time in times if time is not None), default=None)

    @property
    def unsent(self) -> int:
        """How many messages wait to be taken."""
        return len(self._messages)

    def take_events(self) -> list[Mapping[str, Any]]:
        """The messages to send, in order."""
        messages, self._messages = self._messages, []
        return messages

    def take_jobs(self) -> list[Transcribe | Speak]:
        """The jobs to run off the loop."""
        jobs, self._jobs = self._jobs, []
        return jobs

    def close(self, code: int, reason: str) -> None:
        """Have the shell close the socket once the messages are sent."""
        if self.closing is None:
            self.closing = (code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
        self._close_at = None

    def gone(self) -> None:
        """The connection is over: its session may be resumed by another."""
        self._memory.connected = False

    # the session

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}-{self._nonce}{self._count:05x}"

    def _emit(self, message: Mapping[str, Any]) -> None:
        self._messages.append(message)

    def _content(self, **content: Any) -> None:
        self._emit({"serverContent": content})

    def _setup(self, body: Mapping[str, Any], now: float) -> None:
        if self._config is not None:
            raise RequestError("setup was sent already: it is the first message, and comes once.", code=None)
        config = Config(body, family_of(body["model"]))
        if config.handle is not None:
            known = self._memories.get(config.handle)
            if known is None:
                raise RequestError("The session handle is invalid or has expired.", code="invalid_argument")
            if known.connected:
                self.close(BROKEN, "The session has a connection already.")
                return
            self._memory = known
        self._memory.connected = True
        self._config = config
        self._history = config.begins_with_history
        self._vad = None if config.vad is None else Vad(self._rate_hz, config.vad)
        self._messages.append({"setupComplete": {"sessionId": self._id("session")}})

    def _settings(self) -> Config:
        assert self._config is not None
        return self._config

    def _new_handle(self) -> None:
        if self._settings().resumable:
            handle = self._id("handle")
            self._memories[handle] = self._memory
            self._messages.append({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    def _context_update(self, body: Mapping[str, Any], now: float) -> None:
        if not self._settings().family.updates:
            raise RequestError("contextUpdate is not supported by this model.", code="invalid_argument")
        if "tools" in body:
            self._settings().use_tools(body["tools"].get("tools", []))

    # what is said to it

    def _client_content(self, body: Mapping[str, Any], now: float) -> None:
        if not (self._settings().family.content or self._history):
            raise RequestError("clientContent is not supported in mid session.", code="invalid_argument")
        said = [self._said(turn) for turn in body.get("turns", ())]
        for item in said:
            item.answered = self._history or item.role == "assistant"
        if not body.get("turnComplete"):
            return
        if self._history:
            self._history = False
            return
        self._interrupt()
        self._wants_turn = _words(said)
        self._think(now)

    def _said(self, turn: Mapping[str, Any]) -> Item:
        role = "assistant" if turn.get("role") == "model" else "user"
        text = " ".join(part["text"] for part in turn["parts"])
        conversation = self._memory.conversation
        told = told_item(text, conversation.items, self._id) if role == "user" else None
        if told is not None and not (told.kind == "function_call_output" and conversation.output(told.call_id)):
            conversation.add(told)
            return told
        item = Item(self._id("item"), "message", role)
        item.content.append({"type": "input_text", "text": text})
        conversation.add(item)
        return item

    def _realtime_input(self, body: Mapping[str, Any], now: float) -> None:
        if "text" in body:
            self._interrupt()
            self._wants_turn = _words([self._said({"parts": [{"text": body["text"]}]})])
            self._think(now)
        for edge in ("activityStart", "activityEnd"):
            if edge in body and self._vad is not None:
                raise RequestError(f"{edge} is not allowed with automatic activity detection.", code=None)
        if "activityStart" in body:
            self._activity_started()
        if "audio" in body:
            self._audio(body["audio"], now)
        if "activityEnd" in body:
            if not self._speaking:
                raise RequestError("activityEnd without an activityStart.", code="invalid_argument")
            self._activity_ended(now)

    def _audio(self, blob: Mapping[str, Any], now: float) -> None:
        rate = re.search(r"rate=(\d+)", blob["mimeType"])
        if rate is not None and int(rate[1]) != self._rate_hz:
            raise RequestError(f"Only audio of {self._rate_hz} Hz is taken here.", code="invalid_argument")
        try:
            pcm = base64.b64decode(blob["data"], validate=True)
        except (binascii.Error, ValueError):
            raise RequestError("realtimeInput.audio.data is no base64.", code="invalid_argument") from None
        if len(pcm) % 2:
            raise RequestError("realtimeInput.audio.data is half a sample too long.", code="invalid_argument")
        edges = [] if self._vad is None else self._vad.feed(pcm)
        if self._vad is not None and not self._speaking:
            keep = self._rate_hz * 2 * (self._vad.settings.prefix_padding_ms + 200) // 1000
            del self._heard[:-keep]
        if self._speaking or self._vad is not None:
            self._heard += pcm
        for edge in edges:
            if edge.started:
                self._activity_started()
            else:
                self._activity_ended(now)
        if len(self._heard) > LONGEST_TURN_MS * self._rate_hz * 2 // 1000:
            del self._heard[: -LONGEST_TURN_MS * self._rate_hz * 2 // 1000]

    def _activity_started(self) -> None:
        self._speaking = True
        if self._vad is None:
            self._heard.clear()
        if self._settings().interrupts:
            self._interrupt()
        self._wants_turn = None
        withdrawn = [call_id for call_id, goes_on in self._memory.open.items() if not goes_on]
        if withdrawn:
            for call_id in withdrawn:
                del self._memory.open[call_id]
            self._messages.append({"toolCallCancellation": {"ids": withdrawn}})

    def _activity_ended(self, now: float) -> None:
        self._speaking = False
        item = Item(
            self._id("item"), "message", "user", heard=False, audio_ms=len(self._heard) / 2 / self._rate_hz * 1000
        )
        item.content.append({"type": "input_audio", "transcript": None})
        self._memory.conversation.add(item)
        self._unheard[item.id] = item
        self._jobs.append(Transcribe(item.id, bytes(self._heard), self._rate_hz))
        self._heard.clear()
        self._wants_turn = ""
        self._think(now)

    def _tool_response(self, body: Mapping[str, Any], now: float) -> None:
        speak = False
        for answer in body["functionResponses"]:
            speak = self._answer(answer) or speak
        if speak and self._wants_turn is None:
            self._wants_turn = ""
        self._think(now)

    def _answer(self, answer: Mapping[str, Any]) -> bool:
        """Take an answer; whether the model is to speak of it."""
        call_id = answer.get("id")
        if call_id not in self._memory.open:
            raise RequestError(f"There is no open function call with the id {call_id}.", code="invalid_argument")
        value = answer["response"].get("output", answer["response"])
        if not answer["response"] or value in (None, {}):
            raise RequestError(f"The response to {call_id} is empty.", code="invalid_argument")
        goes_on = self._memory.open.pop(call_id)
        if not goes_on and "scheduling" in answer:
            raise RequestError("scheduling is for NON_BLOCKING functions.", code="invalid_argument")
        output = Item(self._id("item"), "function_call_output", call_id=call_id)
        output.output = orjson.dumps(value).decode()
        self._memory.conversation.add(output)
        output.answered = answer.get("scheduling") == "SILENT"
        if "note" in answer["response"]:
            self._said({"parts": [{"text": answer["response"]["note"]}]}).answered = True
        if answer.get("scheduling") == "INTERRUPT" and not self._speaking:
            self._interrupt()
        return not output.answered

    # what it says

    def _think(self, now: float) -> None:
        """Begin the turn that is due, once nothing is generated, nobody speaks, and all that was said is understood."""
        conversation, config = self._memory.conversation, self._settings()
        blocked = any(not goes_on for goes_on in self._memory.open.values())
        if self._wants_turn is None or self._turn is not None or self._speaking or blocked:
            return
        if any(not item.heard for item in conversation.items):
            return
        if self._complete_at is not None:
            self._turn_complete()
        words, self._wants_turn = self._wants_turn, None
        turn = self._turn = Turn(self._id("turn"), list(conversation.items), words or None)
        ask = Ask(
            items=turn.context,
            instructions=turn.instructions,
            open_calls=conversation.open_calls(),
            tools=tuple(config.functions),
        )
        turn.plan = plan = self._memory.brain.answer(ask)
        if plan.close is not None:
            self.close(plan.close, "scripted")
        elif plan.fail is not None or self.faults.fail is not None:
            self._turn = None
            self._content(turnComplete=True, turnCompleteReason="MALFORMED_FUNCTION_CALL")
        elif not (plan.silent or self.faults.silent):
            for index, part in enumerate(plan.output):
                if isinstance(part, Say):
                    self._jobs.append(Speak(turn.id, index, part.text, config.voice, 1.0, PCM))
            self._start(now)

    def _start(self, now: float) -> None:
        turn = self._turn
        if turn is not None and turn.run is None and turn.ready():
            words = self._settings().shows_words
            turn.run = turn.stream(self._pace, self._memory.conversation, self._emit, self._id, shows_words=words)
            turn.due = now
            if self._settings().resumable:
                self._messages.append({"sessionResumptionUpdate": {"resumable": False}})
            self._advance(now)

    def _advance(self, now: float) -> None:
        turn = self._turn
        while turn is not None and turn.run is not None and turn.due <= now:
            pause_ms = next(turn.run, None)
            for item in turn.plan.answers if turn.plan else ():
                item.answered = True
            self._called(turn)
            if turn.audio_ms and turn.audio_began is None:
                turn.audio_began = now
            if pause_ms is None:
                self._generated(turn, now)
                return
            turn.due += pause_ms / 1000

    def _called(self, turn: Turn) -> None:
        """Calls that were sent just now may be answered from now on, however soon."""
        functions = self._settings().functions
        for item in self._memory.conversation.open_calls():
            if item not in turn.context and item.call_id not in turn.calls:
                turn.calls.append(item.call_id)
                self._memory.open[item.call_id] = functions.get(item.name, True)

    def _generated(self, turn: Turn, now: float) -> None:
        self._turn = None
        if any(not self._memory.open.get(call_id, True) for call_id in turn.calls):
            return  # mute until they are answered
        self._content(generationComplete=True)
        began = now if turn.audio_began is None else turn.audio_began
        self._complete_at = max(now, began + turn.audio_ms / 1000)
        self._usage(turn)
        self._think(now)

    def _turn_complete(self) -> None:
        self._complete_at = None
        self._content(turnComplete=True)
        if not self._memory.open:
            self._new_handle()

    def _usage(self, turn: Turn) -> None:
        audio = int(turn.audio_ms / 1000 * TOKENS_PER_S)
        taken = sum(len((item.text or item.output or item.arguments).split()) for item in turn.context)
        heard = int(sum(item.audio_ms for item in turn.context if item.role == "user") / 1000 * TOKENS_PER_S)
        usage = {
            "promptTokenCount": taken + heard,
            "responseTokenCount": audio,
            "totalTokenCount": taken + heard + audio,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": taken},
                {"modality": "AUDIO", "tokenCount": heard},
            ],
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": audio}],
        }
        self._messages.append({"usageMetadata": usage})

    def _interrupt(self) -> None:
        """Stop what is being generated, or is supposed to be playing still."""
        if self._turn is None and self._complete_at is None:
            return
        self._turn = None
        self._content(interrupted=True)
        self._turn_complete()


def _parsed(frame: str | bytes) -> Any:
    try:
        return orjson.loads(frame)
    except orjson.JSONDecodeError:
        raise RequestError("Request contains an invalid JSON payload.", code="invalid_json") from None


def _words(items: Sequence[Item]) -> str:
    """What was asked for word by word, if it was."""
    texts = [item.text for item in items]
    return next((text for text in reversed(texts) if EXACT in text), "")

"""What the protocol asks of a brain, and of ears and a mouth: the places where scripts and speech engines plug in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from worker.local.conversation import Item

__all__ = ["EXACT", "STALLS", "Ask", "Brain", "Call", "Ears", "Faults", "Mouth", "Plan", "Say", "exact_words"]

EXACT = "Say exactly:"
STALLS = {
    "request": "response.create, and the end of a turn, are never answered",
    "created": "response.created, and nothing more",
    "half": "half of the first item, and nothing more",
    "never_ends": "everything but response.done",
    "taken": "conversation_already_has_active_response for a response that is not there",
    "empty": "completed, with no output",
    "text": "text, and no audio",
    "filtered": "incomplete (content_filter) before any sound",
    "cut": "incomplete (max_output_tokens) in the middle",
    "cancelled": "cancelled by the server before any sound",
    "rate": "failed: rate_limit_exceeded, try again in 6.2s",
    "spurious": "an error for each request, which is then answered all the same",
    "speech": "speech_started, and never speech_stopped",
}
"""What goes wrong with a response, by name."""


@dataclass(frozen=True, slots=True)
class Say:
    """An assistant's message: these words."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function call. arguments: JSON text, sent as it is (a fault may send what is no JSON)."""

    name: str
    arguments: str
    approval: Item | None = None
    """The request by which a call of an MCP tool was approved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong on purpose, for tests of clients. All off by default.

    close_after_s: the socket is closed so long after the session began, with close_code. refuse_key: every key is
    refused. output_format: session.updated answers this format whatever was asked. first_audio_delay_ms: more
    waiting before a response's first audio. unknown_events: an event of a type that no client knows, before each
    response. silent: responses start and never end. duplicate_arguments: function_call_arguments.done comes twice.
    refuse_open_calls: a response is refused while a function call has no output. error: an error event with this
    code before each response. fail: each response ends as failed with this code. stall: how the conversation's
    responses go wrong (`STALLS`), the first `stall_first` of each session, or all. remote_done_first: a response ends
    while the MCP tool that it has called runs, and nothing follows the outcome until it is asked for.
    approval_waits: an approved call begins with the next response that is asked for.
    """

    close_after_s: float | None = None
    close_code: int = 1011
    refuse_key: bool = False
    output_format: str | None = None
    first_audio_delay_ms: int = 0
    unknown_events: bool = False
    silent: bool = False
    duplicate_arguments: bool = False
    refuse_open_calls: bool = False
    error: str | None = None
    fail: str | None = None
    stall: str | None = None
    stall_first: int | None = None
    remote_done_first: bool = False
    approval_waits: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a response will be: its output in order, and the items that it answers.

    close: the socket is closed with this code in place of an answer. silent: the response never ends.
    fail: it ends as failed, with this error code.
    """

    output: tuple[Say | Call, ...] = ()
    answers: tuple[Item, ...] = ()
    close: int | None = None
    silent: bool = False
    fail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A response is wanted. items: its context, oldest first.

    in_band: it belongs to the conversation. open_calls: function calls that wait for their output. tools: the names
    of the functions that may be called now (empty when tool_choice is none).
    """

    items: Sequence[Item] = ()
    instructions: str | None = None
    in_band: bool = True
    open_calls: Sequence[Item] = ()
    tools: Sequence[str] = ()
    idle: bool = False
    """The caller has been silent for idle_timeout_ms."""
    metadata: Mapping[str, str] = field(default_factory=dict)


class Brain(Protocol):
    """Decides what a response says. One per session; it may remember. It never blocks."""

    def answer(self, ask: Ask) -> Plan:
        """Return the response's plan."""


class Ears(Protocol):
    """Turns speech into text. Called on a thread or in a process, never on the loop."""

    def transcribe(self, pcm: bytes, rate_hz: int) -> str:
        """Return the words of an utterance, lower case; "" when nothing was understood."""


class Mouth(Protocol):
    """Turns text into speech. Called on a thread, never on the loop."""

    def speak(self, text: str, voice: str, speed: float) -> tuple[bytes, int]:
        """Return PCM and its rate (Hz)."""


def exact_words(ask: Ask) -> str | None:
    """The text of a line `Say exactly: ...` in the instructions, or in an out-of-band response's input."""
    texts: list[Any] = [ask.instructions]
    if not ask.in_band:
        texts += [item.text for item in reversed(ask.items)]
    for text in texts:
        for line in (text or "").splitlines():
            before, found, after = line.partition(EXACT)
            if found and not before.strip():
                return str(after.strip())
    return None

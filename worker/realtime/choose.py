"""The one place that knows which provider speaks which protocol: its codec, and how a connection is had.

Everything above asks here, and then works with `Codec`, `Capabilities` and `RealtimeConnection` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.realtime.base import Codec, Dial
from worker.realtime.connection import RealtimeConnection
from worker.realtime.events import RealtimeEvent
from worker.realtime.gemini import dial as gemini_dial
from worker.realtime.gemini.codec import GeminiCodec
from worker.realtime.openai import dial as openai_dial
from worker.realtime.openai.codec import OpenAICodec
from worker.realtime.provider import Provider

__all__ = ["Connect", "codec_for", "connection_for", "prepare"]

Connect = Callable[..., RealtimeConnection]
"""What `connection_for` is; another one stands in its place in scenes."""


@dataclass(frozen=True, slots=True)
class _Protocol:
    codec: Callable[[Provider], Codec]
    dial: Dial
    prepare: Callable[[Provider], None]


_PROTOCOLS: Mapping[str, _Protocol] = {
    "openai": _Protocol(
        lambda provider: OpenAICodec(
            note_role=provider.dialect.note_role,
            placeholders=provider.tool_calls == "placeholder",
            flat_turn_detection=provider.dialect.flat_turn_detection,
        ),
        openai_dial.dial,
        openai_dial.prepare,
    ),
    "gemini": _Protocol(
        lambda provider: GeminiCodec(gemini_dial.model_path(provider)), gemini_dial.dial, gemini_dial.prepare
    ),
}


def codec_for(provider: Provider) -> Codec:
    """Return a new codec for one connection to this provider."""
    return _PROTOCOLS[provider.dialect.protocol].codec(provider)


def connection_for(
    provider: Provider, codec: Codec, on_event: Callable[[RealtimeEvent], None], **options: Any
) -> RealtimeConnection:
    """Return a connection to this provider; see `RealtimeConnection` for the options."""
    return RealtimeConnection(provider, codec, on_event, _PROTOCOLS[provider.dialect.protocol].dial, **options)


def prepare(provider: Provider) -> None:
    """Make what all connections to a provider share. Takes some 100 ms: do it at start, not in a call."""
    _PROTOCOLS[provider.dialect.protocol].prepare(provider)

"""A call's link to its provider: one realtime session after another, with the conversation carried over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog

from worker.realtime.base import (
    AudioFormat,
    Codec,
    ConnectionLost,
    Frame,
    RealtimeEvent,
    RealtimeRefused,
    SessionConfig,
    SessionReady,
)
from worker.realtime.connection import Provider, RealtimeConnection, reconnect_delays
from worker.realtime.openai import OpenAICodec

__all__ = ["Link"]

log = structlog.get_logger(__name__)

OPEN_S = 6.0
"""A provider that has not begun a session by then is tried again."""


class Link:
    """Keeps a session open for one call. Lost sessions are replaced: whole settings, then what `replay` gives."""

    def __init__(self, provider: Provider, config: SessionConfig, call_id: str) -> None:
        self.codec: Codec = OpenAICodec()
        self._config = config
        self._call_id = call_id
        self._connection = RealtimeConnection(provider, self.codec, self._take, call_id=call_id)
        self._on_event: Callable[[RealtimeEvent], None] = lambda event: None
        self._replay: Callable[[], list[Frame]] = list
        self._on_gone: Callable[[str], None] = lambda reason: None
        self._had_session = False
        self._closed = False
        self._reconnecting: asyncio.Task[None] | None = None

    @property
    def input_format(self) -> AudioFormat:
        """What `append` takes."""
        return self._config.input_format

    @property
    def output_format(self) -> AudioFormat:
        """What comes in AudioDelta events."""
        return self._config.output_format

    def attach(
        self,
        on_event: Callable[[RealtimeEvent], None],
        replay: Callable[[], list[Frame]],
        on_gone: Callable[[str], None],
    ) -> None:
        """Say who gets the events, what a new session is told first, and who hears that none can be had."""
        self._on_event, self._replay, self._on_gone = on_event, replay, on_gone

    async def open(self) -> None:
        """Try until there is a session, or none can be had: then `on_gone` is called. Returns either way."""
        reason = "the provider could not be reached"
        for delay in reconnect_delays(random.random()):
            await asyncio.sleep(delay)
            try:
                await self._connection.open(self._config, timeout_s=OPEN_S)
            except RealtimeRefused as refused:
                reason = str(refused)
                log.warning("realtime_refused", call_id=self._call_id, reason=reason, fatal=refused.fatal)
                if refused.fatal:
                    break
            else:
                return
        if not self._closed:
            self._on_gone(reason)

    def append(self, audio: bytes) -> None:
        """Send audio of the caller; without a session it is dropped."""
        self._connection.append(audio)

    def send(self, frame: Frame) -> bool:
        """Send a frame; False when there is no session at the moment."""
        return self._connection.send(frame)

    async def close(self) -> None:
        """End the session for good."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        await self._connection.close()

    def recycle(self) -> None:
        """Replace the session by a new one, before the provider ends it. To be done between turns."""
        self._take(ConnectionLost(1000, "recycled before the provider's limit", False))

    def _take(self, event: RealtimeEvent) -> None:
        if isinstance(event, SessionReady):
            if self._had_session:
                for frame in self._replay():
                    self._connection.send(frame)
            self._had_session = True
        self._on_event(event)
        if isinstance(event, ConnectionLost) and not self._closed:
            if event.fatal:
                self._on_gone(f"realtime connection lost for good ({event.code} {event.reason})")
            elif self._reconnecting is None or self._reconnecting.done():
                self._reconnecting = asyncio.get_running_loop().create_task(self.open())

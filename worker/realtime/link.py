"""A call's link to its provider: one realtime session after another, with the conversation carried over."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from worker.realtime.base import Capabilities, Codec, Frame, RealtimeRefused, SessionConfig
from worker.realtime.choose import Connect, codec_for, connection_for
from worker.realtime.connection import reconnect_delays
from worker.realtime.ears import Ears, Edge
from worker.realtime.events import RECYCLED, ConnectionLost, RealtimeEvent, SessionReady, SpeechStarted, SpeechStopped
from worker.realtime.formats import G711, RATE_HZ, AudioFormat
from worker.realtime.lifetime import Lifetime
from worker.realtime.provider import Provider

__all__ = ["Link", "plain_formats"]

log = structlog.get_logger(__name__)

OPEN_S = 6.0
"""A provider that has not begun a session by then is tried again."""
ATTEMPTS, MORE_ATTEMPTS = 6, 8
"""To begin the first session (within 8 s), and to replace one (within 16 s: a local server is back after 2 to 6)."""
STALLED_S = 1.0
"""A line that speech came from, and of which no audio comes for so long, has fallen silent."""
SHORT_S = 10.0
"""A session that is lost sooner counts as one more failed attempt: the next ones wait longer, and they run out."""


def plain_formats(can: Capabilities) -> tuple[AudioFormat, AudioFormat]:
    """Return the formats that a provider would rather have, of what we send and of what we receive."""
    return can.input_formats[0], can.output_formats[0]


class Link:
    """Keeps a session open for one call. Lost sessions are replaced: whole settings, then what `replay` gives."""

    def __init__(
        self,
        provider: Provider,
        config: SessionConfig,
        call_id: str,
        connect: Connect = connection_for,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.codec: Codec = codec_for(provider)
        self._clock = clock
        self._dialect = provider.dialect
        self._life: Lifetime | None = None
        self._ears: Ears | None = None
        """Ours, where the provider has none; new with each session, whose audio they count."""
        self._heard = 0.0
        self._speeches = 0
        self._config = config
        self._told = config
        self._formats = (config.input_format, config.output_format)
        self._call_id = call_id
        self._connection = connect(provider, self.codec, lambda event: None, call_id=call_id)
        self._connection.on_ready, self._connection.on_lost = self._ready, self._lost
        self._replay: Callable[[], list[Frame]] = list
        self._on_gone: Callable[[str], None] = lambda reason: None
        self._closed = False
        self._began = 0.0
        self._short = 0
        self._reconnecting: asyncio.Task[None] | None = None

    @property
    def input_format(self) -> AudioFormat:
        """What `append` takes."""
        return self._formats[0]

    @property
    def output_format(self) -> AudioFormat:
        """What comes in AudioDelta events."""
        return self._formats[1]

    def use_formats(self, sent: AudioFormat, received: AudioFormat) -> None:
        """Ask for these formats in place of the configuration's; to be called before `open`."""
        self._formats = (sent, received)

    def attach(
        self,
        on_event: Callable[[RealtimeEvent], None],
        replay: Callable[[], list[Frame]],
        on_gone: Callable[[str], None],
    ) -> None:
        """Say who gets the events, what a new session is told first, and who hears that none can be had."""
        self._connection.on_event, self._replay, self._on_gone = on_event, replay, on_gone

    def configure(self, config: SessionConfig) -> None:
        """Use these settings from now on: a session that is up is told, one that is to come begins with them.

        But for the audio formats, which stay as they were confirmed.
        """
        self._config = config
        if self._connection.is_open:
            self._tell(config)

    async def open(self) -> None:
        """Try until there is a session, or none can be had: then `on_gone` is called. Returns either way."""
        reason = "the provider ended every session soon after it began"
        # A caller who has heard nothing yet is not kept waiting; one in mid call hears fillers, and has more to lose.
        attempts = MORE_ATTEMPTS if self._began else ATTEMPTS
        for delay in reconnect_delays(random.random(), attempts=attempts)[self._short :]:
            await asyncio.sleep(delay)
            if self._closed:
                return
            self._told = self._config
            try:
                await self._begin()
            except RealtimeRefused as refused:
                if self._closed:
                    return
                reason = str(refused)
                log.warning("realtime_refused", call_id=self._call_id, reason=reason, fatal=refused.fatal)
                if refused.fatal:
                    break
            except Exception as error:  # a fault of ours, or settings that can't be sent
                reason = f"the session's settings can't be sent: {error}"
                log.exception("realtime_open_failed", call_id=self._call_id)
                break
            else:
                if self._connection.is_open:
                    return
        if not self._closed:
            self._on_gone(reason)

    async def _begin(self) -> None:
        """Open a session; in PCM, where G.711 can't be had. Raises RealtimeRefused."""
        try:
            await self._connection.open(self._in_formats(self._config), timeout_s=OPEN_S)
        except RealtimeRefused as refused:
            if self._closed or not (refused.settings and set(G711) & set(self._formats)):
                raise
            log.warning("realtime_audio_refused", call_id=self._call_id, asked=self._formats, reason=str(refused))
            self._formats = plain_formats(self.codec.capabilities)
            await self._connection.open(self._in_formats(self._config), timeout_s=OPEN_S)

    def _in_formats(self, config: SessionConfig) -> SessionConfig:
        return replace(config, input_format=self._formats[0], output_format=self._formats[1])

    def append(self, audio: bytes) -> None:
        """Send audio of the caller; without a session it is dropped. To a provider without ears only speech is sent."""
        if self._ears is None:
            self._connection.append(audio)
        elif self._connection.is_open:
            self._heard = self._clock()
            for one in self._ears.hear(audio):
                if isinstance(one, Edge):
                    self._edge(one)
                else:
                    self._connection.append(one)

    def look(self) -> None:
        """Once a second: a caller of whom no audio comes any more has spoken."""
        if self._ears is not None and self._ears.speaking and self._clock() - self._heard > STALLED_S:
            edge = self._ears.stop()
            if edge is not None:
                self._edge(edge)

    def _edge(self, edge: Edge) -> None:
        """Our ears heard the caller begin or end: the provider is told of it, and whoever is told by others' ears."""
        if edge.started:
            self._speeches += 1
            item_id = f"caller_{self._speeches}"
            self._connection.send(self.codec.activity_started(item_id))
            self._connection.on_event(SpeechStarted(item_id, edge.at_ms))
        else:
            self._connection.send(self.codec.activity_ended())
            self._connection.on_event(SpeechStopped(f"caller_{self._speeches}", edge.at_ms))

    def send(self, frames: list[Frame]) -> bool:
        """Send frames; False when there is no session at the moment."""
        return self._connection.send(frames)

    async def close(self) -> None:
        """End the session for good."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        await self._connection.close()

    def recycle(self, reason: str = RECYCLED) -> None:
        """Replace the session by a new one: before the provider ends it, between turns; or as it is of no use."""
        self._connection.give_up(reason)

    def probe(self) -> None:
        """Find out whether the provider is there at all; a session that shows no sign of life is lost."""
        self._connection.probe(self._dialect.probe_s)

    def going_away(self, left_s: float) -> None:
        """The provider ends the session in so many seconds."""
        if self._life is not None:
            self._life.going_away(self._clock(), left_s)

    def outlived(self, *, idle: bool, quiet: bool) -> bool:
        """Whether the session is to be recycled now: it ends soon, or goes by settings that can't be changed in it.

        idle: between turns, with nothing open. quiet: nobody speaks.
        """
        if self._life is None or not self._connection.is_open:
            return False
        outdated = self._told is not self._config
        return (outdated and idle) or self._life.over(self._clock(), idle=idle, quiet=quiet)

    def _tell(self, config: SessionConfig) -> None:
        if not self.codec.capabilities.updates:
            return
        self._told = config
        self._connection.send(self.codec.session_update(self._in_formats(config)))

    def _ready(self, event: SessionReady) -> None:
        self._began = self._clock()
        self._life = Lifetime(self._began, self._dialect.recycle_s, self._dialect.max_session_s)
        self._confirmed((event.input_format, event.output_format))
        self._ears = None if self.codec.capabilities.ears else Ears(RATE_HZ[event.input_format])
        if self._told is not self._config:  # they changed while the session began
            self._tell(self._config)
        if not event.resumed:
            self._connection.send(self._replay())

    def _confirmed(self, formats: tuple[AudioFormat, AudioFormat]) -> None:
        if formats != self._formats:
            log.warning("realtime_audio_other", call_id=self._call_id, asked=self._formats, confirmed=formats)
        self._formats = formats

    def _lost(self, event: ConnectionLost) -> None:
        if self._closed:
            return
        self._short = self._short + 1 if self._clock() - self._began < SHORT_S else 0
        if event.fatal:
            self._on_gone(f"realtime connection lost for good ({event.code} {event.reason})")
        elif self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.get_running_loop().create_task(self.open())

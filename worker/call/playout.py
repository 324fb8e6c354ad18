"""What the caller hears: items queued for playout, their edges, and where they were cut off."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from telephony.bridge import Bridge
from worker.call.sounds import soft_tone
from worker.records.record import Who
from worker.records.recorder import Recorder
from worker.turns.machine import TONE

__all__ = ["Cut", "Playout"]

PROMPT = "prompt"
"""Item id of a recorded prompt."""
PAUSE_MS = 240
"""Silence between a filler and the answer that follows it: two sentences, and not one breath. Whole frames."""
PAUSE = "pause:"
"""Item ids of these pauses begin so, and end with the item that they precede."""
REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Cut:
    """An item of the agent's that was flushed before its end. All in ms of the item's own audio."""

    item_id: str
    heard_ms: int
    """How much of it was sent to the caller, by the playout clock."""
    received_ms: int
    """How much of it the provider had sent."""


class Playout:
    """One call's playout: wraps the bridge, names who speaks, and writes the turns of the record."""

    def __init__(self, bridge: Bridge, recorder: Recorder) -> None:
        self._bridge = bridge
        self._recorder = recorder
        self._voices: dict[str, Who] = {}
        self._order: deque[str] = deque()
        self._now_playing: str | None = None
        self._told: str | None = None
        """What the machine takes for playing: from the first audio of an item on, and a tone at once."""
        self._tones = 0
        self._filler: str | None = None
        """The last voice that was queued, if it is a filler's."""
        self._filler_ended_ms: int | None = None
        """When the last of it was sent, by the playout clock; None while it is still to be sent."""
        self._paused = False

    @property
    def playing(self) -> str | None:
        """The item that is being sent now, by the machine's names; None when nothing is left to send."""
        return self._now_playing

    def known(self, item_id: str) -> bool:
        """Whether some of this item's audio was queued already."""
        return item_id in self._voices

    def play(self, item_id: str, pcm: bytes, who: Who) -> bool:
        """Queue audio of an item (16-bit PCM at the bridge's rate). True if it is the item's first.

        The agent's first words after a filler come after a pause, which is no part of their item.
        """
        first = item_id not in self._voices
        if first:
            if who == "agent":
                self._pause_before(item_id)
            self._filler, self._filler_ended_ms = item_id if who == "filler" else None, None
            self._remember(item_id, who)
            if self._told in (None, TONE):
                self._told = item_id
        self._bridge.play(item_id, pcm)
        return first

    def play_tone(self) -> None:
        """Queue the soft tone."""
        self._tones += 1
        self._told = TONE
        item_id = f"{TONE}:{self._tones}"
        self._bridge.play(item_id, soft_tone(self._bridge.rate_hz))
        self._bridge.end_item(item_id)

    def play_words(self, item_id: str, pcm: bytes, text: str) -> None:
        """Queue words of ours, as a filler's; to the machine they are heard at once."""
        self._recorder.turn_text(item_id, text)
        self.play(item_id, pcm, "filler")
        self._told = item_id
        self._bridge.end_item(item_id)

    def play_prompt(self, pcm: bytes, text: str) -> None:
        """Queue a recorded prompt; what was queued before it is dropped."""
        self._bridge.flush()
        self._paused = False
        self._recorder.turn_text(PROMPT, text)
        self.play(PROMPT, pcm, "agent")
        self._bridge.end_item(PROMPT)

    def end_item(self, item_id: str) -> None:
        """No more audio comes for this item."""
        self._bridge.end_item(item_id)

    def poll(self, now: float) -> tuple[bool, str | None]:
        """Return which item is being sent, and whether the machine doesn't know of it; writes the turns' edges.

        An item whose audio came to nothing (too little for a frame, or refused) is so taken back.
        """
        if self._paused:
            return False, self._told  # as it was: nothing is sent
        item_id = self._bridge.playing()
        if item_id is not None and item_id.startswith(TONE + ":"):
            item_id = TONE
        pausing = item_id is not None and item_id.startswith(PAUSE)
        sounding = None if pausing else item_id
        if sounding != self._now_playing:
            self._move(sounding, now)
        if item_id is not None and pausing:
            item_id = item_id.removeprefix(PAUSE)  # to the machine the voice behind it has the word already
        if item_id == TONE:
            return False, item_id  # the machine knows, and may know already of the voice behind it
        changed, self._told = item_id != self._told, item_id
        return changed, item_id

    def pause(self, now: float) -> int:
        """Fall silent within a frame, and keep what was not sent; returns the heard ms of what was being sent."""
        self._bridge.pause(True)
        self._paused = True
        if self._now_playing is None:
            return 0
        self._recorder.sound_ended(now * 1000, self._now_playing)
        return self._bridge.heard_ms(self._now_playing)

    def resume(self, now: float) -> None:
        """Go on where it was paused."""
        self._bridge.pause(False)
        self._paused = False
        if self._now_playing is not None:
            self._recorder.sound_started(now * 1000, self._now_playing)

    def flush(self, now: float) -> list[Cut]:
        """Drop everything that was not sent yet; returns the provider's items that were cut, in order."""
        cuts = [
            Cut(flushed.item_id, flushed.heard_ms, flushed.received_ms)
            for flushed in self._bridge.flush()
            if flushed.item_id in self._voices and not flushed.complete
        ]
        self._paused = False
        self._move(None, now)
        self._told = self._filler = None
        return cuts

    def who(self, item_id: str) -> Who | None:
        """Whose voice an item is; None for one that was never played."""
        return self._voices.get(item_id)

    def _move(self, item_id: str | None, now: float) -> None:
        now_ms = now * 1000
        before, self._now_playing = self._now_playing, item_id
        if self._filler is not None and self._filler in (before, item_id):
            self._filler_ended_ms = self._bridge.clock_ms if before == self._filler else None
        if item_id == TONE:
            self._recorder.sound_started(now_ms, TONE)
        elif item_id is not None:
            who = self._voices.get(item_id, "agent")
            self._recorder.turn_started(now_ms, who, item_id)
            if who == "filler":
                self._recorder.filler_spoken()
        if before == TONE:
            self._recorder.sound_ended(now_ms, TONE)
        elif before is not None:
            self._recorder.turn_ended(now_ms, before)

    def _pause_before(self, item_id: str) -> None:
        """Queue what is left of the pause after the filler that was the last voice, if it was one."""
        if self._filler is None:
            return
        ended_ms = self._filler_ended_ms
        left_ms = PAUSE_MS if ended_ms is None else PAUSE_MS - (self._bridge.clock_ms - ended_ms)
        if left_ms > 0:
            key = PAUSE + item_id
            self._bridge.play(key, bytes(self._bridge.frame_bytes * -(-left_ms // self._bridge.ptime_ms)))
            self._bridge.end_item(key)

    def _remember(self, item_id: str, who: Who) -> None:
        self._voices[item_id] = who
        self._order.append(item_id)
        if len(self._order) > REMEMBERED:
            self._voices.pop(self._order.popleft(), None)

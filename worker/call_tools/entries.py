"""What callers type for tools alone: asked for by the turn machine, typed here, and given to the tool call.

While that goes on the session gets silence of the caller's line and no keys, and the recording is silent. A little
longer, too: of who types on after the end no key becomes a word to the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from tools.define.digits import Digits
from tools.define.spec import ToolSpec
from tools.tool_call.outcome import Outcome, failure
from worker.call_tools.entry_words import entry_question
from worker.call_tools.key_entry import Again, Entered, GivenUp, KeyEntry, Step
from worker.records.metrics import EntryOutcome
from worker.records.telemetry import Telemetry
from worker.turns.events import ApprovalAnswered, ApprovalAwaited, ApprovalEnded, CallerPressed

__all__ = ["DIGITS", "Enter", "Entries", "nobody_types"]

DIGITS: Final = "digits"
"""Why the recording is silent."""
ENTRY_S: Final = 180.0
"""All of it, with the time that it takes to ask."""
TAIL_S: Final = 1.0
"""A key that is held sounds so long on the line after it was told."""
LATE_KEYS_S: Final = 4.0
"""Who types on after the end is so quick from key to key."""

Enter = Callable[[str, ToolSpec], Awaitable[Mapping[str, str] | Outcome]]
"""Has the caller type what a tool takes of them, for the tool call of this id."""


async def nobody_types(tool_call_id: str, spec: ToolSpec) -> Mapping[str, str] | Outcome:
    """Where there is no caller."""
    return failure("unavailable", "Nobody is there who could type it.", detail="nobody can type")


@dataclass(frozen=True, slots=True)
class _Nothing:
    """Nothing will be typed."""

    why: EntryOutcome


@dataclass(slots=True)
class _Open:
    """An entry that goes on. number: of its question, below 0."""

    tool_call_id: str
    name: str
    rules: Digits
    keys: KeyEntry
    number: int
    done: asyncio.Future[str | _Nothing]
    """What was typed."""


class Entries:
    """One call's. `feed` gives an event to the turn machine, which asks the caller. secret: gets whether what is on the
    line must not be kept.
    """

    def __init__(
        self, call: Telemetry, feed: Callable[[object], None], secret: Callable[[bool], None], language: str = "en"
    ) -> None:
        self._call = call
        self._feed = feed
        self._secret = secret
        self._language = language
        self._one_at_a_time = asyncio.Lock()
        self._open: _Open | None = None
        self._numbers = 0
        self._last_key = -inf
        self._covered = False
        self._hung_up = False

    # --- who wants them -----------------------------------------------------------------------------------------------

    async def enter(self, tool_call_id: str, spec: ToolSpec) -> Mapping[str, str] | Outcome:
        """Have the caller type all that a tool takes of them; else return what the tool call comes to."""
        typed: dict[str, str] = {}
        try:
            async with asyncio.timeout(ENTRY_S), self._one_at_a_time:
                for name, rules in spec.signature.digits.items():
                    value = await self._enter(tool_call_id, name, rules)
                    if isinstance(value, _Nothing):
                        return self._nothing(name, value.why)
                    typed[name] = value
        except TimeoutError:
            return self._nothing("it", "late")
        self._call.metrics.key_entries_total.labels("entered").inc()
        self._call.log.info("digits_entered", tool=spec.name, tool_call_id=tool_call_id)
        return typed

    async def _enter(self, tool_call_id: str, name: str, rules: Digits) -> str | _Nothing:
        if self._hung_up:
            return _Nothing("hung_up")
        done: asyncio.Future[str | _Nothing] = asyncio.get_running_loop().create_future()
        self._open = _Open(tool_call_id, name, rules, KeyEntry(rules), 0, done)
        self._cover()
        try:
            self._ask(self._open)
            return await done
        finally:
            one, self._open = self._open, None
            self._end_question(one)

    def _nothing(self, name: str, why: EntryOutcome) -> Outcome:
        self._call.metrics.key_entries_total.labels("hung_up" if self._hung_up else why).inc()
        if self._hung_up:
            return failure("cancelled", detail="the caller hung up before it was typed")
        what = name.replace("_", " ")
        words = f"The caller did not enter {what}: nothing was done. Ask whether they want to try once more."
        return failure("declined", words, detail=f"{name} was not typed")

    def _ask(self, one: _Open, again: Again | None = None) -> None:
        if not one.number:
            self._numbers += 1
            one.number = -self._numbers
        question = entry_question(one.name, one.rules, self._language, again.why if again else None)
        self._call.recorder.approval_asked(self._call.now_ms, one.number)  # the silence is the caller's
        self._feed(ApprovalAwaited(one.number, one.tool_call_id, question))

    def _end_question(self, one: _Open) -> None:
        if one.number:
            self._call.recorder.approval_left(self._call.now_ms, one.number)
            self._feed(ApprovalEnded(one.number, one.tool_call_id))
            one.number = 0

    # --- the line -----------------------------------------------------------------------------------------------------

    @property
    def covered(self) -> bool:
        """Whether nobody but the tool may have what is on the line."""
        return self._covered

    @property
    def due(self) -> float:
        """When something of this is due (s)."""
        if self._open is not None:
            return self._open.keys.due
        return self._last_key + TAIL_S if self._covered else inf

    def takes(self, now: float) -> bool:
        """Whether a key that is pressed now belongs to a tool, or comes too late for it: no word to the model."""
        return self._open is not None or now - self._last_key < LATE_KEYS_S

    def key(self, key: str, now: float) -> None:
        """Take a key."""
        self._last_key = now
        self._cover()
        one = self._open
        if one is None or one.done.done():
            return
        self._feed(CallerPressed(""))  # who types has heard enough of the question
        self._step(one, one.keys.key(key, now))

    def poll(self, now: float, *, heard: bool) -> None:
        """Look at the time. heard: the caller has heard what they are asked."""
        one = self._open
        if one is None:
            if self._covered and now >= self._last_key + TAIL_S:
                self._covered = False
                self._secret(False)
            return
        if heard and not one.done.done():
            one.keys.heard(now)
            self._step(one, one.keys.poll(now))

    def _step(self, one: _Open, step: Step | None) -> None:
        if isinstance(step, Entered):
            one.done.set_result(step.value)
        elif isinstance(step, Again):
            self._call.log.info("digits_asked_again", tool_call_id=one.tool_call_id, why=step.why)
            self._ask(one, step)
        elif isinstance(step, GivenUp):
            self._call.log.info("digits_given_up", tool_call_id=one.tool_call_id, why=step.why)
            one.done.set_result(_Nothing(step.why))

    def _cover(self) -> None:
        if not self._covered:
            self._covered = True
            self._secret(True)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def unasked(self, command: ApprovalAnswered) -> None:
        """The caller can't be asked, or the call ends."""
        one = self._open
        if one is not None and one.number == command.number and not one.done.done():
            self._call.log.warning("digits_not_asked_for", tool_call_id=one.tool_call_id, why=command.why)
            one.done.set_result(_Nothing("not_asked"))

    def withdraw(self, tool_call_id: str) -> bool:
        """The tool call is not wanted any more. False where it does not wait here."""
        one = self._open
        if one is None or one.tool_call_id != tool_call_id or one.done.done():
            return False
        one.done.set_result(_Nothing("withdrawn"))
        return True

    def end(self) -> None:
        """The caller has hung up."""
        self._hung_up = True
        if self._open is not None and not self._open.done.done():
            self._open.done.set_result(_Nothing("hung_up"))

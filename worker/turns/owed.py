"""Which responses are owed: wanted, asked for, and asked for again when they were not said. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.turns.events import Purpose, RequestResponse

__all__ = ["FAILURES_IN_A_ROW", "RETRY_S", "Owed", "say_exactly"]

FAILURES_IN_A_ROW = 3
"""So many failed responses in a row, and the provider can't speak any more."""
RETRY_S = 0.7
"""Pause before a failed response is asked for again, times the failures so far."""


def say_exactly(text: str) -> str:
    """Instructions that make a model (and the local server) say this text and nothing else."""
    return f"Say exactly: {text}"


@dataclass(slots=True)
class Owed:
    """The responses that are owed to a caller, each purpose once, in the order in which they came up."""

    _wanted: dict[Purpose, str | None] = field(default_factory=dict)
    _asked: tuple[Purpose, str | None] | None = None
    """What was asked for and has not ended; None where the server answers by itself, or nothing is to come."""
    _not_before: float = 0.0
    _failures: int = 0

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def __contains__(self, purpose: Purpose) -> bool:
        return purpose in self._wanted

    @property
    def asked(self) -> bool:
        """Whether the response that is to come was asked for by us, and is wanted still."""
        return self._asked is not None

    @property
    def asked_for(self) -> Purpose | None:
        """What the response that is to come was asked for; None for a server's own."""
        return None if self._asked is None else self._asked[0]

    def want(self, purpose: Purpose, text: str | None = None) -> None:
        """A response for this purpose is owed; with `text` it says that and nothing else."""
        self._wanted[purpose] = None if text is None else say_exactly(text)

    def want_first(self, purpose: Purpose, text: str) -> None:
        """The same, before whatever else is owed."""
        self._wanted = {purpose: say_exactly(text), **self._wanted}

    def drop(self, *purposes: Purpose) -> None:
        """Nothing is owed for these any more, nor will be if they were asked for and don't come."""
        for purpose in purposes:
            self._wanted.pop(purpose, None)
        if self._asked is not None and self._asked[0] in purposes:
            self._asked = None

    def want_again(self) -> None:
        """What was asked for last was not said: it is owed still."""
        purpose, instructions = self._asked or (Purpose.RESUME, None)
        self._wanted[purpose] = instructions

    def server_answers(self) -> None:
        """The next response is the server's own answer to the caller's turn."""
        self._asked = None

    def failed(self, now: float) -> bool:
        """A response failed and is owed still, after a pause. False: so many did that none will come."""
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            return False
        self.want_again()
        self._not_before = now + RETRY_S * self._failures
        return True

    def wait(self, until: float) -> None:
        """The provider says how long to wait: what was asked for is owed still, and asked for again then (s)."""
        self.want_again()
        self._not_before = until

    def came(self, purpose: str) -> None:
        """A response that was refused has come all the same: it is not owed once more."""
        found = next((one for one in self._wanted if one == purpose), None)
        if found is not None and (self._asked is None or self._asked[0] is found):
            self._asked = (found, self._wanted.pop(found))
            self._failures = max(0, self._failures - 1)

    def succeeded(self) -> None:
        """A response did not fail: the provider can speak."""
        self._failures = 0

    def ended(self) -> None:
        """What was asked for has ended, said or interrupted: it is not said again for what happens later."""
        self._asked = None

    def take(self, now: float, *, only: Purpose | None = None) -> RequestResponse | None:
        """Take what is to be asked for now: a goodbye before all else; `only` that purpose, if it is given."""
        if not self._wanted or now < self._not_before or (only is not None and only not in self._wanted):
            return None
        # What the caller has just asked comes before what is owed from earlier: a model may answer that alone.
        first = (Purpose.GOODBYE, Purpose.GREETING, Purpose.APPROVAL, Purpose.RESUME)
        purpose = only or next((one for one in first if one in self._wanted), next(iter(self._wanted)))
        self._asked = (purpose, self._wanted.pop(purpose))
        return RequestResponse(*self._asked)

    def wake(self, now: float) -> float | None:
        """When the pause after a failure is over (s); None where there is none to wait for."""
        return self._not_before if self._wanted and self._not_before > now else None

"""How often something may be done: so many times at once, then at a rate. Pure; time is a parameter (s)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Budget"]


@dataclass(slots=True)
class Budget:
    """At most `times` within any `seconds`."""

    times: int
    seconds: float
    _spent: deque[float] = field(default_factory=deque)

    def free_at(self, now: float) -> float:
        """When the next is allowed (s): now or before, where it is so already."""
        return now if len(self._spent) < self.times else self._spent[0] + self.seconds

    def spend(self, now: float) -> bool:
        """Do it once; False where that is too often."""
        if self.free_at(now) > now:
            return False
        self._spent.append(now)
        if len(self._spent) > self.times:
            self._spent.popleft()
        return True

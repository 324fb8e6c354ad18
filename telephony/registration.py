"""When to try to REGISTER again. Pure: the time is given, the library refreshes what succeeded by itself."""

from __future__ import annotations


class Backoff:
    """Doubling waits between `first_s` and `longest_s`, back to the first after a success."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self.first_s = first_s
        self.longest_s = longest_s
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; returns the seconds to wait before the next try."""
        wait = min(self.longest_s, self.first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return wait

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failures = 0

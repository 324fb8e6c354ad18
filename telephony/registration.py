"""When to REGISTER again, after a success and after a failure. Pure."""

from __future__ import annotations

LAST_S = 30.0
"""A refresh comes this long before the end of what was granted: time for tries that fail."""


def refresh_after(granted_s: int) -> float:
    """Seconds from an answer to the refresh of a registration of that lifetime: after half of it, where it is short."""
    return max(0.5, granted_s - min(LAST_S, granted_s / 2))


LONGEST_RETRY_AFTER_S = 3600.0
"""A registrar may ask for more: then it is asked sooner, since nobody could call meanwhile."""


def retry_after(wait_s: float, asked_s: int | None) -> float:
    """Seconds to the next try: our own wait, or the registrar's Retry-After where that is longer."""
    return wait_s if asked_s is None else max(wait_s, min(float(asked_s), LONGEST_RETRY_AFTER_S))


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

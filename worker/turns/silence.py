"""What happens when the caller says nothing: prompts, then a polite end. Pure; time is a parameter (s)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Patience", "SilenceConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceConfig:
    """How long the agent waits for a silent caller, and what it says then."""

    seconds: float | None = None
    """Silence before each prompt, and before the end; None waits for ever."""
    prompts: tuple[str, ...] = ("Are you still there?",)
    """What is asked, one after the other."""


@dataclass(slots=True)
class Patience:
    """Counts one call's prompts; any word or digit of the caller's begins anew."""

    config: SilenceConfig
    _asked: int = 0

    def heard(self) -> None:
        """The caller said or typed something."""
        self._asked = 0

    def due(self, silent_since: float) -> float | None:
        """When the next prompt, or the end, is due (s); None for never."""
        return None if self.config.seconds is None else silent_since + self.config.seconds

    def ask(self) -> str | None:
        """The next prompt; None when the last was said: then the call ends."""
        if self._asked >= len(self.config.prompts):
            return None
        self._asked += 1
        return self.config.prompts[self._asked - 1]

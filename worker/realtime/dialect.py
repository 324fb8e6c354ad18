"""What differs between services, as data: one value for each, and no ifs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["OPENAI", "Dialect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a service speaks its protocol, and how long it takes for what."""

    protocol: Literal["openai"]
    """Which codec and which way of connecting (`worker.realtime.choose`)."""
    ping_s: float | None
    """WebSocket pings go out so often (s); None: none do."""
    pong_s: float | None
    """A connection whose ping has no answer after so long (s) is dead; None: it is never taken for that."""
    max_session_s: float | None
    """The service ends a session after so many seconds; None: it doesn't."""
    transcriber: str | None
    """The model that writes down the caller's words, where the agent file names no other; None: none need be named."""
    note_role: Literal["system", "user"]
    """The role of a message that is ours and nobody's words."""
    fatal_codes: frozenset[str]
    """Error codes after which no session with the same settings will work. All others leave hope."""
    fatal_closes: frozenset[int]
    """WebSocket close codes of the same meaning."""


OPENAI: Final = Dialect(
    protocol="openai",
    # A dead line is noticed after both: a caller does not wait longer in silence.
    ping_s=10.0,
    pong_s=10.0,
    max_session_s=3600.0,
    transcriber="gpt-4o-mini-transcribe",
    note_role="system",
    fatal_codes=frozenset(
        {
            "account_deactivated",
            "beta_api_shape_disabled",
            "billing_hard_limit_reached",
            "billing_not_active",
            "format_mismatch",
            "insufficient_quota",
            "invalid_api_key",
            "invalid_model",
            "model_not_found",
            "unsupported_model",
        }
    ),
    fatal_closes=frozenset({3000, 3003, 4000}),  # unauthorised and forbidden (IANA); the beta's shape (OpenAI)
)
"""OpenAI's service, and those that do as it does."""

"""What differs between services, as data: one value for each, and no ifs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

__all__ = ["GEMINI", "OPENAI", "VERTEX", "XAI", "Dialect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a service speaks its protocol, and how long it takes for what."""

    protocol: Literal["openai", "gemini"]
    """Which codec and which way of connecting (`worker.realtime.choose`)."""
    service: str = ""
    """Which of a protocol's services it is, where they have URLs of their own."""
    ping_s: float | None
    """WebSocket pings go out so often (s); None: none do."""
    pong_s: float | None
    """A connection whose ping has no answer after so long (s) is dead; None: it is never taken for that."""
    probe_s: float | None
    """The same of a ping that goes out where a caller has spoken and the service said nothing; None: none does."""
    max_session_s: float | None
    """The service ends a session after so many seconds; None: it doesn't."""
    recycle_s: float | None
    """A session as old as this is replaced at the next quiet moment; None: never."""
    transcriber: str | None
    """The model that writes down the caller's words, where the agent file names no other; None: none need be named."""
    note_role: Literal["system", "user"]
    """The role of a message that is ours and nobody's words."""
    fatal_codes: frozenset[str]
    """Error codes after which no session with the same settings will work. All others leave hope."""
    fatal_closes: frozenset[int]
    """WebSocket close codes of the same meaning."""
    refusing_closes: frozenset[int] = frozenset()
    """WebSocket close codes that mean the same before a session has begun, and not after it."""
    refusing_reasons: tuple[str, ...] = ()
    """How the reason of such a close begins, whatever its code."""
    flat_turn_detection: bool = False
    """`turn_detection` stands in the session itself, and not with its audio's input."""


OPENAI: Final = Dialect(
    protocol="openai",
    # A dead line is noticed after both: a caller does not wait longer in silence.
    ping_s=10.0,
    pong_s=10.0,
    probe_s=3.0,
    max_session_s=3600.0,
    recycle_s=3300.0,
    transcriber="gpt-transcribe",
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
    refusing_reasons=("400:", "401:", "403:", "404:"),  # LiteLLM closes with 1011 and an HTTP status in the reason
)
"""OpenAI's service, and those that do as it does."""

XAI: Final = replace(OPENAI, transcriber=None, flat_turn_detection=True)
"""xAI's voice service: OpenAI's protocol, with small differences. Sessions of an hour, too."""

GEMINI: Final = Dialect(
    protocol="gemini",
    service="gemini",
    # Its pongs take 8 to 30 s, by its users: a shorter bound would cut healthy calls.
    ping_s=15.0,
    pong_s=40.0,
    probe_s=None,  # and it has no ears: what it owes after our own has a bound
    max_session_s=600.0,  # a connection's; it says so a minute before
    recycle_s=480.0,
    transcriber=None,
    note_role="user",
    fatal_codes=frozenset(
        {
            "API key not valid",
            "API_KEY_INVALID",
            "PERMISSION_DENIED",
            "billing",
            "is not found for API version",
            "is not supported for bidiGenerateContent",
        }
    ),
    fatal_closes=frozenset(),
    refusing_closes=frozenset({1007, 1008}),  # invalid settings or key; unknown model, or no right to it
)
"""Gemini's Live API with a key of AI Studio."""

VERTEX: Final = replace(GEMINI, service="vertex")
"""The same with a Google Cloud project's credentials."""

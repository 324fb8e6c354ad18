"""What the models of the Live API can do: one table, by the beginning of their names. Pure.

By the service's documentation, and by what its users report of it; the newest of a family stands first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.realtime.base import Capabilities

__all__ = ["DEFAULT_MODEL", "MODELS", "Traits", "capabilities", "traits_of"]

DEFAULT_MODEL: Final = "gemini-3.8-live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One family of models."""

    prefix: str
    """How their names begin."""
    schedules: bool
    """Tool calls may be NON_BLOCKING, and each answer says when it is told. False: mute until a call is answered."""
    takes_content: bool
    """Takes `clientContent` in mid session. False: that closes it (1007); `realtimeInput.text` is taken."""
    updates: bool
    """Takes `contextUpdate`: instructions and tools may change within a session."""


MODELS: Final = (
    Traits(prefix="gemini-3.1-flash-live", schedules=False, takes_content=False, updates=False),
    Traits(prefix="gemini-2.5-flash-native-audio", schedules=True, takes_content=True, updates=False),
    Traits(prefix="gemini-live-2.5-flash", schedules=True, takes_content=True, updates=False),  # Vertex AI's name of it
    Traits(prefix="gemini-3.8-live", schedules=True, takes_content=True, updates=True),
)
"""The first whose prefix fits."""
NEWER: Final = MODELS[-1]
"""What a model is taken for that is not in the table: it will be a later one."""


def traits_of(model: str) -> Traits:
    """Return the traits of a model, by its plain name or by its path (`models/...`, `projects/.../models/...`)."""
    name = model.rpartition("/")[2]
    return next((traits for traits in MODELS if name.startswith(traits.prefix)), NEWER)


def capabilities(traits: Traits) -> Capabilities:
    """Return what the session is told of such a model."""
    return Capabilities(
        input_formats=("pcm16k",),
        output_formats=("pcm24k",),
        truncate=False,
        out_of_band=False,
        talks_while_call_pending=traits.schedules,
        cancel=False,
        ears=False,
        leaves_turns=False,
        acknowledges=False,
        updates=traits.updates,
    )

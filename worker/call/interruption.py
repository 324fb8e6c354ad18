"""Whether an agent's barge-ins may be withdrawn (`interruption = "reversible"`), and what is asked of its session.

The provider must leave the caller's speech to us: neither cancel its response at the first sound nor answer every turn.
OpenAI's protocol has both as options of a session's turn_detection (`interrupt_response`, `create_response`). Gemini
has a client interrupt it with every activity that it is told of, and answers each: with it interruptions stay exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.agent.agent import Agent
from worker.realtime.base import SERVER_VAD, Capabilities

__all__ = ["hindrance", "reversible", "turn_detection"]

BY_ITSELF = ("create_response", "interrupt_response")
"""What a server does by itself around the caller's turns."""


def reversible(agent: Agent, can: Capabilities) -> bool:
    """Whether this agent's barge-ins may be withdrawn with such a provider."""
    return agent.interruption == "reversible" and not hindrance(agent, can)


def hindrance(agent: Agent, can: Capabilities) -> str:
    """Return why they may not, whatever the agent file says of it; "" where nothing stands against it."""
    if not can.leaves_turns:
        return "this provider cancels and answers by itself at every sound of the caller's"
    if wanted := _asked_for(agent.provider):
        return f"[provider] has {' and '.join(wanted)} = true in its turn_detection"
    return ""


def turn_detection(agent: Agent) -> Mapping[str, Any]:
    """Return what a session of this agent is asked for; a provider that does not take it asks nobody."""
    if agent.interruption == "exact" or _asked_for(agent.provider):
        return dict(SERVER_VAD)
    return {**SERVER_VAD, **dict.fromkeys(BY_ITSELF, False)}


def _asked_for(options: Mapping[str, Any]) -> list[str]:
    """What of `BY_ITSELF` the provider's options ask for in so many words: they are sent as they are."""
    found: list[str] = []
    for way in (("turn_detection",), ("audio", "input", "turn_detection")):
        said: Any = options
        for key in way:
            said = said.get(key) if isinstance(said, Mapping) else None
        if isinstance(said, Mapping):
            found += [key for key in BY_ITSELF if said.get(key)]
    return found

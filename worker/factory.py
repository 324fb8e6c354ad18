"""Makes the session of a call out of the agent, the provider and what the worker shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from telephony.bridge import Bridge
from tools.catalog import Catalog
from worker.agent import Agent
from worker.fillers import FillerConfig
from worker.link import Link
from worker.patience import SilenceConfig
from worker.realtime.base import SessionConfig
from worker.realtime.connection import Provider
from worker.records import Recorder
from worker.session import CallInfo, CallSession, Services
from worker.tool_calls import CALL_FUNCTIONS
from worker.turns import END_CALL, TurnConfig, TurnMachine

__all__ = ["END_CALL_FUNCTION", "make_session", "session_config", "turn_config"]

TRANSCRIPTION_MODEL = "gpt-4o-mini-transcribe"
"""Writes down the caller's words where the agent file names no other (provider.audio.input.transcription.model)."""

END_CALL_FUNCTION: Mapping[str, Any] = {
    "type": "function",
    "name": END_CALL,
    "description": "Hang up. Call it once, after you have said goodbye; the caller hears your words to their end.",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
}


def make_session(
    info: CallInfo,
    agent: Agent,
    provider: Provider,
    bridge: Bridge,
    services: Services,
    hang_up: Callable[[str], None],
) -> CallSession:
    """Return the session of a new call; it starts nothing by itself."""
    link = Link(provider, session_config(agent, services.catalog), info.call_id)
    machine = TurnMachine(turn_config(agent, services.catalog))
    recorder = Recorder(info.call_id, services.clock() * 1000, info.caller, info.dialled)
    return CallSession(info, agent, bridge, link, machine, recorder, services, hang_up)


def session_config(agent: Agent, catalog: Catalog) -> SessionConfig:
    """Return what the provider is told of the agent."""
    functions: list[Mapping[str, Any]] = list(catalog.functions())
    if any(spec.queued for spec in catalog.specs()):
        functions += CALL_FUNCTIONS
    if agent.tools.end_call:
        functions.append(END_CALL_FUNCTION)
    return SessionConfig(
        instructions=agent.instructions,
        voice=agent.voice,
        tools=tuple(functions),
        language=agent.language.partition("-")[0].lower() or None,
        transcription_model=TRANSCRIPTION_MODEL,
        extra=agent.provider,
    )


def turn_config(agent: Agent, catalog: Catalog) -> TurnConfig:
    """Return what the turn machine is told of the agent."""
    specs = catalog.specs()
    fillers = FillerConfig(
        texts=agent.fillers.texts,
        grace_s=agent.fillers.grace_ms / 1000,
        interval_s=agent.fillers.interval_ms / 1000,
        tone=agent.fillers.tone,
        tool_texts={spec.name: spec.filler for spec in specs if spec.filler},
        tool_grace_s={spec.name: spec.grace_s for spec in specs if spec.grace_s is not None},
    )
    detection = _turn_detection(agent.provider)
    return TurnConfig(
        greeting=agent.greeting or None,
        goodbye=agent.goodbye,
        fillers=fillers,
        server_responds=bool(detection.get("create_response", True)),
        server_interrupts=bool(detection.get("interrupt_response", True)),
        silence=SilenceConfig(seconds=agent.limits.silence_seconds, prompts=agent.limits.silence_prompts),
    )


def _turn_detection(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The turn_detection of the agent's provider options (session.audio.input.turn_detection), {} where it has none."""
    found: Any = options
    for key in ("audio", "input", "turn_detection"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}

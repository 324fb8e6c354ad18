"""Makes the session of a call out of the agent, the provider and what the worker shares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tools.queue.store.late import LateResult
from worker.agent.agent_file import Agent
from worker.call.audio import session_format
from worker.call.config import session_config, tool_policy, turn_config
from worker.call.info import PhoneLine, Services
from worker.call.remote_servers import servers_of
from worker.call.session import CallSession, SessionTools
from worker.call.told import of_the_call
from worker.call_tools.hook import load_hook
from worker.call_tools.later import opening_words
from worker.call_tools.offer import Question, ToolOffer
from worker.call_tools.runs import CallTools
from worker.call_tools.view import CallView
from worker.realtime.base import SessionConfig
from worker.realtime.link import Link
from worker.records.prices import Tariff
from worker.records.telemetry import About, CallInfo, Telemetry
from worker.turns.machine import TurnMachine

__all__ = ["make_session", "opening"]

CALLED_BACK = """\
This is a call back: in an earlier call you promised this caller to call when the tool had ended that they waited for \
({what}). Whoever answers the telephone hears first: "{opening}" Tell them then what came of it; it stands below."""
"""Told to the model at the beginning of a call back."""


def make_session(
    info: CallInfo,
    agent: Agent,
    line: PhoneLine,
    services: Services,
    brings: LateResult | None = None,
    route: str | None = None,
) -> CallSession:
    """Return the session of a new call; it starts nothing by itself.

    route: how the agent was found, for the record. brings: what the caller is called back for; it is told after the
    opening, which stands in the greeting's place.
    """
    about = About(agent.name, route, services.provider.name, services.provider.model)
    tariff = _tariff(agent, services)
    call = Telemetry.of_call(info, services.metrics, services.clock, tariff, told=services.told, about=about)
    later = services.later.channels_for(agent.later.ways, info.shown, agent.later.call_back_to)
    tools = CallTools(services.catalog, CallView(services.catalog, tool_policy(agent)), services.usual, later)

    told = of_the_call(agent.tell, info)
    remote = servers_of(agent, services.remote)

    def configured() -> SessionConfig:
        transcriber = services.provider.dialect.transcriber
        return session_config(agent, tools.view.now, later, transcriber, told=told, remote=remote)

    link = _link(call, configured(), line.bridge.codec, services)
    offer = ToolOffer(tools.view, link, configured, call.log, _question(agent, info))
    turns = turn_config(agent, services.catalog, link.codec, services.usual, later)
    if brings is not None:
        turns = replace(turns, greeting=opening(agent) or None)
    session = CallSession(call, agent, TurnMachine(turns), line, link, SessionTools(tools, offer))
    if brings is not None:
        orphan = brings.orphan
        note = CALLED_BACK.format(what=orphan.summary, opening=opening(agent))
        session.bring(orphan.tool_call_id, orphan.tool, orphan.arguments or "{}", brings.output, note)
    return session


def _link(call: Telemetry, config: SessionConfig, codec: str, services: Services) -> Link:
    """The link of a call that speaks this codec on the telephone, in the formats that both ends can have."""
    link = Link(services.provider, config, call.info.call_id, services.connect, call.clock)
    can, audio = link.codec.capabilities, services.provider.audio
    link.use_formats(session_format(can.input_formats, audio, codec), session_format(can.output_formats, audio, codec))
    return link


def _tariff(agent: Agent, services: Services) -> Tariff | None:
    """By what a call with this agent is priced; None where nothing is to be paid."""
    provider = services.provider
    if services.prices is None or provider.name == "local":
        return None
    own: Any = agent.provider
    for key in ("audio", "input", "transcription"):
        own = own.get(key) if isinstance(own, dict) else None
    model = own.get("model") if isinstance(own, dict) else None
    transcriber = model if isinstance(model, str) else provider.dialect.transcriber
    return Tariff(services.prices, provider.model, transcriber)


def _question(agent: Agent, info: CallInfo) -> Question | None:
    tools = agent.tools
    if tools.hook is None:
        return None
    return Question(
        hook=load_hook(tools.hook),
        dialled=info.dialled,
        caller=info.caller,
        agent=agent.name,
        again_s=tools.hook_seconds,
    )


def opening(agent: Agent) -> str:
    """Return the first words of a call back."""
    return opening_words(agent.language) if agent.later.opening is None else agent.later.opening

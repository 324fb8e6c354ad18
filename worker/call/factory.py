"""Makes the session of a call out of the agent, the provider and what the worker shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tools.queue.store.late import LateResult
from worker.agent.agent import Agent, AgentOutbound
from worker.agent.recording import not_asked
from worker.agent.tool_rules import tool_policy
from worker.call.answering import Answering
from worker.call.audio import session_format
from worker.call.config import session_config, turn_config, written_down
from worker.call.consult import FUNCTIONS, Consult, consult_agent
from worker.call.info import PhoneLine, Services
from worker.call.keypad import SEND_DIGITS, SEND_DIGITS_FUNCTION, Keypad
from worker.call.recording import RECORDING_FUNCTIONS, CallRecording
from worker.call.remote_servers import ServersAfter, servers_of
from worker.call.session import CallSession, SessionTools
from worker.call.told import of_the_call
from worker.call.transfer import Transfers
from worker.call.transfer_promise import TransferPromises
from worker.call_tools.functions import OwnFunction
from worker.call_tools.hook import load_hook
from worker.call_tools.later import Way, opening_words
from worker.call_tools.offer import Question, ToolOffer
from worker.call_tools.runs import CallTools
from worker.call_tools.transfer import (
    NOT_BROUGHT,
    PROMISE_TRANSFER,
    TRANSFER_CALL,
    Target,
    Wanted,
    open_to,
    promise_transfer_function,
    transfer_call_function,
)
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
    call = _telemetry(info, agent, services, route)
    targets = open_to((one.target for one in agent.transfer), info.caller)
    promises = TransferPromises(call, services.catalog, _channels(agent, info, services))
    transfers = Transfers(call, targets, _Seconds(agent, services), agent.language, promises)
    recording = _recording(call, agent)
    own, offered = _functions(call, agent, transfers, targets, promises)
    if services.recordings and agent.recording.enabled and agent.recording.pause:
        own |= recording.functions
        offered += RECORDING_FUNCTIONS
    session = _session(
        call, agent, line, services, transfers, _Own(own, offered), recording, calls_back=brings is not None
    )
    if brings is not None:
        orphan = brings.orphan
        told = NOT_BROUGHT if orphan.tool == TRANSFER_CALL else ""
        note = f"{CALLED_BACK.format(what=orphan.summary, opening=opening(agent))} {told}".rstrip()
        session.bring(orphan.tool_call_id, orphan.tool, orphan.arguments or "{}", brings.output, note)
    if info.outbound and agent.outbound.screen:
        session.screen(Answering(agent.outbound, private=brings is not None, rate_hz=line.bridge.rate_hz))
    return session


def _functions(
    call: Telemetry, agent: Agent, transfers: Transfers, targets: Sequence[Target], promises: TransferPromises
) -> tuple[dict[str, OwnFunction], list[Mapping[str, Any]]]:
    """The functions of the call itself that the agent file allows, by name, and how the model is told of them."""
    own: dict[str, OwnFunction] = {}
    offered: list[Mapping[str, Any]] = []
    if targets:
        own[TRANSFER_CALL] = transfers.answer
        offered.append(transfer_call_function(targets))
    if promised := [one for one in targets if promises.offers_for(one)]:
        own[PROMISE_TRANSFER] = promises.answer
        offered.append(promise_transfer_function(promised))
    if agent.tools.send_digits:
        own[SEND_DIGITS] = Keypad(call, lambda: transfers.lines).answer
        offered.append(SEND_DIGITS_FUNCTION)
    return own, offered


def _telemetry(info: CallInfo, agent: Agent, services: Services, route: str | None = None) -> Telemetry:
    """Begin the record of a call that this agent answers, or makes."""
    about = About(agent.name, route, services.provider.name, services.provider.model)
    tariff = _tariff(agent, services)
    return Telemetry.of_call(
        info, services.metrics, services.clock, tariff, told=services.told, about=about, tracing=services.tracing
    )


def _channels(agent: Agent, info: CallInfo, services: Services) -> dict[Way, str]:
    """The ways by which this caller may hear of something after the call, each with its channel."""
    return services.later.channels_for(agent.later.ways, info.shown, agent.later.call_back_to)


@dataclass(frozen=True, slots=True)
class _Own:
    """The functions that a call has of its own, and what of them its session is offered."""

    functions: Mapping[str, OwnFunction]
    offered: Sequence[Mapping[str, Any]]


def _session(
    call: Telemetry,
    agent: Agent,
    line: PhoneLine,
    services: Services,
    transfers: Transfers,
    own: _Own,
    recording: CallRecording,
    *,
    calls_back: bool = False,
) -> CallSession:
    info = call.info
    later = _channels(agent, info, services)
    view = CallView(services.catalog, tool_policy(agent))
    tools = CallTools(
        services.catalog,
        view,
        services.usual,
        later,
        own.functions,
        agent=agent.name,
        language=agent.language,
        written_down=written_down(agent),
    )

    told = of_the_call(agent.tell, info)
    remote = servers_of(agent, services.remote)

    def configured() -> SessionConfig:
        transcriber = services.provider.dialect.transcriber
        return session_config(agent, view.now, later, transcriber, told=told, remote=remote, own=own.offered)

    link = _link(call, configured(), line.bridge.codec, services)
    offer = ToolOffer(view, link, configured, call.log, _question(agent, info))
    after = ServersAfter(agent, services.remote, configured)
    handed_on = TRANSFER_CALL in own.functions
    turns = turn_config(agent, services.catalog, link.codec, services.usual, later, transfers=handed_on)
    if calls_back:
        turns = replace(turns, greeting=opening(agent) or None)
    return CallSession(
        call, agent, TurnMachine(turns), line, link, SessionTools(tools, offer, transfers, after, recording)
    )


@dataclass(frozen=True, slots=True)
class _Seconds:
    """Makes the sessions of second lines: `worker.call.transfer.Seconds`."""

    agent: Agent
    services: Services

    def silent(self, info: CallInfo, line: PhoneLine) -> CallSession:
        """Nobody speaks on it but those who are connected."""
        own = Agent(name="transfer", recording=not_asked(self.agent.recording))
        session = self._make(info, own, line, _Own({}, ()))
        session.step_aside("")
        return session

    def asking(self, info: CallInfo, line: PhoneLine, wanted: Wanted, decided: Callable[[bool], None]) -> CallSession:
        """Whoever answers is told who waits, and takes the call or declines it."""
        assert wanted.target is not None
        agent = consult_agent(self.agent, wanted.target.briefing, wanted.summary)
        session = self._make(info, agent, line, _Own(Consult(decided).functions, FUNCTIONS))
        if self.agent.outbound.screen:  # what is told of who waits is for a person
            session.screen(Answering(AgentOutbound(), private=True, rate_hz=line.bridge.rate_hz))
        return session

    def _make(self, info: CallInfo, agent: Agent, line: PhoneLine, own: _Own) -> CallSession:
        services = self.services
        call = _telemetry(info, agent, services)
        transfers = Transfers(call, (), self, agent.language)
        return _session(call, agent, line, services, transfers, own, _recording(call, agent))


def _recording(call: Telemetry, agent: Agent) -> CallRecording:
    return CallRecording(call, agent.recording, language=agent.language, voice=written_down(agent))


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

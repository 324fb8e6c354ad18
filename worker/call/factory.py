"""Makes the session of a call out of the agent, the provider and what the worker shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from telephony.bridge import Bridge
from tools.define.spec import ToolSpec
from tools.errors import ToolDefinitionError
from tools.queue.store.late import LateResult
from tools.run.catalog import Catalog
from worker.agent.agent_file import Agent, AgentFile
from worker.call.audio import session_format
from worker.call.canned import CannedVoice
from worker.call.session import CallInfo, CallSession, Services
from worker.call_tools.catalog import CallCatalog
from worker.call_tools.durations import ABOUT, UsualTimes, filled, time_left
from worker.call_tools.exposure import DESCRIBE_TOOL, LIST_TOOLS, RUN_TOOL, ToolView
from worker.call_tools.functions import CALL_FUNCTIONS, TELL_LATER, tell_later_function
from worker.call_tools.hook import load_hook
from worker.call_tools.later import LaterWays, Way, offer_words, opening_words
from worker.call_tools.offer import ToolOffer
from worker.call_tools.policy import ToolPolicy
from worker.local.voice import voice_of
from worker.realtime.base import SessionConfig
from worker.realtime.connection import Provider, RealtimeConnection
from worker.realtime.link import Link
from worker.records.recorder import Recorder
from worker.turns.filler_voice import Fill, FillerConfig, Offer, Waiting
from worker.turns.machine import END_CALL, TurnConfig, TurnMachine
from worker.turns.silence import SilenceConfig

__all__ = [
    "END_CALL_FUNCTION",
    "check_tools",
    "make_session",
    "prepare_canned",
    "session_config",
    "tool_policy",
    "turn_config",
]

log = structlog.get_logger(__name__)

TRANSCRIPTION_MODEL = "gpt-4o-mini-transcribe"
"""Writes down the caller's words where the agent file names no other (provider.audio.input.transcription.model)."""

CALLED_BACK = """\
This is a call back: in an earlier call you promised this caller to call when the tool had ended that they waited for \
({what}). Whoever answers the telephone hears first: "{opening}" Tell them then what came of it; it stands below."""
"""Told to the model at the beginning of a call back."""

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
    brings: LateResult | None = None,
    connect: Callable[..., RealtimeConnection] = RealtimeConnection,
) -> CallSession:
    """Return the session of a new call; it starts nothing by itself.

    brings: what the caller is called back for; it is told after the opening, which stands in the greeting's place.
    connect: makes the connection to the provider, another one in scenes.
    """
    tools = agent.tools
    catalog = CallCatalog(services.catalog, tool_policy(agent))
    later = services.later.channels_for(agent.later.ways, info.caller, agent.later.call_back_to)

    def configured() -> SessionConfig:
        return session_config(agent, catalog.view, later)

    wanted = session_format(provider.audio, bridge.codec)
    config = replace(configured(), input_format=wanted, output_format=wanted)
    link = Link(provider, config, info.call_id, connect)
    offer = ToolOffer(
        catalog,
        link,
        configured,
        log.bind(call_id=info.call_id),
        hook=None if tools.hook is None else load_hook(tools.hook),
        asked=(info.dialled, info.caller, agent.name),
        again_s=tools.hook_seconds,
    )
    turns = turn_config(agent, services.catalog, services.usual, later)
    talks = link.codec.capabilities.talks_while_call_pending and provider.tool_calls == "open"
    turns = replace(turns, talks_while_call_pending=talks)
    if brings is not None:
        turns = replace(turns, greeting=opening(agent) or None)
    recorder = Recorder(info.call_id, services.clock() * 1000, info.caller, info.dialled, calls_back=info.calls_back)
    session = CallSession(
        info,
        agent,
        bridge,
        link,
        TurnMachine(turns),
        recorder,
        services,
        hang_up,
        offer,
        canned_voice(agent),
        later,
    )
    if brings is not None:
        orphan = brings.orphan
        note = CALLED_BACK.format(what=orphan.summary, opening=opening(agent))
        session.bring(orphan.tool_call_id, orphan.tool, orphan.arguments or "{}", brings.output, note)
    return session


def opening(agent: Agent) -> str:
    """Return the first words of a call back."""
    return opening_words(agent.language) if agent.later.opening is None else agent.later.opening


def canned_voice(agent: Agent) -> CannedVoice | None:
    """Return how the agent's fillers are spoken without the provider; None where the provider speaks them."""
    if agent.fillers.mode != "canned":
        return None
    language = agent.language.partition("-")[0].lower()
    own = voice_of(agent.voice or "marin") if language == "en" else f"{language}+f2"
    return CannedVoice(agent.fillers.voice or own, {text: Path(file) for text, file in agent.fillers.wav.items()})


def prepare_canned(
    agents: AgentFile,
    tools: Mapping[tuple[str, ...], Iterable[ToolSpec]],
    rate_hz: int,
    later: LaterWays = LaterWays(),  # noqa: B008
) -> None:
    """Have every canned filler at hand, before a call wants it. Blocks; raises HostError with the remedy.

    later: what may be offered beside them.
    """
    for agent in agents.agents():
        if (voice := canned_voice(agent)) is not None:
            fillers = filler_config(agent, tools[agent.tools.modules])
            own = (text for some in fillers.tool_texts.values() for text in some)
            offers = (words for ways in later.combinations(agent.later.ways) if (words := _offer(agent, ways)))
            voice.prepare((text for text in (*fillers.texts, *own, *offers) if ABOUT not in text), rate_hz)


def tool_policy(agent: Agent) -> ToolPolicy:
    """Return the agent's rules for its tools."""
    tools = agent.tools
    return ToolPolicy(
        exposure=tools.exposure,
        most_tokens=tools.direct_tokens,
        allow=tools.allow,
        deny=tools.deny,
        max_runs=tools.max_runs,
        max_runs_of=tools.max_runs_of,
    )


def check_tools(agents: AgentFile, tools: Mapping[tuple[str, ...], Iterable[ToolSpec]]) -> None:
    """Find out at the start what would go wrong in a call. `tools`: those of each list of modules.

    Raises AgentFileError for a hook that can't be loaded, ToolDefinitionError for a tool with a name of ours.
    """
    for agent in agents.agents():
        if agent.tools.hook is not None:
            load_hook(agent.tools.hook)
    taken = {END_CALL, LIST_TOOLS, DESCRIBE_TOOL, RUN_TOOL, TELL_LATER, *(one["name"] for one in CALL_FUNCTIONS)}
    for spec in (spec for specs in tools.values() for spec in specs):
        if spec.name in taken:
            raise ToolDefinitionError(f"{spec.source}: {spec.name} is a function of every call: rename the tool")


def session_config(agent: Agent, view: ToolView, later: Mapping[Way, str] | None = None) -> SessionConfig:
    """Return what the provider is told of the agent, and of the tools that the call is offered at the moment.

    later: the ways by which this caller may hear of a tool after the call.
    """
    functions: list[Mapping[str, Any]] = list(view.functions)
    if any(spec.queued for spec in view.specs.values()):
        functions += CALL_FUNCTIONS
    if later and any(spec.mode != "inline" for spec in view.specs.values()):
        functions.append(tell_later_function(later))
    if agent.tools.end_call:
        functions.append(END_CALL_FUNCTION)
    return SessionConfig(
        instructions=view.instructions(agent.instructions),
        voice=agent.voice,
        tools=tuple(functions),
        language=agent.language.partition("-")[0].lower() or None,
        transcription_model=TRANSCRIPTION_MODEL,
        extra=agent.provider,
    )


def filler_config(agent: Agent, specs: Iterable[ToolSpec], fill: Fill = lambda text, waiting: text) -> FillerConfig:
    """Return what is said while these tools run; `fill` puts into a text what is known of a tool."""
    own, found = agent.fillers, tuple(specs)
    return FillerConfig(
        texts=own.texts_for(agent.language),
        grace_s=own.grace_ms / 1000,
        interval_s=own.interval_ms / 1000,
        tone=own.tone or own.mode == "tone",
        tool_texts={**{spec.name: spec.filler for spec in found if spec.filler}, **own.tools_for(agent.language)},
        tool_grace_s={spec.name: spec.grace_s for spec in found if spec.grace_s is not None},
        spoken=own.mode != "tone",
        fill=fill,
    )


def turn_config(
    agent: Agent, catalog: Catalog, usual: UsualTimes | None = None, later: Mapping[Way, str] | None = None
) -> TurnConfig:
    """Return what the turn machine is told of the agent.

    usual: how long tools take. later: the ways by which this caller may hear of a tool after the call.
    """

    def queued(tool: str) -> bool:
        spec = catalog.spec(tool)
        return spec is not None and catalog.mode_of(spec) == "queued"

    def possible(tool: str) -> bool:
        spec = catalog.spec(tool)
        return queued(tool) and spec is not None and spec.on_barge_in == "keep"  # the caller's "yes" would cancel it

    def expected_s(tool: str) -> float | None:
        return None if usual is None else usual.all_s(tool, queued=queued(tool))

    def fill(text: str, waiting: Sequence[Waiting]) -> str | None:
        return filled(text, time_left([(expected_s(tool.tool), tool.waited_s) for tool in waiting]), agent.language)

    words, after_s = _offer(agent, later or ()), agent.later.offer_after
    offer = Offer(text=words, after_s=after_s, possible=possible, expected_s=expected_s) if words and after_s else None
    detection = _turn_detection(agent.provider)
    return TurnConfig(
        greeting=agent.greeting or None,
        goodbye=agent.goodbye,
        fillers=replace(filler_config(agent, catalog.specs(), fill), offer=offer),
        cancelled_by_barge_in=frozenset(spec.name for spec in catalog.specs() if spec.on_barge_in == "cancel"),
        server_responds=bool(detection.get("create_response", True)),
        server_interrupts=bool(detection.get("interrupt_response", True)),
        silence=SilenceConfig(seconds=agent.limits.silence_seconds, prompts=agent.limits.silence_prompts),
    )


def _offer(agent: Agent, ways: Iterable[Way]) -> str | None:
    """The words of the offer by these ways."""
    return offer_words(ways, agent.later.words, agent.later.words_by_language, agent.language)


def _turn_detection(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The turn_detection of the agent's provider options (session.audio.input.turn_detection), {} where it has none."""
    found: Any = options
    for key in ("audio", "input", "turn_detection"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}

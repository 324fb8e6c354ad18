"""What of the agent file goes to the provider, to the turn machine and to the rules for tools."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tools.define.approval import check_question
from tools.define.spec import ToolSpec
from tools.errors import ToolDefinitionError
from tools.run.catalog import Catalog
from worker.agent.agent import Agent
from worker.agent.agent_file import AgentFile
from worker.agent.tool_rules import tool_policy
from worker.call.canned import FillerMode, canned_voice, filler_mode, own_voice
from worker.call.interruption import reversible, turn_detection
from worker.call.keypad import SEND_DIGITS
from worker.call.recording import PAUSE_RECORDING, RESUME_RECORDING
from worker.call.remote_servers import check_after, named_tools, time_limit
from worker.call_tools.durations import ABOUT, UsualTimes, filled, time_left
from worker.call_tools.exposure import DESCRIBE_TOOL, LIST_TOOLS, RUN_TOOL, ToolView
from worker.call_tools.functions import CALL_FUNCTIONS, TELL_LATER, tell_later_function
from worker.call_tools.hook import load_hook
from worker.call_tools.later import LaterWays, Way, offer_words
from worker.call_tools.reference import policy_of
from worker.call_tools.transfer import PROMISE_TRANSFER, TRANSFER_CALL, comfort_words
from worker.realtime.base import Capabilities, Codec, SessionConfig
from worker.realtime.remote import RemoteServer
from worker.turns.filler_voice import Fill, FillerConfig, Offer, Waiting
from worker.turns.machine import END_CALL, TurnConfig
from worker.turns.silence import SilenceConfig

__all__ = [
    "END_CALL_FUNCTION",
    "check_tools",
    "prepare_canned",
    "session_config",
    "turn_config",
    "written_down",
]

DOOR_S = 5.0
"""The call's door for approvals has the word; what it says nothing of is declined so much later."""

END_CALL_FUNCTION: Mapping[str, Any] = {
    "type": "function",
    "name": END_CALL,
    "description": "Hang up. Call it once, after you have said goodbye; the caller hears your words to their end.",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
}


def prepare_canned(
    agents: AgentFile,
    tools: Mapping[tuple[str, ...], Iterable[ToolSpec]],
    rates: Collection[int],
    later: LaterWays = LaterWays(),  # noqa: B008
    can: Capabilities | None = None,
) -> None:
    """Have every canned filler at hand, before a call wants it. Blocks; raises HostError with the remedy.

    rates: of the calls, in Hz. later: what may be offered beside them. can: what the provider can do.
    """
    for agent in agents.agents():
        if (voice := canned_voice(agent, can)) is not None:
            fillers = filler_config(agent, tools[agent.tools.modules])
            own = [text for some in fillers.tool_texts.values() for text in some]
            own += [text for server in agent.mcp for tool in server.tools.values() for text in tool.filler]
            offers = (words for ways in later.combinations(agent.later.ways) if (words := _offer(agent, ways)))
            texts = [text for text in (*fillers.texts, *own, *offers) if ABOUT not in text]
            for rate_hz in rates:
                voice.prepare(texts, rate_hz)


def written_down(agent: Agent) -> bool:
    """Whether the provider writes down what the caller says, by all that is configured."""
    given: Any = agent.provider
    for key in ("audio", "input"):
        given = given.get(key, {}) if isinstance(given, Mapping) else {}
    off = isinstance(given, Mapping) and "transcription" in given and not given["transcription"]
    return not off


def check_tools(agents: AgentFile, tools: Mapping[tuple[str, ...], Iterable[ToolSpec]]) -> None:
    """Find out at the start what would go wrong in a call. `tools`: those of each list of modules.

    Raises AgentFileError for a hook or a rule that can't be loaded and a tool that isn't there, ToolDefinitionError for
    a tool with a name of ours, and for a question that speaks of what a tool does not take.
    """
    for agent in agents.agents():
        if agent.tools.hook is not None:
            load_hook(agent.tools.hook)
        specs = list(tools.get(agent.tools.modules, ()))
        _check_questions(agent, specs)
        check_after(agents.path, agent, [spec.name for spec in specs])
        for one in (one for server in agent.mcp for one in server.tools.values()):
            policy_of(one.approval)
    taken = {END_CALL, SEND_DIGITS, TRANSFER_CALL, PROMISE_TRANSFER, LIST_TOOLS, DESCRIBE_TOOL, RUN_TOOL, TELL_LATER}
    taken |= {PAUSE_RECORDING, RESUME_RECORDING}
    taken |= {one["name"] for one in CALL_FUNCTIONS}
    for spec in (spec for specs in tools.values() for spec in specs):
        if spec.name in taken:
            raise ToolDefinitionError(f"{spec.source}: {spec.name} is a function of every call: rename the tool")


def _check_questions(agent: Agent, specs: Iterable[ToolSpec]) -> None:
    policy = tool_policy(agent)
    for spec in specs:
        question = policy.question_of(spec.name)
        if question is not None:
            check_question(f"tools.questions, tool {spec.name}", question, spec.signature.parameters["properties"])


def session_config(
    agent: Agent,
    view: ToolView,
    later: Mapping[Way, str] | None = None,
    transcriber: str | None = None,
    *,
    told: str = "",
    remote: tuple[RemoteServer, ...] = (),
    own: Sequence[Mapping[str, Any]] = (),
) -> SessionConfig:
    """Return what the provider is told of the agent, and of the tools that the call is offered at the moment.

    later: the ways by which this caller may hear of a tool after the call. transcriber: the model that writes down the
    caller's words, where the agent file names no other. told: what the model is told of the call. remote: the MCP
    servers that the provider runs. own: further functions of the call itself.
    """
    functions: list[Mapping[str, Any]] = list(view.functions)
    if any(spec.queued for spec in view.specs.values()):
        functions += CALL_FUNCTIONS
    if later and any(spec.mode != "inline" for spec in view.specs.values()):
        functions.append(tell_later_function(later))
    functions += own
    if agent.tools.end_call:
        functions.append(END_CALL_FUNCTION)
    return SessionConfig(
        instructions=view.instructions("\n\n".join(filter(None, (agent.instructions, told)))),
        voice=agent.voice,
        tools=tuple(functions),
        remote=remote,
        language=agent.language.partition("-")[0].lower() or None,
        transcription_model=transcriber,
        turn_detection=turn_detection(agent),
        extra=agent.provider,
    )


def filler_config(
    agent: Agent,
    specs: Iterable[ToolSpec],
    fill: Fill = lambda text, waiting: text,
    mode: FillerMode | None = None,
) -> FillerConfig:
    """Return what is said while these tools run.

    fill: puts into a text what is known of a tool. mode: where it is another one than the agent file's.
    """
    own, found = agent.fillers, tuple(specs)
    remote = {name: server.options(tool) for name, (server, tool) in named_tools(agent).items()}
    mode = mode or own.mode
    return FillerConfig(
        texts=own.texts_for(agent.language),
        grace_s=own.grace_ms / 1000,
        interval_s=own.interval_ms / 1000,
        tone=own.tone or mode == "tone",
        tool_texts={
            **_comfort(agent),
            **{name: options.filler for name, options in remote.items() if options.filler},
            **{spec.name: spec.filler for spec in found if spec.filler},
            **own.tools_for(agent.language),
        },
        tool_grace_s={
            **{name: options.grace for name, options in remote.items() if options.grace is not None},
            **{spec.name: spec.grace_s for spec in found if spec.grace_s is not None},
        },
        spoken=mode != "tone",
        fill=fill,
    )


def _comfort(agent: Agent) -> dict[str, tuple[str, ...]]:
    """What a caller hears who is handed on."""
    return {TRANSFER_CALL: comfort_words(agent.language)} if agent.transfer else {}


def turn_config(
    agent: Agent,
    catalog: Catalog,
    codec: Codec,
    usual: UsualTimes | None = None,
    later: Mapping[Way, str] | None = None,
    *,
    transfers: bool = False,
) -> TurnConfig:
    """Return what the turn machine is told of the agent and of the provider (`codec`).

    usual: how long tools take. later: the ways by which this caller may hear of a tool after the call. transfers:
    whether this caller may be handed on to anybody.
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
    can, taking = codec.capabilities, codec.turn_taking(agent.provider)
    withdraws = reversible(agent, can)
    return TurnConfig(
        greeting=agent.greeting or None,
        goodbye=agent.goodbye,
        fillers=replace(filler_config(agent, catalog.specs(), fill, filler_mode(agent, can)), offer=offer),
        cancelled_by_barge_in=frozenset(spec.name for spec in catalog.specs() if spec.on_barge_in == "cancel"),
        server_responds=taking.responds and not withdraws,
        server_interrupts=taking.interrupts and not withdraws,
        reversible=withdraws,
        language=agent.language,
        transfers=transfers,
        acknowledges=can.acknowledges,
        talks_while_call_pending=can.talks_while_call_pending,
        remote=tuple(one.label for one in agent.mcp_run_by("provider") if not one.after) if can.remote_tools else (),
        remote_s=lambda tool: time_limit(agent, tool),
        approval_s=agent.tools.approval_seconds + DOOR_S,
        silence=SilenceConfig(seconds=agent.limits.silence_seconds, prompts=agent.limits.silence_prompts),
        asks_itself=own_voice(agent) is not None,
    )


def _offer(agent: Agent, ways: Iterable[Way]) -> str | None:
    """The words of the offer by these ways."""
    return offer_words(ways, agent.later.words, agent.later.words_by_language, agent.language)

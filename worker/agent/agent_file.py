"""The agent file (TOML): what an agent says, what it may do, and which one answers which calls.

The top of the file is the default agent; each `[[route]]` overrides keys of it for a dialled number. A wrong
key or value raises `AgentFileError`: one line with the file, the key's path and the nearest allowed key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from telephony.sip.facts import InviteFacts
from tools.define.approval import approvers_of
from tools.mcp.server import McpServer, check_labels
from worker.agent.faults import fault_line
from worker.agent.recording import AgentRecording
from worker.agent.refer import AgentRefer
from worker.agent.routes import When
from worker.agent.transfer import AgentTransfer, labels_once, tables_each
from worker.call_tools.durations import ABOUT
from worker.call_tools.later import OFFERS, Way
from worker.errors import AgentFileError

T = TypeVar("T")

TELL = ("caller", "dialled", "account", "display_name", "diverted_from", "diverted_why", "user_to_user")
"""What `tell` may have in it, beside headers."""
NO_FACTS = InviteFacts()
DEFAULT_AGENT = Path(__file__).with_name("default.toml")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class AgentTools(_Table):
    """Which tools the agent has, and how the session is told of them."""

    modules: tuple[str, ...] = Field(default=(), description="modules, module:function or files that define tools")
    exposure: Literal["direct", "registry", "auto"] = Field(
        default="direct",
        description="direct: each tool is a function; registry: three functions with which the model looks them up",
    )
    direct_tokens: int = Field(default=3000, ge=0, description="auto: as direct up to this size, else as registry")
    allow: tuple[str, ...] = Field(default=("*",), description="patterns of the tools that the agent has")
    deny: tuple[str, ...] = Field(default=(), description="patterns of those that it has not")
    max_runs: int | None = Field(default=None, ge=0, description="tool calls of one phone call")
    max_runs_of: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="runs of one tool in a phone call, by its name or a pattern"
    )
    hook: str | None = Field(
        default=None, description="module:function or file.py:function that says which tools a call is offered"
    )
    hook_seconds: float | None = Field(default=None, ge=1, description="s after which the hook is asked again")
    send_digits: bool = Field(default=False, description="whether the agent may press keys, such as in a menu")
    end_call: bool = Field(default=True, description="whether the agent may hang up by itself")
    approval: dict[str, str] = Field(
        default_factory=dict,
        description="who approves a tool's calls before they run, by its name or a pattern: never, caller, key,"
        " operator, several joined by or, or module:function; the strictest counts of all that fit and the tool's own",
    )
    questions: dict[str, str] = Field(
        default_factory=dict, description="what is asked then, by a tool's name or a pattern, in place of its own words"
    )
    approval_seconds: float = Field(
        default=60.0, ge=5, le=600, description="s that an approval is waited for; then it is a no"
    )

    @field_validator("approval")
    @classmethod
    def _known_approvers(cls, approval: dict[str, str]) -> dict[str, str]:
        for text in approval.values():
            if ":" not in text:
                approvers_of(text)
        return approval


class AgentFillers(_Table):
    """What is said while tools run, in other words each time. A tool's own filler comes first.

    In a text, {about} stands for what is left of the time that the tool usually takes; where that isn't known the text
    is passed over.
    """

    mode: Literal["model", "canned", "tone"] = Field(
        default="model",
        description="model: the provider speaks them; canned: WAV files or the local voice; tone: no words at all",
    )
    texts: tuple[str, ...] = Field(
        default=(
            "One moment, please.",
            "I am still looking.",
            "Thank you for waiting.",
            "It takes a little longer today.",
            "I have not forgotten you.",
        ),
        description="sentences to choose from, in turn",
    )
    texts_by_language: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="the same for an agent that speaks this language"
    )
    tools: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="a tool's own sentences, in place of those that it was written with"
    )
    tools_by_language: dict[str, dict[str, tuple[str, ...]]] = Field(
        default_factory=dict, description="the same for an agent that speaks this language"
    )
    wav: dict[str, str] = Field(default_factory=dict, description="canned: the file of a text, instead of the voice")
    voice: str | None = Field(default=None, description="canned: an espeak voice, such as en-us+f2")
    grace_ms: int = Field(default=500, ge=0, le=60_000, description="ms of quiet before the first sentence")
    interval_ms: int = Field(
        default=4000, ge=500, le=60_000, description="ms without words before the second; later ones grow"
    )
    tone: bool = Field(default=True, description="whether a soft tone sounds between the sentences")

    @field_validator("texts")
    @classmethod
    def _some_text(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if not texts or not all(texts):
            raise ValueError("needs at least one text, and none empty")
        return _placeholders_known(texts)

    @field_validator("texts_by_language", "tools")
    @classmethod
    def _some_text_each(cls, texts: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {key: _placeholders_known(some) for key, some in texts.items()}

    def texts_for(self, language: str) -> tuple[str, ...]:
        """The sentences for a language (a BCP 47 tag): its own, those of the language without a region, or `texts`."""
        return _of_language(self.texts_by_language, language) or self.texts

    def tools_for(self, language: str) -> Mapping[str, tuple[str, ...]]:
        """The tools' own sentences that are given here for a language."""
        return {**self.tools, **(_of_language(self.tools_by_language, language) or {})}


def _placeholders_known(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        for found in re.findall(r"\{[^}]*\}?", text):
            if found != ABOUT:
                raise ValueError(f"there is no {found}: a text may have {ABOUT} in it")
    return texts


def _of_language(by_language: Mapping[str, T], language: str) -> T | None:
    found = {key.lower(): value for key, value in by_language.items()}
    tag = language.lower()
    return found.get(tag, found.get(tag.partition("-")[0]))


class AgentLater(_Table):
    """What the caller is offered where a tool takes long, and how the caller is called back.

    Only what this installation can do is offered: see OFFHOOK_CALL_BACK_URI and OFFHOOK_NOTIFY_HOOKS.
    """

    offer_after: float = Field(
        default=30.0, ge=0, description="s that a queued tool has run, or will by all that is known; 0: never offered"
    )
    ways: tuple[Way, ...] = Field(default=("call_back", "send"), description="what is offered: call_back, send")
    words: dict[str, str] = Field(
        default_factory=dict, description="the offer, by what is possible: both, call_back, send; empty: none is made"
    )
    words_by_language: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="the same for an agent that speaks this language"
    )
    call_back_to: tuple[str, ...] = Field(default=("*",), description="patterns of the callers who may be called back")
    opening: str | None = Field(default=None, description="the first words of a call back; left out: by the language")
    ring_seconds: float = Field(default=45.0, ge=5, le=180, description="s that a call back rings")
    pauses: tuple[Annotated[float, Field(ge=1, le=86400)], ...] = Field(
        default=(60.0, 300.0, 900.0, 3600.0), description="s before each further try where nobody was reached"
    )

    @field_validator("words")
    @classmethod
    def _known_offers(cls, words: dict[str, str]) -> dict[str, str]:
        for key in words:
            if key not in OFFERS:
                raise ValueError(f"there is no {key}: allowed are {', '.join(OFFERS)}")
        return words

    @field_validator("words_by_language")
    @classmethod
    def _known_offers_each(cls, words: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        return {language: cls._known_offers(some) for language, some in words.items()}


class AgentOutbound(_Table):
    """What becomes of a call of ours, by who answers it."""

    screen: bool = Field(default=True, description="whether it is listened for who answers before the agent speaks")
    on_machine: Literal["hang_up", "message", "go_on"] = Field(
        default="hang_up", description="hang_up; message: leave `message` after the beep; go_on: as with a person"
    )
    message: str = Field(default="", description="left on an answering machine, which anybody may hear")
    ring_seconds: float = Field(default=45.0, gt=0, le=180, description="s that it may ring (`later` has its own)")

    @model_validator(mode="after")
    def _message_to_leave(self) -> AgentOutbound:
        if self.on_machine == "message" and not self.message:
            raise ValueError('on_machine = "message" needs message = "what is left on the machine"')
        return self


class AgentLimits(_Table):
    """Time limits of a call."""

    max_call_seconds: float = Field(default=1800.0, gt=0, description="s from the answer to a spoken goodbye")
    warn_seconds: float = Field(default=60.0, ge=0, description="s before that at which the caller is warned")
    warning: str = Field(default="We have one more minute.", description="what the caller is told then")
    silence_seconds: float | None = Field(
        default=20.0, gt=0, description="s of silence before each prompt, and before the end"
    )
    silence_prompts: tuple[str, ...] = Field(
        default=("Are you still there?",), description="what a silent caller is asked, one after the other"
    )
    busy: tuple[str, ...] = Field(
        default=(
            "It is busy at the moment: to look something up may take {about}.",
            "It is busy at the moment: to look something up may take longer than usual.",
        ),
        description="what a new caller is told when tools have to wait; the first in which {about} is known",
    )
    tool_seconds: float = Field(default=60.0, gt=0, description="s that a tool may take, whatever it declares")


class Agent(_Table):
    """One agent: who answers a dialled number. Frozen; safe to share between calls."""

    name: str = Field(default="agent", description="for the record and the logs")
    greeting: str = Field(default="", description="said first; empty: the agent waits for the caller")
    goodbye: str = Field(default="Thank you for calling. Goodbye.", description="said before we hang up by ourselves")
    apology: str = Field(
        default="I am sorry, something went wrong on our side. Please call again later. Goodbye.",
        description="said when the call can't go on",
    )
    instructions: str = Field(default="", description="the model's instructions")
    voice: str | None = Field(default=None, description="the provider's name of a voice; None: its default")
    language: str = Field(default="en", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="a BCP 47 tag")
    interruption: Literal["exact", "reversible"] = Field(
        default="exact",
        description="when the caller speaks over the agent. exact: it is cut off at once; reversible: it pauses,"
        " and goes on after a cough or an mhm",
    )
    tell: tuple[str, ...] = Field(
        default=(),
        description=f"what the model is told of the call: {', '.join(TELL)}, or a header of OFFHOOK_SIP_HEADERS",
    )
    provider: dict[str, Any] = Field(default_factory=dict, description="options of the provider's session")
    tools: AgentTools = AgentTools()
    fillers: AgentFillers = AgentFillers()
    limits: AgentLimits = AgentLimits()
    later: AgentLater = AgentLater()
    outbound: AgentOutbound = AgentOutbound()
    recording: AgentRecording = AgentRecording()
    transfer: tuple[AgentTransfer, ...] = Field(default=(), description="to whom calls may be handed on")
    refer: AgentRefer = AgentRefer()

    mcp: tuple[McpServer, ...] = Field(default=(), description="MCP servers whose tools the agent has")

    _tables = field_validator("transfer", mode="before")(tables_each)
    _labels = field_validator("transfer")(labels_once)

    @field_validator("tell")
    @classmethod
    def _what_is_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in TELL and not name.lower().startswith("x-"):
                raise ValueError(f"there is no {name}: allowed are {', '.join(TELL)}, and headers such as X-Account")
        return names

    @field_validator("mcp")
    @classmethod
    def _each_label_once(cls, servers: tuple[McpServer, ...]) -> tuple[McpServer, ...]:
        check_labels(servers)
        return servers

    def mcp_run_by(self, runner: Literal["offhook", "provider"]) -> tuple[McpServer, ...]:
        """Return the servers whose tools we run, or those of which the provider's session is the client."""
        return tuple(server for server in self.mcp if server.run_by == runner)

    @property
    def tools_key(self) -> tuple[tuple[str, ...], tuple[str, ...], float]:
        """Agents that are alike in this share a catalog."""
        labels = tuple(server.label for server in self.mcp_run_by("offhook"))
        return self.tools.modules, labels, self.limits.tool_seconds


@dataclass(frozen=True, slots=True)
class Route:
    """An agent for some calls: the default agent with the route's keys in place of its own."""

    when: When
    agent: Agent

    @property
    def dialled(self) -> str:
        """The number or pattern that it is for."""
        return self.when.dialled


@dataclass(frozen=True, slots=True)
class AgentFile:
    """What an agent file says: the default agent, and the routes in the file's order."""

    path: Path
    default: Agent
    routes: tuple[Route, ...] = ()

    def agent_for(self, dialled: str, caller: str = "", facts: InviteFacts = NO_FACTS) -> Agent:
        """Return the agent for a call: of the first route that names this number, else the first that fits, or the
        default.
        """
        route = self.route_for(dialled, caller, facts)
        return self.default if route is None else route.agent

    def route_for(self, dialled: str, caller: str = "", facts: InviteFacts = NO_FACTS) -> Route | None:
        """Return the route for a call; None where the default agent answers."""
        fits = [route for route in self.routes if route.when.fits(dialled, caller, facts)]
        exact = [route for route in fits if route.when.names(dialled)]
        return next(iter(exact or fits), None)

    def agents(self) -> Iterator[Agent]:
        """Yield every agent of the file, the default first."""
        yield self.default
        for route in self.routes:
            yield route.agent

    def tool_modules(self) -> tuple[str, ...]:
        """Return the tool modules of all agents, each once, in order: what a tool worker loads."""
        return tuple(dict.fromkeys(module for agent in self.agents() for module in agent.tools.modules))

    def mcp_servers(self) -> tuple[McpServer, ...]:
        """Return the MCP servers of all agents, each once, in order: a label stands for one in the whole file."""
        return tuple({server.label: server for agent in self.agents() for server in agent.mcp}.values())


def load_agent_file(path: Path | None = None) -> AgentFile:
    """Read an agent file; None means the one that is shipped.

    Raises `AgentFileError` with one line for each thing that is wrong.
    """
    path = path or DEFAULT_AGENT
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise AgentFileError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise AgentFileError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise AgentFileError(f"{path}: is not TOML: {error}") from None
    return parse_agent_file(raw, path)


def parse_agent_file(raw: Mapping[str, Any], path: Path) -> AgentFile:
    """Check what a TOML file said. Tool files are taken relative to the folder of `path`."""
    base = {key: value for key, value in raw.items() if key != "route"}
    default = _agent(base, path, "")
    routes = raw.get("route", [])
    if not isinstance(routes, list) or not all(isinstance(route, dict) for route in routes):
        raise AgentFileError(f"{path}: route: write each route as a table of its own, [[route]]")
    found: list[Route] = []
    for number, route in enumerate(routes, 1):
        found.append(_route(base, route, path, f"route[{number}]"))
        if any(found[-1].when.same(other.when) for other in found[:-1]):
            where = f"{path}: route[{number}].dialled"
            raise AgentFileError(f"{where}: {found[-1].dialled!r} has a route already")
    agents = AgentFile(path, default, tuple(found))
    _check_one_server_a_label(agents)
    return agents


def _check_one_server_a_label(agents: AgentFile) -> None:
    """A job names its server by the label: the tool worker that takes it up doesn't know the route."""
    servers = {server.label.lower(): server for server in agents.mcp_servers()}
    for agent in agents.agents():
        for server in agent.mcp:
            if server != servers[server.label.lower()]:
                raise AgentFileError(
                    f"{agents.path}: mcp: the label {server.label} stands for two different servers: give one another"
                    " label, or both the same keys (a route's [tools] allow and deny choose among the tools)"
                )


def _route(base: Mapping[str, Any], route: Mapping[str, Any], path: Path, where: str) -> Route:
    conditions = {key: value for key, value in route.items() if key in When.model_fields}
    own = {key: value for key, value in route.items() if key not in When.model_fields}
    if not conditions:
        near = difflib.get_close_matches("dialled", list(route), 1)
        hint = f" (there is {near[0]!r})" if near else ""
        raise AgentFileError(f'{path}: {where}.dialled: is missing{hint}; write dialled = "a number or a pattern"')
    try:
        when = When.model_validate(conditions)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise AgentFileError([fault_line(detail, When, f"{path}: {where}.", ()) for detail in details]) from None
    return Route(when, _agent(_merge(base, own), path, where + "."))


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The default's keys with a route's in their place; tables are merged key by key."""
    merged = dict(base)
    for key, value in own.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _agent(raw: Mapping[str, Any], path: Path, where: str) -> Agent:
    try:
        agent = Agent.model_validate(raw)
    except ValidationError as error:
        details = error.errors(include_url=False)
        routes = () if where else ("route",)
        raise AgentFileError([fault_line(detail, Agent, f"{path}: {where}", routes) for detail in details]) from None
    modules = tuple(_beside(module, path) for module in agent.tools.modules)
    hook = None if agent.tools.hook is None else _beside(agent.tools.hook, path)
    approval = {pattern: _beside(text, path) for pattern, text in agent.tools.approval.items()}
    wav = {text: str((path.parent / file).resolve()) for text, file in agent.fillers.wav.items()}
    return agent.model_copy(
        update={
            "tools": agent.tools.model_copy(update={"modules": modules, "hook": hook, "approval": approval}),
            "fillers": agent.fillers.model_copy(update={"wav": wav}),
            "mcp": tuple(_at_home(server, path) for server in agent.mcp),
        }
    )


def _at_home(server: McpServer, path: Path) -> McpServer:
    """A server's program runs in a folder that is taken from the agent file's; so are the files of rules."""
    tools = {
        name: one.model_copy(update={"approval": _beside(one.approval, path)}) for name, one in server.tools.items()
    }
    return server.model_copy(update={"cwd": str((path.parent / server.cwd).resolve()), "tools": tools})


def _beside(module: str, path: Path) -> str:
    """A tool file's path is relative to the agent file, so that the two can be moved together."""
    file, separator, function = module.partition(".py")
    if not separator or function[:1] not in ("", ":"):
        return module
    return str((path.parent / (file + ".py")).resolve()) + function

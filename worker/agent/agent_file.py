"""The agent file (TOML): what an agent says, what it may do, and which one answers which calls.

The top of the file is the default agent; each `[[route]]` overrides keys of it for a dialled number. A wrong
key or value raises `AgentFileError`: one line with the file, the key's path and the nearest allowed key.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from telephony.sip.facts import InviteFacts
from tools.mcp.server import McpServer
from worker.agent.agent import Agent
from worker.agent.faults import fault_line
from worker.agent.routes import When
from worker.errors import AgentFileError

NO_FACTS = InviteFacts()
DEFAULT_AGENT = Path(__file__).with_name("default.toml")


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

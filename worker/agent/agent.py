"""One agent, as its tables in the agent file describe it: what it says, what it may do, and within which limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tools.define.approval import approvers_of
from tools.mcp.server import McpServer, check_labels
from worker.agent.fillers import AgentFillers
from worker.agent.later import AgentLater
from worker.agent.recording import AgentRecording
from worker.agent.refer import AgentRefer
from worker.agent.table import AgentTable
from worker.agent.transfer import AgentTransfer, labels_once, tables_each

__all__ = ["Agent", "AgentLimits", "AgentOutbound", "AgentTools"]

TELL = ("caller", "dialled", "account", "display_name", "diverted_from", "diverted_why", "user_to_user")
"""What `tell` may have in it, beside headers."""


class AgentTools(AgentTable):
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


class AgentOutbound(AgentTable):
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


class AgentLimits(AgentTable):
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


class Agent(AgentTable):
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

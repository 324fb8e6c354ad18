"""An MCP server in the agent file, `[[mcp]]`: where it is, who runs its tools, and how each of them is run.

    [[mcp]]
    label = "crm"
    url = "https://crm.example.com/mcp"
    authorization = "CRM_TOKEN"             # the name of a secret
    allowed_tools = ["find_*", "order_status"]

    [mcp.headers]
    X-Tenant = "seven"
    X-Key = { secret = "CRM_KEY", prefix = "Key " }

    [mcp.tools.order_status]
    filler = "Let me ask the warehouse."
    timeout = 30

Imports no SDK: the agent file, the call's side, the provider's side and tool workers share it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tools.define.approval import approvers_of
from tools.define.spec import MOST_RETRIES, Effects, OnBargeIn, OnHangup
from tools.errors import ToolDefinitionError

SEPARATOR = "__"
"""Between the label and the tool in the name that the model sees."""
LONGEST_LABEL = 32

_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.1: a token
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PATTERN = re.compile(r"[*?\[]")
_TRANSPORT = ("accept", "content-type", "content-length", "host", "connection", "transfer-encoding")
"""Headers that are the transport's own; so is all that begins with Mcp- (MCP 2025-06-18, Streamable HTTP)."""
_BY_US = ("mode", "effects", "retries", "backoff", "cache", "on_hangup", "on_barge_in", "notify")
"""What only whoever runs a tool can hold to."""

Seconds = Annotated[float, Field(gt=0, le=24 * 3600)]
TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
    WithJsonSchema({"anyOf": [TEXT, TEXTS]}),
]
"""One text, or a list of them."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class _Shorthand(_Table):
    """A table that may be written shorter; its JSON schema says so."""

    _short: ClassVar[dict[str, Any]] = TEXT

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(core)
        table = handler.resolve_ref_schema(found)
        whole = dict(table)
        table.clear()
        table.update({key: whole.pop(key) for key in ("title", "description") if key in whole})
        table["anyOf"] = [cls._short, whole]
        return found


class McpValue(_Shorthand):
    """The value of a header or of an environment variable: a text, or { secret = "NAME", prefix = "Bearer " }."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)

    text: str | None = Field(default=None, repr=False, description="the value as it is")
    secret: str | None = Field(default=None, min_length=1, description="the name of a secret in OFFHOOK_TOOL_SECRETS")
    prefix: str = Field(default="", description="stands before the secret")

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, given: object) -> object:
        return {"text": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_of_two(self) -> McpValue:
        if (self.text is None) == (self.secret is None):
            raise ValueError('write a text, or { secret = "NAME" } with the name of a secret')
        if _CONTROL.search(f"{self.text or ''}{self.prefix}"):
            raise ValueError("a value has no line breaks or other control characters")
        return self

    def value(self, secrets: Mapping[str, str]) -> str:
        """Return the text to send. secrets: by name; KeyError for one that isn't there."""
        return self.text if self.text is not None else f"{self.prefix}{secrets[self.secret or '']}"


class McpTool(_Table):
    """How a server's tool is run and spoken of: `[mcp.tools.NAME]`, or a pattern in NAME's place.

    With run_by = "provider" only filler, grace, timeout, approval and summary count: the rest is ours to hold to.
    """

    mode: Literal["queued", "inline"] = Field(
        default="queued", description="queued: a durable job; inline: in the worker's process, for what is quick"
    )
    effects: Effects | None = Field(
        default=None,
        description="any, once, idempotent; left out: by the server's annotations, once where there are none",
    )
    retries: int | None = Field(
        default=None, ge=0, le=MOST_RETRIES, description="further tries of an idempotent tool; left out: one"
    )
    backoff: Seconds = Field(default=1.0, description="s before the first of them; it doubles")
    timeout: Seconds = Field(default=20.0, description="s that the call waits, the time in the queue included")
    cache: Seconds | None = Field(default=None, description="s for which an answer is good for the same arguments")
    filler: Texts = Field(default=(), description="what may be said while it runs, in turn")
    grace: Seconds | None = Field(default=None, description="s of silence before the first; left out: the agent's")
    on_hangup: OnHangup = Field(default="finish", description="cancel, finish, finish_and_notify")
    on_barge_in: OnBargeIn = Field(default="keep", description="keep, cancel")
    notify: str | None = Field(default=None, description="where finish_and_notify tells how it ended")
    approval: str = Field(
        default="never",
        min_length=1,
        description="who approves a run: never, caller, key, operator, several joined by or, or file.py:function",
    )
    description: str | None = Field(default=None, min_length=1, description="for the model, in the server's place")
    summary: str | None = Field(default=None, description="what it does, in words fit for callers and operators")

    @field_validator("approval")
    @classmethod
    def _known_approvers(cls, approval: str) -> str:
        if ":" not in approval:
            approvers_of(approval)
        return approval

    @model_validator(mode="after")
    def _may_run_again(self) -> McpTool:
        if self.retries and self.effects not in (None, "idempotent"):
            raise ValueError(f'retries would run it again: they take effects = "idempotent", not {self.effects!r}')
        if self.cache is not None and self.effects == "once":
            raise ValueError("an effect that counts can't come out of a cache: leave cache out")
        return self


class McpFilter(_Shorthand):
    """Some of a server's tools, as the provider takes it: a list of names, or { tool_names, read_only }."""

    _short: ClassVar[dict[str, Any]] = TEXTS

    tool_names: tuple[str, ...] = Field(default=(), description="by name")
    read_only: bool | None = Field(default=None, description="those that say so of themselves (readOnlyHint)")

    @model_validator(mode="before")
    @classmethod
    def _plain_names(cls, given: object) -> object:
        return {"tool_names": given} if isinstance(given, list | tuple) else given


class McpRequireApproval(_Shorthand):
    """`require_approval` as the provider takes it: "always", "never", or tools in always and never."""

    _short: ClassVar[dict[str, Any]] = {"enum": ["always", "never"]}

    all: Literal["always", "never"] | None = Field(default=None, description="for every tool")
    always: McpFilter | None = Field(default=None, description="those that are asked for")
    never: McpFilter | None = Field(default=None, description="those that are not")

    @model_validator(mode="before")
    @classmethod
    def _plain_word(cls, given: object) -> object:
        return {"all": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_way(self) -> McpRequireApproval:
        if (self.all is None) == (self.always is None and self.never is None):
            raise ValueError('write "always", "never", or { always = [names], never = [names] }')
        return self


class McpServer(_Table):
    """One MCP server. Frozen; safe to share."""

    label: str = Field(description="its short name, before each of its tools' names: crm__find")
    run_by: Literal["offhook", "provider"] = Field(
        default="offhook", description="offhook: we are the client, each call a job; provider: the realtime session is"
    )
    url: str | None = Field(default=None, description="where it listens (streamable HTTP)")
    connector_id: str | None = Field(default=None, min_length=1, description="one of the provider's own connectors")
    tunnel_id: str | None = Field(
        default=None, min_length=1, description="a private server that the provider reaches through its tunnel"
    )
    command: str | None = Field(default=None, min_length=1, description="a program that speaks MCP on stdin and stdout")
    args: tuple[str, ...] = Field(default=(), description="its arguments")
    env: dict[str, McpValue] = Field(default_factory=dict, description="variables that it gets beside PATH and HOME")
    cwd: str = Field(default=".", description="the folder that it runs in, taken from the agent file's")
    authorization: str | None = Field(
        default=None, min_length=1, description="the name of the secret that is the token (Authorization: Bearer ...)"
    )
    headers: dict[str, McpValue] = Field(default_factory=dict, description="further headers of each request")
    allowed_tools: tuple[str, ...] = Field(
        default=("*",), description="the tools that there are for us, by name or pattern"
    )
    read_only: bool = Field(default=False, description="whether only tools that say readOnlyHint are taken")
    trust_annotations: bool = Field(
        default=True, description="whether readOnlyHint and idempotentHint make a tool idempotent"
    )
    description: str | None = Field(default=None, description="what it is, for the model")
    tools: dict[str, McpTool] = Field(default_factory=dict, description="how its tools are run, by name or pattern")
    after: Texts = Field(
        default=(),
        description='run_by = "provider": its tools are there in the one response that follows one of these tools, by'
        " name or pattern; left out: in the whole session",
    )
    require_approval: McpRequireApproval | None = Field(
        default=None, description='run_by = "provider": as it takes it; left out: by approval of the tools'
    )

    @field_validator("label")
    @classmethod
    def _label_that_all_take(cls, label: str) -> str:
        if len(label) > LONGEST_LABEL or not _LABEL.fullmatch(label):
            raise ValueError(
                f"a label begins with a letter, has letters, digits, single _ and - in it, at most {LONGEST_LABEL}"
            )
        return label

    @field_validator("url")
    @classmethod
    def _url_of_a_server(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("write https://HOST/PATH or http://HOST/PATH")
        if "@" in parts.netloc:
            raise ValueError("no user and password in the address: name a secret with authorization or headers")
        return url

    @field_validator("headers")
    @classmethod
    def _headers_of_ours(cls, headers: dict[str, McpValue]) -> dict[str, McpValue]:
        seen: set[str] = set()
        for name, value in headers.items():
            lower = name.lower()
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if lower in seen:
                raise ValueError(f"{name} stands here twice")
            if lower in _TRANSPORT or lower.startswith("mcp-"):
                raise ValueError(f"{name} is the transport's own header: leave it out")
            if lower == "authorization" and value.secret is None:
                raise ValueError(f'{name} is a secret: write {{ secret = "NAME", prefix = "Bearer " }}')
            seen.add(lower)
        return headers

    @field_validator("env")
    @classmethod
    def _variables(cls, env: dict[str, McpValue]) -> dict[str, McpValue]:
        for name in env:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a variable")
        return env

    @model_validator(mode="after")
    def _whole(self) -> McpServer:
        self._check_place()
        if self.authorization is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("Authorization twice: by authorization and in headers; leave one out")
        if self.run_by == "provider":
            self._check_provider()
        elif self.require_approval is not None:
            raise ValueError('require_approval goes with run_by = "provider"; write approval in [mcp.tools.NAME]')
        elif self.after:
            raise ValueError('after goes with run_by = "provider"; for tools of ours [tools] hook says which there are')
        return self

    def _check_place(self) -> None:
        given = [name for name in ("url", "connector_id", "tunnel_id", "command") if getattr(self, name) is not None]
        if len(given) != 1:
            both = " and ".join(given) or "none"
            raise ValueError(f"write one of url, connector_id, tunnel_id and command: there is {both}")
        if self.command is None and (self.args or self.env or "cwd" in self.model_fields_set):
            raise ValueError("args, env and cwd go with command")
        if self.command is not None and (self.headers or self.authorization is not None):
            raise ValueError("a command takes no headers and no authorization: give it its secrets in env")
        for name in ("connector_id", "tunnel_id"):
            if getattr(self, name) is not None and self.run_by != "provider":
                raise ValueError(f'{name} goes with run_by = "provider"')
        if self.connector_id is not None and self.headers:
            raise ValueError("a connector takes no headers: name its token's secret with authorization")

    def _check_provider(self) -> None:
        if self.command is not None:
            raise ValueError('the provider can\'t start a command: write url, or run_by = "offhook"')
        for name in self.allowed_tools:
            if _PATTERN.search(name) and name != "*":
                raise ValueError(f"allowed_tools: the provider takes names, no patterns such as {name}")
        for name, tool in self.tools.items():
            if ours := [key for key in _BY_US if key in tool.model_fields_set]:
                raise ValueError(f"tools.{name}.{ours[0]} is for tools that we run: the provider runs these")

    @property
    def where(self) -> str:
        """Its address in a line for the operator: no secrets."""
        return self.url or self.connector_id or self.tunnel_id or " ".join((self.command or "", *self.args))

    @property
    def prefix(self) -> str:
        """What the names of its tools begin with, as the model sees them."""
        return self.label + SEPARATOR

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets that it needs, each once."""
        named = [self.authorization, *(value.secret for value in (*self.headers.values(), *self.env.values()))]
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def allows(self, tool: str) -> bool:
        """Tell whether `allowed_tools` has a tool, by the server's own name for it."""
        return any(fnmatchcase(tool, pattern) for pattern in self.allowed_tools)

    def options(self, tool: str) -> McpTool:
        """Return how a tool is run: by its own name, the first pattern that fits, or the defaults."""
        if tool in self.tools:
            return self.tools[tool]
        return next((found for pattern, found in self.tools.items() if fnmatchcase(tool, pattern)), McpTool())

    def request_headers(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of each request, secrets and all: not for a log. secrets: by name."""
        headers = {name: value.value(secrets) for name, value in self.headers.items()}
        if self.authorization is not None:
            headers["Authorization"] = f"Bearer {secrets[self.authorization]}"
        return headers

    def variables(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of its program, secrets and all: not for a log. secrets: by name."""
        return {name: value.value(secrets) for name, value in self.env.items()}


def check_labels(servers: Iterable[McpServer]) -> None:
    """Raise ValueError where a label stands twice; letters of both cases count as one."""
    seen: set[str] = set()
    for server in servers:
        if server.label.lower() in seen:
            raise ValueError(f"the label {server.label} stands there twice: give each server its own")
        seen.add(server.label.lower())


def check_servers(servers: Iterable[McpServer], own: Iterable[Any], secrets: Mapping[str, str]) -> None:
    """Find out before a start what would go wrong. own: the agent's own tools. secrets: those that there are, by name.

    Raises `ToolDefinitionError` for a secret that isn't there, and for a tool of ours with a server's prefix.
    """
    names = [spec.name for spec in own]
    for server in servers:
        for secret in server.secrets:
            if not secrets.get(secret):
                raise ToolDefinitionError(
                    f"mcp {server.label} wants the secret {secret}: set it, and name it in OFFHOOK_TOOL_SECRETS"
                )
        for name in names:
            if name.lower().startswith(server.prefix.lower()):
                raise ToolDefinitionError(
                    f"the tool {name} has a name that belongs to the MCP server {server.label}: rename one of them"
                )

"""What a tool is: a typed Python function, and how it wants to be run.

    from tools import tool

    @tool(mode="queued", timeout=20, filler="Let me look that order up.", on_hangup="cancel")
    def order_status(order: str) -> dict:
        \"\"\"Look up an order by its number.\"\"\"

The function stays what it was; `order_status.__tool__` is its `ToolSpec`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args, overload

from tools.define.approval import Approval, check_approval, check_question
from tools.define.digits import told_of
from tools.define.schema import nearest, signature_of
from tools.define.signature import Signature
from tools.define.source import place_of
from tools.errors import ToolDefinitionError

Mode = Literal["inline", "queued", "auto"]
OnHangup = Literal["cancel", "finish", "finish_and_notify"]
OnBargeIn = Literal["keep", "cancel"]
Effects = Literal["any", "once", "idempotent"]

ATTRIBUTE = "__tool__"
LONGEST_PAUSE_S = 60.0
MOST_RETRIES = 10
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what the providers take as a function's name

_CHOICES = ("mode", "on_hangup", "on_barge_in", "effects", "retries", "notify")
_OPTIONS = (
    *("name", "description", "timeout", "filler", "grace", "backoff", "cache", "secrets", "summary"),
    *("approval", "question"),
    *_CHOICES,
)

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a tool stands that is somebody else's: the MCP server's label, and the server's own name for the tool.

    version: changes when the server's tool does.
    """

    label: str
    tool: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """The recipe of one tool.

    name, description: what the model sees. function: what runs; sync or async. signature: its parameters.
    mode: inline (in the worker's own process), queued (as a job on a tool worker), auto (inline, until it proves to
    be slow; see `modes`).
    timeout_s: the call waits this long at most, the time in the queue included; then the tool is stopped.
    filler: what may be said while it runs, in turn. grace_s: silence before the first; None: the agent's.
    on_hangup: what happens to a running call of it when the caller hangs up.
    on_barge_in: "cancel" where it is of no use any more once the caller has said something else while it runs.
    effects: "once" where it must not be taken for undone when its end is unknown, such as a payment; "idempotent"
    where running it twice is as good as once, so that it may be tried again.
    retries: how often it is tried again after it raised (anything but a ToolError) or died, with growing pauses of
    `backoff_s`, 2 * backoff_s, ...; idempotent tools only.
    cache_s: how long its answer is good for the same arguments, whoever calls; None: not at all.
    secrets: the names of those that it gets in its context. notify: where `finish_and_notify` tells how it ended:
    the name of a channel or the URL of a webhook; None: the channel "default".
    summary: what it does in a few words that a caller or an operator may hear, without arguments.
    approval: who has to approve each call of it before it runs; see `tools.define.approval`.
    question: what the caller, or the operator, is asked then, such as "Shall I cancel the order {order}?"; "": made of
    the summary and the arguments.
    remote: where it stands, for a tool of an MCP server; its function then calls that.
    """

    name: str
    description: str
    function: Callable[..., Any] = field(repr=False)
    signature: Signature = field(repr=False)
    mode: Mode = "auto"
    timeout_s: float = 20.0
    filler: tuple[str, ...] = ()
    grace_s: float | None = None
    on_hangup: OnHangup = "finish"
    on_barge_in: OnBargeIn = "keep"
    effects: Effects = "any"
    retries: int = 0
    backoff_s: float = 1.0
    cache_s: float | None = None
    secrets: tuple[str, ...] = ()
    notify: str | None = None
    summary: str = ""
    approval: Approval = "never"
    question: str = ""
    remote: Remote | None = None

    @property
    def version(self) -> str:
        """A short text that changes when the tool does: what the model sees of it, or its function's source."""
        if self.remote is not None:
            return self.remote.version
        return _version(self.function, json.dumps(self.as_function(), sort_keys=True))

    @property
    def delays_s(self) -> tuple[float, ...]:
        """The pauses before each further try, in s."""
        return tuple(min(self.backoff_s * 2**n, LONGEST_PAUSE_S) for n in range(self.retries))

    @property
    def queued(self) -> bool:
        """Whether it always runs as a job."""
        return self.mode == "queued"

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def source(self) -> str:
        """Where the function stands, as module:name or file:name; a remote tool as label:name."""
        if self.remote is not None:
            return f"mcp {self.remote.label}:{self.remote.tool}"
        return place_of(self.function)

    def secrets_from(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the secrets that it has asked for, and no others. Raises `ToolDefinitionError` for a missing one."""
        for name in self.secrets:
            if name not in secrets:
                raise ToolDefinitionError(f"tool {self.source} wants the secret {name}: set it, or don't ask for it")
        return {name: secrets[name] for name in self.secrets}

    def as_function(self) -> dict[str, Any]:
        """Return the function tool that a realtime session is configured with (OpenAI's shape)."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description + told_of(self.signature.digits),
            "parameters": self.signature.parameters,
        }


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    mode: Mode = "auto",
    timeout: float = 20.0,
    filler: str | Sequence[str] = (),
    grace: float | None = None,
    on_hangup: OnHangup = "finish",
    on_barge_in: OnBargeIn = "keep",
    effects: Effects = "any",
    retries: int = 0,
    backoff: float = 1.0,
    cache: float | None = None,
    secrets: Iterable[str] = (),
    notify: str | None = None,
    summary: str | None = None,
    approval: Approval = "never",
    question: str = "",
) -> Callable[[F], F]: ...


def tool(function: Any = None, /, **options: Any) -> Any:
    """Make a function a tool: bare, or with options.

    Times are in s; see `ToolSpec` for what each option means. The name and the description are the function's own
    name and docstring if not given. Raises `ToolDefinitionError` where the tool can't be offered to a model.
    """
    if function is not None:
        return _mark(function, {})
    return lambda found: _mark(found, options)


def _mark(function: F, options: dict[str, Any]) -> F:
    setattr(function, ATTRIBUTE, spec_of(function, **options))
    return function


def spec_of(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float = 20.0,
    filler: str | Sequence[str] = (),
    grace: float | None = None,
    backoff: float = 1.0,
    cache: float | None = None,
    secrets: Iterable[str] = (),
    summary: str | None = None,
    approval: Approval = "never",
    question: str = "",
    **choices: Any,
) -> ToolSpec:
    """Return the recipe of a function with the decorator's options, checked."""
    if not inspect.isroutine(function):
        raise ToolDefinitionError(f"tool {function!r}: @tool goes on a function")
    where = f"tool {place_of(function)}"
    _check_options(where, choices)
    given = {"name": name, "description": description, "summary": summary, "question": question}
    _check_types(where, **given, notify=choices.get("notify"))
    check_approval(where, approval)
    found_name = name if name is not None else function.__name__
    words = description if description is not None else inspect.getdoc(function)
    if not _NAME.fullmatch(found_name):
        raise ToolDefinitionError(
            f"{where}: {found_name!r} is no name that a model can call: use at most 64 letters, digits, _ and -"
        )
    if not words:
        raise ToolDefinitionError(f"{where}: it has no docstring: say in it what the tool does, for the model")
    for label, seconds in (("timeout", timeout), ("grace", grace), ("backoff", backoff), ("cache", cache)):
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if seconds is not None and not (number and 0 < seconds <= 24 * 3600):
            raise ToolDefinitionError(f"{where}: {label}={seconds!r} is wrong: give seconds, more than 0")
    kinds = (("mode", Mode), ("on_hangup", OnHangup), ("on_barge_in", OnBargeIn), ("effects", Effects))
    for label, allowed in kinds:
        if label in choices and choices[label] not in get_args(allowed):
            choice = ", ".join(get_args(allowed))
            raise ToolDefinitionError(f"{where}: {label}={choices[label]!r} is wrong: it is one of {choice}")
    for label, texts in (("filler", filler), ("secrets", secrets)):
        if not isinstance(texts, Iterable) or not all(isinstance(text, str) for text in texts):
            raise ToolDefinitionError(f"{where}: {label}={texts!r} is wrong: give a text, or a list of texts")
    signature = signature_of(function)
    _check_again(where, choices, cache, typed=bool(signature.digits))
    check_question(where, question, signature.parameters["properties"])
    return ToolSpec(
        name=found_name,
        description=words,
        function=function,
        signature=signature,
        timeout_s=float(timeout),
        filler=(filler,) if isinstance(filler, str) else tuple(filler),
        grace_s=grace,
        backoff_s=float(backoff),
        cache_s=cache,
        secrets=(secrets,) if isinstance(secrets, str) else tuple(secrets),
        summary=summary if summary is not None else found_name.replace("_", " ").replace("-", " "),
        approval=approval,
        question=question,
        **choices,
    )


def _check_options(where: str, choices: Mapping[str, Any]) -> None:
    """Say which option there is in the place of one that there isn't."""
    for option in choices:
        if option not in _CHOICES:
            near = nearest(option, _OPTIONS)
            hint = f"did you mean {near}?" if near else f"the options are: {', '.join(_OPTIONS)}"
            raise ToolDefinitionError(f"{where}: there is no option {option}; {hint}")


def _check_types(where: str, **texts: object) -> None:
    for label, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise ToolDefinitionError(f"{where}: {label}={text!r} is wrong: give a text")


def _check_again(where: str, choices: dict[str, Any], cache: float | None, *, typed: bool) -> None:
    """What may run twice, or not at all, says so in its effects."""
    effects, retries = choices.get("effects", "any"), choices.get("retries", 0)
    if not isinstance(retries, int) or not 0 <= retries <= MOST_RETRIES:
        raise ToolDefinitionError(f"{where}: retries={retries!r} is wrong: give a number from 0 to {MOST_RETRIES}")
    if retries and effects != "idempotent":
        raise ToolDefinitionError(
            f'{where}: retries={retries} would run it again: add effects="idempotent" if running it twice is as good'
            " as once, or leave retries out"
        )
    if typed and cache is not None:
        raise ToolDefinitionError(f"{where}: what the caller types belongs in no cache: leave cache out")
    if cache is not None and effects == "once":
        raise ToolDefinitionError(f"{where}: an effect that counts can't come out of a cache: leave cache out")


@lru_cache(512)
def _version(function: Callable[..., Any], shown: str) -> str:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = ""
    return hashlib.sha256(f"{shown}{source}".encode("utf-8", "surrogatepass")).hexdigest()[:12]

"""What a tool is: a typed Python function, and how it wants to be run.

    from tools import tool

    @tool(mode="queued", timeout=20, filler="Let me look that order up.", on_hangup="cancel")
    def order_status(order: str) -> dict:
        \"\"\"Look up an order by its number.\"\"\"

The function stays what it was; `order_status.__tool__` is its `ToolSpec`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, overload

from tools.errors import ToolDefinitionError
from tools.schema import Signature, signature_of

Mode = Literal["inline", "queued", "auto"]
OnHangup = Literal["cancel", "finish", "finish_and_notify"]
Effects = Literal["any", "once"]

ATTRIBUTE = "__tool__"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what the providers take as a function's name

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """The recipe of one tool.

    name, description: what the model sees. function: what runs; sync or async. signature: its parameters.
    mode: inline (in the worker's own process), queued (as a job on a tool worker), auto (inline).
    timeout_s: the call waits this long at most, the time in the queue included; then the tool is stopped.
    filler: what may be said while it runs, in turn. grace_s: silence before the first; None: the agent's.
    on_hangup: what happens to a running call of it when the caller hangs up.
    effects: "once" where it must not be taken for undone when its end is unknown, such as a payment.
    summary: what it does in a few words that a caller or an operator may hear, without arguments.
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
    effects: Effects = "any"
    summary: str = ""

    @property
    def queued(self) -> bool:
        """Whether it runs as a job."""
        return self.mode == "queued"

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def source(self) -> str:
        """Where the function stands, as module:name."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    def as_function(self) -> dict[str, Any]:
        """Return the function tool that a realtime session is configured with (OpenAI's shape)."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
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
    effects: Effects = "any",
    summary: str | None = None,
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
    summary: str | None = None,
    **choices: Any,
) -> ToolSpec:
    """Return the recipe of a function with the decorator's options, checked."""
    if not inspect.isroutine(function):
        raise ToolDefinitionError(f"tool {function!r}: @tool goes on a function")
    where = f"tool {function.__module__}:{function.__qualname__}"
    found_name = name if name is not None else function.__name__
    words = description if description is not None else inspect.getdoc(function)
    if not _NAME.fullmatch(found_name):
        raise ToolDefinitionError(
            f"{where}: {found_name!r} is no name that a model can call: use at most 64 letters, digits, _ and -"
        )
    if not words:
        raise ToolDefinitionError(f"{where}: it has no docstring: say in it what the tool does, for the model")
    for label, seconds in (("timeout", timeout), ("grace", grace)):
        if seconds is not None and not 0 < seconds <= 24 * 3600:
            raise ToolDefinitionError(f"{where}: {label}={seconds!r} is wrong: give seconds, more than 0")
    for label, allowed in (("mode", Mode), ("on_hangup", OnHangup), ("effects", Effects)):
        if label in choices and choices[label] not in get_args(allowed):
            choice = ", ".join(get_args(allowed))
            raise ToolDefinitionError(f"{where}: {label}={choices[label]!r} is wrong: it is one of {choice}")
    return ToolSpec(
        name=found_name,
        description=words,
        function=function,
        signature=signature_of(function),
        timeout_s=float(timeout),
        filler=(filler,) if isinstance(filler, str) else tuple(filler),
        grace_s=grace,
        summary=summary if summary is not None else found_name.replace("_", " ").replace("-", " "),
        **choices,
    )

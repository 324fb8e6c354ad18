"""Who has to approve a tool call before it runs: the caller by voice or by a key, an operator, or a rule. Pure.

    @tool(approval="caller or operator", question="Shall I cancel the order {order}?")
    def cancel_order(order: str) -> dict: ...

A policy is a text (`never`, `caller`, `key`, `operator`, several joined by `or`; `always` is `caller or key`) or a
rule: a function (`CallToApprove`, `CallFacts`) that returns `approve`, `decline`, or one of these texts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from tools.errors import ToolDefinitionError

__all__ = [
    "APPROVED",
    "DECLINED",
    "Approval",
    "ApprovalRule",
    "Approver",
    "Approvers",
    "CallFacts",
    "CallToApprove",
    "approvers_of",
    "check_approval",
    "check_question",
    "fingerprint",
    "strictest",
    "words_of",
]

Approver = Literal["caller", "key", "operator", "decline"]
Approvers = frozenset[Approver]
"""Any one of them may approve. `decline` stands alone: nobody may."""
APPROVED: Final[Approvers] = frozenset()
"""Nobody has to."""
DECLINED: Final[Approvers] = frozenset({"decline"})

STRICTNESS: Mapping[Approver, int] = {"caller": 1, "key": 2, "operator": 3, "decline": 4}
"""A voice may be misheard, a key is pressed on purpose, an operator is somebody else than who asks."""
_TEXTS: Mapping[str, Approvers] = {
    "never": APPROVED,
    "approve": APPROVED,
    "always": frozenset({"caller", "key"}),
    "caller": frozenset({"caller"}),
    "key": frozenset({"key"}),
    "operator": frozenset({"operator"}),
    "decline": DECLINED,
}
WRITTEN = "never, caller, key, operator, several joined by 'or', always (caller or key), or a rule"
_FIELD = re.compile(r"\{([^{}]*)\}")
LONGEST_VALUE = 60
"""Characters of an argument that are spoken: who listens can't hold more."""
_SPOKEN = re.compile(r"[^\w\s.,@%&/+'€$£#-]", re.UNICODE)
"""What is left out of an argument's words: by anything else it could become a sentence of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallToApprove:
    """A tool call, for a rule. arguments: as they will run, checked."""

    tool: str
    tool_call_id: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What a rule may know of the phone call. None of it was said by the model, nor by the caller."""

    call_id: str
    caller: str = ""
    dialled: str = ""
    agent: str = ""
    language: str = ""


ApprovalRule = Callable[[CallToApprove, CallFacts], Any]
"""May be async; a sync one runs in a thread."""
Approval = str | ApprovalRule


@lru_cache(256)
def approvers_of(text: str) -> Approvers:
    """Return who a policy's text names. Raises ValueError saying what may stand there."""
    found: Approvers = frozenset()
    parts = [part.strip() for part in text.split(" or ")]
    for part in parts:
        if part not in _TEXTS or (len(parts) > 1 and part in ("never", "approve", "decline")):
            raise ValueError(f"{text!r} is wrong: write {WRITTEN}")
        found |= _TEXTS[part]
    return found


def strictest(policies: Iterable[Approvers]) -> Approvers:
    """Return the strictest of some policies: by its easiest way, then by how few ways there are."""
    return max(policies, key=_strictness, default=APPROVED)


def _strictness(approvers: Approvers) -> tuple[int, int]:
    return min((STRICTNESS[one] for one in approvers), default=0), -len(approvers)


def words_of(approval: Approval) -> str:
    """Return a policy as a list of tools shows it."""
    return approval if isinstance(approval, str) else f"rule {getattr(approval, '__name__', 'of a kind')}"


def check_approval(where: str, approval: object) -> None:
    """Raise `ToolDefinitionError` for what is no policy."""
    if callable(approval):
        return
    if not isinstance(approval, str):
        raise ToolDefinitionError(f"{where}: approval={approval!r} is wrong: write {WRITTEN}")
    try:
        approvers_of(approval)
    except ValueError as error:
        raise ToolDefinitionError(f"{where}: approval={error}") from None


def check_question(where: str, question: str, parameters: Iterable[str]) -> None:
    """Raise `ToolDefinitionError` where a question speaks of what the tool does not take."""
    known = list(parameters)
    for name in _FIELD.findall(question):
        if name not in known:
            raise ToolDefinitionError(
                f"{where}: question={question!r} is wrong: there is no {name!r}; the tool takes {', '.join(known)}"
            )


def fingerprint(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return what a tool call with these arguments (as JSON has them) is known by: what was approved is what runs."""
    text = json.dumps([tool, arguments], sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def question_of(template: str, arguments: Mapping[str, Any]) -> str:
    """Put arguments into a question's `{parameter}` places, as words and never as sentences."""
    return _FIELD.sub(lambda found: spoken(arguments.get(found[1])), template)


def spoken(value: object) -> str:
    """Return a value as words that can't be taken for a sentence: one line, no end of a sentence, not too long."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {spoken(one)}" for name, one in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        text = ", ".join(spoken(one) for one in value)
    else:
        text = "" if value is None else str(value)
    words = " ".join(_SPOKEN.sub(" ", text).split())
    words = re.sub(r"\.(?=\s|$)", "", words)  # a full stop; that of 3.50 or of a host name stays
    return words if len(words) <= LONGEST_VALUE else words[: LONGEST_VALUE - 1].rstrip() + "…"

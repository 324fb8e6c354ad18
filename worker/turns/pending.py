"""The tool calls of one call that have no answer yet, by the response that made them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["MOST_CALLS", "PendingTool", "PendingTools"]

MOST_CALLS = 4096
"""Tool calls of one phone call. None of their ids is forgotten before its end: the second request for an inline tool of
hours ago would run it again. What goes past that (a model in a loop) is answered and not run."""
REMEMBERED = 64


@dataclass(slots=True)
class PendingTool:
    """One tool call of the model from its request until its output is in the conversation."""

    tool_call_id: str
    name: str
    arguments: str
    response_id: str
    started_at: float
    fillers: int = 0
    output: str | None = None
    """The outcome that waits to be sent, while there is no session to send it to."""
    cancelled: bool = False
    """It was told to stop, for the caller has said something meanwhile."""
    placeholder: bool = False
    """The call was answered with a placeholder; its outcome follows as a message."""
    progress: str | None = None
    """How far it is, by its own word."""
    news: str | None = None
    """What of that was not spoken yet."""
    offered: bool = False
    """The caller was offered, or promised, to hear of it after the call."""
    remote: bool = False
    """The provider runs it: no output is sent for it, and it can't be cancelled by us."""
    approval: bool = False
    """It waits for an approval. With it, `started_at` is when that was given."""
    held: bool = False
    """It does not run yet: the words before it are to be heard first."""
    awaits: bool = False
    """It does not run yet: somebody has to approve it."""


@dataclass(slots=True)
class PendingTools:
    """Which calls are open, and which responses wait for all of theirs."""

    _open: dict[str, PendingTool] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _refused: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """Ids past the limit: only that their duplicates aren't answered twice."""
    _generating: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self._open)

    def add(self, tool: PendingTool, *, generating: bool = True) -> bool:
        """Take a call in; False if this tool call id was taken before (a duplicate event never runs a tool twice).

        generating: its response may make more of them.
        """
        if tool.tool_call_id in self._seen or tool.tool_call_id in self._refused:
            return False
        if len(self._seen) < MOST_CALLS:
            self._seen.add(tool.tool_call_id)
        else:
            self._refused.append(tool.tool_call_id)
        self._open[tool.tool_call_id] = tool
        if generating:
            self._generating.add(tool.response_id)
        return True

    def refused(self, tool_call_id: str) -> bool:
        """Whether this call is past the limit: it has to be answered, and must not be run."""
        return tool_call_id in self._refused

    def get(self, tool_call_id: str) -> PendingTool | None:
        """The open call of this id."""
        return self._open.get(tool_call_id)

    def answer(self, tool_call_id: str) -> PendingTool | None:
        """Take a call out because its output is sent now; None if it was answered before or never asked."""
        return self._open.pop(tool_call_id, None)

    def response_done(self, response_id: str) -> bool:
        """The response makes no more calls. True if it made some and all of them are answered."""
        if response_id not in self._generating:
            return False
        self._generating.discard(response_id)
        return self.complete(response_id)

    def generating(self, response_id: str) -> bool:
        """Whether the response has made a call, and may make more."""
        return response_id in self._generating

    def complete(self, response_id: str) -> bool:
        """Whether the response is done and none of its calls is open: then, and only then, its answer is due."""
        return response_id not in self._generating and all(
            tool.response_id != response_id for tool in self._open.values()
        )

    def session_lost(self) -> None:
        """No response of the lost session will make another call, and its placeholders are gone with it."""
        self._generating.clear()
        for tool in self._open.values():
            tool.placeholder = False

    def running(self) -> list[PendingTool]:
        """Calls whose tool has not come back, the oldest first."""
        return [tool for tool in self._open.values() if tool.output is None]

    def held(self) -> list[PendingTool]:
        """Calls whose outcome waits for a session."""
        return [tool for tool in self._open.values() if tool.output is not None]

    def unanswered(self) -> list[PendingTool]:
        """Every open call that is ours to answer, the oldest first: what a new session has to be told of."""
        return [tool for tool in self._open.values() if not tool.remote]

    def ours(self) -> list[PendingTool]:
        """Of the running calls those that we run."""
        return [tool for tool in self.running() if not tool.remote]

    def remote_of(self, response_id: str | None) -> bool:
        """Whether the provider runs a call that this response made."""
        return any(tool.remote and tool.response_id == response_id for tool in self._open.values())

    @property
    def names(self) -> list[str]:
        """The names of the open calls' tools."""
        return [tool.name for tool in self._open.values()]

    @property
    def remote(self) -> bool:
        """Whether the provider runs a call."""
        return any(tool.remote for tool in self._open.values())

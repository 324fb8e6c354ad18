"""Names of tool calls that are unique in a phone call, whatever ids a provider gives. Pure.

A tool call's id names a job, so one id is one call and its side effect happens once. Providers are not so strict: some
count their calls anew in each response or session. The same id in the same response is the same call, told twice; in
another response it is another call, and gets a name of its own.
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["TOOL_CALLS", "CallIds"]

TOOL_CALLS = 1024
"""Ids kept: those of hours. What is older is no duplicate any more."""


class CallIds:
    """The tool calls of one phone call, over all its sessions."""

    def __init__(self) -> None:
        """Begin with none."""
        self._names: OrderedDict[str, str] = OrderedDict()
        """Our name -> the provider's id."""
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Response and call id, as the provider has them, of this session."""

    def new_session(self) -> None:
        """The provider may use its ids again."""
        self._seen.clear()

    def name(self, response_id: str, call_id: str) -> str | None:
        """Return the name of a call that is asked for; None where it was asked for before."""
        if (response_id, call_id) in self._seen or ("", call_id) in self._seen:  # a gateway may name no response
            return None
        self._seen[response_id, call_id] = None
        name, number = call_id, 1
        while name in self._names:
            number += 1
            name = f"{call_id}-{number}"
        self._names[name] = call_id
        for kept in (self._seen, self._names):
            if len(kept) > TOOL_CALLS:
                kept.popitem(last=False)
        return name

    def told(self, name: str) -> None:
        """A new session is told of an open call, by our name: from now on that is the provider's id, too."""
        self._names[name] = name

    def wire(self, name: str) -> str:
        """Return the id by which the provider knows a call."""
        return self._names.get(name, name)

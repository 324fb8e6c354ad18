"""The conversation so far as text, for a new session after a lost one. Pure.

What the agent said is kept as far as it was heard: a model that believes to have said more than the caller
heard answers past him. Items keep the order in which they began, though a caller's transcript comes late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.realtime.base import Entry, Role

CHARS: Final = 8000  # about 2000 tokens: ten minutes of talk, and the new session answers without delay
ITEMS: Final = 500
OUTPUT_CHARS: Final = 1000  # of a tool's output: what a session needs to word it again, not to be filled by it
CUT_MARK: Final = "…"
LEFT_OUT: Final = "(The beginning of this conversation is left out.)"


@dataclass(slots=True)
class _Item:
    role: Role
    text: str = ""
    heard: float = 1.0


class History:
    """What was said in one call, oldest first; bounded in items and, when asked for, in characters."""

    def __init__(self, *, chars: int = CHARS, items: int = ITEMS) -> None:
        """Begin empty; `chars` limits `entries()`, `items` what is kept."""
        self._chars = chars
        self._limit = items
        self._items: dict[str, _Item] = {}
        self._left_out = False

    def reserve(self, item_id: str, role: Role) -> None:
        """An item began: whatever its text turns out to be, its place is here."""
        self._item(item_id, role)

    def caller_said(self, item_id: str, text: str) -> None:
        """Take the caller's words."""
        self._item(item_id, "user").text = text.strip()

    def agent_said(self, item_id: str, text: str) -> None:
        """Take the agent's words, all of them; `cut` says how many were heard, before or after this."""
        self._item(item_id, "assistant").text = text.strip()

    def noted(self, key: str, text: str) -> None:
        """Take a note of ours; a later one of the same key takes its place."""
        self._item(key, "system").text = text

    def tool_answered(self, tool_call_id: str, name: str, arguments: str, output: str) -> None:
        """A tool call has its answer: a session that does not know it would make the call again."""
        if len(output) > OUTPUT_CHARS:
            output = output[:OUTPUT_CHARS] + CUT_MARK
        text = f"(The tool {name} was called with {arguments[:OUTPUT_CHARS]}. Its answer: {output})"
        self._item(f"tool:{tool_call_id}", "system").text = text

    def cut(self, item_id: str, heard_ms: int, received_ms: int) -> None:
        """Of `received_ms` of the item's audio `heard_ms` were played; the rest of its words was not said."""
        share = heard_ms / received_ms if received_ms > 0 else 0.0
        self._item(item_id, "assistant").heard = min(1.0, max(0.0, share))

    def heard(self, item_id: str) -> str:
        """Return the words of an item that were heard, as far as they are known."""
        item = self._items.get(item_id)
        return heard_words(item.text, item.heard) if item is not None else ""

    def entries(self) -> list[Entry]:
        """Return what was said, oldest first; past the limit of characters the oldest is left out and that is noted."""
        kept: list[Entry] = []
        room = self._chars
        left_out = self._left_out
        for item in reversed(self._items.values()):
            text = heard_words(item.text, item.heard)
            if not text:
                continue
            if len(text) > room:
                left_out = True
                break
            room -= len(text)
            kept.append(Entry(item.role, text))
        if left_out:
            kept.append(Entry("system", LEFT_OUT))
        return kept[::-1]

    def _item(self, item_id: str, role: Role) -> _Item:
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = _Item(role)
            if len(self._items) > self._limit:
                del self._items[next(iter(self._items))]
                self._left_out = True
        return item


def heard_words(text: str, share: float) -> str:
    """Return the whole words within the first `share` of a text: speech is even enough for that."""
    if share >= 1.0:
        return text
    end = int(len(text) * share)
    if end < len(text) and not text[end].isspace():
        end = max(text.rfind(" ", 0, end), 0)
    heard = text[:end].rstrip()
    return f"{heard}{CUT_MARK}" if heard else ""

"""Results that are too large for the model: their outline, and pages to be read one by one. Pure."""

from __future__ import annotations

PAGE = 6000  # characters, about 1500 tokens
MOST_PAGES = 700
OUTLINE_KEYS = 12


def pages_of(text: str) -> list[str]:
    """Cut a text into pages; past `MOST_PAGES` the rest is lost."""
    return [text[at : at + PAGE] for at in range(0, min(len(text), PAGE * MOST_PAGES), PAGE)]


def outline(value: object, depth: int = 2) -> object:
    """Return what a JSON value is made of, in a few words: lengths and the names of fields, no long values."""
    if isinstance(value, dict):
        if depth == 0:
            return f"object with {len(value)} fields"
        shown = {str(key)[:60]: outline(item, depth - 1) for key, item in list(value.items())[:OUTLINE_KEYS]}
        return {**shown, "...": f"{len(value) - OUTLINE_KEYS} more fields"} if len(value) > OUTLINE_KEYS else shown
    if isinstance(value, list | tuple):
        first = outline(value[0], depth - 1) if value and depth else None
        return [f"{len(value)} items, such as", first] if first is not None else f"list of {len(value)}"
    if isinstance(value, str) and len(value) > 60:
        return f"text of {len(value)} characters"
    return value

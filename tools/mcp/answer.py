"""What a server's tool has answered, as a value of ours or as the words of a `ToolError`."""

from __future__ import annotations

from typing import Any

import mcp_types as types

from tools.errors import ToolError

WORDS_CHARS = 400
"""Of a tool's own words for its failure: some servers put a whole validation report there."""


def value_of(result: types.CallToolResult) -> Any:
    """Return what a tool has answered: its structured content, else its text, with a line for what is neither.

    Raises `ToolError` with the tool's own words where it says that it has failed.
    """
    texts = [_text(block) for block in result.content]
    if result.is_error:
        words = " ".join(" ".join(texts).split())
        short = words if len(words) <= WORDS_CHARS else words[: WORDS_CHARS - 1] + "…"
        raise ToolError(short or "The tool failed, and did not say why.")
    if result.structured_content is not None:
        return result.structured_content
    return texts[0] if len(texts) == 1 else texts


def _text(block: Any) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
        case types.ResourceLink():
            return f"[{block.title or block.name}: {block.uri}]"
        case types.ImageContent() | types.AudioContent():
            return f"[{block.type}, {block.mime_type}]"
        case _:
            return "[something that is no text]"

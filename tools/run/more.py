"""The tool by which the model reads on in a result that was too large."""

from __future__ import annotations

from typing import Any

from tools.define.context import ToolContext
from tools.define.spec import ToolSpec, spec_of
from tools.errors import QueueUnavailable, ToolError
from tools.queue.queued import QueuedRunner
from tools.queue.store import remainder as rest


def more_tool(queued: QueuedRunner) -> ToolSpec:
    """Return the tool by which the model reads on in a result that was too large."""

    async def more(handle: str, page: int, context: ToolContext) -> dict[str, Any]:
        """Read a page of an answer that was too large: the handle came with it, and pages count from 1."""
        try:
            text, pages = await queued.ask(rest.page, context.call_id, handle, page)
        except QueueUnavailable:
            raise ToolError("The rest of the answer can't be reached at the moment.") from None
        if text is None:
            known = f"There is no page {page}: it has {pages}."
            raise ToolError(known if pages else "That answer is not kept any more.")
        return {"page": page, "pages": pages, "text": text}

    return spec_of(more, mode="inline", timeout=5, summary="read on")

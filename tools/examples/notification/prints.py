"""Work that outlives its call, and tells the caller by a text message how it ended."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

from tools import ToolContext, ToolError, tool
from tools.worker.notify import Message

OUTBOX = Path(__file__).with_name("outbox.jsonl")
"""Where the messages go here; yours go to a gateway."""
PAGE_S = 0.05


@tool(
    mode="queued",
    timeout=600,
    effects="once",
    on_hangup="finish_and_notify",
    notify="sms",
    secrets=["PRINTER_KEY"],
    filler="I am starting the printer.",
    summary="your print job",
)
def print_document(
    document: Annotated[str, "The document's number, in digits."],
    copies: Annotated[int, "How many, at most 100."],
    context: ToolContext,
) -> dict[str, Any]:
    """Print a document; takes some minutes. The caller may hang up meanwhile and is told by a text message."""
    if not document.isdigit() or not 1 <= copies <= 100:
        raise ToolError("A document has a number of digits, and there are 1 to 100 copies.")
    _unlock(context.secrets["PRINTER_KEY"])
    for page in range(copies):
        if page % 10 == 0:
            context.progress(f"{page} of {copies} pages")
        time.sleep(PAGE_S)
    return {"document": document, "copies": copies, "shelf": int(document) % 20}


def _unlock(key: str) -> None:
    """Your printer's own way of being asked. The key never stands in a result or in an error: these are told."""
    if not key:
        raise ToolError("The printer can't be reached at the moment.")


def send_sms(message: Message) -> None:
    """Tell the caller: a hook of the operator's (OFFHOOK_NOTIFY_HOOKS). It raises to be tried again.

    A message may come twice: `delivery_id` is the same then, for a gateway that knows such.
    """
    if message.status == "ok":
        text = f"{message.summary} is on shelf {message.result['shelf']}."
    else:
        text = f"{message.summary} could not be done: please call again."
    line = {"id": message.delivery_id, "to": message.caller, "text": text[:1].upper() + text[1:]}
    with OUTBOX.open("a", encoding="utf-8") as outbox:
        outbox.write(json.dumps(line) + "\n")

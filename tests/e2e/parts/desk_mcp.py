"""An MCP server of the SDK, in a process of its own: `desk_mcp.py PORT TOKEN FOLDER`. It wants the token.

FOLDER/mode says how order_status is, read at each call: `slow SECONDS`, `fail`. FOLDER/calls gets a line for each call
that begins, FOLDER/asked one for each request's method.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

TOKEN = sys.argv[2]
FOLDER = Path(sys.argv[-1])
desk = MCPServer("desk", log_level="CRITICAL")


def tell(file: str, line: str) -> None:
    with open(FOLDER / file, "a") as out:
        out.write(line + "\n")


@desk.tool(annotations=ToolAnnotations(read_only_hint=True))
async def order_status(order: str) -> dict[str, str]:
    """Look up an order by its number."""
    tell("calls", order)
    path = FOLDER / "mode"
    mode, *rest = (path.read_text() if path.exists() else "fine").split()
    if mode == "slow":
        await asyncio.sleep(float(rest[0]))
    if mode == "fail":
        raise ToolError("The warehouse has burnt down.")
    return {"order": order, "status": "shipped", "carrier": "DHL", "arrives": "Thursday"}


@desk.tool()
def cancel_order(order: str) -> str:
    """Cancel an order."""
    return f"cancelled {order}"


def behind(app: Any) -> Any:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"").decode()
        if given != f"Bearer {TOKEN}":
            await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return

        async def heard() -> Any:
            message = await receive()
            if message["type"] == "http.request" and message.get("body"):
                tell("asked", str(json.loads(message["body"]).get("method")))
            return message

        await app(scope, heard, send)

    return asgi


if __name__ == "__main__":
    uvicorn.run(behind(desk.streamable_http_app()), host="127.0.0.1", port=int(sys.argv[1]), log_level="critical")

"""A real MCP server of the SDK: a shop. `shop_server.py http PORT FOLDER` or `shop_server.py stdio FOLDER`.

What it is to do otherwise stands, word by word, in the file FOLDER/mode, which is read at each request:
401, 500, hang (nothing is answered), no-answer (a tool's answer is kept back), legacy (as before 2026), json (in
one piece), token (one has to be brought), odd (tools that are wrong), many (500 tools), broken-list, late (order_status
takes 4 s). FOLDER/effects gets a line for each payment, FOLDER/told for each event.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

FOLDER = Path(sys.argv[-1])
TOKEN = "t0ken-4711"
READ_ONLY = types.ToolAnnotations(read_only_hint=True)


def mode() -> set[str]:
    path = FOLDER / "mode"
    return set(path.read_text().split()) if path.exists() else set()


def tell(line: str, file: str = "told") -> None:
    with open(FOLDER / file, "a") as out:
        out.write(line + "\n")


ODD: list[dict[str, Any]] = [
    {"name": "broken", "inputSchema": {"type": "object", "properties": {"a": {"type": "colour"}}}},
    {"name": "elsewhere", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}}},
    {"name": "odd name/€", "description": "Has a name that no provider takes.", "inputSchema": {"type": "object"}},
    {"name": "n" * 90, "description": "Has a name that is too long.", "inputSchema": {"type": "object"}},
    {"name": "order_status", "description": "Listed twice.", "inputSchema": {"type": "object"}},
]


class Shop(MCPServer):
    """Lists what `mode` says, too."""

    async def list_tools(self) -> list[types.Tool]:
        found = await super().list_tools()
        if "odd" in mode():
            found += [types.Tool.model_validate(one) for one in ODD]
        if "many" in mode():
            found += [
                types.Tool(name=f"tool_{n}", description=f"Number {n}.", input_schema={"type": "object"})
                for n in range(500)
            ]
        return found


shop = Shop("shop", log_level="CRITICAL")


@shop.tool(annotations=READ_ONLY)
def order_status(order: str) -> dict[str, str]:
    """Look up an order by its number."""
    tell(f"order_status {order}")
    if "late" in mode():
        time.sleep(4)
    return {"order": order, "status": "shipped", "carrier": "DHL"}


@shop.tool()
async def pay(key: str, seconds: float = 0.0) -> str:
    """Pay."""
    await asyncio.sleep(seconds / 2)
    tell(key, "effects")
    await asyncio.sleep(seconds / 2)
    return f"paid {key}"


@shop.tool(annotations=READ_ONLY)
async def slow(seconds: float, ctx: Context) -> str:
    """Take so long."""
    tell("slow began")
    try:
        for step in range(1, 5):
            await asyncio.sleep(seconds / 4)
            await ctx.report_progress(step, 4, f"{step} of four")
    except asyncio.CancelledError:
        tell("slow cancelled")
        raise
    tell("slow ended")
    return "slow is done"


@shop.tool()
def refuse(why: str) -> str:
    """Refuse."""
    raise ToolError(why)


@shop.tool(annotations=READ_ONLY)
def large(size: int) -> str:
    """Answer with so many characters."""
    return "x" * size


@shop.tool(annotations=READ_ONLY)
def count(of: int) -> int:
    """Count."""
    return of + 1


@shop.tool()
async def learn(name: str, ctx: Context) -> str:
    """Get a new tool."""

    def taught() -> str:
        return f"{name} was run"

    shop.add_tool(taught, name=name, description=f"Was learnt: {name}.")
    await ctx.notify_tools_changed()
    return "learnt"


async def refused(scope: Any, body: bytes, send: Any) -> bool:
    """Answer for the shop where `mode` says so. True where that was done."""
    wanted, headers = mode(), dict(scope["headers"])
    tell(f"{scope['method']} {headers.get(b'authorization', b'').decode() or '-'}", "requests")
    if "hang" in wanted or ("no-answer" in wanted and b"tools/call" in body):
        await asyncio.sleep(3600)
    status = next((int(word) for word in ("401", "500") if word in wanted), 0)
    if "token" in wanted and headers.get(b"authorization") != f"Bearer {TOKEN}".encode():
        status = 401
    if "legacy" in wanted and b"server/discover" in body:
        status = 404
    if "broken-list" in wanted and b"tools/list" in body:
        number = json.loads(body)["id"]
        text = json.dumps({"jsonrpc": "2.0", "id": number, "result": {"tools": [{"name": 7}]}}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": text})
        return True
    if status:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
    return bool(status)


def behind(app: Any) -> Any:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        body, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if await refused(scope, body, send):
            return
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return given.pop() if given else await receive()

        await app(scope, again, send)

    return asgi


def main() -> None:
    tell(f"started {sys.argv[1]}")
    if sys.argv[1] == "stdio":
        shop.run("stdio")
        return
    app = behind(shop.streamable_http_app(json_response="json" in mode()))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="critical", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()

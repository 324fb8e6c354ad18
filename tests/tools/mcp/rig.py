"""MCP servers of the SDK in processes of their own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tools import rig
from tools.mcp.server import McpServer

PROGRAM = Path(__file__).with_name("shop_server.py")


@dataclass
class ShopServer:
    """A shop server that can be killed and started anew on its port."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self, wait: bool = True) -> None:
        with open(self.folder / "server.log", "ab") as out:
            command = [sys.executable, str(PROGRAM), "http", str(self.port), str(self.folder)]
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        if wait:
            rig.wait_until(self.answers, lambda: f"the MCP server: {(self.folder / 'server.log').read_text()}", 60.0)

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def mode(self, *words: str) -> None:
        (self.folder / "mode").write_text(" ".join(words))

    def lines(self, file: str = "told") -> list[str]:
        path = self.folder / file
        return path.read_text().splitlines() if path.exists() else []

    def definition(self, **more: Any) -> McpServer:
        return McpServer.model_validate({"label": "shop", "url": self.url, **more})


def stdio_definition(folder: Path, **more: Any) -> McpServer:
    return McpServer.model_validate(
        {"label": "shop", "command": sys.executable, "args": (str(PROGRAM), "stdio", str(folder)), **more}
    )

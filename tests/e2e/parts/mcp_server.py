"""The MCP server of the scenes (`desk_mcp`), started, told how to be, killed."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.ports import free_port

PROGRAM = Path(__file__).with_name("desk_mcp.py")
START_S = 25.0
TOKEN = "t0ken-of-the-desk"


class McpDesk:
    """One server; `port` is its own also while it does not run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        command = [sys.executable, str(PROGRAM), str(self.port), TOKEN, str(self.folder)]
        with open(self.folder / "mcp.log", "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        give_up = time.monotonic() + START_S
        while not self._answers():
            assert time.monotonic() < give_up, (self.folder / "mcp.log").read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(START_S)
            self.process = None

    def be(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    def lines(self, file: str) -> list[str]:
        path = self.folder / file
        return path.read_text().split() if path.exists() else []

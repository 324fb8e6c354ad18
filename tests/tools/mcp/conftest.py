"""A shop's MCP server, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.mcp.rig import ShopServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "shop"
    found.mkdir()
    return found


@pytest.fixture
def shop(folder: Path) -> Iterator[ShopServer]:
    server = ShopServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()

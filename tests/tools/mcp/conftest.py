"""A shop's MCP server, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.mcp.rig import ShopServer, stdio_definition
from tools.mcp.server import McpServer


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


@pytest.fixture(params=["http", "legacy", "stdio"])
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[McpServer]:
    """The shop's, by each transport: streamable HTTP, its older form, and a child's pipes."""
    if request.param == "stdio":
        yield stdio_definition(folder)
        return
    shop = ShopServer(folder)
    shop.mode(request.param)
    shop.start()
    yield shop.definition()
    shop.kill()

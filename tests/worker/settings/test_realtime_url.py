"""Where a session is really asked for, and with which proof: settings against a WebSocket server that looks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from worker.realtime.base import SessionConfig
from worker.realtime.choose import codec_for, connection_for
from worker.settings.load import load_settings

OPENAI = {"OFFHOOK_REALTIME": "openai", "OPENAI_API_KEY": "key-of-openai", "OFFHOOK_REALTIME_MODEL": "m-1"}
AZURE = {
    "OFFHOOK_REALTIME": "azure",
    "AZURE_OPENAI_API_KEY": "key-of-resource",
    "AZURE_OPENAI_DEPLOYMENT": "m-1",
}
GATEWAY = {"OFFHOOK_REALTIME": "gateway", "OPENAI_API_KEY": "key-of-gateway", "OFFHOOK_REALTIME_MODEL": "m-1"}
PASTED = [
    (OPENAI, "OPENAI_BASE_URL", "http://{}/v1", "/v1/realtime?model=m-1"),
    (OPENAI, "OPENAI_BASE_URL", "http://{}/v1/realtime", "/v1/realtime?model=m-1"),
    (OPENAI, "OFFHOOK_REALTIME_URL", "ws://{}/v1/realtime?model=other", "/v1/realtime?model=m-1"),
    (AZURE, "AZURE_OPENAI_ENDPOINT", "http://{}", "/openai/v1/realtime?model=m-1"),
    (AZURE, "AZURE_OPENAI_ENDPOINT", "http://{}/team/voice/", "/team/voice/openai/v1/realtime?model=m-1"),
    (AZURE, "AZURE_OPENAI_ENDPOINT", "http://{}/openai/v1/realtime", "/openai/v1/realtime?model=m-1"),
    (AZURE, "OFFHOOK_REALTIME_URL", "ws://{}/openai/v1/realtime", "/openai/v1/realtime?model=m-1"),
    (GATEWAY, "OFFHOOK_REALTIME_URL", "ws://{}/v1/realtime?tenant=7", "/v1/realtime?tenant=7&model=m-1"),
]


@pytest.mark.parametrize(("own", "variable", "url", "path"), PASTED)
async def test_the_path_that_is_asked_for_and_the_key_that_goes_with_it(
    peer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    own: dict[str, str],
    variable: str,
    url: str,
    path: str,
) -> None:
    for name in list(os.environ):
        if name.startswith(("OFFHOOK_", "OPENAI_", "AZURE_", "REDIS_")):
            monkeypatch.delenv(name)

    async def scene(peer: Any, ws: ServerConnection) -> None:
        await peer.greet(ws)
        await peer.listen(ws)

    async with peer(scene) as server:
        for name, value in {**own, variable: url.format(f"127.0.0.1:{server.port}")}.items():
            monkeypatch.setenv(name, value)
        provider = load_settings().provider()
        connection = connection_for(provider, codec_for(provider), lambda event: None)
        await connection.open(SessionConfig(instructions="Be brief."))
        await connection.close()
    assert server.paths == [path]
    (headers,) = server.headers
    if own is AZURE:
        assert headers["api-key"] == "key-of-resource" and "authorization" not in headers
    else:
        assert headers["authorization"] == f"Bearer {own['OPENAI_API_KEY']}" and "api-key" not in headers

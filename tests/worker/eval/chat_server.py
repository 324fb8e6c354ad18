"""A service of chat completions on loopback, as strict as the real one about what it is asked.

The boundary's fake: real HTTP, the request's and the answer's form as OpenAI documents them; what it answers, and how
badly, the test says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

KEY = "sk-test-0123456789"
MODEL = "test-model"
ROLES = {"system", "user", "assistant"}
KNOWN = {"model", "messages", "temperature", "seed", "response_format"}

Answer = Callable[[dict[str, Any]], Any]


def error(status: int, message: str, **headers: str) -> web.Response:
    """An error as the service words it."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    return web.json_response(body, status=status, headers=headers)


def wrong_in(body: Any) -> str | None:
    """What is wrong in a request."""
    if not isinstance(body, dict):
        return "We could not parse the JSON body of your request."
    if unknown := set(body) - KNOWN:
        return f"Unrecognized request argument supplied: {', '.join(sorted(unknown))}"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "[] is too short - 'messages'"
    for message in messages:
        if (
            set(message) != {"role", "content"}
            or message["role"] not in ROLES
            or not isinstance(message["content"], str)
        ):
            return f"Invalid message: {message}"
    if not isinstance(body.get("seed", 0), int) or not 0 <= body.get("temperature", 1) <= 2:
        return "Invalid type for 'seed' or value of 'temperature'."
    if body.get("response_format") == {"type": "json_object"} and "json" not in str(messages).lower():
        return "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
    return None


class ChatServer:
    """One service. asked: the requests that were answered, in order."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        self.requests = 0
        self.url = ""

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return error(401, f"Incorrect API key provided: {KEY[:4]}****.")
        try:
            body = json.loads(await request.text())
        except ValueError:
            body = None
        if (wrong := wrong_in(body)) is not None:
            return error(400, wrong)
        if body["model"] != MODEL:
            return error(404, f"The model `{body['model']}` does not exist or you do not have access to it.")
        self.asked.append(body)
        given = self.answer(body)
        if asyncio.iscoroutine(given):
            given = await given
        if isinstance(given, web.StreamResponse):
            return given
        message = {"role": "assistant", "content": given, "refusal": None}
        return web.json_response(
            {
                "id": f"chatcmpl-{self.requests}",
                "object": "chat.completion",
                "created": 1_700_000_000,
                "model": MODEL,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ChatServer]:
        """Serve until the block ends."""
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", self._completions)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
            yield self
        finally:
            await runner.cleanup()

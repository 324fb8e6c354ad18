"""The text model over real HTTP: what it is asked, and what is said where it does not answer as it should."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from tests.worker.eval.chat_server import KEY, MODEL, Answer, ChatServer, error
from worker.eval.chat import Chat, ChatError
from worker.eval.text_model import TextModel

MESSAGES: list[Any] = [("system", "Answer as JSON."), ("user", "hello")]


async def asked(answer: Answer, key: str | None = KEY, **model: Any) -> tuple[dict[str, Any], ChatServer]:
    async with ChatServer(answer).running() as server:
        given = {"url": server.url, "name": MODEL, "key": "MY_KEY", "timeout": 5.0, **model}
        chat = Chat(TextModel.model_validate(given), key)
        try:
            return await chat.ask(MESSAGES, seed=2**31 + 7), server
        finally:
            await chat.close()


async def refused(answer: Answer, key: str | None = KEY, **model: Any) -> str:
    with pytest.raises(ChatError) as found:
        await asked(answer, key, **model)
    assert KEY not in str(found.value) and "\n" not in str(found.value)
    return str(found.value)


async def test_the_same_question_each_time_with_a_seed_and_a_temperature() -> None:
    found, server = await asked(lambda body: '{"say": "hi"}')
    assert found == {"say": "hi"}
    assert server.asked == [
        {
            "model": MODEL,
            "messages": [{"role": "system", "content": "Answer as JSON."}, {"role": "user", "content": "hello"}],
            "temperature": 0.0,
            "seed": 7,
            "response_format": {"type": "json_object"},
        }
    ]
    _, server = await asked(lambda body: "{}", temperature=None)
    assert "temperature" not in server.asked[0]


@pytest.mark.parametrize("text", [None, "", "hello", "[1]", '{"say": "hi"', "{" * 50_000])
async def test_what_is_no_json_object(text: str | None) -> None:
    words = await refused(lambda body: text)
    assert f"model {MODEL} at http://127.0.0.1" in words and "was asked for a JSON object, and answers: " in words
    assert len(words) < 400


async def test_refusals_say_how_to_mend_them() -> None:
    assert "answers 401: Incorrect API key provided: sk-t****.; see the key in MY_KEY" in await refused(str, "wrong")
    assert "answers 404: The model `other` does not exist" in await refused(str, name="other")
    odd = await refused(lambda body: error(400, "Unsupported value: 'temperature'"))
    assert odd.endswith("wants temperature = 1 in [model]")


async def test_a_busy_service_is_asked_again_within_the_bound() -> None:
    answers = iter([error(429, "Rate limit", **{"Retry-After": "0"}), error(503, "Overloaded"), '{"ok": 1}'])
    found, server = await asked(lambda body: next(answers))
    assert found == {"ok": 1} and server.requests == 3


async def test_one_that_stays_busy_and_one_that_is_silent_are_not_waited_for() -> None:
    async def silent(body: dict[str, Any]) -> str:
        await asyncio.sleep(30)
        return "{}"

    loop = asyncio.get_running_loop()
    began = loop.time()
    assert "does not answer within 0.5 s" in await refused(silent, timeout=0.5)
    busy = await refused(lambda body: error(429, "Rate limit", **{"Retry-After": "30"}), timeout=1)
    assert "does not answer within 1 s" in busy or "ask less at once" in busy
    assert loop.time() - began < 10


async def test_no_service_and_something_else_at_its_address() -> None:
    assert "can't be reached" in await refused(str, url="http://127.0.0.1:9/v1")
    page = await refused(lambda body: web.Response(text="<html>welcome</html>", content_type="text/html"))
    assert "answers with no chat completion: see url in [model]" in page
    assert "answers with no chat completion" in await refused(lambda body: web.json_response({"choices": []}))

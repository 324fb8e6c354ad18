"""A call through LiteLLM's proxy, as a real gateway before the local realtime server: `/v1/realtime` in OpenAI's shape.

The proxy is a program of its own with its own dependencies; OFFHOOK_TEST_LITELLM names its command (`.ci/run` installs
it into an environment beside ours). It skips where there is none.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parts.caller import ROUGHLY, Call
from parts.program import Program, environment, until
from parts.services import RealtimeServer, RedisServer, ToolWorker, Worker

from tests.ports import free_port
from worker.call.sounds import APOLOGY, load_prompt

COMMAND = os.environ.get("OFFHOOK_TEST_LITELLM", "")
pytestmark = pytest.mark.skipif(not COMMAND, reason="OFFHOOK_TEST_LITELLM names no command of LiteLLM's proxy")

KEY = "sk-of-the-proxy"
PLAIN = 0.6
"""Enough to know a sentence by: others have 0.2 to 0.5. How well it sounds is no matter of these scenes."""
RESULT = "Order four two seven is shipped with DHL, and arrives on Thursday."
CONFIG = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/gpt-realtime, api_base: "{upstream}", api_key: any}}
    model_info: {{mode: realtime}}
general_settings: {{master_key: {key}}}
"""


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def gateway(own_folder: Path) -> Iterator[str]:
    """The proxy before a local realtime server; returns its URL."""
    server = RealtimeServer().ready()
    upstream = server.url.replace("ws://", "http://").removesuffix("/v1")
    (config := own_folder / "litellm.yaml").write_text(CONFIG.format(model="desk", upstream=upstream, key=KEY))
    port = free_port()
    own = {"HOME": own_folder, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    command = [COMMAND, "--config", config, "--host", "127.0.0.1", "--port", str(port)]
    proxy = Program(command, environment(**own), cwd=own_folder)
    try:
        until(lambda: answers(port) or not proxy.alive, lambda: f"LiteLLM listens:\n{proxy.text()}", 90)
        assert proxy.alive, proxy.text()
        yield f"ws://127.0.0.1:{port}/v1"
    finally:
        proxy.stop()
        server.stop()


@pytest.fixture
def start(
    gateway: str, redis: RedisServer, tool_worker: ToolWorker, spoken_agent: Path, folder: Path, tmp_path: Path
) -> Iterator[Callable[..., Worker]]:
    running: list[Worker] = []

    def begin(key: str = KEY, model: str = "desk") -> Worker:
        own = {"REDIS_URL": redis.url, "OFFHOOK_AGENT": spoken_agent, "SHOP_FOLDER": folder}
        realtime = {"OFFHOOK_REALTIME": "gateway", "OFFHOOK_REALTIME_URL": gateway, "OFFHOOK_REALTIME_MODEL": model}
        running.append(Worker(tmp_path / "records", **own, **realtime, OPENAI_API_KEY=key).ready())
        return running[-1]

    yield begin
    for one in running:
        one.stop()


def test_a_call_with_a_tool_a_filler_and_an_interruption(
    start: Callable[..., Worker], dial: Callable[[str], Call]
) -> None:
    desk = start()
    call = dial(desk.uri)
    call_id = desk.next_call()
    call.hears_said("Hello, this is the order desk. How can I help you?", likeness=PLAIN)
    asked = call.say("what is the status of order four two seven").now_ms
    filler = call.hears_said("Let me look that order up.", after=asked, likeness=PLAIN)
    assert filler < call.hears_said(RESULT, after=asked, likeness=PLAIN)
    call.say("what can you do")
    until(lambda: desk.calls()[0]["floor"] == "agent", "its answer begins")
    call.waits(1000).say("tell me the time")  # over the answer: cut at what was heard of it
    call.waits(2500)
    call.hang_up()
    record = desk.record(call_id)
    assert record["outcome"] == "completed" and record["errors"] == []
    assert {tool["status"] for tool in record["tool_calls"]} == {"ok"}
    said = [turn["text"] for turn in record["turns"] if turn["who"] == "agent"]
    assert any(text.startswith("I can look up") and text.endswith("…") for text in said), "cut at what was heard"


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"key": "sk-another"}, "check that the key"), ({"model": "no-such-model"}, "no-such-model")],
    ids=["key", "model"],
)
def test_what_it_refuses_is_told_in_a_line_and_in_words(
    start: Callable[..., Worker], dial: Callable[[str], Call], settings: dict[str, str], words: str
) -> None:
    desk = start(**settings)
    call = dial(desk.uri)
    call_id = desk.next_call()
    refused = desk.wait_log("realtime_refused", call_id=call_id)
    assert words in refused["reason"] and refused["fatal"], "asking again would not mend it"
    assert "sk-another" not in desk.text(400)
    call.hears_sound(load_prompt(APOLOGY, 8000), "the apology", likeness=ROUGHLY)
    call.ended()
    assert desk.record(call_id)["outcome"] == "failed"

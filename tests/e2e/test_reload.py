"""`offhook serve --agent FILE --reload`: who writes an agent hears each change in the next call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from parts.caller import Call
from parts.provider import Provider
from parts.services import Worker

TOOL = '''
from tools import tool

@tool(mode="queued", timeout=15)
def stock(article: str) -> str:
    """Tell what is in stock."""
    return "{answer}"
'''


def test_each_call_has_what_the_files_said_when_it_began(
    tmp_path: Path, folder: Path, provider: Provider, dial: Callable[[str], Call]
) -> None:
    agent, shop = tmp_path / "agent.toml", tmp_path / "shop.py"
    agent.write_text('instructions = "one"\n[tools]\nmodules = ["shop.py"]\n')
    shop.write_text(TOOL.format(answer="one pair"))
    settings = provider.settings
    settings["OFFHOOK_DRAIN_SECONDS"] = "0"
    worker = Worker(tmp_path / "calls", "--agent", agent, "--reload", **settings).ready()
    try:
        first = dial(worker.uri)
        session = provider.session()
        assert session.got("session.update")[-1]["session"]["instructions"] == "one"

        agent.write_text(agent.read_text().replace("one", "two"))
        shop.write_text(TOOL.format(answer="two pairs"))
        worker.wait_log("reloaded")
        worker.wait_log("child_ready", child="tool-worker", restarts=1)
        second = dial(worker.uri)
        later = provider.session()
        assert later.got("session.update")[-1]["session"]["instructions"] == "two"
        response = later.begin()
        asked = later.call(response, "stock", {"article": "boot"})
        later.end(response)
        assert "two pairs" in str(later.output(asked))
        assert len(worker.calls()) == 2, "the call that was up goes on"

        shop.write_text("no Python at all")
        told = worker.wait_log("not_reloaded", changed=["shop.py"])
        assert "SyntaxError" in told["reason"]
        third = dial(worker.uri)
        assert provider.session().got("session.update")[-1]["session"]["instructions"] == "two"
        for call in (first, second, third):
            call.hang_up()
    finally:
        assert worker.stop() == 0, worker.text()

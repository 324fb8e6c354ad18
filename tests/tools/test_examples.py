"""tools/examples, each tried as a call would have it: copied to a folder of its own, as whoever starts from it does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tools import ToolSpec, rig
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.testing import Tried, run_tool
from tools.tool_call.request import ToolRequest

EXAMPLES = Path(__file__).parents[2] / "tools" / "examples"
NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith("_"))
needs_redis = pytest.mark.skipif(rig.redis_program() is None, reason="no redis-server")


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The example's folder, copied."""
    before = set(sys.modules)
    yield Path(shutil.copytree(EXAMPLES / request.param, tmp_path / request.param))
    for name in set(sys.modules) - before:
        if name.startswith("offhook_tools_"):
            del sys.modules[name]


def tools_of(folder: Path) -> dict[str, ToolSpec]:
    modules = tomllib.loads((folder / "agent.toml").read_text())["tools"]["modules"]
    return {spec.name: spec for spec in load_tools([str(folder / module) for module in modules])}


def monday() -> date:
    return date.today() + timedelta(days=7 - date.today().weekday())


class Tools:
    """The tools of an example, run in this process or as jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.specs = tools_of(folder)

    def run(self, tool: str, /, queued: bool = False, caller: str = "+15550100", **arguments: Any) -> Tried:
        mode: Any = "queued" if queued else "inline"
        return run_tool(self.specs[tool].function, arguments, mode=mode, caller=caller)


@pytest.fixture
def tools(copied: Path) -> Tools:
    return Tools(copied)


def test_there_are_those_that_the_page_names() -> None:
    page = (EXAMPLES / "README.md").read_text()
    assert [name for name in NAMES if f"[`{name}/`]({name}/agent.toml)" not in page] == []
    assert NAMES == ["appointments", "notification", "shop"]


@pytest.mark.parametrize("copied", NAMES, indirect=True)
def test_the_agent_file_is_one_and_offhook_finds_its_tools(copied: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    environment |= {"OFFHOOK_AGENT": str(copied / "agent.toml")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker", "tools", "list"],
        env={**environment, "PYTHONPATH": str(EXAMPLES.parents[1])},
        cwd=copied,
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(tools_of(copied))


@pytest.mark.parametrize("copied", ["shop"], indirect=True)
class TestShop:
    @needs_redis
    def test_stock_is_a_job_that_says_what_it_does(self, tools: Tools) -> None:
        tried = tools.run("stock", queued=True, article="boot", size=42)
        assert (tried.status, tried.value) == ("ok", {"article": "boot", "size": 42, "pairs": 3})
        assert tried.progress == ("asking the warehouse",)

    def test_what_the_shop_does_not_sell_never_reaches_it(self, tools: Tools) -> None:
        assert tools.run("stock", article="hat", size=42).status == "invalid"
        tried = tools.run("stock", article="boot", size=20)
        assert (tried.status, tried.value["error"]) == ("failed", "There are sizes from 30 to 50 only.")

    def test_the_arrival_needs_the_order(self, tools: Tools) -> None:
        catalog = Catalog(tools.specs.values(), inline=InlineRunner())
        request = ToolRequest(call_id="c", tool_call_id="1", name="arrival", arguments='{"order": "427"}')
        told = json.loads(asyncio.run(catalog.run(request)).output)
        assert told == {"result": "Order 427 arrives on Thursday."}

    def test_an_unknown_order_has_words(self, tools: Tools) -> None:
        assert "There is no order 999" in tools.run("order_status", order="999").value["error"]


@pytest.mark.parametrize("copied", ["appointments"], indirect=True)
class TestAppointments:
    def rows(self, tools: Tools) -> list[Any]:
        with closing(sqlite3.connect(tools.folder / "appointments.sqlite")) as book:
            return book.execute("select day, time, name, caller from appointment order by time").fetchall()

    def test_what_is_booked_is_free_no_more(self, tools: Tools) -> None:
        day = monday().isoformat()
        assert tools.run("free_times", day=day).value["free"][:2] == ["09:00", "09:30"]
        tried = tools.run("book_appointment", day=day, at="09:00", name="Ada")
        assert tried.status == "ok" and tried.value["result"].startswith("Booked for Ada: Monday, ")
        assert tools.run("free_times", day=day).value["free"][0] == "09:30"
        assert self.rows(tools) == [(day, "09:00", "Ada", "+15550100")]

    @needs_redis
    def test_a_booking_is_a_job(self, tools: Tools) -> None:
        tried = tools.run("book_appointment", queued=True, day=monday().isoformat(), at="14:30", name="Grace")
        assert tried.status == "ok" and len(self.rows(tools)) == 1

    def test_the_same_tool_call_books_once_and_answers_the_same(self, tools: Tools) -> None:
        asked = {"day": monday().isoformat(), "at": "09:00", "name": "Ada"}
        first, again = (tools.run("book_appointment", **asked) for _ in range(2))  # `run_tool` has one id for all
        assert (again.status, again.value) == (first.status, first.value) and len(self.rows(tools)) == 1

    def test_two_who_want_the_same_time_at_once(self, tools: Tools) -> None:
        async def one(number: int) -> str:
            catalog = Catalog([tools.specs["book_appointment"]], inline=InlineRunner())
            asked = json.dumps({"day": monday().isoformat(), "at": "10:00", "name": f"caller {number}"})
            request = ToolRequest(call_id=f"call{number}", tool_call_id="1", name="book_appointment", arguments=asked)
            return (await catalog.run(request)).status

        with ThreadPoolExecutor(6) as threads:
            statuses = list(threads.map(lambda number: asyncio.run(one(number)), range(6)))
        assert sorted(statuses) == ["failed"] * 5 + ["ok"] and len(self.rows(tools)) == 1

    def test_only_who_has_booked_it_cancels_it(self, tools: Tools) -> None:
        day = monday().isoformat()
        tools.run("book_appointment", day=day, at="09:00", name="Ada")
        assert "no appointment" in tools.run("cancel_appointment", caller="+15550111", day=day).value["result"]
        assert tools.run("cancel_appointment", caller="", day=day).status == "failed"
        assert tools.run("cancel_appointment", day=day).value["result"] == "1 cancelled."
        assert self.rows(tools) == []

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({"day": (monday() + timedelta(days=5)).isoformat()}, "closed at weekends"),
            ({"day": "2020-01-06"}, "from today on"),
            ({"at": "03:15"}, "no time for an appointment"),
            ({"name": "  "}, "name first"),
        ],
    )
    def test_what_can_not_be_booked_has_words(self, tools: Tools, asked: dict[str, str], words: str) -> None:
        tried = tools.run("book_appointment", **{"day": monday().isoformat(), "at": "09:00", "name": "Ada", **asked})
        assert tried.status == "failed" and words in tried.value["error"]


@pytest.mark.parametrize("copied", ["notification"], indirect=True)
class TestNotification:
    @needs_redis
    def test_who_hangs_up_gets_a_text_message(self, copied: Path) -> None:
        """A tool worker as the page starts it, a caller who hangs up while the printer runs, and the outbox."""
        with rig.RedisServer.temporary() as redis, self.tool_worker(copied, redis.url):
            late = asyncio.run(self.hang_up_while_it_prints(copied, redis.url))
            assert late == ["print_document"], "it goes on"
            rig.wait_until((copied / "outbox.jsonl").exists, "a text message")
            (line,) = (copied / "outbox.jsonl").read_text().splitlines()
        sent = json.loads(line)
        assert (sent["to"], sent["text"]) == ("+15550100", "Your print job is on shelf 7.")

    async def hang_up_while_it_prints(self, folder: Path, url: str) -> list[str]:
        queued = QueuedRunner(QueueSettings(url=url))
        catalog = Catalog(tools_of(folder).values(), inline=InlineRunner(), queued=queued)
        request = ToolRequest(
            call_id="c1",
            tool_call_id="1",
            name="print_document",
            arguments='{"document": "427", "copies": 20}',
            caller="+15550100",
        )
        heard = asyncio.Event()
        running = asyncio.create_task(catalog.run(request, on_progress=lambda _request, text: heard.set()))
        async with asyncio.timeout(20):
            await heard.wait()
        staying = await catalog.hang_up("c1")
        async with asyncio.timeout(20):
            await running
        await catalog.aclose()
        await queued.aclose()
        return [one.name for one in staying]

    def tool_worker(self, folder: Path, url: str) -> Any:
        return ToolWorker(folder, url)


class ToolWorker:
    """`offhook tool-worker` in the example's folder."""

    def __init__(self, folder: Path, url: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
        own = {"REDIS_URL": url, "OFFHOOK_AGENT": "agent.toml", "OFFHOOK_NOTIFY_HOOKS": "sms=prints:send_sms"}
        own |= {"OFFHOOK_TOOL_SECRETS": "PRINTER_KEY", "PRINTER_KEY": "quite-a-plain-word"}
        own |= {"PYTHONPATH": str(EXAMPLES.parents[1])}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "worker", "tool-worker"],
            env={**kept, **own},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("tool worker ready"):
                return
        raise AssertionError("the tool worker did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        said, _ = self._process.communicate(timeout=20)
        assert "quite-a-plain-word" not in said

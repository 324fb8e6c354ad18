"""Agent file and tools are read again when they change, and kept as they were where that can't be."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from worker.agent.agent_file import load_agent_file
from worker.service.checks.look import load
from worker.service.loaded import Loaded
from worker.service.reload import Reloader, Watched, files_of, modules_of
from worker.settings.settings import Settings

TOOL = '''
from tools import tool
import beside

@tool
def stock(article: str) -> str:
    """Tell what is in stock."""
    return "{answer} " + beside.WORD
'''
AGENT = 'greeting = "{greeting}"\n[tools]\nmodules = ["shop.py"]\n'


class Bench:
    """An agent with a tool and a module beside it, and what was taken of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: list[Loaded] = []
        self.write(AGENT.format(greeting="one"), "agent.toml")
        self.write(TOOL.format(answer="one"), "shop.py")
        self.write('WORD = "pair"\n', "beside.py")
        self.settings = Settings(agent=folder / "agent.toml", redis_url="redis://127.0.0.1:1", realtime="local")
        self.loaded = load(self.settings, load_agent_file(folder / "agent.toml"))
        self.reloader = Reloader(self.settings, self.loaded, self.take)

    async def take(self, loaded: Loaded) -> None:
        self.taken.append(loaded)

    def write(self, text: str, name: str) -> None:
        (self.folder / name).write_text(text)

    def look(self) -> bool:
        return asyncio.run(self.reloader.look())

    def greeting(self) -> str:
        return self.taken[-1].agents.default.greeting

    def answer(self) -> str:
        (spec,) = (self.taken[-1] if self.taken else self.loaded).specs()
        return str(spec.function("boot"))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield Bench(tmp_path)
    for name in set(sys.modules) - before:
        if name == "beside" or name.startswith("offhook_tools_shop"):
            del sys.modules[name]


def test_nothing_is_taken_where_nothing_has_changed(bench: Bench) -> None:
    assert bench.look() is False and bench.taken == []


def test_the_agent_file_is_read_again(bench: Bench) -> None:
    bench.write(AGENT.format(greeting="another one"), "agent.toml")
    with capture_logs() as logs:
        assert bench.look() is True
    assert bench.greeting() == "another one"
    assert [(line["event"], line["changed"], line["tools"]) for line in logs] == [
        ("reloaded", ["agent.toml"], ["stock"])
    ]
    assert bench.look() is False, "once is enough"


def test_a_tool_and_what_it_imports_beside_it_are_read_again(bench: Bench) -> None:
    bench.write(TOOL.format(answer="two"), "shop.py")
    assert bench.look() and bench.answer() == "two pair"
    bench.write('WORD = "boots"\n', "beside.py")
    assert bench.look() and bench.answer() == "two boots"


def test_a_change_within_the_same_second_and_of_the_same_length_is_seen(bench: Bench) -> None:
    for answer in ("six", "ten"):
        bench.write(TOOL.format(answer=answer), "shop.py")
        assert bench.look() and bench.answer() == f"{answer} pair"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("agent.toml", 'greting = "two"', "did you mean greeting?"),
        ("agent.toml", "greeting = ", "is not TOML"),
        ("shop.py", "this is no Python", "SyntaxError"),
        ("shop.py", "import sys; sys.exit(3)", "SystemExit"),
        ("shop.py", "", "there is no tool in it"),
        ("beside.py", "WORDS = 1", "importing it raised ImportError"),
    ],
)
def test_what_cannot_be_read_leaves_the_old_and_is_told_once(bench: Bench, name: str, text: str, reason: str) -> None:
    if name == "beside.py":
        bench.write(
            TOOL.format(answer="one").replace("import beside", "from beside import WORD\nimport beside"), "shop.py"
        )
        assert bench.look()
    kept = list(bench.taken)
    modules = dict(sys.modules)
    bench.write(text, name)
    with capture_logs() as logs:
        assert bench.look() is False
        assert bench.look() is False
    assert [line["event"] for line in logs] == ["not_reloaded"] and logs[0]["changed"] == [name]
    assert re.search(reason, logs[0]["reason"])
    assert bench.taken == kept and bench.answer() == "one pair"
    assert {name: modules[name] for name in modules_of(bench.loaded)} == modules_of(bench.loaded)
    bench.write(AGENT.format(greeting="mended"), "agent.toml")
    bench.write(TOOL.format(answer="mended"), "shop.py")
    bench.write('WORD = "pair"\n', "beside.py")
    assert bench.look() and bench.greeting() == "mended" and bench.answer() == "mended pair"


def test_what_cannot_be_taken_leaves_the_old(bench: Bench) -> None:
    async def refuse(loaded: Loaded) -> None:
        raise ValueError("no voice for that")

    bench.reloader._use = refuse
    bench.write(AGENT.format(greeting="two"), "agent.toml")
    with capture_logs() as logs:
        assert bench.look() is False
    assert logs[0]["reason"] == "no voice for that"


def test_a_tool_file_that_is_new_is_watched_from_then_on(bench: Bench) -> None:
    bench.write(TOOL.format(answer="new").replace("def stock", "def price"), "more.py")
    bench.write(AGENT.format(greeting="two").replace('"shop.py"', '"shop.py", "more.py"'), "agent.toml")
    assert bench.look()
    bench.write(TOOL.format(answer="newer").replace("def stock", "def price"), "more.py")
    assert bench.look()
    assert [str(spec.function("a")) for spec in bench.taken[-1].specs()] == ["one pair", "newer pair"]


def test_a_file_that_goes_and_comes_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "a"
    watched = Watched([path])
    assert watched.changed() == []
    path.write_text("a")
    assert watched.changed() == [path]


def test_sounds_and_hooks_are_among_the_files_and_neither_ours_nor_pythons(bench: Bench) -> None:
    bench.write("def tools_for(dialled, caller, agent, time): return None\n", "hook.py")
    bench.write(AGENT.format(greeting="a").replace("[tools]", '[tools]\nhook = "hook.py:tools_for"'), "agent.toml")
    with (bench.folder / "agent.toml").open("a") as agent:
        agent.write('[fillers]\nmode = "canned"\n[fillers.wav]\n"One moment, please." = "moment.wav"\n')
    found = {path.name for path in files_of(Loaded(load_agent_file(bench.folder / "agent.toml"), bench.loaded.tools))}
    assert found == {"agent.toml", "shop.py", "beside.py", "hook.py", "moment.wav"}


def test_shipped_tools_are_not_read_again() -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1")
    assert modules_of(load(settings, load_agent_file())) == {}

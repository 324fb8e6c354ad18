"""Redis' master dies in mid call, and Sentinels make another: no acknowledged job is lost, and words are heard."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call
from parts.program import ROOT, until
from parts.provider import ANSWER_HZ, Provider
from parts.services import Gates, ToolWorker, Worker

from tests.tools.queue.sentinels import Watched

ERRANDS, SHOP = (ROOT / "tests" / "e2e" / "parts" / f"{name}.py" for name in ("errands", "shop"))


class Desk(Gates):
    """A worker and two tool workers on a watched set of Redis."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.folder = folder
        self.watched = Watched(folder)
        agent = folder / "agent.toml"
        agent.write_text(f'goodbye = "Goodbye."\n[tools]\nmodules = ["{ERRANDS}", "{SHOP}"]\n')
        self.programs: list[Any] = []
        try:
            self.watched.start()
            url = self.watched.url.replace("wait_ms=1000", "wait_ms=200")
            self.programs += [ToolWorker(url, agent, folder) for _ in range(2)]
            settings = {"REDIS_URL": url, "OFFHOOK_AGENT": agent, "SHOP_FOLDER": folder}
            settings |= provider.settings
            self.worker = Worker(folder / "calls", **settings)
            self.programs.append(self.worker)
            for program in self.programs:
                program.ready()
        except BaseException:
            self.stop()
            raise

    def strike(self, number: int) -> None:
        """The master gets a signal."""
        self.watched.processes[self.watched.ports[0]].send_signal(number)

    def stop(self) -> None:
        for program in self.programs:
            program.kill()
        self.watched.stop()


@pytest.fixture
def watched_desk(own_folder: Path, tmp_path: Path, provider: Provider) -> Iterator[Desk]:
    desk = Desk(tmp_path, provider)
    yield desk
    desk.stop()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_a_failover_in_mid_call(
    watched_desk: Desk, provider: Provider, dial: Callable[[str], Call], how: signal.Signals
) -> None:
    """The tool that runs is answered by the new master; one that is called meanwhile is declined in words, and soon."""
    call = dial(watched_desk.worker.uri)
    session = provider.session()
    runs = session.calls("pack", {"name": "parcel"})
    watched_desk.begun("parcel")
    watched_desk.strike(how)
    asked_ms = call.listen().now_ms
    declined = session.calls("add", {"left": 2, "right": 3})
    outcome = session.output(declined)
    assert outcome["status"] == "unavailable" and "can't be reached" in outcome["error"]
    call.hears_tone(ANSWER_HZ, 400, after=asked_ms)
    until(lambda: watched_desk.worker.part("redis")["ok"], "the worker has found the new master")
    watched_desk.open("parcel")
    assert session.output(runs) == {"done": "parcel"}
    again = session.calls("add", {"left": 2, "right": 3})
    assert session.output(again) == {"result": 5}
    assert [session.outputs(one) for one in (runs, declined, again)] == [1, 1, 1]
    call.hang_up()

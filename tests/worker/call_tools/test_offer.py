"""A call's offer of tools, kept up to date, with a real realtime session behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from tools import tool
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.call_tools.exposure import Exposure
from worker.call_tools.offer import Question, ToolOffer
from worker.call_tools.policy import ToolPolicy
from worker.call_tools.view import CallView
from worker.realtime.base import SessionConfig
from worker.realtime.link import Link

Until = Callable[..., Awaitable[None]]


@tool
def look() -> str:
    """Look."""
    return ""


@tool
def pay() -> str:
    """Pay."""
    return ""


class Desk:
    """An offer, and what its hook says next."""

    def __init__(self, provider: Any, exposure: Exposure, again_s: float | None) -> None:
        specs = [function.__tool__ for function in (look, pay)]  # type: ignore[attr-defined]
        self.catalog = CallView(Catalog(specs, inline=InlineRunner()), ToolPolicy(exposure=exposure))
        self.says: Any = None
        self.link = Link(provider, self.settings(), "c1")
        self.offer = ToolOffer(
            self.catalog,
            self.link,
            self.settings,
            structlog.get_logger(),
            Question(hook=self.hook, dialled="427", caller="alice", agent="desk", again_s=again_s),
        )

    def settings(self) -> SessionConfig:
        return SessionConfig(tools=self.catalog.now.functions)

    def hook(self, dialled: str, caller: str, agent: str, time: object) -> Any:
        assert (dialled, caller, agent) == ("427", "alice", "desk")
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def desk(service: Any) -> Callable[..., Any]:
    @asynccontextmanager
    async def start(*, exposure: Exposure = "direct", again_s: float | None = None) -> AsyncIterator[Desk]:
        made = Desk(service.peer.provider, exposure, again_s)
        try:
            yield made
        finally:
            made.offer.end()
            await made.link.close()

    return start


def names(update: dict[str, Any]) -> list[str]:
    return [function["name"] for function in update["session"]["tools"]]


def updates(service: Any) -> list[list[str]]:
    return [names(message) for message in service.peer.received if message["type"] == "session.update"]


async def test_the_hook_is_asked_before_the_session_begins(desk: Any, service: Any) -> None:
    async with desk() as one:
        one.says = ["pay"]
        await one.offer.begin()
        await one.link.open()
        assert updates(service) == [["pay"]]


@pytest.mark.parametrize("fault", [RuntimeError("flags are down"), 7])
async def test_a_hook_that_fails_gives_no_tools(desk: Any, service: Any, fault: Any) -> None:
    async with desk() as one:
        one.says = RuntimeError("flags are down") if isinstance(fault, RuntimeError) else fault
        with capture_logs() as logs:
            await one.offer.begin()
        assert [log["log_level"] for log in logs if log["event"] == "tool_hook_failed"] == ["error"]
        await one.link.open()
        assert updates(service) == [[]]


async def test_a_strange_name_is_told_to_the_operator(desk: Any) -> None:
    async with desk() as one:
        one.says = ["look", "lok"]
        with capture_logs() as logs:
            await one.offer.begin()
        assert [log["names"] for log in logs if log["event"] == "tool_hook_names_unknown_tools"] == [["lok"]]
        assert list(one.catalog.now.specs) == ["look"]


async def test_a_change_in_mid_call_is_told_to_the_session(desk: Any, service: Any, until: Until) -> None:
    async with desk() as one:
        await one.offer.begin()
        await one.link.open()
        assert one.offer.change(["look"]) and not one.offer.change(["look"])
        await until(lambda: len(updates(service)) == 2, "the session is told")
        assert updates(service) == [["look", "pay"], ["look"]]


@tool
def pay_later() -> str:
    """Pay later."""
    return ""


async def test_tools_that_come_and_go_in_the_catalog_change_the_offer(desk: Any, service: Any, until: Until) -> None:
    both = [function.__tool__ for function in (look, pay)]  # type: ignore[attr-defined]
    more = [*both, pay_later.__tool__]  # type: ignore[attr-defined]
    async with desk() as one:
        await one.offer.begin()
        await one.link.open()
        one.catalog.catalog.replace(more)
        one.catalog.catalog.replace(more)  # no change, nothing to tell
        await until(lambda: len(updates(service)) == 2, "the session is told")
        assert updates(service)[-1] == ["look", "pay", "pay_later"]
        one.offer.change(["look", "pay_later"])  # what a hook has said holds for what comes and goes, too
        one.catalog.catalog.replace(both)
        await until(lambda: len(updates(service)) == 4, "the session is told")
        assert updates(service)[-2:] == [["look", "pay_later"], ["look"]]
        one.offer.end()
        one.catalog.catalog.replace(more)
        assert list(one.catalog.now.specs) == ["look"]


async def test_a_change_behind_the_registry_is_told_to_the_model(desk: Any, service: Any) -> None:
    async with desk(exposure="registry") as one:
        await one.offer.begin()
        await one.link.open()
        one.offer.change(["look"])
        said = await service.got("conversation.item.create")
        assert "version 2" in said["item"]["content"][0]["text"]


async def test_the_hook_is_asked_again_and_may_fail_then(desk: Any, service: Any, until: Until) -> None:
    async with desk(again_s=0.02) as one:
        one.says = ["pay"]
        await one.offer.begin()
        await one.link.open()
        one.says = RuntimeError("flags are down")
        with capture_logs() as logs:
            await until(lambda: any(log["event"] == "tool_hook_failed" for log in logs), "the hook fails")
        assert list(one.catalog.now.specs) == ["pay"], "the offer stays as it was"
        one.says = None
        await until(lambda: len(updates(service)) == 2, "the session is told")
        assert updates(service) == [["pay"], ["look", "pay"]]


async def test_a_change_while_the_session_begins_reaches_it(desk: Any, service: Any, until: Until) -> None:
    async with desk() as one:
        changes = iter([["look"]])

        def replay() -> list[bytes]:
            return []

        one.link.attach(lambda event: None, replay, lambda reason: None)
        told = one.link.codec.session_update

        def update(config: SessionConfig) -> bytes:
            frame: bytes = told(config)
            for names in changes:  # just after the first settings were encoded
                one.offer.change(names)
            return frame

        one.link.codec.session_update = update
        await one.link.open()
        await until(lambda: len(updates(service)) == 2, "the session is told")
        assert updates(service) == [["look", "pay"], ["look"]]

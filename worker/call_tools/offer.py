"""Which tools a call is offered, kept up to date: asks the operator's hook and tells the session of each change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.call_tools import hook as tool_hook
from worker.call_tools.view import CallView
from worker.realtime.base import SessionConfig
from worker.realtime.link import Link

__all__ = ["Question", "ToolOffer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the operator's hook is asked: for whom, and how often."""

    hook: tool_hook.Hook
    dialled: str
    caller: str
    agent: str
    again_s: float | None = None
    """It is asked again after so many seconds; None: once, before the session begins."""


class ToolOffer:
    """One call's offer. `configured()` makes the session's settings of what the view shows at the moment."""

    def __init__(
        self,
        view: CallView,
        link: Link,
        configured: Callable[[], SessionConfig],
        log: Any,
        question: Question | None = None,
    ) -> None:
        """Take the parts; without a question all of the agent's tools are offered. Nothing is asked yet."""
        self.view = view
        self._link = link
        self._configured = configured
        self._log = log
        self._question = question
        self._task: asyncio.Task[None] | None = None
        self._unhear: Callable[[], None] = lambda: None

    async def begin(self) -> None:
        """Ask the hook, before the session opens; where it fails the call is offered no tools. Then ask it again.

        From now on a change of the catalog changes the offer, too.
        """
        self._unhear = self.view.catalog.on_change(self._renew)
        question = self._question
        if question is None:
            return
        if not await self._ask(question):
            self.change(())
        if question.again_s is not None:
            self._task = asyncio.get_running_loop().create_task(self._keep(question, question.again_s))

    def change(self, names: Iterable[str] | None) -> bool:
        """Offer these tools from now on, None: all. A session that is up is told. True if that is a change."""
        if not self.view.offer(names):
            return False
        self._tell()
        return True

    def _renew(self) -> None:
        if self.view.renew():
            self._tell()

    def _tell(self) -> None:
        view = self.view.now
        self._log.info("tools_offered", version=view.version, tools=len(view.specs), registry=view.registry)
        self._link.configure(self._configured())
        if view.announcement is not None:
            self._link.send(self._link.codec.message("system", view.announcement))

    def end(self) -> None:
        """Ask no more, and take in no more changes."""
        self._unhear()
        if self._task is not None:
            self._task.cancel()

    async def _keep(self, question: Question, again_s: float) -> None:
        while True:
            await asyncio.sleep(again_s)
            await self._ask(question)

    async def _ask(self, question: Question) -> bool:
        """Ask the hook and offer what it says. False where it failed: then the offer stays as it is."""
        now = datetime.now().astimezone()
        try:
            names = await tool_hook.ask(question.hook, question.dialled, question.caller, question.agent, now)
        except Exception as error:  # the operator's code may raise anything
            self._log.error("tool_hook_failed", reason=f"{type(error).__name__}: {error}")
            return False
        if names is not None and (strange := self.view.unknown(names)):
            self._log.warning("tool_hook_names_unknown_tools", names=strange[:10])
        self.change(names)
        return True

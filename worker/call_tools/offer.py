"""Which tools a call is offered, kept up to date: asks the operator's hook and tells the session of each change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from worker.call_tools import hook as tool_hook
from worker.call_tools.catalog import CallCatalog
from worker.realtime.base import SessionConfig
from worker.realtime.link import Link

__all__ = ["ToolOffer"]


class ToolOffer:
    """One call's offer. `configured()` makes the session's settings of what the catalog shows at the moment."""

    def __init__(
        self,
        catalog: CallCatalog,
        link: Link,
        configured: Callable[[], SessionConfig],
        log: Any,
        *,
        hook: tool_hook.Hook | None = None,
        asked: tuple[str, str, str] = ("", "", ""),
        again_s: float | None = None,
    ) -> None:
        """Take the parts; `asked` is what the hook is told: dialled, caller, agent. Nothing is asked yet."""
        self.catalog = catalog
        self._link = link
        self._configured = configured
        self._log = log
        self._hook = hook
        self._asked = asked
        self._again_s = again_s
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Ask the hook, before the session opens; where it fails the call is offered no tools. Then ask it again."""
        if self._hook is None:
            return
        if not await self._ask():
            self.change(())
        if self._again_s is not None:
            self._task = asyncio.get_running_loop().create_task(self._keep(self._again_s))

    def change(self, names: Iterable[str] | None) -> bool:
        """Offer these tools from now on, None: all. A session that is up is told. True if that is a change."""
        if not self.catalog.offer(names):
            return False
        view = self.catalog.view
        self._log.info("tools_offered", version=view.version, tools=len(view.specs), registry=view.registry)
        self._link.configure(self._configured())
        if view.announcement is not None:
            self._link.send(self._link.codec.message("system", view.announcement))
        return True

    def end(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    async def _keep(self, again_s: float) -> None:
        while True:
            await asyncio.sleep(again_s)
            await self._ask()

    async def _ask(self) -> bool:
        """Ask the hook and offer what it says. False where it failed: then the offer stays as it is."""
        assert self._hook is not None
        try:
            names = await tool_hook.ask(self._hook, *self._asked, datetime.now().astimezone())
        except Exception as error:  # the operator's code may raise anything
            self._log.error("tool_hook_failed", reason=f"{type(error).__name__}: {error}")
            return False
        if names is not None and (strange := self.catalog.unknown(names)):
            self._log.warning("tool_hook_names_unknown_tools", names=strange[:10])
        self.change(names)
        return True

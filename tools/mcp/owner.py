"""One server of a worker: a session that is kept open, what it offers, and the quick calls that go through it.

The session belongs to one task. It is opened anew with growing pauses where it can't be had or has broken; what was
offered before stays offered meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from tools.mcp.asking import AnswerLost, Ask, Listed, NeverRan, ServerAway
from tools.mcp.client import OPEN_S, Session, changes, is_tools_changed, with_session
from tools.mcp.job import unavailable
from tools.mcp.server import McpServer

log = structlog.get_logger(__name__)

READY_S = 2.0
"""A quick call waits so long for a session, unsent."""
PROGRAM_S = 30.0
"""A program may have to be fetched before it starts."""
LOOK_S = 60.0
"""A server that does not tell of changes is asked so often; one that is gone is noticed by that, too."""
SETTLE_S = 0.05
"""Changes come in bursts."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
LASTED_S = 5.0
"""A session that broke after so long was a good one: the next is tried at once."""


class Owner:
    """Belongs to one event loop; `run` is its task. Its other methods are for that loop as well."""

    def __init__(
        self,
        server: McpServer,
        secrets: Mapping[str, str],
        listed: Callable[[list[Listed]], None],
        stands: Callable[[str, bool], None],
    ) -> None:
        """listed: gets the tools each time they change. stands: gets how it stands in a few words, and if it answers.

        Both are called on the loop.
        """
        self.server = server
        self._secrets = secrets
        self._tell_listed = listed
        self._tell = stands
        self._session: Session | None = None
        self._ready = asyncio.Event()
        self._wake = asyncio.Event()
        self._wanted = asyncio.Event()
        self._waiting = 0
        self._lost = False
        self._last: list[Listed] | None = None
        self._away: str | None = None

    async def run(self) -> None:
        """Keep a session open, until this is cancelled."""
        loop, pause_s = asyncio.get_running_loop(), FIRST_PAUSE_S
        while True:
            began = loop.time()
            try:
                open_s = OPEN_S if self.server.command is None else PROGRAM_S
                await with_session(self.server, self._secrets, self._serve, open_s=open_s, on_message=self._on_message)
            except ServerAway as error:
                self._is_away(error, pause_s)
            except AnswerLost as error:
                log.debug("mcp_session_broke", server=self.server.label, reason=str(error))
            except Exception:  # a bug of ours, or of the SDK: the other servers and the calls go on
                log.exception("mcp_owner_broke", server=self.server.label)
            finally:
                self._session = None
                self._ready.clear()
            if loop.time() - began > LASTED_S and self._away is None:
                pause_s = FIRST_PAUSE_S
            await self._pause(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _pause(self, pause_s: float) -> None:
        """Wait before the next try: not for long where a call wants a session."""
        await asyncio.sleep(min(pause_s, FIRST_PAUSE_S))
        if self._waiting:
            return
        self._wanted.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s - FIRST_PAUSE_S):
                await self._wanted.wait()

    async def call(self, ask: Ask) -> Any:
        """Run a tool in the session that is open. What was not sent waits up to `READY_S` for one.

        Raises `ToolError`, `ToolUnavailable` or `AnswerLost`.
        """
        loop = asyncio.get_running_loop()
        began, waits_until = loop.time(), loop.time() + min(READY_S, ask.limit_s)
        while True:
            session = await self._open(waits_until)
            if session is None:
                away = ServerAway(self._away or "no session", "see its last line in this log")
                raise unavailable(self.server, ask, away)
            try:
                return await session.call(replace(ask, limit_s=max(0.001, ask.limit_s - (loop.time() - began))))
            except NeverRan as error:
                if not error.again or loop.time() > waits_until:
                    raise unavailable(self.server, ask, error) from None
                self._broke(session)
            except AnswerLost:
                self._wake.set()  # is it still there?
                raise

    async def _open(self, until: float) -> Session | None:
        self._waiting += 1
        self._wanted.set()
        try:
            async with asyncio.timeout_at(until):
                await self._ready.wait()
        except TimeoutError:
            return None
        finally:
            self._waiting -= 1
        return self._session

    def _broke(self, session: Session) -> None:
        if self._session is session:
            self._session = None
            self._ready.clear()
            self._lost = True
            self._wake.set()

    async def _serve(self, session: Session) -> None:
        """Have a session used until it breaks: list, and list again when something has changed."""
        self._lost = False
        listening = asyncio.create_task(self._listen(session), name=f"mcp-changes-{self.server.label}")
        try:
            while not self._lost:
                self._wake.clear()
                tools = await session.tools()
                self._session = session
                self._is_there(session, tools)
                self._ready.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()
                await asyncio.sleep(SETTLE_S)
        finally:
            listening.cancel()
            await asyncio.wait({listening})

    async def _listen(self, session: Session) -> None:
        async for _changed in changes(session):
            self._wake.set()

    async def _on_message(self, message: object) -> None:
        if is_tools_changed(message):
            self._wake.set()

    def _is_there(self, session: Session, tools: list[Listed]) -> None:
        if self._last is None or self._away is not None:
            log.info(
                "mcp_server_up",
                server=self.server.label,
                at=self.server.where,
                protocol=session.protocol,
                tools=len(tools),
            )
        self._away = None
        self._tell(f"{len(tools)} tools", True)
        if tools != self._last:
            self._last = tools
            self._tell_listed(tools)

    def _is_away(self, error: ServerAway, again_in_s: float) -> None:
        """One line for each new reason, not for each try."""
        self._tell(f"{error}; tried again", False)
        if self._away != str(error):
            log.warning(
                "mcp_server_away",
                server=self.server.label,
                at=self.server.where,
                reason=str(error),
                mend=error.mend,
                again_in_s=again_in_s,
            )
        self._away = str(error)

"""The other workers that share our Redis: what they tell of calls, over HTTP.

Each is asked at once and for a bounded time: of one that is silent the answer says so, and nothing waits for it longer.
A worker that is asked by another asks nobody else. Whoever can write to Redis can name an address that is asked: so the
token itself is sent to none of them, but the cookie's value that proves it (`gate.proof`), and redirects are not
followed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace

import aiohttp
from pydantic import TypeAdapter

from tools.errors import QueueUnavailable
from tools.queue.store.workers import Known
from worker.records.archive import is_call_id
from worker.records.search import Found, Query, merged
from worker.records.story import Story, fullest
from worker.service.gate import COOKIE, proof

__all__ = ["LIST_S", "Peers", "ask", "client", "found_at", "story_at"]

LIST_S = 2.0
STORY_S = 4.0
"""A worker that has much to do, and a long call, may take so long."""
SILENT_S = 10.0
"""Between two pieces of a recording."""
KNOWN_S = 2.0
"""So long the workers that there are count as known: a live page asks every second."""
LARGEST = 16 * 1024 * 1024
"""Bytes of an answer: the longest journal is some 3 MB."""
REMEMBERED = 200

FOUND = TypeAdapter(Found)


def client(token: str | None, timeout: aiohttp.ClientTimeout | float) -> aiohttp.ClientSession:
    """Return what workers are asked with. token: OFFHOOK_HTTP_TOKEN, where they want it. timeout: s, of all of it."""
    headers = {"Accept": "application/json", **({"Cookie": f"{COOKIE}={proof(token)}"} if token else {})}
    whole = timeout if isinstance(timeout, aiohttp.ClientTimeout) else aiohttp.ClientTimeout(total=timeout)
    return aiohttp.ClientSession(timeout=whole, headers=headers, cookie_jar=aiohttp.DummyCookieJar())


async def ask(session: aiohttp.ClientSession, url: str, query: dict[str, str] | None = None) -> tuple[int, bytes]:
    """GET it; returns the status and the body. Raises aiohttp.ClientError, TimeoutError; ValueError for a flood."""
    async with session.get(url, params=query, allow_redirects=False) as answer:
        body = bytearray()
        async for piece in answer.content.iter_chunked(65_536):
            body += piece
            if len(body) > LARGEST:
                raise ValueError(f"more than {LARGEST} bytes")
        return answer.status, bytes(body)


def _why(url: str, error: Exception) -> str:
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return f"{url} says what can't be read: is it another version?"
    return f"{url} does not answer: {error or type(error).__name__}"


def _refused(url: str, status: int, body: bytes) -> str:
    try:
        words = TypeAdapter(dict[str, str]).validate_json(body).get("error", "")
    except ValueError:
        words = ""
    return f"{url} says {status}" + (f": {words}" if words else "")


async def found_at(session: aiohttp.ClientSession, worker: Known, query: Query) -> Found:
    """Search the calls of one worker; where it can't be asked, `silent` says why."""
    try:
        status, body = await ask(session, f"{worker.http}/calls", {"past": "own", **asdict(query)})
        if status != 200:
            return Found((), False, silent=(_refused(worker.http, status, body),))
        found = FOUND.validate_json(body)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Found((), False, silent=(_why(worker.http, error),))
    if worker.name and found.worker != worker.name:
        # Such as the loopback of another machine, which is ours from here.
        words = f"{worker.name} is not reached at {worker.http}: that is {found.worker or 'another'}; see OFFHOOK_HTTP"
        return Found((), False, silent=(words,))
    calls = tuple(replace(call, worker=worker.name) for call in found.calls if is_call_id(call.call_id))
    return replace(found, calls=calls)


async def story_at(session: aiohttp.ClientSession, worker: Known, call_id: str) -> Story | str | None:
    """Return a call's story as one worker tells it; None where it knows none, words where it can't be asked."""
    try:
        status, body = await ask(session, f"{worker.http}/calls/{call_id}", {"own": "1"})
        if status == 404:
            return None
        if status != 200:
            return _refused(worker.http, status, body)
        story = await asyncio.to_thread(Story.model_validate_json, body)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return _why(worker.http, error)
    if story.call_id != call_id:
        return f"{worker.http} tells of another call than it was asked for"
    story.worker = worker.name
    return story


class Peers:
    """The workers beside this one, as its pages ask them."""

    def __init__(self, known: Callable[[], Awaitable[Sequence[Known]]], own: str, token: str | None) -> None:
        """known: all workers that have said lately that they are there; may raise QueueUnavailable. own: our name."""
        self.own = own
        self._known = known
        self._token = token
        self._latest: tuple[float, list[Known]] = (float("-inf"), [])
        self._where: OrderedDict[str, Known] = OrderedDict()
        """Who had the calls that were looked at last."""

    async def found(self, own: Found, query: Query, limit: int) -> Found:
        """Return the calls of all workers; own: those of this one."""
        others, silent = await self._others()
        async with client(self._token, LIST_S) as session:
            theirs = await asyncio.gather(*(found_at(session, worker, query) for worker in others))
        return merged([own, *theirs], limit, silent)

    async def story(self, call_id: str) -> tuple[Story | None, list[str]]:
        """Return a call's story, whole from whoever has it first, else the fullest; and who could not be asked."""
        partial: list[Story] = []
        async with client(self._token, STORY_S) as session:
            if (worker := self._where.get(call_id)) is not None:
                told = await story_at(session, worker, call_id)
                if isinstance(told, Story) and told.whole:
                    return told, []
                del self._where[call_id]
            others, silent = await self._others()
            asked = {asyncio.create_task(story_at(session, worker, call_id)): worker for worker in others}
            try:
                for done in asyncio.as_completed(asked):
                    told = await done
                    if isinstance(told, Story):
                        partial.append(told)
                        if told.whole:
                            break
                    silent += [told] if isinstance(told, str) else []
            finally:
                for task in asked:
                    task.cancel()
                await asyncio.gather(*asked, return_exceptions=True)
        found = fullest(partial)
        if found is not None:
            self._remember(call_id, next(one for one in others if one.name == found.worker))
        return found, silent

    @asynccontextmanager
    async def recording(self, call_id: str, part: str | None) -> AsyncIterator[aiohttp.ClientResponse | None]:
        """Open a call's recording where its story came from; None where there is none. part: the Range header."""
        if call_id not in self._where:
            await self.story(call_id)
        worker = self._where.get(call_id)
        if worker is None:
            yield None
            return
        timeout = aiohttp.ClientTimeout(sock_connect=LIST_S, sock_read=SILENT_S)
        headers = {"Range": part} if part else {}
        async with client(self._token, timeout) as session:
            url = f"{worker.http}/calls/{call_id}/recording"
            try:
                answer = await session.get(url, params={"own": "1"}, headers=headers, allow_redirects=False)
            except (aiohttp.ClientError, TimeoutError):
                yield None
                return
            async with answer:
                yield answer if answer.status in (200, 206) else None

    def _remember(self, call_id: str, worker: Known) -> None:
        self._where[call_id] = worker
        while len(self._where) > REMEMBERED:
            self._where.popitem(last=False)

    async def _others(self) -> tuple[list[Known], list[str]]:
        now = asyncio.get_running_loop().time()
        if now - self._latest[0] >= KNOWN_S:
            try:
                async with asyncio.timeout(LIST_S):
                    known = await self._known()
            except (QueueUnavailable, TimeoutError):
                return [], ["Redis does not answer: which other workers there are is not known"]
            self._latest = now, [worker for worker in known if worker.name != self.own]
        return self._latest[1], []

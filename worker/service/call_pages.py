"""/calls and /calls/ID: HTML for people, JSON for machines, events for pages of calls that go on, recordings.

A browser says in Accept that it wants HTML; whoever doesn't gets JSON. What is shown is made in threads, and a page
that is looked at while its call goes on is made again only so often that it costs the worker little.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.resources import files

import aiohttp
from aiohttp import web

from worker.pages.call_page import call_page, moving, not_found_page
from worker.pages.list_page import list_page, token_page
from worker.pages.waveform import Levels, levels, levels_of
from worker.records.archive import is_call_id
from worker.records.search import Found, Query
from worker.records.story import Story, fullest
from worker.service.call_book import LISTED, CallBook
from worker.service.gate import COOKIE, Answer, Gate, local_path, proof
from worker.service.peers import Peers

__all__ = ["CallPages"]

EVENT_S = 1.0
SHARE = 0.05
"""Of the time, at most, a live page is made anew: it takes of the core that the calls have."""
WATCHERS = 8
"""Live pages at once."""
ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "page.svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PASSED = ("Content-Length", "Content-Range", "Accept-Ranges")
"""What another worker says of a part of a recording."""
SAID = {
    Answer.WRONG_HOST: (421, "this worker is not known by that name; OFFHOOK_HTTP_HOSTS lists further ones"),
    Answer.NO_TOKEN_SET: (403, "calls are shown on loopback, or for a token: set OFFHOOK_HTTP_TOKEN"),
    Answer.TOKEN_WANTED: (401, "calls are shown for OFFHOOK_HTTP_TOKEN, as Authorization: Bearer ..."),
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CallPages:
    """The routes of one endpoint."""

    def __init__(
        self,
        book: CallBook,
        gate: Gate,
        in_progress: Callable[[], Sequence[Mapping[str, object]]],
        peers: Peers | None = None,
    ) -> None:
        """in_progress: the calls in progress, JSON-ready, as /calls has them for machines. peers: the other workers."""
        self._book = book
        self._peers = peers
        self._gate = gate
        self._in_progress = in_progress
        self._watchers = 0

    def routes(self) -> list[web.RouteDef]:
        """Return what the application serves."""
        return [
            web.get("/calls", self._list),
            web.post("/calls/token", self._token),
            web.get("/calls/{call_id}", self._guarded(self._call)),
            web.get("/calls/{call_id}/events", self._guarded(self._events)),
            web.get("/calls/{call_id}/recording", self._guarded(self._recording)),
            web.get("/assets/{name}", self._asset),
        ]

    # --- who may ----------------------------------------------------------------------------------------------------

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            return self._refusal(request) or await handler(request)

        return guarded

    def _refusal(self, request: web.Request) -> web.Response | None:
        answer = self._gate.asked(request.headers, request.cookies)
        if answer is Answer.OPEN:
            return None
        status, words = SAID[answer]
        if answer is Answer.TOKEN_WANTED and wants_html(request):
            return _html(token_page(local_path(request.path_qs)), 401)
        return web.json_response({"error": words}, status=status, headers=HEADERS)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        """The form of the token: a cookie for who knows it."""
        if not self._gate.knows(request.headers.get("Host", "")):
            return web.json_response({"error": SAID[Answer.WRONG_HOST][1]}, status=421, headers=HEADERS)
        given = await request.post()
        to = local_path(str(given.get("to", "/calls")))
        token = str(given.get("token", ""))
        if not self._gate.fits(token):
            return _html(token_page(to, wrong=True), 401)
        response = web.Response(status=303, headers={**HEADERS, "Location": to})
        response.set_cookie(
            COOKIE, proof(token), path="/calls", httponly=True, samesite="Strict", secure=request.secure
        )
        return response

    # --- what is shown ------------------------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.StreamResponse:
        past = request.query.get("past", "")
        if not wants_html(request) and not past:
            # Where no token is set, machines have what they have always had here: numbers and states, no words.
            refusal = self._refusal(request) if self._gate.strict else None
            return refusal or web.json_response({"calls": [dict(call) for call in self._in_progress()]})
        if (refusal := self._refusal(request)) is not None:
            return refusal
        asked = {name: request.query.get(name, "")[:64] for name in ("caller", "since", "until", "outcome")}
        found = await self._found(Query(**asked), own=past == "own")
        if wants_html(request):
            return _html(await asyncio.to_thread(list_page, found, asked))
        return web.json_response(asdict(found), headers=HEADERS)

    async def _found(self, query: Query, *, own: bool) -> Found:
        """The calls of all workers; own: of this one, which is asked by another."""
        found = replace(await self._book.found(query), worker=self._peers.own if self._peers is not None else "")
        return found if own or self._peers is None else await self._peers.found(found, query, LISTED)

    async def _call(self, request: web.Request) -> web.StreamResponse:
        call_id, story, silent = await self._story(request)
        if story is None:
            return _no_call(request, call_id, silent=silent)
        if not wants_html(request):
            text = await asyncio.to_thread(story.model_dump_json)
            return web.Response(text=text, content_type="application/json", headers=HEADERS)
        part = request.query.get("edges", "0")
        number = int(part) if part.isdecimal() and len(part) < 6 else 0
        return _html(await asyncio.to_thread(lambda: call_page(story, self._levels(story), number)))

    async def _story(self, request: web.Request) -> tuple[str, Story | None, list[str]]:
        """A call's id, its story, and which other workers could not be asked for it."""
        call_id = request.match_info["call_id"]
        if not is_call_id(call_id):
            return call_id, None, []
        story = await self._book.story(call_id)
        if self._peers is None or "own" in request.query or (story is not None and story.whole):
            return call_id, story, []
        theirs, silent = await self._peers.story(call_id)
        found = fullest(one for one in (story, theirs) if one is not None)
        if found is not None and not found.whole:
            found.problems += silent  # one of them may know more
        return call_id, found, silent

    def _levels(self, story: Story) -> Levels | None:
        """How loud both voices are: by the recording, else (and while it goes on) by the journal."""
        path = None if story.live or story.worker else self._book.recording(story.call_id)
        found = None if path is None else levels(path)
        return found or levels_of(story.journal.envelope if story.journal is not None else None)

    async def _recording(self, request: web.Request) -> web.StreamResponse:
        call_id = request.match_info["call_id"]
        path = await asyncio.to_thread(self._book.recording, call_id)
        if path is not None:
            return web.FileResponse(path, headers={**HEADERS, "Content-Type": "audio/wav"})
        if self._peers is None or "own" in request.query or not is_call_id(call_id):
            return _no_call(request, call_id, "recording")
        async with self._peers.recording(call_id, request.headers.get("Range")) as theirs:
            if theirs is None:
                return _no_call(request, call_id, "recording")
            passed = {name: theirs.headers[name] for name in PASSED if name in theirs.headers}
            headers = {**HEADERS, "Content-Type": "audio/wav", **passed}
            response = web.StreamResponse(status=theirs.status, headers=headers)
            await response.prepare(request)
            try:
                async for piece in theirs.content.iter_chunked(65_536):
                    await response.write(piece)
            except (aiohttp.ClientError, TimeoutError):  # cut short: the length that was told says so
                if request.transport is not None:
                    request.transport.abort()
            return response

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in ASSETS:
            raise web.HTTPNotFound
        text = await asyncio.to_thread((files("worker.pages") / name).read_text, "utf-8")
        return web.Response(text=text, content_type=ASSETS[name], headers={**HEADERS, "Cache-Control": "no-cache"})

    # --- a call that goes on ------------------------------------------------------------------------------------------

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The page's changing part, again and again (server-sent events), until the call is over."""
        call_id, story, _ = await self._story(request)
        if story is None or not story.live:
            return _no_call(request, call_id, "call in progress")
        if self._watchers >= WATCHERS:
            return web.json_response({"error": f"{WATCHERS} live pages are open already"}, status=503, headers=HEADERS)
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        self._watchers += 1
        try:
            await response.prepare(request)
            while True:
                began = time.monotonic()
                _, story, _ = await self._story(request)
                if story is None or not story.live:
                    break
                text = await asyncio.to_thread(lambda told: moving(told, self._levels(told)), story)
                took_s = time.monotonic() - began
                await response.write(_event("story", text))
                await asyncio.sleep(max(EVENT_S, took_s / SHARE))
            await response.write(_event("over", call_id))
        except ConnectionError:  # nobody looks any more
            pass
        finally:
            self._watchers -= 1
        return response


def wants_html(request: web.Request) -> bool:
    """Whether who asks is a browser: it names HTML among what it takes."""
    return "text/html" in request.headers.get("Accept", "")


def _event(name: str, text: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"event: {name}\n{lines}\n".encode()


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=HEADERS)


def _no_call(request: web.Request, call_id: str, what: str = "call", *, silent: Sequence[str] = ()) -> web.Response:
    words = f"There is no {what} {call_id[:64]!r} here: it is another worker's, too long ago, or was never kept."
    words = " ".join([words, *(f"{one}." for one in silent)])
    if wants_html(request):
        return _html(not_found_page(words), 404)
    return web.json_response({"error": words}, status=404, headers=HEADERS)

"""Any call, on any worker: what a worker tells of the calls of the others, and what the commands find."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from tests.worker.service.test_call_pages import HTML, TOKEN, Board, Rig, Site, Worker
from tools.errors import QueueUnavailable
from tools.queue.store.workers import Known
from worker.records.edges import JournalFile
from worker.records.metrics import Metrics
from worker.records.search import Query
from worker.service import peers
from worker.service.gate import COOKIE, proof
from worker.service.http import start_http
from worker.service.peers import Peers, found_at
from worker.settings.values import HttpAddress


class Cluster:
    """Workers that know each other as they would by Redis."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: list[Known] = []
        self.away = False
        self.undo: list[Callable[[], Awaitable[None]]] = []

    async def all_known(self) -> list[Known]:
        if self.away:
            raise QueueUnavailable("away")
        return list(self.known)

    async def add(self, name: str, token: str | None = TOKEN) -> Site:
        """One more worker, with a folder of its own."""
        (self.folder / name).mkdir()
        site = Site(self.folder / name)
        endpoint = await start_http(
            HttpAddress("127.0.0.1", 0),
            Worker(),
            Metrics(),
            book=site.book,
            calls_token=token,
            peers=Peers(self.all_known, name, token),
        )
        site.port, site.client = endpoint.port, peers.client(token, 8.0)
        self.known.append(Known(name=name, http=f"http://127.0.0.1:{site.port}", since=len(self.known)))
        self.undo += [endpoint.stop, site.client.close]
        return site

    async def foreign(self, name: str, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        """Somebody else under a worker's name."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.known.append(Known(name=name, http=f"http://127.0.0.1:{runner.addresses[0][1]}", since=0.0))
        self.undo.append(runner.cleanup)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    for undo in reversed(made.undo):
        await undo()


def kept(site: Site, call_id: str, **fields: object) -> None:
    site.keep(call_id, **fields)
    site.book.archive.write_journal(call_id, JournalFile(call_id=call_id).model_dump_json().encode())


async def test_one_list_has_the_calls_of_all_and_its_links_lead_to_each(cluster: Cluster) -> None:
    a, b = await cluster.add("a"), await cluster.add("b")
    kept(a, "c1", caller="+4930111", started_at="2026-01-01T10:00:00.000Z")
    kept(b, "c2", caller="+4930222", started_at="2026-01-02T10:00:00.000Z")
    _, html, _ = await a.get("/calls", headers=HTML)
    assert re.findall(r'href="/calls/(\w+)"', html) == ["c2", "c1"] and ">b<" in html and "this one" in html
    _, html, _ = await a.get("/calls?caller=222", headers=HTML)
    assert re.findall(r'href="/calls/(\w+)"', html) == ["c2"]
    status, html, _ = await a.get("/calls/c2", headers=HTML)
    assert status == 200 and "+4930222" in html and "<dd>b</dd>" in html
    status, text, _ = await a.get("/calls/c2")
    assert json.loads(text)["worker"] == "b"
    status, text, _ = await a.get("/calls?past=all")
    assert [(one["call_id"], one["worker"]) for one in json.loads(text)["calls"]] == [("c2", "b"), ("c1", "")]


async def test_a_call_in_progress_elsewhere_moves_here(cluster: Cluster, rig: Rig) -> None:
    a, b = await cluster.add("a"), await cluster.add("b")
    board = b.book.calls = Board(rig.session)
    await rig.speaks("r1", 400, text="First words.")
    rig.run(600)
    assert "in progress" in (await a.get("/calls", headers=HTML))[1]
    async with a.client.get(f"http://127.0.0.1:{a.port}/calls/c0ffee/events") as stream, asyncio.timeout(8):
        assert await stream.content.readline() == b"event: story\n"
        assert b"First words." in await stream.content.readuntil(b"\n\n")
        board.all.clear()
        while await stream.content.readline() != b"event: over\n":
            pass


async def test_of_a_call_in_progress_a_file_that_all_share_is_not_all_that_is_known(cluster: Cluster, rig: Rig) -> None:
    sites = [await cluster.add(name) for name in ("a", "b", "c", "d")]
    for site in sites[:3]:
        (site.folder / "c0ffee.wav").write_bytes(b"RIFF")  # as in one folder of all
    sites[3].book.calls = Board(rig.session)
    for site in sites:
        for _ in range(2):  # the second time by whom had it
            story = json.loads((await site.get("/calls/c0ffee"))[1])
            assert story["live"] and story["record"] is not None
    cluster.known.pop()
    story = json.loads((await sites[0].get("/calls/c0ffee"))[1])
    assert story["live"], "it is still known who had it"


async def test_a_record_without_its_journal_is_shown_with_who_could_not_be_asked(cluster: Cluster) -> None:
    a, b = await cluster.add("a"), await cluster.add("b")
    cluster.known.append(Known(name="gone", http="http://127.0.0.1:9", since=0.0))
    b.keep("c1")
    story = json.loads((await a.get("/calls/c1"))[1])
    assert story["worker"] == "b" and story["record"] is not None and "127.0.0.1:9" in story["problems"][0]


async def test_a_recording_that_another_has_is_played_from_any_place(cluster: Cluster) -> None:
    a, b = await cluster.add("a"), await cluster.add("b")
    kept(b, "c1")
    (b.folder / "c1.wav").write_bytes(bytes(range(100)))
    status, _, answer = await a.get("/calls/c1/recording", headers={"Range": "bytes=10-19"})
    assert (status, answer.headers["Content-Range"], answer.content_type) == (206, "bytes 10-19/100", "audio/wav")
    assert answer.headers["Content-Length"] == "10" and answer.headers["Content-Security-Policy"]
    assert (await a.get("/calls/c9/recording"))[0] == 404


async def test_who_is_asked_by_another_asks_nobody(cluster: Cluster) -> None:
    asked: list[str] = []

    async def spy(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.json_response({}, status=404)

    a = await cluster.add("a")
    await cluster.foreign("spy", spy)
    for path in ("/calls?past=own", "/calls/c1?own=1", "/calls/c1/recording?own=1"):
        await a.get(path)
    assert asked == []
    await a.get("/calls/c1")
    assert asked == ["/calls/c1?own=1"]


async def test_a_silent_worker_is_said_and_not_waited_for(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    monkeypatch.setattr(peers, "LIST_S", 0.3)
    monkeypatch.setattr(peers, "STORY_S", 0.3)
    a, b = await cluster.add("a"), await cluster.add("b")
    await cluster.foreign("silent", silent)
    cluster.known.append(Known(name="gone", http="http://127.0.0.1:9", since=0.0))
    kept(b, "c2")
    began = time.monotonic()
    _, html, _ = await a.get("/calls", headers=HTML)
    assert 'href="/calls/c2"' in html and len(re.findall(r'class="problem"[^>]*>[^<]* does not answer', html)) == 2
    assert (await a.get("/calls/c2", headers=HTML))[0] == 200
    status, html, _ = await a.get("/calls/c9", headers=HTML)
    assert status == 404 and html.count("does not answer") == 2
    assert time.monotonic() - began < 20, "nothing waits for it longer than it may"


async def test_without_redis_a_worker_tells_of_its_own(cluster: Cluster) -> None:
    a = await cluster.add("a")
    kept(a, "c1")
    cluster.away = True
    _, html, _ = await a.get("/calls", headers=HTML)
    assert 'href="/calls/c1"' in html and "Redis does not answer" in html
    assert (await a.get("/calls/c1", headers=HTML))[0] == 200


async def test_no_worker_gets_the_token_and_nobody_is_followed(cluster: Cluster) -> None:
    seen: list[str] = []

    async def spy(request: web.Request) -> web.StreamResponse:
        seen.append(str(dict(request.headers)))
        raise web.HTTPFound("http://127.0.0.1:9/calls")

    a = await cluster.add("a")
    await cluster.foreign("spy", spy)
    _, html, _ = await a.get("/calls", headers=HTML)
    await a.get("/calls/c9")
    assert "says 302" in html and len(seen) == 2
    assert all(TOKEN not in headers and f"{COOKIE}={proof(TOKEN)}" in headers for headers in seen)


async def test_another_token_and_another_s_loopback_are_said(cluster: Cluster) -> None:
    a = await cluster.add("a")
    await cluster.add("b", token="another-token-of-b")
    cluster.known.append(Known(name="far", http=cluster.known[0].http, since=9.0))  # its loopback is ours
    _, html, _ = await a.get("/calls", headers=HTML)
    assert "says 401: calls are shown for OFFHOOK_HTTP_TOKEN" in html
    assert "far is not reached at" in html and "that is a" in html


async def test_what_another_tells_of_calls_that_nobody_asked_for_is_left_out(cluster: Cluster) -> None:
    async def sly(request: web.Request) -> web.Response:
        if request.path != "/calls":
            return web.json_response({"call_id": "c7"})
        call = {"started_at": "", "caller": "", "dialled": "", "agent": "", "outcome": "", "duration_ms": 0}
        calls = [{**call, "call_id": "../../healthz"}, {**call, "call_id": "c8"}]
        return web.json_response({"calls": calls, "more": False, "worker": "sly"})

    a = await cluster.add("a")
    await cluster.foreign("sly", sly)
    _, html, _ = await a.get("/calls", headers=HTML)
    assert re.findall(r'href="(/calls/[^"]+)"', html) == ["/calls/c8"]
    status, text, _ = await a.get("/calls/c9")
    assert status == 404 and "tells of another call" in text


@pytest.mark.parametrize("body", [b"", b"[]", b'{"calls": [{}], "more": false}', b"x" * 300])
async def test_what_is_no_answer(cluster: Cluster, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def odd(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    monkeypatch.setattr(peers, "LARGEST", 200)
    a = await cluster.add("a")
    await cluster.foreign("odd", odd)
    kept(a, "c1")
    _, html, _ = await a.get("/calls", headers=HTML)
    assert 'href="/calls/c1"' in html and "can&#x27;t be read" in html or "can&#39;t be read" in html
    async with peers.client(None, 2.0) as session:
        assert (await found_at(session, cluster.known[-1], Query())).calls == ()

"""/calls and /calls/ID over HTTP: what a browser gets, what a machine gets, and who gets nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from tests.worker.call.rig import Rig
from worker.records.archive import Archive
from worker.records.edges import Edge, JournalFile
from worker.records.metrics import Metrics
from worker.records.record import CallRecord, TurnRecord, write_record
from worker.service.call_book import KEPT, CallBook
from worker.service.http import Part, start_http
from worker.settings.values import HttpAddress

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
TOKEN = "0123456789abcdef"


class Worker:
    """A worker's status, as the endpoint sees it."""

    def healthy(self) -> bool:
        return True

    def parts(self) -> list[Part]:
        return []

    def calls(self) -> list[dict[str, str]]:
        return [{"call_id": "live"}]


class Site:
    """An endpoint on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = CallBook(Archive(folder, folder, folder))
        self.client: aiohttp.ClientSession
        self.port = 0

    def keep(self, call_id: str = "c1", **fields: object) -> None:
        turns = [TurnRecord(who="agent", text="Hello.", start_ms=0, end_ms=900)]
        base = {"call_id": call_id, "version": 2, "outcome": "completed", "duration_ms": 5000, "turns": turns}
        record = CallRecord.model_validate(base | {"started_at": "2026-01-01T00:00:00.000Z"} | fields)
        write_record(record, self.folder / f"{call_id}.json")

    async def get(self, path: str, **options: Any) -> tuple[int, str, aiohttp.ClientResponse]:
        async with self.client.get(f"http://127.0.0.1:{self.port}{path}", **options) as answer:
            return answer.status, (await answer.read()).decode("utf-8", "replace"), answer


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    opened = []

    async def start(host: str = "127.0.0.1", **options: Any) -> Site:
        site = Site(tmp_path)
        endpoint = await start_http(HttpAddress(host, 0), Worker(), Metrics(), book=site.book, **options)
        site.port, site.client = endpoint.port, aiohttp.ClientSession()
        opened.append((endpoint, site))
        return site

    yield start
    for endpoint, site in opened:
        await site.client.close()
        await endpoint.stop()


async def test_a_browser_gets_html_and_a_machine_gets_what_it_always_got(sites: Any) -> None:
    site = await sites()
    site.keep()
    assert (await site.get("/calls"))[1] == '{"calls": [{"call_id": "live"}]}'
    status, html, answer = await site.get("/calls", headers=HTML)
    assert status == 200 and answer.content_type == "text/html" and 'href="/calls/c1"' in html
    status, html, answer = await site.get("/calls/c1", headers=HTML)
    assert status == 200 and "Call c1" in html
    status, text, answer = await site.get("/calls/c1")
    assert answer.content_type == "application/json" and '"outcome":"completed"' in text


async def test_every_page_forbids_what_it_does_not_need(sites: Any) -> None:
    site = await sites()
    site.keep()
    for path in ("/calls", "/calls/c1", "/calls/none", "/assets/page.js", "/assets/page.css"):
        _, _, answer = await site.get(path, headers=HTML)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_search(sites: Any) -> None:
    site = await sites()
    site.keep("c1", caller="+4930111", outcome="completed", started_at="2026-01-01T10:00:00.000Z")
    site.keep("c2", caller="+4930222", outcome="failed", started_at="2026-01-02T10:00:00.000Z")

    async def found(query: str) -> set[str]:
        return set(re.findall(r'href="/calls/(\w+)"', (await site.get(f"/calls?{query}", headers=HTML))[1]))

    assert await found("") == {"c1", "c2"}
    assert await found("caller=222") == {"c2"} and await found("caller=%2B4930") == {"c1", "c2"}
    assert await found("outcome=failed&since=2026-01-02T09:00") == {"c2"}
    assert await found("until=2026-01-01T10:00") == {"c1"}
    assert await found("caller=%3Cscript%3E") == set()


@pytest.mark.parametrize(
    "path",
    [
        "/calls/..%2f..%2fsecret",
        "/calls/%2e%2e%2fsecret",
        "/calls/..%5csecret",
        "/calls/c1%00",
        "/calls/none",
        "/calls/%c3%a4",
    ],
)
async def test_an_id_that_is_none(sites: Any, path: str, tmp_path: Path) -> None:
    (tmp_path.parent / "secret.json").write_text('{"call_id": "secret", "caller": "+49301"}')
    (tmp_path.parent / "secret.wav").write_bytes(b"RIFF")
    site = await sites()
    for suffix in ("", "/events", "/recording"):
        for headers in ({}, HTML):
            status, text, _ = await site.get(
                aiohttp.client.URL(f"http://x{path}{suffix}", encoded=True).raw_path, headers=headers
            )
            assert status in (400, 404) and "+49301" not in text


async def test_a_recording_is_played_from_any_place(sites: Any) -> None:
    site = await sites()
    site.keep()
    (site.folder / "c1.wav").write_bytes(bytes(range(100)))
    status, _, answer = await site.get("/calls/c1/recording", headers={"Range": "bytes=10-19"})
    assert (status, answer.headers["Content-Range"], answer.content_type) == (206, "bytes 10-19/100", "audio/wav")
    assert (await site.get("/calls/c2/recording"))[0] == 404


async def test_the_last_calls_are_kept_in_memory_where_no_folder_keeps_them() -> None:
    book = CallBook(Archive(None, None))
    session: Any = SimpleNamespace(journal=SimpleNamespace(taken=Rigged.taken))
    for number in range(KEPT + 5):
        await book.finished(session, CallRecord(call_id=f"c{number}", outcome="completed"))
    assert await book.story("c4") is None
    story = await book.story(f"c{KEPT + 4}")
    assert story is not None and story.record is not None and story.record.outcome == "completed"


class Rigged:
    """A journal without edges."""

    @staticmethod
    def taken() -> Any:
        from worker.records.journal import Journal

        return Journal().taken()


async def test_a_disk_that_is_full_costs_the_journal_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    book = CallBook(Archive(tmp_path / "file", tmp_path / "file"))
    session: Any = SimpleNamespace(journal=SimpleNamespace(taken=Rigged.taken))
    await book.finished(session, CallRecord(call_id="c1"))
    assert await book.story("c1") is None or (await book.story("c1")).problems  # type: ignore[union-attr]


# --- who may see them -------------------------------------------------------------------------------------------------


async def test_off_loopback_without_a_token_calls_are_not_shown(sites: Any) -> None:
    site = await sites("0.0.0.0")
    site.keep()
    for path in ("/calls/c1", "/calls/c1/events", "/calls/c1/recording"):
        assert (await site.get(path))[0] == 403
    status, text, _ = await site.get("/calls", headers=HTML)
    assert status == 403 and "OFFHOOK_HTTP_TOKEN" in text
    for past in ("own", "all", "x"):
        assert (await site.get(f"/calls?past={past}"))[0] == 403, "a search has names and outcomes"
    assert (await site.get("/calls"))[1] == '{"calls": [{"call_id": "live"}]}', "what machines have always had"


async def test_a_token_opens_by_header_and_by_the_form_s_cookie(sites: Any) -> None:
    site = await sites("0.0.0.0", calls_token=TOKEN)
    site.keep()
    assert (await site.get("/calls"))[0] == 401
    assert (await site.get("/calls", headers={"Authorization": f"Bearer {TOKEN}"}))[0] == 200
    status, html, _ = await site.get("/calls/c1?edges=0", headers=HTML)
    assert status == 401 and 'type="password"' in html and 'value="/calls/c1?edges=0"' in html
    url = f"http://127.0.0.1:{site.port}/calls/token"
    async with site.client.post(url, data={"token": "wrong", "to": "/calls/c1"}) as answer:
        assert answer.status == 401 and "Set-Cookie" not in answer.headers
    form = {"token": TOKEN, "to": "/calls/c1"}
    async with site.client.post(url, data=form, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/calls/c1")
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
    value = cookie.partition(";")[0]
    assert (await site.get("/calls/c1", headers={**HTML, "Cookie": value}))[0] == 200
    async with site.client.post(url, data={**form, "to": "//evil.example"}, allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/calls"


async def test_a_foreign_name_that_points_here_sees_nothing(sites: Any) -> None:
    site = await sites()
    site.keep()
    for path in ("/calls", "/calls/c1", "/calls/c1/recording"):
        for headers in ({}, HTML):
            assert (await site.get(path, headers={**headers, "Host": "evil.example"}))[0] == 421
    assert (await site.get("/healthz", headers={"Host": "evil.example"}))[0] == 200


# --- a call in progress -----------------------------------------------------------------------------------------------


class Board:
    """The calls in progress."""

    def __init__(self, *sessions: Any) -> None:
        self.all = {session.info.call_id: session for session in sessions}

    def session(self, call_id: str) -> Any:
        return self.all.get(call_id)

    def sessions(self) -> list[Any]:
        return list(self.all.values())


async def test_a_live_call_moves_by_events_until_it_is_over(sites: Any, rig: Rig) -> None:
    site = await sites()
    board = site.book.calls = Board(rig.session)
    await rig.speaks("r1", 400, text="First words.")
    rig.run(600)
    status, html, _ = await site.get("/calls/c0ffee", headers=HTML)
    assert status == 200 and "First words." in html and 'data-events="/calls/c0ffee/events"' in html
    assert "in progress" in (await site.get("/calls", headers=HTML))[1]
    async with site.client.get(f"http://127.0.0.1:{site.port}/calls/c0ffee/events") as stream:
        assert stream.content_type == "text/event-stream"
        told = await event(stream, "story")
        assert "First words." in told and told.count('class="wave"') == 2, "both voices, and no recording"
        await rig.speaks("r2", 400, text="Second words.")
        rig.run(600)
        while "Second words." not in await event(stream, "story"):
            pass
        board.all.clear()
        while (await line(stream)) != "event: over":
            pass
    assert (await site.get("/calls/c0ffee/events"))[0] == 404


async def line(stream: aiohttp.ClientResponse) -> str:
    async with asyncio.timeout(8):
        return (await stream.content.readline()).decode().rstrip("\n")


async def event(stream: aiohttp.ClientResponse, name: str) -> str:
    """The data of the next event, which is of that name."""
    assert await line(stream) == f"event: {name}"
    lines = []
    while text := await line(stream):
        lines.append(text.removeprefix("data: "))
    return "\n".join(lines)


async def test_a_viewer_who_leaves_frees_the_place(sites: Any, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.service import call_pages

    monkeypatch.setattr(call_pages, "EVENT_S", 0.05)
    monkeypatch.setattr(call_pages, "WATCHERS", 1)
    site = await sites()
    site.book.calls = Board(rig.session)
    url = f"http://127.0.0.1:{site.port}/calls/c0ffee/events"
    async with site.client.get(url) as stream:
        await line(stream)
        assert (await site.get("/calls/c0ffee/events"))[0] == 503
    async with asyncio.timeout(5):
        while True:
            async with site.client.get(url) as stream:
                if stream.status == 200:
                    break
            await asyncio.sleep(0.02)


async def test_a_journal_of_10_000_edges_over_http(sites: Any) -> None:
    site = await sites()
    site.keep(duration_ms=3_600_000)
    edges = [
        Edge(ms=n * 360, at="2026-01-01T00:00:00.000Z", kind="turn", what="Tick", data={"floor": "agent"})
        for n in range(10_000)
    ]
    site.book.archive.write_journal("c1", JournalFile(call_id="c1", edges=edges).model_dump_json().encode())
    status, html, _ = await site.get("/calls/c1?edges=19", headers=HTML)
    assert status == 200 and len(html) < 500_000 and "3599.64 s" in html
    assert (await site.get("/calls/c1?edges=../../x", headers=HTML))[0] == 200

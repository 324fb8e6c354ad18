"""The pages in a real Chromium: the cursor, the keyboard, live calls, and everything without script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.worker.call.rig import Rig
from tests.worker.pages.test_call_page import wav
from tests.worker.service.chromium import PROGRAM, Page, browser
from tests.worker.service.test_call_pages import TOKEN, Board, Site, sites

__all__ = ["sites"]

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed (Debian: chromium)"),
    pytest.mark.timeout(120),
]
Sites = Callable[..., Awaitable[Site]]


@pytest.fixture
async def page(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    async with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


def url(site: Site, path: str) -> str:
    return f"http://127.0.0.1:{site.port}{path}"


def keep(site: Site) -> None:
    site.keep(duration_ms=20_000, caller="+4930123")
    wav(site.folder / "c1.wav", 20.0)


async def test_the_list_the_search_and_the_way_to_a_call_by_keyboard_alone(sites: Sites, page: Page) -> None:
    site = await sites()
    keep(site)
    site.keep("c2", caller="+4930999")
    await page.go(url(site, "/calls"))
    assert await page.js("document.querySelectorAll('tbody tr').length") == 2
    await page.key("Tab")
    assert await page.js("document.activeElement.id") == "caller"
    await page.type("30123")
    await page.key("Enter", text="\r")
    await page.until("location.search.includes('caller=30123')")
    await page.until("document.readyState === 'complete'")
    assert await page.js("document.querySelectorAll('tbody tr').length") == 1
    for _ in range(30):
        await page.key("Tab")
        if await page.js("document.activeElement.tagName") == "A":
            break
    await page.key("Enter", text="\r")
    await page.until("document.querySelector('h1')?.textContent === 'Call c1'")


async def test_the_cursor_follows_the_recording_and_the_keys(sites: Sites, page: Page) -> None:
    site = await sites()
    keep(site)
    await page.go(url(site, "/calls/c1"))
    await page.until("document.getElementById('audio').readyState >= 1")
    assert await page.js("document.getElementById('audio').duration") == pytest.approx(20, abs=0.1)
    await page.js("document.getElementById('scroller').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        await page.key(key)
    assert await page.js("document.getElementById('scroller').getAttribute('aria-valuenow')") == "2.0"
    await page.until("Math.abs(document.getElementById('audio').currentTime - 2) < 0.1")
    at = "(() => { const s = document.getElementById('timeline').dataset; return (document.getElementById('cursor')"
    at += ".getAttribute('x1') - s.left) / s.scale + +s.start; })()"
    assert await page.js(at) == pytest.approx(2000, abs=20)
    await page.key(" ", code="Space", text=" ")
    await page.until("!document.getElementById('audio').paused && document.getElementById('audio').currentTime > 2.3")
    await page.key(" ", code="Space", text=" ")
    await page.until("document.getElementById('audio').paused")
    assert await page.js(at) > 2200, "the cursor went with it"
    await page.js("document.querySelector('a.at').click()")
    assert await page.js("document.getElementById('audio').currentTime") == 0, "a time is a way there"
    assert await page.js("location.pathname") == "/calls/c1"
    assert page.said == []
    loaded = [one for one in page.requested if one.startswith(("http", "ws", "//"))]
    assert loaded and all(one.startswith(url(site, "/")) for one in loaded), "nothing from elsewhere"


async def test_without_script_the_page_is_whole(sites: Sites, page: Page) -> None:
    site = await sites()
    keep(site)
    await page.go(url(site, "/calls/c1"), script=False)
    text = await page.js("document.body.innerText")
    for words in ("Call c1", "Timeline", "Conversation", "Hello.", "+4930123"):
        assert words in text
    assert await page.js("document.querySelector('a.at').getAttribute('href')") == "/calls/c1/recording#t=0.00"
    assert await page.js("document.getElementById('timeline').querySelectorAll('.wave').length") == 2
    assert await page.js("document.getElementById('scroller').getAttribute('role')") == "group"


async def test_a_live_call_moves_and_becomes_a_past_one(sites: Sites, rig: Rig, page: Page) -> None:
    site = await sites()
    board: Any = Board(rig.session)
    site.book.calls = board
    await rig.speaks("r1", 400, text="First words.")
    rig.run(600)
    await page.go(url(site, "/calls/c0ffee"))
    await page.until("document.body.innerText.includes('First words.')")
    await page.js("document.querySelector('details').open = true; document.getElementById('scroller').focus()")
    await rig.speaks("r2", 400, text="Second words.")
    rig.run(600)
    await page.until("document.body.innerText.includes('Second words.')")
    assert await page.js("document.querySelector('details').open") and page.said == []
    assert await page.js("document.activeElement.id") == "scroller", "who is there stays there"
    await site.book.finished(rig.session, rig.record())
    site.keep("c0ffee")
    board.all.clear()
    await page.until("document.querySelector('main') && !document.querySelector('main').dataset.events")
    await page.until("document.body.innerText.includes('completed')")


async def test_the_token_is_asked_for_once(sites: Sites, page: Page) -> None:
    site = await sites("0.0.0.0", calls_token=TOKEN)
    keep(site)
    await page.go(url(site, "/calls/c1"))
    assert await page.js("document.querySelector('main').innerText.includes('OFFHOOK_HTTP_TOKEN')")
    await page.js("document.getElementById('token').focus()")
    await page.type(TOKEN)
    await page.key("Enter", text="\r")
    await page.until("document.querySelector('h1')?.textContent === 'Call c1'")
    await page.until("document.getElementById('audio').readyState >= 1")  # the recording has the cookie, too
    await page.go(url(site, "/calls"))
    assert await page.js("document.querySelector('h1').textContent") == "Calls"
    assert await page.js("document.cookie") == ""

"""`offhook call`: the story from the files, from a worker, and what is said where nobody knows the call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.worker.service.test_call_pages import TOKEN, Board, Site, Worker
from tools.queue.store.workers import Known
from worker.calls import find_recording, find_story, lines
from worker.errors import OperatorError
from worker.records.archive import Archive
from worker.records.edges import JournalFile
from worker.records.metrics import Metrics
from worker.service.http import start_http
from worker.settings.values import HttpAddress

NOWHERE = Archive(None, None)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A worker with a token, which has one call."""
    made = Site(tmp_path)
    made.keep("c1", caller="+4930123")
    made.book.archive.write_journal("c1", JournalFile(call_id="c1").model_dump_json().encode())
    endpoint = await start_http(HttpAddress("127.0.0.1", 0), Worker(), Metrics(), book=made.book, calls_token=TOKEN)
    made.port = endpoint.port
    yield made
    await endpoint.stop()


def url(site: Site) -> str:
    return f"http://127.0.0.1:{site.port}"


async def test_from_the_files_without_asking_anybody(site: Site) -> None:
    story = await find_story("c1", site.book.archive, None, "http://127.0.0.1:1", None)
    assert story.record is not None and story.record.caller == "+4930123" and not story.live


async def test_from_the_worker_that_has_it(site: Site) -> None:
    story = await find_story("c1", NOWHERE, None, url(site), TOKEN)
    assert story.record is not None and story.record.caller == "+4930123"


async def test_a_record_alone_is_told_where_no_worker_knows_more(site: Site, tmp_path: Path) -> None:
    site.keep("c2")
    site.book.calls = Board()
    story = await find_story("c2", Archive(tmp_path, tmp_path), None, None, None)
    assert story.record is not None and story.journal is None


@pytest.mark.parametrize(
    ("call_id", "token", "words"),
    [
        ("c9", TOKEN, "nobody knows a call c9 (looked at: http://127.0.0.1:"),
        ("c1", None, "says 401: calls are shown for OFFHOOK_HTTP_TOKEN"),
        ("../c1", TOKEN, "'../c1' is no call's id"),
    ],
)
async def test_what_is_said_where_it_can_t_be_had(site: Site, call_id: str, token: str | None, words: str) -> None:
    with pytest.raises(OperatorError) as told:
        await find_story(call_id, NOWHERE, None, url(site), token)
    assert words in str(told.value)


async def test_a_worker_that_is_away_and_nothing_that_is_set() -> None:
    with pytest.raises(OperatorError, match="http://127.0.0.1:1 does not answer"):
        await find_story("c1", NOWHERE, None, "http://127.0.0.1:1", None)
    with pytest.raises(OperatorError, match="neither a folder nor a worker is set"):
        await find_story("c1", NOWHERE, None, None, None)


async def test_a_recording_is_in_the_files_or_at_the_worker_or_nowhere(site: Site) -> None:
    (site.folder / "c1.wav").write_bytes(b"RIFF and so on")
    assert await find_recording("c1", site.book.archive, None, None, None) == b"RIFF and so on"
    assert await find_recording("c1", NOWHERE, None, url(site), TOKEN) == b"RIFF and so on"
    assert await find_recording("c1", NOWHERE, None, url(site), None) is None
    assert await find_recording("c1", NOWHERE, None, "http://127.0.0.1:1", None) is None


@pytest.mark.parametrize("files", [True, False])
async def test_a_beginning_that_one_call_alone_has_is_enough(site: Site, files: bool) -> None:
    site.keep("4711aa", caller="+4930471")
    site.keep("4712bb")
    archive, http = (site.book.archive, None) if files else (NOWHERE, url(site))
    story = await find_story("4711", archive, None, http, TOKEN)
    assert story.call_id == "4711aa" and story.record is not None and story.record.caller == "+4930471"


@pytest.mark.parametrize("files", [True, False])
async def test_of_a_beginning_that_several_have_they_are_named(site: Site, files: bool) -> None:
    for number in range(10):
        site.keep(f"471{number}")
    archive, http = (site.book.archive, None) if files else (NOWHERE, url(site))
    with pytest.raises(OperatorError, match="several calls begin with 471: 4710, 4711, .*4717, and 2 more"):
        await find_story("471", archive, None, http, TOKEN)


async def test_a_whole_id_that_others_begin_with_is_that_call(site: Site) -> None:
    site.keep("4711")
    site.keep("47110")
    assert (await find_story("4711", site.book.archive, None, None, None)).call_id == "4711"


async def test_a_number_is_no_id_and_is_told_what_finds_it() -> None:
    with pytest.raises(OperatorError, match="offhook calls --past --caller"):
        await find_story("+4930123", NOWHERE, None, None, None)


def test_a_call_that_is_in_progress_nowhere_is_told_with_what_finds_it() -> None:
    one = Known(name="one", http="http://127.0.0.1:1", since=0.0)
    gone = Known(name="gone", http="http://127.0.0.1:2", since=0.0)
    answers = [(one, [{"call_id": "c1"}]), (gone, None)]
    assert [json.loads(line) for line in lines(answers, "c1")][0] == {"worker": "one", "call_id": "c1"}
    assert not any("not in progress" in line for line in (*lines(answers, "c1"), *lines(answers)))
    *_, last = map(json.loads, lines(answers, "c9"))
    assert last["call_id"] == "c9" and "offhook call c9" in last["error"]

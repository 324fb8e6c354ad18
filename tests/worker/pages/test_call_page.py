"""A call's page as HTML: everything escaped, whole without a script, and of bounded size."""

from __future__ import annotations

import base64
import re
import time
import wave
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from worker.pages.call_page import EDGES, call_page, not_found_page
from worker.pages.list_page import list_page, token_page
from worker.pages.story_picture import draw_story
from worker.pages.terminal import print_story
from worker.pages.waveform import levels, levels_of
from worker.records.archive import Summary
from worker.records.edges import Edge, EnvelopeFile, JournalFile
from worker.records.record import BargeInRecord, CallRecord, ToolCallRecord, TurnRecord
from worker.records.search import Found
from worker.records.silence_reasons import in_short
from worker.records.story import Story, story_of

EVIL = "<script>alert(1)</script>\"'&\x1b[31m"


class Seen(HTMLParser):
    """The page's elements, with whether they are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def edge(ms: int, kind: str, what: str, **data: object) -> Edge:
    return Edge.model_validate({"ms": ms, "at": "2026-11-26T07:24:48.316Z", "kind": kind, "what": what, "data": data})


EDGES_OF_IT = [
    edge(-200, "sip", "SipMessage", sent=False, line=f"INVITE sip:{EVIL}@h", method="INVITE"),
    edge(-100, "provider", "SessionReady"),
    edge(0, "record", "Answered"),
    edge(
        0,
        "turn",
        "MediaReady",
        commands=[{"command": "RequestResponse", "purpose": EVIL}],
        floor="agent",
        slot="active",
    ),
    edge(3000, "record", "BargedIn", heard_ms=900),
    edge(3000, "turn", "SpeechStarted", commands=[], floor="caller", slot="cancelling"),
    edge(4000, "line", "LineLoss", underruns=2),
    edge(5000, "rtp", "RtpReport", received=250, lost=3, discarded=0, jitter_ms=2.0, buffer_ms=40.0, sent=250),
    edge(6000, "sip", "SipMessage", sent=True, line="BYE sip:192.0.2.7", method="BYE"),
]


def story(edges: list[Edge] | None = EDGES_OF_IT, **more: object) -> Story:
    record = CallRecord.model_validate(
        {
            "call_id": "c1",
            "version": 2,
            "outcome": "completed",
            "duration_ms": 6000,
            "caller": EVIL,
            "errors": [EVIL],
            "sip_call_id": EVIL,
            "turns": [TurnRecord(who="caller", text=EVIL, start_ms=500, end_ms=1500)],
            "tool_calls": [ToolCallRecord(tool=EVIL, mode="queued", start_ms=1600, status="ok", wait_ms=1, run_ms=300)],
            "barge_ins": [BargeInRecord(at_ms=3000, heard_ms=900, stopped_in_ms=4)],
        }
    )
    journal = None if edges is None else JournalFile(call_id="c1", end_ms=6000, edges=edges)
    return story_of("c1", record, journal, **more)  # type: ignore[arg-type]


def test_all_of_it_is_there_and_what_others_wrote_is_text() -> None:
    seen = Seen(html := call_page(story(recorded=True)))
    titles = re.findall(r"<h2[^>]*>([^<]+)", html)
    parts = ["Timeline", "Silences", "Conversation", "Tool calls", "What else happened", "The line", "SIP", "Edges"]
    assert titles == parts
    scripts = [attributes for tag, attributes in seen.tags if tag == "script"]
    assert scripts == [{"src": "/assets/page.js", "defer": None}], "one script, of ours"
    assert "<script>alert" not in html
    assert ("a", {"href": "#silences-h"}) in seen.tags and in_short(story().silences) in seen.text, "first of all"
    assert not any(name.startswith("on") or name == "style" for _, attributes in seen.tags for name in attributes)


def test_nothing_comes_from_elsewhere() -> None:
    pages = (
        call_page(story(recorded=True)),
        list_page(Found((), False), {}),
        token_page("/calls"),
        not_found_page("x"),
    )
    for html in pages:
        seen = Seen(html)
        links = [
            value or "" for _, has in seen.tags for name, value in has.items() if name in ("src", "href", "action")
        ]
        assert links and all(re.match(r"/(calls|assets)|[?#]", link) for link in links)


def test_without_script_times_are_links_into_the_recording() -> None:
    links = [has.get("href") for tag, has in Seen(call_page(story(recorded=True))).tags if tag == "a"]
    assert "/calls/c1/recording#t=0.50" in links
    none = [has.get("href") for tag, has in Seen(call_page(story())).tags if tag == "a"]
    assert not any("recording" in (link or "") for link in none)


def test_a_live_call_says_where_its_events_are_and_plays_nothing_yet() -> None:
    tags = Seen(call_page(story(live=True, recorded=True))).tags
    assert ("main", {"id": "story", "data-events": "/calls/c1/events"}) in tags
    assert not any(tag == "audio" for tag, _ in tags)


def test_a_record_without_a_journal_and_a_journal_without_a_record() -> None:
    assert "Without a journal nobody knows" in call_page(story(None))
    alone = story_of("c1", None, JournalFile(call_id="c1", edges=EDGES_OF_IT), problems=["c1.json is no such file"])
    html = call_page(alone)
    assert "c1.json is no such file" in html and "There is no record" in html
    assert "There is no record" in call_page(story_of("c1", None, None, recorded=True))


def test_a_journal_of_10_000_edges_is_shown_in_parts() -> None:
    many = [
        edge(n * 360, "turn", "Tick", commands=[{"command": "PlayTone"}], floor="agent", slot="free")
        for n in range(10_000)
    ]
    long = story([edge(0, "record", "Answered"), *many])
    began = time.perf_counter()
    first, last = call_page(long), call_page(long, part=99)
    print(f"10,000 edges: two pages in {time.perf_counter() - began:.2f} s, {len(first)} bytes")
    assert len(first) < 400_000
    assert "3599.64 s" in last and "3599.64 s" not in first.replace("<title>", "")
    assert len([tag for tag, _ in Seen(first).tags if tag == "tr"]) < EDGES + 50
    assert call_page(long, part=-5) == first


def test_the_picture_is_to_scale_and_as_wide_as_the_call_is_long() -> None:
    short, long = draw_story(story()), draw_story(story([edge(0, "record", "Answered")], live=False))
    assert 'width="1110"' in short and 'data-start="-200"' in short and 'data-start="0"' in long
    hour = story(None)
    assert hour.record is not None
    hour.record.duration_ms = 3_600_000
    assert 'width="12000"' in draw_story(hour)


def wav(path: Path, seconds: float, channels: int = 2) -> Path:
    frames = int(8000 * seconds)
    sound = np.zeros((frames, channels), dtype="<i2")
    sound[: frames // 2, 0] = 16384
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(sound.tobytes())
    return path


def test_levels_of_a_recording(tmp_path: Path) -> None:
    found = levels(wav(tmp_path / "a.wav", 2.0))
    assert found is not None and found.column_ms == 50 and len(found.caller) == len(found.agent) == 40
    assert found.caller[:20] == (0.5,) * 20 and set(found.caller[20:]) == {0.0} == set(found.agent)
    assert 'class="wave"' in draw_story(story(), found)


def test_a_long_recording_has_columns_as_wide_as_they_must_be(tmp_path: Path) -> None:
    found = levels(wav(tmp_path / "a.wav", 900.0))
    assert found is not None and len(found.caller) <= 6000 and found.column_ms * len(found.caller) >= 900_000


@pytest.mark.parametrize("data", [b"", b"RIFF", b"not a wave file at all" * 9])
def test_what_is_no_recording_has_no_levels(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    assert levels(tmp_path / "a.wav") is None and levels(tmp_path / "none.wav") is None
    assert levels(wav(tmp_path / "mono.wav", 1.0, channels=1)) is None


def test_a_recording_that_was_cut_off_has_the_levels_that_it_has(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", 2.0)
    path.write_bytes(path.read_bytes()[:-9001])
    found = levels(path)
    assert found is not None and 25 <= len(found.caller) < 40


def test_the_list_and_its_search() -> None:
    calls = [Summary("c1", "2026-11-26T07:24:48.316Z", EVIL, "427", "agent", "in progress", 3000, live=True)]
    seen = Seen(list_page(Found(tuple(calls), True), {"caller": EVIL, "outcome": "failed"}))
    assert ("a", {"href": "/calls/c1"}) in seen.tags
    boxes = {has["name"]: has.get("value") for tag, has in seen.tags if tag == "input"}
    assert boxes == {"caller": EVIL, "since": "", "until": ""}
    [chosen] = [has["value"] for tag, has in seen.tags if tag == "option" and "selected" in has]
    assert chosen == "failed" and any("and more" in text for text in seen.text)
    nothing = Found((), False)
    assert "No call fits" in list_page(nothing, {"caller": "1"}) and "No call yet" in list_page(nothing, {"caller": ""})


def test_the_list_says_whose_a_call_is_and_who_could_not_be_asked() -> None:
    call = Summary("c1", "2026-11-26T07:24:48.316Z", "1", "427", "agent", "completed", 3000)
    own = list_page(Found((call,), False), {})
    assert ">worker<" not in own and 'class="problem"' not in own
    theirs = replace(call, call_id="c2", worker=EVIL)
    seen = Seen(html := list_page(Found((call, theirs), False, silent=(f"{EVIL} does not answer",)), {}))
    assert ("a", {"href": "/calls/c2"}) in seen.tags and "worker" in seen.text and "this one" in seen.text
    assert EVIL in seen.text and f"{EVIL} does not answer." in seen.text and "<script>alert" not in html


def test_the_terminal_tells_the_same_and_no_name_moves_its_cursor() -> None:
    console = Console(width=160, record=True, force_terminal=False, file=open("/dev/null", "w"))
    print_story(story(live=True, problems=["half a file"]), console)
    console.file.close()
    text = console.export_text()
    assert "\x1b" not in text
    for words in (
        "in progress",
        "half a file",
        "BYE sip:192.0.2.7",
        "barge-in",
        "→ BYE",
        "MOS 4.",
        "ran 300 ms",
        in_short(story().silences),
    ):
        assert words in text


def test_without_a_recording_both_voices_are_drawn_by_the_journal() -> None:
    envelope = EnvelopeFile(
        start_ms=-1000,
        column_ms=100,
        caller=base64.b64encode(b"\x80" * 40),
        agent=base64.b64encode(bytes(20) + b"\xff" * 10),
    )
    drawn = draw_story(story(), levels_of(envelope))
    waves = re.findall(r'class="wave" points="([^"]+)"', drawn)
    assert len(waves) == 2 and waves[0] != waves[1]
    heights = {float(point.partition(",")[2]) for point in waves[1].split()}
    assert max(heights) - min(heights) == pytest.approx(28)
    assert levels_of(None) is None and levels_of(EnvelopeFile(start_ms=0, column_ms=100)) is None

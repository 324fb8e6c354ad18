"""Audio between telephone and session: the same sound however it is cut, and whatever comes in between."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony import g711, resample
from telephony.pcm import level_dbfs
from worker.call.audio import STREAMS, Downlink, Uplink, prepare, session_format
from worker.realtime.formats import RATE_HZ, SAMPLE_BYTES, AudioFormat

PHONE_HZ = (8000, 16000)
FORMATS: list[AudioFormat] = ["pcm24k", "pcm16k", "pcmu", "pcma"]

POSSIBLE: tuple[AudioFormat, ...] = ("pcm24k", "pcmu", "pcma")


def tone(rate_hz: int, ms: int = 400, hz: float = 700.0) -> bytes:
    t = np.arange(rate_hz * ms // 1000) / rate_hz
    return (12000 * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes()


def in_format(pcm: bytes, session: AudioFormat) -> bytes:
    return {"pcmu": g711.ulaw_encode, "pcma": g711.alaw_encode}.get(session, bytes)(pcm)


def cut(audio: bytes, sizes: list[int], unit: int) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(audio[: size * unit])
        audio = audio[size * unit :]
    return [*pieces, audio]


def pitch_hz(pcm: bytes, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(np.frombuffer(pcm, dtype="<i2").astype(float)))
    return float(np.argmax(spectrum) * rate_hz / (len(pcm) // 2))


@pytest.mark.parametrize("phone_hz", [8000, 16000])
@pytest.mark.parametrize("session", FORMATS)
def test_up_is_the_same_sound_in_the_sessions_format(phone_hz: int, session: AudioFormat) -> None:
    up = Uplink(phone_hz, session).convert(tone(phone_hz))
    seconds = len(up) / SAMPLE_BYTES[session] / RATE_HZ[session]
    assert seconds == pytest.approx(0.4, abs=0.006)
    decoded = {"pcmu": g711.ulaw_decode, "pcma": g711.alaw_decode}.get(session, bytes)(up)
    assert pitch_hz(decoded, RATE_HZ[session]) == pytest.approx(700, abs=5)
    assert level_dbfs(decoded) == pytest.approx(level_dbfs(tone(phone_hz)), abs=0.5)


@pytest.mark.parametrize("phone_hz", [8000, 16000])
@pytest.mark.parametrize("session", FORMATS)
def test_down_is_the_same_sound_at_the_phones_rate(phone_hz: int, session: AudioFormat) -> None:
    down = Downlink(phone_hz, session).convert("i1", in_format(tone(RATE_HZ[session]), session))
    assert len(down) / 2 / phone_hz == pytest.approx(0.4, abs=0.006)
    assert pitch_hz(down, phone_hz) == pytest.approx(700, abs=5)
    assert level_dbfs(down) == pytest.approx(level_dbfs(tone(phone_hz)), abs=0.5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 900), max_size=12))
def test_up_does_not_depend_on_how_it_is_cut(sizes: list[int]) -> None:
    link = Uplink(8000, "pcm24k")
    pieces = b"".join(link.convert(piece) for piece in cut(tone(8000), sizes, 2))
    whole = Uplink(8000, "pcm24k").convert(tone(8000))
    a, b = (np.frombuffer(x[: min(len(pieces), len(whole))], dtype="<i2").astype(int) for x in (pieces, whole))
    assert abs(len(pieces) - len(whole)) <= 2 * 24 * 5 and np.max(np.abs(a - b), initial=0) <= 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=10), st.sampled_from(["pcm24k", "pcmu"]))
def test_items_that_come_in_turns_sound_as_if_each_came_alone(sizes: list[int], session: AudioFormat) -> None:
    """An answer is generated while the filler before it is still on its way: neither may be chopped by the other."""
    unit = SAMPLE_BYTES[session]
    answer = in_format(tone(RATE_HZ[session]), session)
    filler = in_format(tone(RATE_HZ[session], hz=300.0), session)
    link = Downlink(8000, session)
    got = {"answer": b"", "filler": b""}
    for one, other in zip(cut(answer, sizes, unit), cut(filler, sizes, unit), strict=True):
        got["answer"] += link.convert("answer", one)
        got["filler"] += link.convert("filler", other)
    for item_id, audio in (("answer", answer), ("filler", filler)):
        alone = Downlink(8000, session).convert("x", audio)
        n = min(len(alone), len(got[item_id]))
        a, b = (np.frombuffer(x[:n], dtype="<i2").astype(int) for x in (alone, got[item_id]))
        assert abs(len(alone) - len(got[item_id])) <= 2 * 8 * 5
        assert np.max(np.abs(a - b), initial=0) <= 1


def test_an_item_begins_with_a_filter_at_rest() -> None:
    link = Downlink(8000, "pcm24k")
    link.convert("loud", tone(24000))
    assert not np.frombuffer(link.convert("silent", bytes(4800)), dtype="<i2").any(), "the last item rings on"


def test_streams_are_bounded() -> None:
    link = Downlink(8000, "pcm24k")
    for number in range(STREAMS * 5):
        link.convert(f"i{number}", tone(24000, ms=20))
    assert len(link._streams) == STREAMS


@pytest.mark.parametrize(
    ("codec", "asked"), [("PCMU", "pcmu"), ("PCMA", "pcma"), ("", "pcmu"), ("G722", "pcm24k"), ("opus", "pcm24k")]
)
def test_a_session_is_asked_for_the_calls_own_law(codec: str, asked: AudioFormat) -> None:
    assert session_format(POSSIBLE, "g711", codec) == asked
    assert session_format(POSSIBLE, "pcm", codec) == "pcm24k"


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_g711_goes_through_as_it_is_both_ways(law: AudioFormat) -> None:
    """What the conference decoded is the code again: no resampling, and no second quantisation."""
    codes = bytes(range(256)).replace(b"\x7f", b"\xff")  # mu-law's second zero comes back as the first
    pcm = Downlink(8000, law).convert("i1", codes)
    assert Uplink(8000, law).convert(pcm) == codes


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(FORMATS), min_size=1, max_size=5))
def test_formats_may_change_from_session_to_session(formats: list[AudioFormat]) -> None:
    up, down = Uplink(8000, "pcm24k"), Downlink(8000, "pcm24k")
    for session in formats:
        up.use(session)
        down.use(session)
        sent = up.convert(tone(8000))
        assert len(sent) / SAMPLE_BYTES[session] / RATE_HZ[session] == pytest.approx(0.4, abs=0.006)
        heard = down.convert(f"item-{session}", in_format(tone(RATE_HZ[session]), session))
        assert pitch_hz(heard, 8000) == pytest.approx(700, abs=5)


def test_the_same_format_again_changes_nothing() -> None:
    """A stream that is on its way keeps its filter: another session of the same format is no click."""
    whole = Uplink(8000, "pcm24k").convert(tone(8000))
    up = Uplink(8000, "pcm24k")
    first = up.convert(tone(8000)[:1600])
    up.use("pcm24k")
    again = first + up.convert(tone(8000)[1600:])
    a, b = (np.frombuffer(x[: min(len(whole), len(again))], dtype="<i2").astype(int) for x in (whole, again))
    assert np.max(np.abs(a - b)) <= 1


def test_no_filter_is_designed_in_a_call() -> None:
    prepare(PHONE_HZ)
    designed = resample._design.cache_info().misses
    for phone_hz, session in itertools.product(PHONE_HZ, FORMATS):
        Uplink(phone_hz, session)
        Downlink(phone_hz, session).convert("item", bytes(960))
    assert resample._design.cache_info().misses == designed

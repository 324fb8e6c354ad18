"""Real speech: espeak-ng's voices, over a telephone line, into pocketsphinx."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from worker.local import voice as voice_module
from worker.local.dialogue import load_dialogue
from worker.local.errors import SpeechUnavailable
from worker.local.sound import decode, encode, resample
from worker.local.speech import EspeakMouth, Recogniser, SphinxEars, jsgf, synthesize
from worker.local.words import digits_words

VOICES = ("en-us", "en-us+m5", "en-gb-x-rp")


def over_the_telephone(text: str, voice: str, *, kind: str = "audio/pcmu", gain: float = 1.0) -> bytes:
    """A sentence as PCM at 8 kHz, after G.711, with silence around it."""
    pcm, rate_hz = synthesize(text, voice=voice, rate_wpm=150)
    samples = np.frombuffer(resample(pcm, rate_hz, 8000), "<i2") * gain
    wire = encode(samples.astype("<i2").tobytes(), 8000, kind)
    return bytes(4800) + decode(wire, kind) + bytes(8000)


@pytest.fixture(scope="module")
def ears() -> Recogniser:
    return Recogniser(jsgf(load_dialogue().patterns))


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize(
    "text",
    [
        "what is the status of order four two seven",
        "tell me about your delivery terms",
        "what time is it",
        "i want to speak to a human",
        "thank you goodbye",
        "where is my order one eight five",
    ],
)
def test_the_dialogues_sentences_are_understood(ears: Recogniser, voice: str, text: str) -> None:
    assert ears.recognise_at(over_the_telephone(text, voice), 8000) == text


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma", "audio/pcm"])
@pytest.mark.parametrize("gain", [0.1, 1.0])
def test_soft_or_loud_in_any_format(ears: Recogniser, kind: str, gain: float) -> None:
    if kind == "audio/pcm":
        pcm, rate_hz = synthesize("what time is it")
        assert ears.recognise_at(pcm, rate_hz) == "what time is it"
    else:
        heard = over_the_telephone("what time is it", "en-us", kind=kind, gain=gain)
        assert ears.recognise_at(heard, 8000) == "what time is it"


def test_every_digit_is_understood(ears: Recogniser) -> None:
    orders = ["012", "345", "678", "901", "427", "269", "583"]
    said = [f"what is the status of order {digits_words(order)}" for order in orders]
    assert [ears.recognise_at(over_the_telephone(text, "en-us"), 8000) for text in said] == said


@pytest.mark.parametrize(
    "text", ["how much does it cost", "my cat is sleeping on the sofa", "do you have any vegetarian food"]
)
def test_what_fits_no_sentence_is_not_understood(ears: Recogniser, text: str) -> None:
    assert ears.recognise_at(over_the_telephone(text, "en-us"), 8000) == ""


@pytest.mark.parametrize("pcm", [b"", b"\0", bytes(16000), np.full(200, 3000, "<i2").tobytes()])
def test_what_is_no_speech_is_nothing(ears: Recogniser, pcm: bytes) -> None:
    assert ears.recognise(pcm) == ""


def test_noise_is_no_speech(ears: Recogniser) -> None:
    noise = np.random.default_rng(0).normal(0, 2000, 16000).astype("<i2").tobytes()
    assert ears.recognise(noise) == ""


def test_what_was_said_before_does_not_change_what_is_heard(ears: Recogniser) -> None:
    pcm = over_the_telephone("what time is it", "en-us")
    first = ears.judge(resample(pcm, 8000, 16000))
    ears.recognise_at(over_the_telephone("thank you goodbye", "en-us+m5"), 8000)
    words, fit = ears.judge(resample(pcm, 8000, 16000))
    assert words == first[0]
    assert fit == pytest.approx(first[1], abs=0.01)  # pocketsphinx keeps a trace of what was before


def test_a_word_that_is_in_no_dictionary_is_named() -> None:
    with pytest.raises(ValueError, match="'gizmotron'"):
        Recogniser(jsgf(["hello gizmotron"]))


def test_a_voice_that_is_not_there_is_named() -> None:
    with pytest.raises(SpeechUnavailable, match="no voice 'nobody'"):
        synthesize("hello", voice="nobody")


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(voice_module, "_espeak", None)
    with pytest.raises(SpeechUnavailable, match="pocketsphinx is missing: install it with `uv sync --group embedded`"):
        Recogniser(jsgf(["hello"]))
    with pytest.raises(SpeechUnavailable, match="espeakng-loader is missing: install it with"):
        synthesize("nobody has said this before")


def test_speech_has_its_rate_and_is_faster_when_asked() -> None:
    slow, rate_hz = synthesize("hello my friend", rate_wpm=120)
    fast, _ = synthesize("hello my friend", rate_wpm=240)
    assert rate_hz == 22050
    assert len(fast) < len(slow) < rate_hz * 2 * 3


def test_the_agents_words_are_heard_by_a_caller() -> None:
    ears = Recogniser(jsgf(["order {order:digits:3} is shipped", "it is {time:clock}"]))
    mouth = EspeakMouth()
    for text, heard in (
        ("Order four two seven is shipped.", "order four two seven is shipped"),
        ("It is fourteen oh five.", "it is fourteen oh five"),
    ):
        pcm, rate_hz = mouth.speak(text, "alloy", 1.0)
        phone = decode(encode(pcm, rate_hz, "audio/pcmu"), "audio/pcmu")
        assert ears.recognise_at(phone, 8000) == heard


def test_the_servers_ears_take_any_rate() -> None:
    ears = SphinxEars(jsgf(["hello [again]"]))
    pcm, rate_hz = synthesize("hello again")
    assert ears.transcribe(resample(pcm, rate_hz, 24000), 24000) == "hello again"

"""What a caller's words and sounds over the agent's come to."""

from __future__ import annotations

import pytest

from worker.realtime.events import SpeechStarted, SpeechStopped
from worker.turns.backchannel import BOUND_S, LONGEST_S, Doubt, Sound, Words, due, judge, voiceless, weigh
from worker.turns.events import CallerHeard

SPEECH = SpeechStarted("c1", 0)


@pytest.mark.parametrize(
    "text",
    ["", "Mhm.", "mm-hmm", "Uh-huh!", "Hm, hm.", "(coughs)", "[cough] [cough]", "*clears throat*", "Aha…", "…", "Oh!"],
)
@pytest.mark.parametrize("language", ["en", "de-AT", "fr", "es", "pl"])
def test_a_sound_of_listening_is_no_word_in_any_language(text: str, language: str) -> None:
    assert weigh(text, language) is Words.NONE


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Yeah, okay.", "en"),
        ("Mhm, I see.", "en-GB"),
        ("Ja, genau.", "de"),
        ("Ach so! Natürlich.", "de"),
        ("Oui, d’accord.", "fr"),
        ("Sí, claro, sí.", "es"),
    ],
)
def test_words_of_listening_may_be_an_answer(text: str, language: str) -> None:
    assert weigh(text, language) is Words.ASSENT


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Stop.", "en"),
        ("No.", "en"),
        ("Wait, wait.", "en"),
        ("Okay, but what about the other one?", "en"),
        ("Nein, Moment.", "de"),
        ("Ja, aber nicht heute.", "de"),
        ("Non, attendez.", "fr"),
        ("Espere, por favor.", "es"),
        ("Tak.", "pl"),
    ],
)
def test_anything_else_is_an_interruption(text: str, language: str) -> None:
    assert weigh(text, language) is Words.SPEECH


def verdict(sound: Sound, now: float, *, stopped: bool = False, **words: Words | None) -> tuple[bool, str] | None:
    """Of a voice that was paused at 10 s."""
    doubt = Doubt(SPEECH, 10.0, dict(words) or {"c1": None}, SpeechStopped("c1", 0) if stopped else None)
    return judge(doubt, sound, now)


def ended(lasted_ms: int, at: float, voiced_ms: int = 200) -> Sound:
    sound = Sound()
    sound.take(CallerHeard(True, 60), at - lasted_ms / 1000)
    sound.take(CallerHeard(False, lasted_ms, voiced_ms), at)
    return sound


def begun(at: float) -> Sound:
    sound = Sound()
    sound.take(CallerHeard(True, 0), at)
    return sound


def test_words_decide_as_soon_as_they_are_known() -> None:
    assert verdict(ended(300, 10.2), 10.3, c1=Words.SPEECH) == (True, "words")
    assert verdict(ended(300, 10.2), 10.3, c1=Words.NONE) == (False, "words")
    assert verdict(begun(9.9), 10.3, c1=Words.ASSENT) == (False, "words")


def test_one_of_two_pieces_may_be_the_interruption() -> None:
    assert verdict(ended(300, 10.2), 10.4, c1=Words.NONE, c2=None) is None
    assert verdict(ended(300, 10.2), 10.4, c1=Words.NONE, c2=Words.SPEECH) == (True, "words")


def test_without_words_it_is_decided_by_length_at_the_bound() -> None:
    assert verdict(ended(400, 10.5), 10.79) is None
    assert verdict(ended(400, 10.5), 10.81) == (False, "length")
    assert verdict(ended(760, 10.7), 10.81) == (True, "length")


def test_sound_that_goes_on_is_speech_before_the_bound() -> None:
    assert verdict(begun(9.8), 10.69) is None
    assert verdict(begun(9.8), 10.71) == (True, "length")


def test_a_second_cough_has_its_time_and_no_third_has() -> None:
    assert verdict(begun(10.7), 10.81) is None
    assert verdict(ended(300, 11.2), 11.21) == (False, "length")
    assert verdict(begun(11.5), 10.0 + LONGEST_S) == (True, "length")


def test_a_click_is_not_waited_for() -> None:
    assert verdict(ended(60, 10.1), 10.1) == (False, "length")


def test_where_our_own_ears_hear_nothing_the_providers_have_to_do() -> None:
    assert verdict(Sound(), 10.91) == (True, "length")  # it goes on, by the provider
    assert verdict(Sound(), 10.7, stopped=True) is None
    assert verdict(Sound(), 10.81, stopped=True) == (False, "length")
    old = ended(700, 3.0)  # of a speech long before
    assert verdict(old, 10.81, stopped=True) == (False, "length")


def test_a_verdict_is_never_due_after_the_bound_in_a_quiet_line() -> None:
    assert due(Doubt(SPEECH, 10.0, {"c1": None}), ended(400, 10.1)) == 10.0 + BOUND_S
    assert due(Doubt(SPEECH, 10.0, {"c1": None}), begun(12.0)) == 10.0 + LONGEST_S


def test_a_sound_without_a_voice_is_no_word_however_long() -> None:
    assert verdict(ended(700, 10.3, voiced_ms=20), 10.3) == (False, "sound")
    assert voiceless(Doubt(SPEECH, 10.0, {"c1": None}), ended(300, 10.3, voiced_ms=20))
    assert not voiceless(Doubt(SPEECH, 10.0, {"c1": None}), begun(10.3)), "it goes on"
    assert not voiceless(Doubt(SPEECH, 10.0, {"c1": None}), Sound()), "nobody has heard it"

"""Who answered, by sound alone: noise for speech, tones for beeps. Spoken greetings: tests/bench/screening.py."""

from __future__ import annotations

import numpy as np
import pytest

from worker.call.screening import BeepHeard, GreetingEnded, Judged, Screening, is_machine_talk

RATE = 8000
RNG = np.random.default_rng(7)


def quiet(ms: int) -> bytes:
    return RNG.normal(0, 20, ms * RATE // 1000).astype("<i2").tobytes()


def speech(ms: int) -> bytes:
    """Loud as speech, with syllables."""
    at = np.arange(ms * RATE // 1000) / RATE
    return (RNG.normal(0, 3000, len(at)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at))).astype("<i2").tobytes()


def tone(ms: int, hz: float = 1000) -> bytes:
    return (6000 * np.sin(2 * np.pi * hz * np.arange(ms * RATE // 1000) / RATE)).astype("<i2").tobytes()


def known(*pieces: bytes, step: int = 320) -> list[object]:
    screening, pcm = Screening(RATE), b"".join(pieces)
    return [one for at in range(0, len(pcm), step) for one in screening.hear(pcm[at : at + step])]


def judged(*pieces: bytes) -> list[str]:
    return [one.answerer for one in known(*pieces) if isinstance(one, Judged)]


def test_a_word_and_then_silence_is_a_person() -> None:
    [one] = known(quiet(500), speech(600), quiet(3000))
    assert isinstance(one, Judged) and one.answerer == "person"
    assert 500 + 600 + 700 <= one.at_ms <= 500 + 600 + 900, "as soon as somebody waits"


def test_a_name_and_a_question_is_a_person_too() -> None:
    assert judged(quiet(400), speech(4200), quiet(2000)) == ["person"]


def test_who_talks_on_is_a_machine_and_its_end_is_told() -> None:
    *_, last = found = known(quiet(300), speech(4000), quiet(500), speech(4000), quiet(5000))
    assert [one.answerer for one in found if isinstance(one, Judged)] == ["machine"]
    assert isinstance(last, GreetingEnded) and 11_200 <= last.at_ms <= 11_400 and len(found) == 2


@pytest.mark.parametrize("hz", [400, 850, 1000, 1400, 2100])
def test_a_beep_is_a_machines_and_ends_its_greeting(hz: float) -> None:
    found = known(quiet(300), speech(1000), quiet(1500), speech(3000), quiet(500), tone(400, hz), quiet(6000))
    assert [type(one) for one in found] == [Judged, Judged, BeepHeard], "a person, until it beeped"
    beep = found[-1]
    assert isinstance(beep, BeepHeard) and abs(beep.at_ms - 6700) <= 60


def test_something_that_beeps_beside_a_person_makes_no_machine_of_him() -> None:
    assert judged(quiet(300), speech(700), quiet(2000), tone(400), quiet(2000), speech(900), tone(300)) == ["person"]
    assert judged(quiet(300), tone(400), quiet(3000)) == ["machine"], "before anybody has spoken"


@pytest.mark.parametrize("pcm", [tone(100), tone(5000), tone(400, 200), tone(400, 3000), speech(3000)])
def test_what_is_no_beep(pcm: bytes) -> None:
    assert not any(isinstance(one, BeepHeard) for one in known(quiet(300), pcm, quiet(1000)))


def test_a_key_is_no_beep() -> None:
    both = np.frombuffer(tone(400, 770), "<i2") // 2 + np.frombuffer(tone(400, 1336), "<i2") // 2
    assert not any(isinstance(one, BeepHeard) for one in known(quiet(300), both.astype("<i2").tobytes(), quiet(500)))


def test_a_silent_line_is_told_once_and_who_speaks_later_is_judged() -> None:
    assert judged(quiet(20_000)) == ["silence"]
    assert judged(bytes(2 * RATE * 20)) == ["silence"]
    assert judged(quiet(6000), speech(500), quiet(2000)) == ["silence", "person"]
    assert judged(quiet(6000), speech(9000), quiet(2000)) == ["silence", "machine"]


def test_pieces_of_any_length_are_heard_alike() -> None:
    pieces = quiet(500), speech(600), quiet(3000)
    assert known(*pieces, step=320) == known(*pieces, step=74) == known(*pieces, step=100_000)


def test_words_of_a_machine_change_the_verdict_once() -> None:
    screening = Screening(RATE)
    assert screening.read("Hello, who is this?") == []
    [one] = screening.read("You've reached Bob, please leave a message after the tone.")
    assert isinstance(one, Judged) and one.answerer == "machine"
    assert screening.read("Please leave a message.") == []


@pytest.mark.parametrize(
    ("text", "machine"),
    [
        ("Please leave me a short message.", True),
        ("I can't come to the phone right now", True),
        ("Bitte hinterlassen Sie eine Nachricht nach dem Signalton.", True),
        ("vous êtes bien sur la messagerie de Marie", True),
        ("deje su mensaje", True),
        ("Did you get my message?", False),
        ("Ja, ich bin dran.", False),
        ("", False),
    ],
)
def test_words_of_a_machine(text: str, machine: bool) -> None:
    assert is_machine_talk(text) is machine

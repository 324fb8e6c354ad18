"""How long tools usually take, and the words for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.call_tools.durations import FEWEST, RUNS, TOOLS, UsualTimes, filled, spoken_duration, time_left


def test_a_few_runs_make_it_usual_and_it_is_their_middle() -> None:
    usual = UsualTimes()
    for number in range(FEWEST):
        assert usual.run_s("look") is None and usual.mean_run_s() is None
        usual.note("look", [4.0, 60.0, 5.0][number])
    assert usual.run_s("look") == 5.0
    assert usual.mean_run_s() == 23.0


def test_only_what_it_took_lately_counts() -> None:
    usual = UsualTimes()
    for _ in range(RUNS):
        usual.note("look", 100.0)
    for _ in range(RUNS):
        usual.note("look", 1.0)
    assert usual.run_s("look") == 1.0


def test_the_queue_comes_on_top_for_queued_tools() -> None:
    usual = UsualTimes()
    for _ in range(FEWEST):
        usual.note("look", 4.0)
    usual.queue_s = 30.0
    assert (usual.all_s("look", queued=True), usual.all_s("look", queued=False)) == (34.0, 4.0)
    assert usual.all_s("other", queued=True) is None


def test_it_does_not_grow_without_end() -> None:
    usual = UsualTimes()
    for number in range(TOOLS + 5):
        for _ in range(FEWEST):
            usual.note(f"tool{number}", 1.0)
    assert usual.run_s("tool4") is None and usual.run_s("tool5") == 1.0


@pytest.mark.parametrize(
    ("seconds", "language", "words"),
    [
        (3, "en", "a few seconds"),
        (31, "en-GB", "about half a minute"),
        (60, "EN", "about a minute"),
        (110, "de-CH", "etwa zwei Minuten"),
        (60, "fr", "environ une minute"),
        (60, "es-MX", "cerca de un minuto"),
        (400, "en", "a few minutes"),
        (3600, "en", None),
        (60, "tlh", None),
    ],
)
def test_words(seconds: float, language: str, words: str | None) -> None:
    assert spoken_duration(seconds, language) == words


@given(st.floats(0, 1e6), st.sampled_from(["en", "de", "fr", "es"]))
def test_a_longer_time_never_sounds_unknown_before_a_shorter_one(seconds: float, language: str) -> None:
    assert (spoken_duration(seconds, language) is None) == (seconds > 600)


def test_a_text_that_wants_a_time_is_passed_over_without_one() -> None:
    text = "That usually takes {about}."
    assert filled(text, 61.0, "en") == "That usually takes about a minute."
    assert filled(text, None, "en") is None and filled(text, 61.0, "tlh") is None
    assert filled("One moment.", None, "tlh") == "One moment."


def test_the_time_left_is_that_of_the_tool_that_takes_longest() -> None:
    assert time_left([(60.0, 20.0)]) == 40.0
    assert time_left([(60.0, 20.0), (50.0, 0.5)]) == 49.5
    assert time_left([(60.0, 70.0), (50.0, 0.5)]) == 49.5


@pytest.mark.parametrize("tools", [[], [(None, 1.0)], [(60.0, 1.0), (None, 1.0)], [(60.0, 60.0)], [(60.0, 61.0)]])
def test_of_what_is_unknown_or_overdue_nobody_knows_the_time_left(tools: list[tuple[float | None, float]]) -> None:
    assert time_left(tools) is None

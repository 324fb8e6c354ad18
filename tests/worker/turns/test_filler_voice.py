"""Fillers: when, in which words, and that the one in flight is never lost sight of."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.turns.filler_voice import (
    CREATED_BOUND_S,
    GENERATED_BOUND_S,
    REMEMBERED,
    FillerConfig,
    FillerVoice,
    Offer,
    Waiting,
)

CONFIG = FillerConfig(
    texts=("One moment.", "Still looking.", "Not long now."),
    grace_s=0.5,
    interval_s=4.0,
    growth=2.0,
    max_interval_s=10.0,
    tone_after_s=0.9,
    tool_texts={"orders": ("Let me look.", "The warehouse is slow.")},
    tool_grace_s={"orders": 1.5},
)


@pytest.fixture
def voice() -> FillerVoice:
    made = FillerVoice(CONFIG)
    made.sound_ended(100.0, words=True)
    return made


def ask(voice: FillerVoice, *tools: tuple[str, int], now: float = 101.0) -> str | None:
    asked = voice.ask([Waiting(tool, had, 0.5) for tool, had in tools or (("clock", 0),)], now)
    return None if asked is None else asked.text


# --- when ---------------------------------------------------------------------------------------------------------


def test_the_first_is_due_after_the_grace_a_tools_own_first(voice: FillerVoice) -> None:
    assert voice.sentence_due("clock") == 100.5
    assert voice.sentence_due("orders") == 101.5


def test_the_next_are_due_after_growing_intervals_up_to_a_limit(voice: FillerVoice) -> None:
    gaps = []
    for _ in range(4):
        ask(voice)
        gaps.append(voice.sentence_due("orders") - 100.0)
    assert gaps == [4.0, 8.0, 10.0, 10.0]


def test_a_very_long_tool_does_not_overflow_the_interval(voice: FillerVoice) -> None:
    for _ in range(500):
        ask(voice)
    assert voice.sentence_due("clock") == 110.0


def test_words_put_the_sentence_off_and_a_tone_does_not(voice: FillerVoice) -> None:
    voice.sound_ended(103.0, words=False)
    assert voice.sentence_due("clock") == 100.5 and voice.tone_due() == 103.9
    voice.sound_ended(104.0, words=True)
    assert voice.sentence_due("clock") == 104.5 and voice.tone_due() == 104.9


def test_start_over_brings_the_grace_back(voice: FillerVoice) -> None:
    ask(voice)
    voice.start_over()
    assert voice.sentence_due("clock") == 100.5


def test_no_tone_where_none_is_wanted() -> None:
    assert FillerVoice(FillerConfig(tone=False)).tone_due() is None


# --- words --------------------------------------------------------------------------------------------------------


def test_a_tools_own_words_come_first_each_once_then_the_list(voice: FillerVoice) -> None:
    said = [ask(voice, ("orders", had)) for had in range(5)]
    assert said == ["Let me look.", "The warehouse is slow.", "One moment.", "Still looking.", "Not long now."]


def test_the_second_tools_own_words_are_taken_when_the_first_has_none(voice: FillerVoice) -> None:
    assert ask(voice, ("clock", 0), ("orders", 0)) == "Let me look."


def test_the_list_goes_round(voice: FillerVoice) -> None:
    assert [ask(voice) for _ in range(4)] == ["One moment.", "Still looking.", "Not long now.", "One moment."]


def test_own_words_just_said_are_not_said_again_for_the_next_call(voice: FillerVoice) -> None:
    assert ask(voice, ("orders", 0)) == "Let me look."
    assert ask(voice, ("orders", 0)) == "One moment."  # another call of the same tool


def test_one_text_is_not_repeated_in_a_row_and_none_is_no_text() -> None:
    voice = FillerVoice(FillerConfig(texts=("Wait.",)))
    assert [ask(voice), ask(voice)] == ["Wait.", None]
    assert ask(FillerVoice(FillerConfig(texts=()))) is None


def test_no_words_make_no_filler_in_flight() -> None:
    voice = FillerVoice(FillerConfig(texts=()))
    ask(voice)
    assert voice.current is None and voice.bound() is None


@given(st.lists(st.tuples(st.sampled_from(["orders", "clock"]), st.integers(0, 3)), min_size=1, max_size=30))
def test_never_the_same_words_twice_in_a_row(calls: list[tuple[str, int]]) -> None:
    voice = FillerVoice(CONFIG)
    said = [ask(voice, tool) for tool in calls]
    assert None not in said
    assert all(a != b for a, b in zip(said, said[1:], strict=False))


# --- the one in flight --------------------------------------------------------------------------------------------


def test_each_filler_has_a_number_of_its_own(voice: FillerVoice) -> None:
    numbers = []
    for _ in range(3):
        asked = voice.ask([Waiting("clock", 0, 0.5)], 101.0)
        assert asked is not None
        numbers.append(asked.number)
    assert len(set(numbers)) == 3


def test_given_up_when_it_is_not_heard_in_time(voice: FillerVoice) -> None:
    ask(voice, now=101.0)
    assert voice.bound() == 101.0 + CREATED_BOUND_S


def test_given_up_when_the_provider_never_ends_it(voice: FillerVoice) -> None:
    ask(voice, now=101.0)
    voice.heard("i1")
    assert voice.bound() == 101.0 + GENERATED_BOUND_S
    voice.generated("i1")
    assert voice.bound() is None, "what is left is to hear it"


def test_in_flight_until_it_is_both_generated_and_played(voice: FillerVoice) -> None:
    ask(voice)
    assert voice.current is not None
    voice.current.response_id = "f1"
    assert voice.speaks("f1") and not voice.speaks("r1")
    voice.heard("i1")
    voice.generated("i1")
    assert voice.current is not None, "it is being played"
    voice.played(None)
    assert voice.current is None and not voice.speaks("f1")


def test_played_out_before_it_is_generated_to_its_end(voice: FillerVoice) -> None:
    ask(voice)
    voice.heard("i1")
    voice.played(None)  # ran dry in its middle
    assert voice.current is not None
    voice.generated(None)
    assert voice.current is None


def test_generated_without_a_sound_is_over(voice: FillerVoice) -> None:
    ask(voice)
    voice.generated(None)
    assert voice.current is None


def test_items_of_fillers_are_known_after_their_end_and_bounded(voice: FillerVoice) -> None:
    for number in range(REMEMBERED + 1):
        ask(voice)
        voice.heard(f"i{number}")
        voice.drop()
    assert voice.is_filler_item(f"i{REMEMBERED}") and not voice.is_filler_item("i0")
    assert not voice.is_filler_item("r1")


def test_drop_hands_the_filler_over_once(voice: FillerVoice) -> None:
    ask(voice)
    assert voice.drop() is not None
    assert voice.drop() is None


# --- what is known of a tool ----------------------------------------------------------------------------------------


def test_a_text_that_can_not_be_filled_is_passed_over() -> None:
    known: dict[str, str] = {}

    def fill(text: str, waiting: Sequence[Waiting]) -> str | None:
        about = known.get(waiting[0].tool)
        return text if "{about}" not in text else about and text.replace("{about}", about)

    voice = FillerVoice(
        FillerConfig(texts=("It takes {about}.", "One moment."), tool_texts={"orders": ("Up to {about}.",)}, fill=fill)
    )
    assert [ask(voice), ask(voice)] == ["One moment.", None]
    known["clock"] = "a minute"
    assert [ask(voice), ask(voice)] == ["It takes a minute.", "One moment."]
    assert ask(voice, ("orders", 0)) is None, "unknown for orders, and the rest was just said"
    known["orders"] = "an hour"
    assert ask(voice, ("orders", 0)) == "Up to an hour."


# --- the offer ----------------------------------------------------------------------------------------------------


def test_the_offer_is_due_when_a_tool_takes_too_long_or_will_by_all_that_is_known() -> None:
    usual = {"slow": 40.0, "quick": 2.0}
    offer = Offer(text="Shall I call you back?", after_s=30.0, possible=lambda tool: True, expected_s=usual.get)
    assert [offer.due("new", ran_s, 9) for ran_s in (29.9, 30.0)] == [False, True]
    assert [offer.due("slow", 1.0, fillers) for fillers in (0, 1)] == [False, True]  # a word of the tool's own first
    assert not offer.due("quick", 1.0, 1)


def test_the_offer_is_a_filler_like_the_others(voice: FillerVoice) -> None:
    ask(voice)
    filler = voice.offer("Shall I call you back?", ("t1",), 105.0)
    assert (filler.text, filler.offered_for, filler.number) == ("Shall I call you back?", ("t1",), 2)
    assert voice.current is filler and voice.bound() == 105.0 + CREATED_BOUND_S
    assert voice.sentence_due("clock") == 108.0  # the second interval

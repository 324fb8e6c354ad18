"""The reason of every silence over a second."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from worker.records.edges import Edge
from worker.records.silence_reasons import _TAKES, WORDS, Silence, Why, in_short, silences


def edge(ms: int, kind: str, what: str, **data: Any) -> Edge:
    return Edge(ms=ms, at="", kind=kind, what=what, data=data)


def decided(
    ms: int, what: str, *commands: dict[str, Any], floor: str = "nobody", slot: str = "free", **more: Any
) -> Edge:
    return edge(ms, "turn", what, commands=list(commands), floor=floor, slot=slot, **more)


def turn(start: int, end: int, who: str, key: str) -> list[Edge]:
    return [edge(start, "record", "TurnStarted", who=who, key=key), edge(end, "record", "TurnEnded", who=who, key=key)]


UP = [
    edge(-800, "provider", "SessionReady"),
    edge(0, "record", "Answered"),
    decided(0, "MediaReady"),
]


def found(*more: Edge | list[Edge], end: int, begin: list[Edge] = UP) -> list[Silence]:
    flat = [*begin, *(one for item in more for one in (item if isinstance(item, list) else [item]))]
    return silences(sorted(flat, key=lambda one: one.ms), end)


def whys(*more: Edge | list[Edge], end: int, begin: list[Edge] = UP) -> list[tuple[Why, int, int]]:
    return [(one.why, one.start_ms, one.end_ms) for one in found(*more, end=end, begin=begin)]


def test_nothing_due() -> None:
    assert whys(turn(0, 2000, "agent", "a"), turn(5000, 6000, "caller", "c"), end=6000) == [
        (Why.NOTHING_DUE, 2000, 5000)
    ]


def silence(start_ms: int, end_ms: int, why: Why) -> Silence:
    return Silence(start_ms=start_ms, end_ms=end_ms, why=why, words=WORDS[why], phases=[])


def test_in_short_the_worst_for_which_something_was_due() -> None:
    callers = [silence(1000, 9000, Why.NOTHING_DUE)]
    one = [*callers, silence(12_400, 14_000, Why.RESPONSE)]
    assert in_short([]) == "never for over a second"
    assert in_short(callers) == "once over a second, when it was the caller's turn"
    assert in_short(one) == "1.6 s at 12.40 s: the provider had not begun its response"
    assert in_short([*one, silence(20_000, 27_000, Why.SESSION_LOST)]) == (
        "2 times over a second, 8.6 s in all; the longest 7.0 s at 20.00 s: the provider's session was lost"
    )


def test_a_voice_that_is_paused_for_a_sound_of_the_caller_s() -> None:
    """The item goes on, and is not heard; where the caller is heard it is no silence."""
    paused = decided(1000, "SpeechStarted", {"command": "PausePlayout"}, floor="caller", slot="active")
    resumed = decided(2600, "Tick", {"command": "ResumePlayout"}, floor="agent", slot="active")
    quiet = decided(900, "CallerSounds", loud=False)
    assert whys(turn(0, 4000, "agent", "i1"), quiet, paused, resumed, end=4000) == [(Why.PAUSED, 1000, 2600)]
    assert whys(turn(0, 4000, "agent", "i1"), paused, resumed, end=4000) == []


def test_a_second_is_no_silence() -> None:
    assert whys(turn(0, 2000, "agent", "a"), turn(3000, 6000, "caller", "c"), end=6000) == []


def test_waiting_for_the_provider_s_first_audio() -> None:
    silent = found(
        turn(0, 2000, "caller", "c"),
        decided(2000, "SpeechStopped", slot="requested"),
        decided(2400, "ResponseStarted", slot="active"),
        turn(5000, 7000, "agent", "a"),
        end=7000,
    )
    [one] = silent
    assert (one.why, one.words) == (Why.FIRST_AUDIO, WORDS[Why.FIRST_AUDIO])
    assert [(phase.why, phase.ms) for phase in one.phases] == [(Why.RESPONSE, 400), (Why.FIRST_AUDIO, 2600)]


def test_a_response_that_stalls_in_mid_answer() -> None:
    assert whys(
        decided(100, "ResponseStarted", slot="active"),
        decided(200, "AudioStarted", floor="agent", slot="active"),
        turn(200, 1000, "agent", "a"),
        decided(1000, "PlayoutChanged", floor="nobody", slot="active"),
        turn(3000, 4000, "agent", "a2"),
        end=4000,
    ) == [(Why.STALLED, 1000, 3000)]


def test_a_tool_without_a_filler_and_the_tone_that_ends_the_silence() -> None:
    silent = found(
        edge(100, "record", "ToolStarted", tool="stock", tool_call_id="t1"),
        edge(1500, "record", "SoundStarted", key="tone"),
        edge(2500, "record", "SoundEnded", key="tone"),
        edge(4000, "record", "ToolEnded", tool="stock", tool_call_id="t1", status="ok"),
        decided(4000, "ToolFinished", slot="requested"),
        turn(4300, 5000, "agent", "a"),
        end=5000,
    )
    assert [(one.why, one.start_ms, one.end_ms) for one in silent] == [
        (Why.TOOL, 0, 1500),
        (Why.TOOL, 2500, 4300),
    ]
    assert silent[0].words == "a tool ran, and no filler was said: stock"


def test_a_provider_that_has_not_heard_the_end_of_the_speech() -> None:
    assert whys(
        decided(1000, "SpeechStarted", floor="caller"),
        edge(1000, "record", "TurnStarted", who="caller", key="c"),
        decided(1100, "CallerSounds", floor="caller", loud=True),
        decided(3000, "CallerSounds", floor="caller", loud=False),
        edge(5500, "record", "TurnEnded", who="caller", key="c"),
        decided(5500, "Tick", floor="nobody", slot="requested"),
        turn(5800, 6000, "agent", "a"),
        end=6000,
    ) == [(Why.CALLER_FLOOR, 3000, 5800)]


def test_a_caller_whom_the_provider_does_not_hear() -> None:
    greeting = turn(0, 3000, "agent", "a")
    loud, quiet = decided(4000, "CallerSounds", loud=True), decided(6400, "CallerSounds", loud=False)
    [one] = found(greeting, loud, quiet, end=20_000)
    assert [(phase.why, phase.ms) for phase in one.phases] == [(Why.NOTHING_DUE, 1000), (Why.UNHEARD, 16_000)]
    assert one.why is Why.UNHEARD and one.words == WORDS[Why.UNHEARD]
    speech = turn(4100, 6000, "caller", "c")
    assert whys(greeting, loud, quiet, speech, end=9000) == [
        (Why.NOTHING_DUE, 3000, 4100),
        (Why.NOTHING_DUE, 6000, 9000),
    ]


def test_no_session_and_a_session_that_is_lost() -> None:
    begin = [edge(0, "record", "Answered"), decided(0, "MediaReady")]
    assert whys(
        edge(2000, "provider", "SessionReady"),
        turn(2000, 3000, "agent", "a"),
        edge(2900, "provider", "ConnectionLost", code=1006),
        edge(6000, "provider", "SessionReady"),
        turn(6000, 7000, "agent", "b"),
        end=7000,
        begin=begin,
    ) == [(Why.NO_SESSION, 0, 2000), (Why.SESSION_LOST, 3000, 6000)]


def test_a_tool_call_that_waits_for_its_approval() -> None:
    asked = {"number": 1, "tool": "pay"}
    assert whys(
        edge(500, "record", "ApprovalTold", approval=asked),
        edge(4000, "record", "ApprovalTold", approval={**asked, "answered_ms": 4000, "approved": True}),
        turn(4200, 5000, "agent", "a"),
        end=5000,
    ) == [(Why.APPROVAL, 0, 4200)]


def test_a_call_that_is_handed_on_and_the_time_after_it() -> None:
    start = {"command": "StartTool", "tool_call_id": "t1", "name": "transfer_call"}
    assert whys(
        decided(0, "Tick", start),
        decided(3000, "ToolFinished", slot="requested", tool_call_id="t1"),
        turn(3100, 4000, "agent", "a"),
        decided(4000, "Tick", {**start, "tool_call_id": "t2"}),
        edge(9000, "phone", "SteppedAside"),
        edge(60_000, "phone", "CallEnded"),
        end=60_000,
    ) == [(Why.TRANSFER, 0, 3100), (Why.TRANSFER, 4000, 9000)]


def test_on_hold_told_to_wait_and_the_end() -> None:
    unmet = {"command": "Unmet", "expected": "whole response", "then": "waits as told"}
    assert whys(
        edge(0, "phone", "MediaHeld", held=True),
        edge(2000, "phone", "MediaHeld", held=False),
        turn(2000, 3000, "agent", "a"),
        decided(3000, "ResponseDone", unmet),
        turn(6000, 7000, "agent", "b"),
        decided(7000, "Tick", {"command": "HangUp", "reason": "silence"}),
        edge(9000, "phone", "CallEnded", status=200),
        edge(9100, "record", "Ended"),
        end=9000,
    ) == [(Why.HELD, 0, 2000), (Why.TOLD_TO_WAIT, 3000, 6000), (Why.ENDING, 7000, 9000)]


def test_a_call_that_was_never_answered_or_has_no_edges_has_none() -> None:
    assert found(edge(5000, "phone", "CallEnded"), end=9000, begin=[]) == []
    assert silences([], 10_000) == []


KNOWN = [*_TAKES, ("turn", "CallerSounds"), ("turn", "AudioStarted"), ("turn", "Approved"), ("phone", "Transferred")]
SOME = st.builds(
    lambda ms, known, data, floor, slot: edge(ms, *known, **data, floor=floor, slot=slot),
    st.integers(-5000, 60_000),
    st.sampled_from(KNOWN),
    st.dictionaries(
        st.sampled_from(["who", "key", "held", "loud", "tool", "tool_call_id"]), st.sampled_from("ab"), max_size=4
    ),
    st.sampled_from(["nobody", "caller", "agent", "filler"]),
    st.sampled_from(["free", "requested", "active", "cancelling"]),
)


@given(st.lists(SOME, max_size=60), st.integers(0, 60_000))
def test_silences_are_over_a_second_in_order_apart_and_whole(some: list[Edge], end: int) -> None:
    told = silences(sorted(some, key=lambda one: one.ms), end)
    last = -10_000
    for one in told:
        assert one.end_ms - one.start_ms > 1000 and one.start_ms >= last
        assert sum(phase.ms for phase in one.phases) == one.end_ms - one.start_ms
        last = one.end_ms

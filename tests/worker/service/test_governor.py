"""The governor: who is refused when, by what was measured; nothing here waits or reads a clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.service.governor import Governor, Limits, Reading

LIMITS = Limits()
STEP_S, SPAN_S = 0.25, 0.5
OVER = [{"cpu": 0.97}, {"lag_s": 0.2}, {"late_s": 0.1}]
BUSY = {"cpu": 0.5, "lag_s": 0.01, "late_s": 0.002, "calls": 100}


class Scene:
    """A governor with a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.governor = Governor(self.now)

    def read(self, **measured: float) -> None:
        """A quarter of a second goes by."""
        self.now += STEP_S
        self.governor.read(Reading(**{**BUSY, "at": self.now, "span_s": SPAN_S, **measured}))  # type: ignore[arg-type]

    def comes(self) -> int | None:
        """A call."""
        return self.governor.refusal(self.now)

    def closes(self, **measured: float) -> None:
        for _ in range(8):
            self.read(**measured)
        assert self.governor.closed


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_worker_with_room_takes_calls(scene: Scene) -> None:
    scene.read()
    assert scene.comes() is None and not scene.governor.closed


@pytest.mark.parametrize("measured", OVER)
def test_two_seconds_over_any_limit_close_it_and_two_well_under_all_open_it(
    scene: Scene, measured: dict[str, float]
) -> None:
    scene.read()
    for _ in range(6):
        scene.read(**measured)
        assert not scene.governor.closed
    scene.read(**measured)
    assert scene.governor.closed and scene.comes() == LIMITS.retry_closed_s
    for _ in range(6):
        scene.read()
        assert scene.comes() == LIMITS.retry_closed_s
    scene.read()
    assert not scene.governor.closed and scene.comes() is None


@pytest.mark.parametrize("measured", OVER[1:])
def test_a_hiccup_closes_nothing(scene: Scene, measured: dict[str, float]) -> None:
    for _ in range(6):
        scene.read(**measured)
    scene.read()
    for _ in range(6):
        scene.read(**measured)
    assert not scene.governor.closed and scene.comes() is None


def test_just_under_the_limit_is_no_rest(scene: Scene) -> None:
    scene.closes(cpu=0.97)
    for _ in range(20):
        scene.read(cpu=0.9)
    assert scene.comes() == LIMITS.retry_closed_s


def test_a_burst_between_two_readings_is_not_let_in_whole(scene: Scene) -> None:
    """500 calls in one moment, at a worker that has just said that it is idle."""
    scene.read(cpu=0.02, calls=1)
    taken = sum(scene.comes() is None for _ in range(500))
    assert 50 <= taken <= 70
    assert scene.comes() == LIMITS.retry_reckoned_s


def test_a_burst_that_has_been_set_up_still_counts_until_its_audio_is_measured(scene: Scene) -> None:
    scene.read(cpu=0.1, calls=10)
    first = sum(scene.comes() is None for _ in range(500))
    scene.read(cpu=0.5, calls=10 + first, coming=first)
    second = sum(scene.comes() is None for _ in range(500))
    assert 0.5 + (first + second) * LIMITS.call_cpu <= LIMITS.cpu + LIMITS.call_cpu


def test_75_calls_a_second_pass_for_as_long_as_the_core_has_room(scene: Scene) -> None:
    """As many come as go: what counts is the load, not the coming and going."""
    for quarter in range(80):
        assert [scene.comes() for _ in range(19)] == [None] * 19, quarter
        scene.read(cpu=min(0.82, 0.3 + 0.1 * quarter), calls=min(150, 19 * (quarter + 1)), coming=3)


@pytest.mark.parametrize("measured", OVER)
def test_nobody_is_refused_for_nobodys_sake(scene: Scene, measured: dict[str, float]) -> None:
    """Without a call there is no audio to suffer; the first is taken, the second is not."""
    for _ in range(9):
        scene.read(**{**measured, "calls": 0})
    assert scene.governor.closed
    assert scene.comes() is None
    assert scene.comes() == LIMITS.retry_closed_s


def test_a_loop_that_does_not_look_any_more_is_stuck(scene: Scene) -> None:
    scene.read()
    scene.now += LIMITS.stale_s + 0.1
    assert scene.comes() == LIMITS.retry_closed_s
    scene.read()
    assert scene.comes() is None


def starting() -> Scene:
    """A worker whose start is not over."""
    scene = Scene()
    scene.governor = Governor()
    return scene


def test_a_worker_that_starts_counts_none_of_its_own_work_as_load() -> None:
    scene = starting()
    for _ in range(12):
        scene.read(cpu=1.0, lag_s=0.13, calls=2)
        assert scene.comes() is None and not scene.governor.closed
    scene.governor.begin(scene.now)
    assert [scene.comes() for _ in range(4)] == [None] * 4


def test_what_the_first_calls_take_is_no_load_either_but_a_burst_is_not_let_in_whole() -> None:
    scene = starting()
    scene.governor.begin(scene.now)
    for _ in range(7):
        scene.read(cpu=1.0, lag_s=0.13, late_s=0.05, calls=3, coming=1)
        assert scene.comes() is None and not scene.governor.closed
    assert scene.governor.reading.cpu == 1.0, "it is shown as it was measured"
    assert 40 <= sum(scene.comes() is None for _ in range(500)) <= 70


def test_a_load_that_stays_after_the_start_closes_it() -> None:
    scene = starting()
    scene.governor.begin(scene.now)
    began = scene.now
    while not scene.governor.closed:
        scene.read(cpu=0.99)
        assert scene.now - began < 10
    assert scene.now - began >= LIMITS.settle_s + LIMITS.close_after_s
    assert scene.comes() == LIMITS.retry_closed_s


def test_a_loop_that_never_looks_after_the_start_is_stuck() -> None:
    scene = starting()
    scene.governor.begin(scene.now)
    scene.now += LIMITS.stale_s + 0.1
    assert scene.comes() is None and scene.comes() == LIMITS.retry_closed_s


MEASURED = st.fixed_dictionaries(
    {
        "cpu": st.floats(0, 2),
        "lag_s": st.floats(0, 1),
        "late_s": st.floats(0, 1),
        "calls": st.integers(0, 500),
        "coming": st.integers(0, 50),
        "comes": st.integers(0, 100),
    }
)


@settings(deadline=None)
@given(st.lists(MEASURED, max_size=60))
def test_whatever_is_measured_it_does_not_flap_and_lets_no_burst_in(life: list[dict[str, float]]) -> None:
    scene, changes = Scene(), [Scene().now]
    for measured in life:
        comes = int(measured.pop("comes"))
        before = scene.governor.closed
        scene.read(**measured)
        if scene.governor.closed != before:
            changes.append(scene.now)
        answers = [scene.comes() for _ in range(comes)]
        taken = answers.count(None)
        assert answers == [None] * taken + answers[taken:] and None not in answers[taken:], "once refused, all are"
        assert all(answer is None or 1 <= answer <= 30 for answer in answers)
        if scene.governor.closed and measured["calls"]:
            assert taken == 0
        if measured["calls"] and measured["cpu"] > LIMITS.cpu:
            assert taken == 0
        assert measured["cpu"] + (taken - 1) * LIMITS.call_cpu <= LIMITS.cpu or taken <= 1
    shortest = min(LIMITS.close_after_s, LIMITS.open_after_s) - SPAN_S
    assert all(b - a >= shortest for a, b in zip(changes, changes[1:], strict=False))


@settings(deadline=None)
@given(st.lists(st.floats(0, 0.6), min_size=1, max_size=40), st.integers(1, 10))
def test_under_moderate_load_nobody_is_refused(shares: list[float], comes: int) -> None:
    scene = Scene()
    scene.read()  # the hundred calls that have come by then
    for cpu in shares:
        scene.read(cpu=cpu)
        assert [scene.comes() for _ in range(comes)] == [None] * comes

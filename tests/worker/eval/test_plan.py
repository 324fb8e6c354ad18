"""A plan has every choice in it, and the seed makes them all."""

from __future__ import annotations

from worker.eval.eval_file import EvalFile
from worker.eval.plan import Plan, plans

SCENARIO = {
    "name": "order",
    "repeat": 20,
    "turns": [{"say": ["one", "two", "three"]}, {"keys": "42#", "at_once": True}, {"hang_up": True}],
    "interruptions": {"chance": 0.3, "say": ["hold on", "wait"], "earliest": 0.5, "latest": 2.0},
    "noise": 10,
    "loss": 5,
}


def made(seed: int, *more: dict[str, object]) -> list[Plan]:
    return [plan for _, plan in plans(EvalFile.model_validate({"seed": seed, "scenario": [*more, SCENARIO]}))]


def test_the_same_seed_makes_the_same_choices() -> None:
    assert made(7) == made(7)


def test_another_seed_makes_others_and_so_does_each_repetition() -> None:
    assert made(7) != made(8)
    assert len({plan.seed for plan in made(7)}) == 20
    assert {plan.steps[0].act.say for plan in made(7)} == {"one", "two", "three"}


def test_what_else_stands_in_the_file_changes_nothing() -> None:
    assert made(7, {"name": "other", "turns": [{"say": ["a", "b"]}]})[1:] == made(7)


def test_interruptions_come_as_often_as_wanted_and_within_their_bounds() -> None:
    found = [one for plan in made(7) for one in plan.interruptions]
    assert all(0.5 <= one.after_s <= 2.0 for one in found)
    assert {one.say for one in found} == {"hold on", "wait"}
    assert 0.25 < len(found) / (20 * 200) < 0.35


def test_a_plan_outlives_its_way_to_the_callers_process() -> None:
    for plan in made(7):
        assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_a_persona_is_part_of_the_plan() -> None:
    rules = [{"hears": "hello", "say": "my order"}, {"hears": "bye", "hang_up": True}]
    persona = {"rules": rules, "otherwise": "what", "tries": 2, "patience": 9}
    scenario = {"name": "p", "persona": persona}
    ((_, plan),) = plans(EvalFile.model_validate({"scenario": [scenario], "ears": {"lines": ["hello"]}}))
    assert [answer.act.say for answer in plan.answers] == ["my order", ""] and plan.answers[1].act.hang_up
    assert (plan.otherwise, plan.patience_s, plan.words()) == (("what", "what"), 9, ("my order", "what"))


def test_one_scenario_alone() -> None:
    file = EvalFile.model_validate({"scenario": [SCENARIO, {"name": "other", "turns": [{"say": "a"}]}]})
    assert [plan.name for _, plan in plans(file, "other")] == ["other #1"]
    assert plans(file, "none") == []

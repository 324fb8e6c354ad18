"""The caller's behaviour: what is done when, on a clock of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker.eval.behaviour import Ask, Behaviour, GiveUp
from worker.eval.eval_file import EvalFile, load_eval_file
from worker.eval.plan import Act, Interruption, Plan, plans


def planned(**scenario: Any) -> Plan:
    file = EvalFile.model_validate({"scenario": [{"name": "a", **scenario}], "ears": {"lines": ["hello"]}})
    return plans(file)[0][1]


class Clock:
    """A caller, and the time."""

    def __init__(self, plan: Plan) -> None:
        self.caller = Behaviour(plan)
        self.now = 100.0
        self.caller.begin(self.now)

    def within(self, seconds: float) -> Act | Ask | GiveUp | None:
        """What is done first in the next s; the clock stands there then."""
        for _ in range(round(seconds * 10)):
            if (found := self.caller.tick(self.now)) is not None:
                return found
            self.now = round(self.now + 0.1, 3)
        return None

    def agent(self, seconds: float, text: str = "") -> Act | Ask | GiveUp | None:
        """The agent speaks; what the caller does meanwhile, else None."""
        self.caller.agent_speaks(self.now)
        found = self.within(seconds)
        if found is None:
            self.quiet(text)
        return found

    def quiet(self, text: str = "") -> None:
        self.caller.agent_quiet(self.now)
        self.caller.understood(text)

    def said(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.caller.said(self.now)


def test_a_turn_waits_for_the_agents_words_and_a_pause() -> None:
    clock = Clock(planned(turns=[{"say": "one"}, {"say": "two"}]))
    assert clock.within(3) is None
    assert clock.agent(2) is None
    began = clock.now
    assert clock.within(3) == Act(say="one") and round(clock.now - began, 1) == 0.8
    assert clock.within(5) is None  # we speak
    clock.said()
    assert clock.within(5) is None  # the agent has not answered
    assert clock.agent(2) is None and clock.within(3) == Act(say="two")


def test_what_was_waited_for_has_to_be_heard() -> None:
    clock = Clock(planned(turns=[{"wait_for": "order four", "say": "thanks"}]))
    assert clock.agent(2, "one moment") is None and clock.within(3) is None
    assert clock.agent(2, "your order four is here") is None and clock.within(3) == Act(say="thanks")


def test_who_waits_in_vain_gives_up_and_says_for_what() -> None:
    clock = Clock(planned(turns=[{"wait_for": "order four", "say": "thanks", "within": 5}]))
    assert clock.within(6) == GiveUp("waited 5 s for 'order four'")
    clock = Clock(planned(turns=[{"say": "hi", "within": 5}]))
    assert clock.within(6) == GiveUp("waited 5 s for the agent's word")


def test_an_interruption_comes_so_far_into_the_agents_words() -> None:
    clock = Clock(planned(turns=[{"interrupt_at": 1.5, "say": "stop"}, {"say": "next"}]))
    assert clock.agent(4) == Act(say="stop") and clock.now == 101.5
    clock.said(0.6)
    clock.quiet()  # cut off: no turn of ours
    assert clock.within(4) is None
    assert clock.agent(2) is None and clock.within(2) == Act(say="next")


def test_chance_interruptions_come_between_the_turns() -> None:
    plan = planned(turns=[{"say": "one"}, {"wait_for": "order", "say": "two"}])
    plan = plan.model_copy(update={"interruptions": (Interruption(utterance=2, after_s=1.0, say="hold on"),)})
    clock = Clock(plan)
    assert clock.agent(2) is None and clock.within(2) == Act(say="one")
    clock.said()
    assert clock.agent(3) == Act(say="hold on")
    clock.said(0.5)
    clock.quiet("order")
    assert clock.within(3) is None
    assert clock.agent(2) is None and clock.within(2) == Act(say="two")


def test_an_agent_that_is_not_cut_off_owes_nothing() -> None:
    clock = Clock(planned(turns=[{"interrupt_at": 1.0, "say": "stop"}, {"say": "next"}]))
    assert clock.agent(4) == Act(say="stop")
    clock.said(0.6)
    assert clock.within(3) is None
    clock.quiet()
    assert clock.within(2) == Act(say="next")


def test_keys_and_the_hang_up_need_no_word_of_the_agent_where_they_come_at_once() -> None:
    clock = Clock(planned(turns=[{"keys": "42#", "at_once": True}, {"hang_up": True, "at_once": True, "pause": 2}]))
    assert clock.within(2) == Act(keys="42#")
    clock.said(1)
    began = clock.now
    assert clock.within(4) == Act(hang_up=True) and round(clock.now - began, 1) == 2.0


def test_after_the_last_turn_the_agent_has_to_hang_up() -> None:
    clock = Clock(planned(turns=[{"say": "bye", "at_once": True, "within": 8}]))
    assert clock.within(2) == Act(say="bye")
    clock.said()
    assert clock.within(9) == GiveUp("all is said, and the agent does not hang up")


def test_a_persona_answers_by_the_first_rule_that_is_not_used_up() -> None:
    rules = [{"hears": "which order", "say": "four"}, {"hears": "order", "say": "again", "times": 2}]
    clock = Clock(planned(persona={"rules": rules, "otherwise": "hello", "tries": 1, "patience": 10}))
    answers = []
    for text in ("which order", "which order", "order", "order"):
        assert clock.agent(1, text) is None
        answers.append(clock.within(3))
        clock.said()
    assert answers == [Act(say="four"), Act(say="again"), Act(say="again"), None]
    assert clock.within(11) == Act(say="hello")
    clock.said()
    found = clock.within(11)
    assert isinstance(found, GiveUp) and "10 s" in found.reason


def test_the_shipped_persona_asks_again_where_it_was_cut_off_and_takes_its_leave_again() -> None:
    file = load_eval_file(Path(__file__).parents[3] / "worker/eval/example.toml")
    plan = next(plan for scenario, plan in plans(file) if scenario.name == "a caller who reacts")
    clock = Clock(plan.model_copy(update={"interruptions": ()}))
    again, leave = Act(say="where is my order four two seven"), Act(say="thank you goodbye")
    shipped = "order four two seven is shipped with d h l and arrives on monday"
    for text, act in (
        ("hello this is the order desk how can i help you", again),
        ("", again),  # the answer was cut off
        ("hello how can i help you", again),  # what cut it off was taken for a greeting
        (shipped, leave),
        ("", again),  # the goodbye was cut off
        (shipped, leave),
    ):
        assert clock.agent(1, text) is None
        assert clock.within(3) == act
        clock.said()


# --- a persona that somebody plays ------------------------------------------------------------------------------------


def played(**persona: Any) -> Clock:
    scenario = {"name": "a", "persona": {"who": "Anna", "patience": 10, **persona}}
    model = {"url": "http://127.0.0.1/v1", "name": "m"}
    file = EvalFile.model_validate({"scenario": [scenario], "ears": {"lines": ["hello"]}, "model": model})
    return Clock(plans(file, played=True)[0][1])


def test_a_played_persona_is_asked_once_the_agent_is_quiet_and_does_what_was_decided() -> None:
    clock = played()
    assert clock.agent(2, "hello") is None and clock.within(3) == Ask(("hello",))
    assert clock.within(60) is None, "whoever plays it has a bound of its own"
    clock.caller.decided([Act(say="hi"), Act(hang_up=True)])
    assert clock.within(1) == Act(say="hi")
    assert clock.within(2) is None
    clock.said()
    assert clock.within(1) == Act(hang_up=True)


def test_nothing_is_said_into_the_agents_words_and_what_it_says_then_is_heard_next() -> None:
    clock = played()
    clock.agent(2, "hello")
    assert clock.within(3) == Ask(("hello",))
    clock.caller.agent_speaks(clock.now)
    clock.caller.decided([Act(say="hi")])
    assert clock.within(5) is None
    clock.quiet("")
    assert clock.within(1) == Act(say="hi")
    clock.said()
    assert clock.agent(1, "again") is None and clock.within(3) == Ask(("", "again"))


def test_who_waits_in_vain_is_asked_too_and_not_for_ever() -> None:
    clock = played(most=2)
    for _ in range(2):
        assert clock.within(11) == Ask(())
        clock.caller.decided([])
    found = clock.within(11)
    assert isinstance(found, GiveUp) and found.reason.startswith("the persona was asked 2 times")


def test_a_persona_that_nobody_can_play_ends_the_call() -> None:
    clock = played()
    clock.agent(2, "hello")
    assert isinstance(clock.within(3), Ask)
    clock.caller.undecided("away")
    assert clock.within(1) == GiveUp("away")


def test_without_its_model_the_rules_play() -> None:
    rules = [{"hears": "hello", "say": "hi"}]
    clock = Clock(planned(persona={"rules": rules}))
    clock.agent(2, "hello")
    assert clock.within(3) == Act(say="hi")

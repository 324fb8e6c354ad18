"""What a model that plays a caller is told, and what becomes of whatever it answers."""

from __future__ import annotations

from typing import Any

import pytest

from worker.eval.persona import LONGEST, SILENCE, UNCLEAR, Persona, acts_of
from worker.eval.plan import Act


def test_the_conversation_grows_by_what_was_heard_and_answered() -> None:
    persona = Persona("Anna {in a hurry}")
    [(role, task), heard] = persona.hears(["hello", ""])
    assert role == "system" and "Anna {in a hurry}" in task and "JSON" in task
    assert heard == ("user", f"hello {UNCLEAR}")
    assert persona.answers({"say": "hi"}) == [Act(say="hi")]
    assert persona.hears([])[2:] == [("assistant", '{"say": "hi"}'), ("user", SILENCE)]


@pytest.mark.parametrize(
    ("answer", "acts"),
    [
        ({}, []),
        ({"say": "", "keys": "", "hang_up": False}, []),
        ({"say": " where is\nmy order? "}, [Act(say="where is my order?")]),
        ({"say": "bye", "hang_up": True}, [Act(say="bye"), Act(hang_up=True)]),
        ({"keys": "4 2-7#x"}, [Act(keys="427#")]),
        ({"say": "...", "keys": None, "hang_up": "yes"}, []),
        ({"say": 3, "keys": [1]}, []),
        ({"say": "<b>\x00\x1b[31m[[hi]]"}, [Act(say="b 31m hi")]),
    ],
)
def test_whatever_it_answers(answer: dict[str, Any], acts: list[Act]) -> None:
    assert acts_of(answer) == acts


def test_nobody_says_a_book() -> None:
    (act,) = acts_of({"say": "word " * 5000})
    assert len(act.say) <= LONGEST

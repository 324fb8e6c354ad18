from __future__ import annotations

from pathlib import Path

import pytest

from worker.local.brain import Faults
from worker.local.dialogue import load_dialogue, read_dialogue
from worker.local.errors import DialogueError

TURN = '[[turn]]\nhears = ["hello"]\nsay = "Hi."\n'


def test_the_shipped_dialogue_serves_the_demo() -> None:
    dialogue = load_dialogue()
    tools = {call.tool for turn in dialogue.turns for call in turn.calls}
    assert tools == {"order_status", "current_time", "end_call"}
    for said in (
        "what is the status of order four two seven",
        "tell me about your delivery terms",
        "what time is it",
        "i want to speak to a human",
        "thank you goodbye",
        "goodbye",
    ):
        assert any(pattern.match(said) is not None for pattern in dialogue.patterns), said


def test_everything_can_be_set() -> None:
    dialogue = read_dialogue(
        """
        greeting = "Good day."
        pending = ["a", "b"]
        [slots]
        day = ["monday", "tuesday"]
        [faults]
        close_after_s = 3
        close_code = 4001
        unknown_events = true
        [[turn]]
        hears = ["on {day}"]
        say = ["x", "y"]
        pending = "wait"
        [[turn.call]]
        tool = "book"
        arguments = { day = "{day}", seats = 2 }
        optional = true
        [[turn.call.answer]]
        when = { ok = true }
        say = "Booked."
        """
    )
    (turn,) = dialogue.turns
    (call,) = turn.calls
    assert dialogue.greeting == ("Good day.",)
    assert dialogue.faults == Faults(close_after_s=3, close_code=4001, unknown_events=True)
    assert turn.hears[0].match("on monday") == {"day": "monday"}
    assert (turn.say, turn.pending) == (("x", "y"), ("wait",))
    assert (call.tool, call.arguments, call.optional) == ("book", {"day": "{day}", "seats": 2}, True)
    assert (call.answers[0].when, call.answers[0].say) == ({"ok": True}, ("Booked.",))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "d: turn: there must be one"),
        ("x = ", "d: not valid TOML"),
        ("greting = 'a'\n" + TURN, "d: greting: unknown key; did you mean 'greeting'?"),
        ("zzz = 'a'\n" + TURN, "d: zzz: unknown key; allowed: greeting, pending"),
        ("greeting = 1\n" + TURN, "d: greeting: must be a text, or a list of texts"),
        ("greeting = ''\n" + TURN, "d: greeting: must be a text, or a list of texts"),
        ("slots = 1\n" + TURN, "d: slots: must be a table"),
        ("turn = 1", "d: turn: must be written as [[turn]]"),
        ('[[turn]]\nsay = "x"', "d: turn[0].hears: is missing"),
        ('[[turn]]\nhears = ["a"]', "d: turn[0]: there is nothing to do"),
        ('[[turn]]\nhear = ["a"]', "d: turn[0].hear: unknown key; did you mean 'hears'?"),
        ('[[turn]]\nhears = ["What?"]\nsay = "x"', "d: turn[0].hears: 'What?': unexpected '?'"),
        ('[[turn]]\nhears = ["on {day}"]\nsay = "x"', "d: turn[0].hears: 'on {day}': slot 'day' is of an unknown kind"),
        ('[[turn]]\nhears = ["a"]\nfault = "x"', "d: turn[0].fault: must be one of close, silence"),
        (TURN + "[[turn.call]]\n", "d: turn[0].call[0].tool: must be the name"),
        (TURN + '[[turn.call]]\ntool = "a"\narguments = 1', "d: turn[0].call[0].arguments: must be a table"),
        (TURN + '[[turn.call]]\ntool = "a"\noptional = 1', "d: turn[0].call[0].optional: must be true or false"),
        (TURN + '[[turn.call]]\ntool = "a"\n[[turn.call.answer]]\n', "d: turn[0].call[0].answer[0].say: is missing"),
        ("[faults]\nclose_after_s = 'x'\n" + TURN, "d: faults.close_after_s: must be of type float"),
        ("[faults]\nstall = 'x'\n" + TURN, "d: faults.stall: must be one of request, created"),
        ("results_alone = 1\n" + TURN, "d: results_alone: must be true or false"),
        ("[faults]\nsilent = 1\n" + TURN, "d: faults.silent: must be of type bool"),
        ("[faults]\nclose_code = true\n" + TURN, "d: faults.close_code: must be of type int"),
        ("[faults]\nclose_codes = 1\n" + TURN, "d: faults.close_codes: unknown key; did you mean 'close_code'?"),
    ],
)
def test_what_is_wrong_is_one_line(text: str, wrong: str) -> None:
    with pytest.raises(DialogueError) as caught:
        read_dialogue(text, "d")
    assert str(caught.value).startswith(wrong)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match=r"none\.toml: can't be read: No such file"):
        load_dialogue(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DialogueError, match="not UTF-8"):
        load_dialogue(tmp_path / "latin.toml")

from __future__ import annotations

import pytest

from worker.local.patterns import PatternError, jsgf, parse, plain

PHRASES = {"day": ["Monday", "next Friday"]}


@pytest.mark.parametrize(
    ("pattern", "words", "slots"),
    [
        ("hello", "hello", {}),
        ("hello", "hello there", None),
        ("hello", "", None),
        ("say [it] again", "say again", {}),
        ("say [it] again", "say it again", {}),
        ("say [it] again", "say itagain", None),
        ("(i want|i would like) to (speak|talk)", "i would like to talk", {}),
        ("(i want|i would like) to (speak|talk)", "i would to talk", None),
        ("order {order:digits:3}", "order four two seven", {"order": "427"}),
        ("order {order:digits:3}", "order four two", None),
        ("order {order:digits:2-3}", "order four two", {"order": "42"}),
        ("order {order:digits}", "order one two three four five six seven eight", {"order": "12345678"}),
        ("{a:digits:1} and {b:digits:1}", "one and two", {"a": "1", "b": "2"}),
        ("on {day}", "on next friday", {"day": "next friday"}),
        ("on {when:day}", "on monday", {"when": "monday"}),
        ("it is {time:clock} now", "it is fourteen oh five now", {"time": "fourteen oh five"}),
        ("[no] [thank you] goodbye", "thank you goodbye", {}),
        ("[[please] help] me", "help me", {}),
    ],
)
def test_matching(pattern: str, words: str, slots: dict[str, str] | None) -> None:
    assert parse(pattern, PHRASES).match(words) == slots


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        ("", "empty"),
        ("say [it", "missing"),
        ("say it]", "unexpected"),
        ("say (a|)", "empty"),
        ("What?", "unexpected '\\?'"),
        ("{when:year}", "unknown kind 'year'"),
        ("{a:digits} {a:digits}", "twice"),
        ("{a:digits:0}", "from 1 to 20"),
        ("{A b:digits}", "no name"),
    ],
)
def test_a_wrong_pattern_says_why(pattern: str, wrong: str) -> None:
    with pytest.raises(PatternError, match=wrong):
        parse(pattern, PHRASES)


def test_the_grammar_holds_every_pattern() -> None:
    grammar = jsgf(["hello", "order {order:digits:2-3}", "on {day}"], PHRASES)
    assert grammar.startswith("#JSGF V1.0;")
    assert "(hello) | (order <digit> <digit> [<digit>]) | (on (monday | next friday));" in grammar


def test_plain_text_is_as_a_recogniser_writes_it() -> None:
    assert plain("I can’t, really!  Why?") == "i can't really why"

"""The demo caller's behaviour: what is said when, in a call that goes well and in one that does not."""

from __future__ import annotations

import pytest

from worker.demo.script import DEMO, INTERRUPT_S, PATIENCE_S, PAUSE_S, CallerScript, Finish, Line, Say, When

ASK = Line("ask", When.PAUSE, expects=r"\banswer\b")
NEXT = Line("next", When.ANSWERED)
CUT_IN = Line("cut in", When.INTERRUPTING)


class Talk:
    """A script, and a clock that is moved by hand: it ticks at each moment that the script asks for."""

    def __init__(self, *lines: Line) -> None:
        self.script = CallerScript(lines or DEMO)
        self.now = 10.0
        self.script.begin(self.now)

    def wait(self, seconds: float) -> list[str]:
        """What is done meanwhile: the lines' words, or why the caller gave up."""
        end, done = self.now + seconds, []
        while self.script.wake is not None and self.script.wake <= end:
            self.now = max(self.now, self.script.wake)
            action = self.script.tick(self.now)
            if isinstance(action, Say):
                done.append(action.line.text)
            elif isinstance(action, Finish):
                return [*done, action.reason]
            else:
                break
        self.now = end
        return done

    def agent(self, seconds: float, text: str = "") -> list[str]:
        """The agent speaks, is quiet, and is understood a moment later."""
        self.script.agent_speaks(self.now)
        done = self.wait(seconds)
        self.script.agent_quiet(self.now)
        done += self.wait(0.3)
        self.script.understood(text, self.now)
        return done

    def said(self) -> None:
        self.script.said(self.now)


def test_waits_for_the_agent_and_a_pause_before_the_first_word() -> None:
    talk = Talk(ASK)
    assert talk.wait(5.0) == []
    assert talk.agent(2.0, "hello") == []
    assert talk.wait(PAUSE_S - 0.31) == []
    assert talk.wait(0.02) == ["ask"]


def test_an_agent_that_goes_on_after_a_comma_is_let_finish() -> None:
    talk = Talk(ASK)
    talk.script.agent_speaks(talk.now)
    talk.script.agent_quiet(talk.now)
    assert talk.wait(PAUSE_S - 0.1) == []
    talk.script.agent_speaks(talk.now)
    assert talk.wait(3.0) == []


def test_a_filler_is_no_answer() -> None:
    talk = Talk(ASK, NEXT)
    talk.agent(1.0, "hello")
    assert talk.wait(1.0) == ["ask"]
    talk.said()
    assert talk.agent(1.0, "one moment please") == []
    assert talk.wait(10.0) == []
    assert talk.agent(1.0, "the answer is this") == []
    assert talk.wait(1.0) == ["next"]


def test_what_is_understood_while_speaking_was_said_before() -> None:
    talk = Talk(ASK, NEXT)
    talk.agent(1.0, "hello")
    assert talk.wait(1.0) == ["ask"]
    talk.script.understood("the answer", talk.now)  # of the greeting, late
    talk.said()
    talk.script.agent_speaks(talk.now)
    talk.script.agent_quiet(talk.now)
    assert talk.wait(5.0) == []


def test_an_interruption_comes_in_the_middle_of_the_answer() -> None:
    talk = Talk(ASK, CUT_IN)
    talk.agent(1.0, "hello")
    assert talk.wait(1.0) == ["ask"]
    talk.said()
    talk.script.agent_speaks(talk.now)
    assert talk.wait(INTERRUPT_S - 0.01) == []
    assert talk.wait(0.02) == ["cut in"]


def test_an_answer_that_is_over_too_soon_is_not_interrupted() -> None:
    talk = Talk(ASK, CUT_IN)
    talk.agent(1.0, "hello")
    talk.wait(1.0)
    talk.said()
    assert talk.agent(INTERRUPT_S - 0.5, "short") == []
    assert talk.wait(5.0) == []


def test_a_line_is_said_once_and_none_while_speaking() -> None:
    talk = Talk(ASK, Line("again", When.PAUSE))
    talk.agent(1.0, "hello")
    assert talk.wait(1.0) == ["ask"]
    assert talk.agent(1.0, "answer") == []
    assert talk.wait(100.0) == [], "neither the next line nor impatience while it speaks"


@pytest.mark.parametrize("lines_said", [0, 1])
def test_gives_up_on_an_agent_that_says_nothing(lines_said: int) -> None:
    talk = Talk(ASK)
    if lines_said:
        talk.agent(1.0, "hello")
        assert talk.wait(1.0) == ["ask"]
        talk.said()
    assert talk.wait(PATIENCE_S - 3.0) == []
    assert talk.wait(4.0) == ["waited too long for the agent"]


def test_gives_up_on_an_agent_that_never_hangs_up() -> None:
    talk = Talk(ASK)
    talk.agent(1.0, "hello")
    talk.wait(1.0)
    talk.said()
    assert talk.script.done
    talk.agent(1.0, "goodbye")
    assert talk.wait(PATIENCE_S + 1) == ["waited too long for the agent"]


def test_the_demo_goes_through_its_scenes() -> None:
    talk, said = Talk(), []
    said += talk.agent(3.0, "hello this is the order desk how can i help you") + talk.wait(1.0)
    talk.said()
    talk.agent(1.0, "let me look that order up")
    talk.wait(3.0)
    talk.agent(3.0, "order four two seven is shipped with d h l and arrives thursday")
    said += talk.wait(1.0)
    talk.said()
    said += talk.agent(INTERRUPT_S + 0.5)
    talk.said()
    talk.agent(2.0, "it is four thirty p m")
    said += talk.wait(1.0)
    talk.said()
    assert said == [line.text for line in DEMO] and talk.script.done

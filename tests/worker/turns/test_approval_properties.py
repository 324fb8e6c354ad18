"""Questions to the caller under random orders of events: only the caller's own word after the question is a yes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.worker.turns.scene import Scene
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.events import Purpose, Question
from worker.turns.floor import Slot

WORDS = ("yes", "yes please", "no", "perhaps", "um", "")
STEPS = st.one_of(
    st.tuples(st.just("asks")),
    st.tuples(st.just("asks")),
    st.tuples(st.just("asks"), st.sampled_from(WORDS)),
    st.tuples(st.just("said"), st.sampled_from([True, True, True, False]), st.sampled_from(["whole", "part", "none"])),
    st.tuples(st.just("played")),
    st.tuples(st.just("speaks"), st.sampled_from(WORDS), st.sampled_from(["now", "late", "never"])),
    st.tuples(st.just("starts")),
    st.tuples(st.just("stops")),
    st.tuples(st.just("words"), st.integers(0, 2), st.sampled_from(WORDS)),
    st.tuples(st.just("key"), st.sampled_from("112#")),
    st.tuples(st.just("own")),
    st.tuples(st.just("lost")),
    st.tuples(st.just("waits"), st.floats(0.05, 8.0)),
)


class OneQuestion:
    """A question, the provider that is to say it, and the caller; each step is one thing that one of them does."""

    def __init__(self, *, voice: bool, asks_itself: bool, server_responds: bool) -> None:
        self.scene = Scene(asks_itself=asks_itself, server_responds=server_responds)
        self.voice = voice
        self.saying: tuple[str, str] | None = None  # the response that says it, and its words
        self.playing: str | None = None  # what the caller hears of it
        self.whole = False
        self.heard = False
        self.listening = False
        self.quiet_since = False  # the caller has said nothing since they heard it
        self.speaking: str | None = None
        self.turns: list[str] = []
        self.valid: set[str] = set()
        self.texts: dict[str, str] = {}
        self.serial = 0
        self.answer: turn.ApprovalAnswered | None = None
        self.wanted = ""
        self.pressed = ""
        self.asked = 0
        self.feed(realtime.SessionReady("s", "pcm24k", "pcm24k"), turn.MediaReady())
        self.feed(realtime.ResponseStarted("r1", {}), realtime.ToolCallRequested("r1", "fc", "t1", "pay", "{}"))
        self.feed(realtime.ResponseDone("r1", "completed"))
        question = Question(text="Shall I", again="Again, shall I", keys="Press one", language="en", voice=voice)
        self.feed(turn.ApprovalAwaited(1, "t1", question))

    def feed(self, *events: object) -> None:
        for one in events:
            for command in self.scene.feed(one):
                self.carry_out(command)

    def carry_out(self, command: turn.Command) -> None:
        match command:
            case turn.RequestResponse(Purpose.APPROVAL):
                assert self.answer is None and self.speaking is None
                self.wanted, self.listening = (command.instructions or "").removeprefix("Say exactly: "), False
                self.asked += 1
            case turn.RequestResponse() | turn.SpeakFiller():
                assert self.answer is not None, "something else is said while the question stands"
            case turn.AskOurselves():
                assert self.speaking is None and self.playing is None
                self.wanted, self.playing, self.whole, self.listening = "", command.item_id, True, False
                self.saying = (command.item_id, command.text)
                self.asked += 1
            case turn.PlayTone():
                assert not (self.listening and self.quiet_since), "a tone while the caller has the word"
                self.feed(turn.PlayoutChanged(None))
            case turn.StopPlayout():
                self.playing = None
            case turn.NewSession():
                self.lost()
            case turn.ApprovalAnswered():
                assert self.answer is None, "two answers"
                self.check(command)
                self.answer = command
                self.listening = False

    def check(self, answer: turn.ApprovalAnswered) -> None:
        if not answer.approved:
            return
        assert self.heard, "a yes to what was not heard"
        if answer.by == "key":
            assert self.pressed == "1"
            return
        words = [self.texts[item] for item in self.turns if item in self.valid and item in self.texts]
        assert self.voice and answer.by == "voice" and any(text.startswith("yes") for text in words), "nobody said so"
        assert self.speaking is None, "the caller is not done"

    # --- steps

    def said(self, true: bool, how: str) -> None:
        """The provider says what it was asked for, or something else."""
        if not self.wanted or self.saying is not None or not self.scene.machine.state.connected:
            return
        self.played()  # what was said before it
        self.serial += 1
        response_id, metadata = f"q{self.serial}", {"purpose": "approval"}
        words, self.wanted = (self.wanted if true else "Do you like cheese"), ""
        self.whole = False
        self.feed(realtime.ResponseStarted(response_id, metadata))
        if how == "none" or not self.scene.machine.wants_audio(response_id):
            self.feed(realtime.ResponseDone(response_id, "cancelled", metadata=metadata))
            return
        self.saying, self.playing = (response_id, words), f"i-{response_id}"
        self.feed(
            turn.AudioStarted(response_id, self.playing), realtime.AgentTranscript(response_id, self.playing, words)
        )
        if how == "whole":
            self.whole = self.playing is not None
            self.feed(realtime.ResponseDone(response_id, "completed", metadata=metadata))
        else:
            self.feed(realtime.ResponseDone(response_id, "incomplete", "max_output_tokens", metadata=metadata))
            self.whole = self.playing is not None  # its words are all there: the machine goes by these

    def played(self) -> None:
        if self.playing is None:
            return
        true = self.whole and self.saying is not None and self.saying[1] in ("Shall I", "Again, shall I", "Press one")
        self.playing = None
        if true and self.answer is None and self.speaking is None:
            self.heard = self.listening = self.quiet_since = True
        self.saying = None
        self.feed(turn.PlayoutChanged(None))

    def asks(self, text: str | None = None) -> None:
        """The provider says what it was asked for, the caller hears it, and answers with these words."""
        self.own()
        self.said(True, "whole")
        self.played()
        if text is not None:
            self.waits(1.0)
            self.speaks(text, "now")

    def starts(self) -> None:
        if self.speaking is None and self.scene.machine.state.connected:
            self.serial += 1
            self.speaking = f"c{self.serial}"
            self.turns.append(self.speaking)
            self.quiet_since = False
            if self.listening:
                self.valid.add(self.speaking)
            if self.playing is not None or not self.listening:
                self.saying = None
            self.feed(realtime.SpeechStarted(self.speaking, 0))

    def stops(self) -> None:
        if self.speaking is not None and self.scene.machine.state.connected:
            item, self.speaking = self.speaking, None
            self.feed(realtime.SpeechStopped(item, 0))

    def words(self, ago: int, text: str) -> None:
        """The words of one of the last turns, once."""
        item = self.turns[-1 - ago] if ago < len(self.turns) else None
        if item is not None and item not in self.texts and item != self.speaking:
            self.texts[item] = text
            self.feed(realtime.CallerTranscript(item, text))

    def speaks(self, text: str, when: str) -> None:
        self.starts()
        self.waits(0.4)
        self.stops()
        if when == "late":
            self.own()
        if when != "never":
            self.words(0, text)

    def key(self, digit: str) -> None:
        if self.scene.machine.takes_keys:
            self.pressed = digit
            self.feed(turn.CallerPressed(digit))
            self.pressed = ""

    def own(self) -> None:
        """The server answers by itself, and calls the tool once more."""
        if self.scene.machine.slot.state is not Slot.CANCELLING or not self.scene.machine.state.connected:
            return
        self.serial += 1
        own = f"o{self.serial}"
        self.feed(
            realtime.ResponseStarted(own, {}), realtime.ToolCallRequested(own, "fc", f"t{self.serial + 1}", "pay", "{}")
        )
        assert not self.scene.machine.wants_audio(own), "the server's own answer is heard"
        self.feed(realtime.ResponseDone(own, "cancelled"))

    def lost(self) -> None:
        if self.answer is None:
            self.speaking = None
            if self.saying is not None and not self.saying[0].startswith("own:"):
                self.saying = None  # what we say ourselves goes on
            self.wanted, self.listening = "", False
            if self.scene.machine.state.connected:
                self.feed(realtime.ConnectionLost(1006, "cut", False))
            self.feed(realtime.SessionReady("s2", "pcm24k", "pcm24k"))

    def waits(self, seconds: float) -> None:
        """Time, tick by tick; nobody speaks for ever by our own ears either."""
        end = self.scene.now + seconds
        while self.scene.machine.wake is not None and self.scene.machine.wake <= end and not self.scene.machine.over:
            self.scene.now = max(self.scene.now, self.scene.machine.wake)
            self.feed(turn.Tick())
        self.scene.now = end

    def take(self, steps: Iterable[tuple[Any, ...]]) -> None:
        for name, *arguments in steps:
            if self.answer is not None or self.scene.machine.over:
                return
            getattr(self, name)(*arguments)


@given(st.lists(STEPS, max_size=25), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=800, deadline=None)
def test_only_the_callers_own_word_after_the_question_is_a_yes(
    steps: list[tuple[Any, ...]], voice: bool, asks_itself: bool, server_responds: bool
) -> None:
    one = OneQuestion(voice=voice, asks_itself=asks_itself, server_responds=server_responds)
    one.take(steps)
    if one.answer is not None:
        event(f"{one.answer.approved} by {one.answer.by}")
        assert not one.scene.machine.state.asking and not one.scene.machine.state.listening


@given(st.lists(STEPS, max_size=12), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_whatever_happened_it_ends_when_provider_and_caller_do_their_part(
    steps: list[tuple[Any, ...]], voice: bool, asks_itself: bool
) -> None:
    one = OneQuestion(voice=voice, asks_itself=asks_itself, server_responds=True)
    one.take(steps)
    for _ in range(40):
        one.take([("stops",), ("own",), ("said", True, "whole"), ("played",), ("waits", 3.0)])
    assert one.answer is not None or one.scene.machine.over, "the question stands for ever"
    assert one.asked <= 12

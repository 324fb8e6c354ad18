"""The question to the caller whether a tool call may run: asked by us, heard, answered, once more, then a no. Pure.

Nothing but the caller answers it. A spoken yes counts where its turn began after the question was heard to its end, and
is a clear one (`consent`); a key counts once the question was heard. While the question stands the model is asked for
nothing else, and what it says or calls by itself is not heard and not run.

The model speaks the question's words, and its transcript has to be those words: whatever else it said would be another
question. Where it is, we ask in a voice of ours; where there is none, after a second try the answer is a no.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from worker.realtime import events as realtime
from worker.turns.consent import Answer, judge, says_the_same
from worker.turns.events import (
    ApprovalAnswered,
    ApprovalAwaited,
    ApprovalEnded,
    AskOurselves,
    CallerPressed,
    CancelResponse,
    Command,
    OfferSpoken,
    Purpose,
    Question,
    QuestionUnsaid,
    StopPlayout,
)
from worker.turns.expectations import TABLE, Expect
from worker.turns.floor import Floor, FloorEdge, Slot
from worker.turns.state import OWN, TurnState

__all__ = ["ANSWER_S", "ASKINGS", "ApprovalTurns"]

ANSWER_S = 7.0
"""So long a caller who heard the question may think before a word."""
ASKINGS = 4
"""So often a question is begun: once, once more for an answer that is none, and twice for who speaks over it."""
WORDS_S = TABLE[Expect.TRANSCRIPT].seconds
"""So long the words of an answer are waited for."""
YES_KEY = "1"


class _Stage(Enum):
    WANTED = "wanted"
    """To be said."""
    SAID = "said"
    """Being said."""
    INTERRUPTED = "interrupted"
    """The caller spoke over it: what they said is waited for, a no counts."""
    HEARD = "heard"
    """The caller has the word."""


@dataclass(slots=True)
class _Turn:
    """Something that the caller said. ended: when (s). text: its words; None: not known yet."""

    ended: float | None = None
    text: str | None = None


@dataclass(slots=True)
class _Standing:
    """The question that stands."""

    number: int
    question: Question
    text: str
    stage: _Stage = _Stage.WANTED
    by_voice: bool = True
    ours: bool = False
    """It is said in a voice of ours."""
    begun: int = 0
    unclear: int = 0
    not_ours: int = 0
    """How often the model said something else."""
    heard_once: bool = False
    since: float = 0.0
    """From when an answer is waited for (s)."""
    response_id: str | None = None
    item_id: str | None = None
    said: str | None = None
    generated: bool = False
    played: bool = False
    turns: dict[str, _Turn] = field(default_factory=dict)
    """What the caller has said in this stage."""

    def words_due(self) -> list[float]:
        """By when the words of what the caller has said are to be known (s)."""
        waited = [turn.ended for turn in self.turns.values() if turn.text is None]
        return [ended + WORDS_S for ended in waited if ended is not None]


class ApprovalTurns:
    """Asks one question after the other."""

    def __init__(self, state: TurnState) -> None:
        self._state = state
        self._waiting: deque[tuple[int, Question]] = deque()
        self._now: _Standing | None = None
        self._own = 0

    # --- from who wants to know ---------------------------------------------------------------------------------------

    def awaited(self, event: ApprovalAwaited, now: float) -> list[Command]:
        """A tool call waits for an approval."""
        tool = self._state.pending.get(event.tool_call_id)
        if tool is not None:
            tool.awaits = True
        if self._now is not None and event.question is not None and self._now.number == event.number:
            return self._replace(self._now, event.question, now)
        if event.question is not None:
            self._waiting.append((event.number, event.question))
            self._next(now)
        return []

    def ended(self, event: ApprovalEnded, now: float) -> list[Command]:
        """It is decided, by the caller or by somebody else."""
        tool = self._state.pending.get(event.tool_call_id)
        if tool is not None and tool.awaits:
            tool.awaits = False
            tool.started_at = now  # the caller waits for it from now on; what they said until now stops it not
            self._state.fillers.start_over()
        self._waiting = deque(one for one in self._waiting if one[0] != event.number)
        if self._now is None or self._now.number != event.number:
            return []
        return self._over(now)

    @property
    def takes_keys(self) -> bool:
        """Whether a key that is pressed now is an answer, or too early for one: no word to the model in any case."""
        asked = self._now
        return asked is not None and not asked.question.entry and (asked.heard_once or asked.stage is not _Stage.WANTED)

    @property
    def entry_heard(self) -> bool:
        """Whether the caller has heard what they are to type, or types already."""
        return self._now is not None and self._now.question.entry and self._now.stage is _Stage.HEARD

    def pressed(self, event: CallerPressed, now: float) -> list[Command]:
        """The caller presses a key."""
        if self._now is not None and self._now.question.entry:
            return self._typing(self._now, now)
        if self._now is None or not self._now.heard_once:
            return []  # who has not heard the question has not answered it
        self._state.patience.heard()
        return self._answer(event.digit == YES_KEY, "key", now)

    def _typing(self, asked: _Standing, now: float) -> list[Command]:
        """The caller types: nothing more is to be said of what they are asked."""
        self._state.patience.heard()
        if asked.stage is _Stage.HEARD:
            return []
        commands = self._stop(asked, now)
        self._state.owed.drop(Purpose.APPROVAL)
        asked.turns.clear()
        asked.stage, asked.heard_once, asked.since = _Stage.HEARD, True, now
        self._listen(True)
        return commands

    # --- being said ---------------------------------------------------------------------------------------------------

    def wants(self, item_id: str) -> bool:
        """Whether a question in a voice of ours may still be said."""
        asked = self._now
        return asked is not None and asked.item_id == item_id and asked.stage is _Stage.SAID

    def unsaid(self, event: QuestionUnsaid, now: float) -> list[Command]:
        """It could not be said, and nobody else can say it."""
        if not self.wants(event.item_id):
            return []
        self._state.playing = None
        self._state.move_floor(FloorEdge.PLAYOUT_DRY)
        return self._answer(False, "nobody", now, "the question could not be asked")

    def stray(self, purpose: str | None) -> bool:
        """Whether a response must not be heard: the server's own beside a question, or a question that is over."""
        return self._now is None if purpose == Purpose.APPROVAL else purpose is None and self._now is not None

    def started(self, response_id: str, purpose: str | None) -> None:
        """A response that may be heard was created."""
        asked = self._now
        if asked is not None and purpose == Purpose.APPROVAL:
            self._begin(asked, None)
            asked.response_id = response_id

    def sounds(self, response_id: str, item_id: str) -> None:
        """The first audio of an item is queued for playout."""
        if self._now is not None and self._now.response_id == response_id:
            self._now.item_id = item_id

    def spoken(self, event: realtime.AgentTranscript, now: float) -> list[Command]:
        """The words of an item of the agent's are known."""
        asked = self._now
        if asked is None or asked.response_id != event.response_id or asked.stage is not _Stage.SAID:
            return []
        asked.said = f"{asked.said or ''} {event.text}"
        return self._heard(now)

    def generated(self, response_id: str, now: float) -> list[Command]:
        """All of a response has come."""
        asked = self._now
        if asked is None or asked.response_id != response_id or asked.stage is not _Stage.SAID:
            return []
        asked.generated = True
        return self._heard(now)

    def played(self, before: str | None, playing: str | None, now: float) -> list[Command]:
        """Another item, or none, is being sent after `before`."""
        asked = self._now
        if asked is None or asked.item_id is None:
            return []
        if asked.stage is _Stage.HEARD and playing == asked.item_id:
            asked.stage = _Stage.SAID  # its last piece was still to come
            self._listen(False)
        if asked.stage is not _Stage.SAID:
            return []
        asked.played = playing != asked.item_id and (before == asked.item_id or asked.played)
        return self._heard(now)

    def session_lost(self, now: float) -> None:
        """What was said in the lost session, by either side, is nothing that can be counted on."""
        asked = self._now
        if asked is not None and not asked.ours:
            self._again(asked, now)
        elif asked is not None and asked.stage is not _Stage.SAID:
            self._again(asked, now)

    # --- the caller ---------------------------------------------------------------------------------------------------

    def speech_started(self, event: realtime.SpeechStarted, now: float) -> None:
        """The caller begins to speak."""
        asked = self._now
        if asked is None or asked.stage is _Stage.WANTED:
            return
        if asked.stage is _Stage.SAID:
            asked.stage = _Stage.INTERRUPTED
            asked.turns.clear()
            self._listen(False)
            self._state.owed.drop(Purpose.APPROVAL)
        asked.turns[event.item_id] = _Turn()

    def speech_stopped(self, event: realtime.SpeechStopped, now: float) -> None:
        """The caller's turn has ended. The server's own answer to it is not wanted."""
        turn = None if self._now is None else self._now.turns.get(event.item_id)
        if turn is not None:
            turn.ended = now

    def transcribed(self, item_id: str, text: str | None, now: float) -> list[Command]:
        """The words of a turn are known, or (None) never will be."""
        asked = self._now
        turn = None if asked is None else asked.turns.get(item_id)
        if asked is None or turn is None or asked.question.entry:
            return []
        if text is None:
            return self._deaf(asked, now)
        turn.text = text
        return self._weigh(asked, now)

    # --- what is due --------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> list[Command]:
        """See to what has not come."""
        asked, state = self._now, self._state
        if asked is None:
            return []
        if state.ending is not None:
            return self._answer(False, "nobody", now, "the call ends")
        if asked.question.entry:
            asked.turns.clear()  # nothing that is said is an answer
            if asked.stage is _Stage.INTERRUPTED and state.floor is not Floor.CALLER:
                return self._repeat(asked, now)
        elif (commands := self._expire_answer(asked, now)) is not None:
            return commands
        if asked.stage is _Stage.SAID and asked.response_id and state.slot.discarded(asked.response_id):
            self._again(asked, now)
        if asked.stage is _Stage.WANTED and not asked.ours and state.slot.free:
            self._want(asked)
        return []

    def _expire_answer(self, asked: _Standing, now: float) -> list[Command] | None:
        """See to an answer that does not come; None where none is due."""
        state = self._state
        if state.floor is not Floor.CALLER:
            for turn in asked.turns.values():
                turn.ended = now if turn.ended is None else turn.ended  # by our own ears
        if any(due <= now for due in asked.words_due()):
            return self._deaf(asked, now)
        if asked.turns:
            return self._weigh(asked, now)
        if asked.stage is _Stage.HEARD and asked.since + ANSWER_S <= now and state.floor is not Floor.CALLER:
            return self._once_more(asked, "no answer", now)
        return None

    def speak(self, now: float) -> list[Command]:
        """Say the question ourselves, where that is due."""
        asked, state = self._now, self._state
        if asked is None or not asked.ours or asked.stage is not _Stage.WANTED:
            return []
        if not (state.slot.free and state.media and state.connected and state.quiet):
            return []
        self._own += 1
        self._begin(asked, f"{OWN}question:{self._own}")
        assert asked.item_id is not None
        asked.generated, asked.said = True, asked.text
        state.fillers.sound_ended(now, words=True)
        state.fillers.mark(asked.item_id)
        state.playing = asked.item_id
        state.move_floor(FloorEdge.FILLER_HEARD)
        return [AskOurselves(asked.item_id, asked.text), OfferSpoken(asked.text)]

    def wakes(self) -> list[float | None]:
        """When something of this is due (s)."""
        asked = self._now
        if asked is None or asked.question.entry:
            return []
        times: list[float | None] = [*asked.words_due()]
        if asked.stage is _Stage.HEARD and not asked.turns and self._state.floor is not Floor.CALLER:
            times.append(asked.since + ANSWER_S)
        return times

    # --- the question -------------------------------------------------------------------------------------------------

    def _next(self, now: float) -> None:
        state = self._state
        if self._now is None and self._waiting:
            number, question = self._waiting.popleft()
            text = question.text if question.voice else question.keys
            self._now = _Standing(number, question, text, by_voice=question.voice)
            state.asking = True
            if state.server_answers:
                state.slot.cancel(now)  # the server's answer to what the caller said before: the question comes first
            self._want(self._now)

    def _replace(self, asked: _Standing, question: Question, now: float) -> list[Command]:
        """The same is asked in other words: what the caller typed was not it."""
        commands = self._stop(asked, now)
        asked.question, asked.text, asked.begun = question, question.keys, 0
        self._again(asked, now)
        return commands

    def _want(self, asked: _Standing) -> None:
        """Have it said, unless that was asked for just now."""
        state = self._state
        requested = state.slot.state is Slot.REQUESTED and state.owed.asked_for is Purpose.APPROVAL
        if not (asked.ours or requested):
            state.owed.want(Purpose.APPROVAL, asked.text)

    def _begin(self, asked: _Standing, item_id: str | None) -> None:
        asked.stage, asked.begun = _Stage.SAID, asked.begun + 1
        asked.item_id, asked.response_id, asked.said = item_id, None, None
        asked.generated = asked.played = False
        asked.turns.clear()

    def _again(self, asked: _Standing, now: float) -> None:
        """It is to be said again."""
        asked.stage = _Stage.WANTED
        asked.response_id = asked.item_id = None
        asked.turns.clear()
        self._listen(False)
        self._want(asked)

    def _heard(self, now: float) -> list[Command]:
        """Look whether the caller has heard all of it, and it was what it should be."""
        asked = self._now
        if asked is None:
            return []
        wrong = asked.said is not None and not says_the_same(asked.said, asked.text)
        if asked.generated and (wrong or (asked.said is None and asked.played)):
            return self._another(asked, now)
        if not (asked.generated and asked.played) or self._state.floor is Floor.CALLER:
            return []
        asked.stage, asked.heard_once, asked.since = _Stage.HEARD, True, now
        self._listen(True)
        return []

    def _another(self, asked: _Standing, now: float) -> list[Command]:
        """The model has said something else: nobody was asked anything."""
        asked.not_ours += 1
        commands: list[Command] = self._stop(asked, now)
        if self._state.config.asks_itself:
            asked.ours = True
        elif asked.not_ours > 1:
            return commands + self._answer(False, "nobody", now, "the model did not ask the question")
        self._again(asked, now)
        return commands

    def _stop(self, asked: _Standing, now: float) -> list[Command]:
        """Silence what is being said of it."""
        state = self._state
        commands: list[Command] = []
        if asked.response_id is not None and state.slot.response_id == asked.response_id:
            if state.slot.state is Slot.ACTIVE:
                commands.append(CancelResponse(asked.response_id))
            state.slot.cancel(now)
        if asked.item_id is not None and asked.stage is _Stage.SAID and state.playing == asked.item_id:
            commands.append(StopPlayout(barge_in=False))
            state.playing = None
            state.move_floor(FloorEdge.PLAYOUT_DRY)
        return commands

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _weigh(self, asked: _Standing, now: float) -> list[Command]:
        """Judge what was said, once the caller has ended and all of it is known."""
        texts = [turn.text for turn in asked.turns.values()]
        if self._state.floor is Floor.CALLER or any(text is None for text in texts):
            return []
        answer = judge(_joined(texts), asked.text, asked.question.language)
        if answer is Answer.NO:
            return self._answer(False, "voice", now)
        if asked.stage is _Stage.INTERRUPTED:
            return self._repeat(asked, now)
        if answer is Answer.YES and asked.by_voice:
            return self._answer(True, "voice", now)
        if answer is Answer.NOTHING:
            asked.turns.clear()
            asked.since = now
            return []
        return self._once_more(asked, "no clear answer", now)

    def _once_more(self, asked: _Standing, why: str, now: float) -> list[Command]:
        """There was no clear answer: asked again once."""
        asked.unclear += 1
        if asked.unclear > 1:
            return self._answer(False, "nobody", now, why)
        asked.text = asked.question.again if asked.by_voice else asked.question.keys
        return self._repeat(asked, now)

    def _repeat(self, asked: _Standing, now: float) -> list[Command]:
        if asked.begun >= ASKINGS:
            return self._answer(False, "nobody", now, "no clear answer")
        self._again(asked, now)
        return []

    def _deaf(self, asked: _Standing, now: float) -> list[Command]:
        """The caller's words don't come: there is the key."""
        if not asked.by_voice:
            asked.turns.clear()
            asked.since = now
            return [] if asked.stage is _Stage.HEARD else self._repeat(asked, now)
        asked.by_voice = False
        asked.text = asked.question.keys
        return self._repeat(asked, now)

    def _answer(self, approved: bool, by: str, now: float, why: str = "") -> list[Command]:
        """The question is answered."""
        asked = self._now
        assert asked is not None
        return [*self._over(now), ApprovalAnswered(asked.number, approved, by, why)]

    def _over(self, now: float) -> list[Command]:
        """The question stands no more."""
        asked, state = self._now, self._state
        assert asked is not None
        commands = self._stop(asked, now)
        if state.owed.asked_for is Purpose.APPROVAL and state.slot.state is Slot.REQUESTED:
            state.slot.cancel(now)
        state.owed.drop(Purpose.APPROVAL)
        self._now = None
        state.asking = False
        self._listen(False)
        self._next(now)
        return commands

    def _listen(self, listening: bool) -> None:
        self._state.listening = listening


def _joined(texts: Iterable[str | None]) -> str:
    return " ".join(text for text in texts if text)

"""Whether what a caller says over the agent is an interruption, or nothing: by its words, else by its length. Pure.

A listener's "mhm" or "yes, I see" (a backchannel), a cough and a click are nothing: the agent goes on. A sound without
a voice is no word. Words that say more are an interruption, and so is a sound that lasts as long as only speech does. A
transcript may come later than a caller waits for a verdict: then the length alone decides, and the words may still say
otherwise (`CallerTurns`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from worker.realtime.events import SpeechStarted, SpeechStopped
from worker.turns.consent import plain_words, short_tag, without
from worker.turns.events import CallerHeard

__all__ = [
    "BOUND_S",
    "LONGEST_S",
    "SPEECH_S",
    "TOO_SHORT_S",
    "WORDY_S",
    "Doubt",
    "Sound",
    "Words",
    "due",
    "judge",
    "voiceless",
    "weigh",
]

BOUND_S = 0.8
"""From the pause to the verdict, where the line is quiet again: a longer pause is heard as an answer that stopped."""
LONGEST_S = 1.6
"""The same where sound goes on, such as a second cough after the first."""
SPEECH_S = 0.9
"""Sound that has not ended after so long is speech: a cough lasts 0.2 to 0.5 s, and an end is told 0.15 s late."""
WORDY_S = 0.7
"""Sound of this length that has ended without known words is taken for speech: "mm-hmm" takes up to 0.7 s."""
TOO_SHORT_S = 0.12
"""Sound as short as this has no word in it: nobody waits for its transcript."""
VOICE_S = 0.05
"""A word has more voice than this: "stop" has 80 ms."""
LEAD_S = 0.5
"""The provider says that speech begins so long after our own ears heard it, at the most."""


class Words(Enum):
    """What words over the agent's come to."""

    NONE = "none"
    """No word, or a sound of listening or thinking."""
    ASSENT = "assent"
    """Words of listening that may be an answer, too, where the agent's words end in a question."""
    SPEECH = "speech"


SOUNDS = (
    *(
        "mhm",
        "mm",
        "mmm",
        "mh",
        "hm",
        "hmm",
        "hmmm",
        "m",
        "mhmm",
        "uh",
        "um",
        "uhm",
        "huh",
        "uh huh",
        "uhuh",
        "ah",
        "aah",
    ),
    *("oh", "ooh", "aha", "eh", "er", "erm", "euh", "ahm", "em", "ha", "haha", "hah", "ach"),
    # As transcribers name what is no speech.
    *("cough", "coughs", "coughing", "cough cough", "laughs", "laughter", "sneezes", "sighs", "sniffs", "noise"),
    *("clears throat", "breathing", "breath", "inaudible", "silence", "music", "background noise"),
)
"""In any language."""

ASSENTS: Mapping[str, tuple[str, ...]] = {
    "en": (
        *(
            "yes",
            "yeah",
            "yep",
            "yup",
            "ok",
            "okay",
            "right",
            "sure",
            "i see",
            "got it",
            "alright",
            "all right",
            "exactly",
        ),
        *("of course", "good", "great", "fine", "really", "wow", "i know", "that's right", "understood", "nice"),
    ),
    "de": (
        *(
            "ja",
            "jaja",
            "jo",
            "genau",
            "ok",
            "okay",
            "gut",
            "klar",
            "richtig",
            "stimmt",
            "verstehe",
            "ich verstehe",
            "so",
        ),
        *("alles klar", "ach so", "aha", "eben", "schon", "sehr gut", "prima", "wirklich", "naturlich", "verstanden"),
    ),
    "fr": (
        *("oui", "ouais", "d'accord", "ok", "okay", "bien", "tres bien", "je vois", "voila", "c'est ca", "exact"),
        *("exactement", "ah bon", "bon", "super", "entendu", "bien sur", "tout a fait", "vraiment", "compris"),
    ),
    "es": (
        *(
            "si",
            "ya",
            "vale",
            "ok",
            "okay",
            "claro",
            "bien",
            "muy bien",
            "entiendo",
            "ya veo",
            "aja",
            "exacto",
            "bueno",
        ),
        *("de acuerdo", "perfecto", "eso es", "asi es", "por supuesto", "entendido"),
    ),
}
"""By language, in lower case and without accents. In a language that is not here every word is speech."""


def weigh(text: str, language: str) -> Words:
    """Return what a caller's words over the agent's come to, in a language (a BCP 47 tag)."""
    words = without(plain_words(text), SOUNDS)
    if not words:
        return Words.NONE
    assents = ASSENTS.get(short_tag(language), ())
    return Words.SPEECH if without(words, assents) else Words.ASSENT


@dataclass(slots=True)
class Sound:
    """The caller's latest sound, by our own ears. Times in s; a gap of theirs (`worker.call.ears`) ends it."""

    began: float | None = None
    """When the sound began that goes on now."""
    ended: float | None = None
    """When it was last known that one has ended."""
    lasted: float = 0.0
    """How long that one was (s)."""
    voiced: float = 0.0
    """And for how long of it there was a voice (s)."""

    def take(self, event: CallerHeard, now: float) -> None:
        """A sound has begun so long ago, or has ended after so long."""
        if event.began:
            self.began = now - event.lasted_ms / 1000
        else:
            self.began, self.ended = None, now
            self.lasted, self.voiced = event.lasted_ms / 1000, event.voiced_ms / 1000


@dataclass(slots=True)
class Doubt:
    """Something that the caller says over the agent, and nobody knows yet what it is."""

    speech: SpeechStarted
    """The latest of it."""
    since: float
    """When the voice was paused (s)."""
    words: dict[str, Words | None] = field(default_factory=dict)
    """Of each piece of it, by its item id; None: not known yet."""
    stopped: SpeechStopped | None = None
    """The provider has heard its end."""
    cut: bool = False
    """The provider has cancelled its response for it all the same."""


def judge(doubt: Doubt, sound: Sound, now: float) -> tuple[bool, str] | None:
    """Return whether it is an interruption, and by what (words, length, sound); None: nobody knows yet."""
    known = doubt.words.values()
    if Words.SPEECH in known:
        return True, "words"
    if None not in known:
        return False, "words"
    if due(doubt, sound) > now:
        return None
    if _goes_on(doubt, sound):
        return True, "length"
    if voiceless(doubt, sound):
        return False, "sound"
    return _lasted(doubt, sound) >= WORDY_S, "length"


def due(doubt: Doubt, sound: Sound) -> float:
    """Return when it is decided by its length (s), as things stand."""
    if _goes_on(doubt, sound):
        began = doubt.since if sound.began is None else sound.began
        return min(began + SPEECH_S, doubt.since + LONGEST_S)
    if _lasted(doubt, sound) <= TOO_SHORT_S or voiceless(doubt, sound):
        return doubt.since
    return doubt.since + BOUND_S


def voiceless(doubt: Doubt, sound: Sound) -> bool:
    """Whether it has ended without a voice: a cough, and no word."""
    return _heard(doubt, sound) and sound.began is None and sound.voiced < VOICE_S


def _heard(doubt: Doubt, sound: Sound) -> bool:
    """Whether our own ears have heard it; else the provider's have to do."""
    return sound.began is not None or (sound.ended is not None and sound.ended >= doubt.since - LEAD_S)


def _goes_on(doubt: Doubt, sound: Sound) -> bool:
    return sound.began is not None if _heard(doubt, sound) else doubt.stopped is None


def _lasted(doubt: Doubt, sound: Sound) -> float:
    """How long it was, once it has ended (s). By the provider alone that is not known: as long as a cough."""
    return sound.lasted if _heard(doubt, sound) else SPEECH_S / 2

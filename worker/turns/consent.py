"""Whether a caller's words are a clear yes, a clear no, or neither. Pure.

A yes is clear where nothing else was said: every word has to be one of assent, of courtesy, or of the question itself.
"Yes, but not today", "yes, order eight" to a question about order seven, and "well, fine, if you think" are no yes. One
word of refusal, and no word of assent, is a no. A language that is not in the table has no clear words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LANGUAGES", "Answer", "judge", "judges", "plain_words", "says_the_same", "short_tag", "without"]


class Answer(StrEnum):
    """What words come to."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"
    NOTHING = "nothing"
    """No word, or only such as one says while one thinks."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One language's words, in lower case and without accents. A text of several words counts as a whole.

    no: of refusal, in any case. rather_no: of refusal, unless the question has that word itself ("shall I cancel ...").
    """

    yes: tuple[str, ...]
    no: tuple[str, ...]
    rather_no: tuple[str, ...]
    courtesy: tuple[str, ...]
    thinking: tuple[str, ...]


LANGUAGES: Mapping[str, Vocabulary] = {
    "en": Vocabulary(
        yes=(
            *("yes", "yeah", "yep", "yup", "sure", "okay", "ok", "correct", "absolutely", "definitely", "certainly"),
            *("of course", "go ahead", "please do", "do it", "do that", "go for it", "that is right", "that's right"),
            *("all right", "alright"),
        ),
        no=(
            *("no", "nope", "nah", "not", "never", "don't", "dont", "do not", "won't", "can't", "cannot", "neither"),
            *("don't do it", "don't do that", "do not do it", "do not do that"),
        ),
        rather_no=("stop", "cancel", "wait", "hold on", "leave it", "forget it", "rather", "abort", "later"),
        courtesy=(
            *("please", "thanks", "thank you", "very much", "i", "do", "it", "that", "this", "you", "can", "could"),
            *("want", "would", "like", "to", "the", "is", "and", "for", "me", "now", "my", "a", "may", "right"),
        ),
        thinking=("uh", "um", "er", "erm", "hm", "hmm", "mm", "ah", "oh", "well", "let me think", "let me see"),
    ),
    "de": Vocabulary(
        yes=(
            *("ja", "jawohl", "jo", "genau", "okay", "ok", "klar", "sicher", "gerne", "gern", "einverstanden"),
            *("richtig", "korrekt", "stimmt", "in ordnung", "alles klar", "auf jeden fall", "machen sie das"),
            *("naturlich", "tun sie das", "mach das", "bitte machen", "selbstverstandlich", "na klar"),
        ),
        no=(
            *("nein", "ne", "nee", "nicht", "nie", "niemals", "kein", "keine", "keinen", "keinesfalls"),
            *("auf keinen fall", "machen sie das nicht", "tun sie das nicht", "mach das nicht"),
        ),
        rather_no=("stopp", "stop", "halt", "warten", "moment", "abbrechen", "lieber", "lassen", "spater", "doch"),
        courtesy=(
            *(
                "bitte",
                "danke",
                "vielen",
                "dank",
                "schon",
                "sie",
                "das",
                "es",
                "ich",
                "mochte",
                "will",
                "und",
                "ist",
                "so",
            ),
            *(
                "mir",
                "fur",
                "mich",
                "der",
                "die",
                "den",
                "dem",
                "ein",
                "eine",
                "konnen",
                "durfen",
                "sehr",
                "gut",
                "tun",
            ),
            *("machen", "jetzt", "mal", "na", "ach"),
        ),
        thinking=("ah", "ahm", "hm", "hmm", "mm", "also", "tja", "ach", "moment mal", "na ja"),
    ),
    "fr": Vocabulary(
        yes=(
            *("oui", "ouais", "d'accord", "bien sur", "certainement", "absolument", "tout a fait", "exactement"),
            *("c'est ca", "allez y", "faites le", "faites", "ok", "okay", "entendu", "c'est bon", "parfait"),
            *("volontiers", "correct"),
        ),
        no=(
            "non",
            "pas",
            "jamais",
            "ne",
            "n'est",
            "aucun",
            "aucune",
            "rien",
            "ni",
            "ne faites pas",
            "ne le faites pas",
        ),
        rather_no=("stop", "arretez", "attendez", "annulez", "plutot", "laissez", "tard", "mais", "si"),
        courtesy=(
            *(
                "s'il vous plait",
                "s'il te plait",
                "merci",
                "beaucoup",
                "je",
                "le",
                "la",
                "les",
                "l",
                "ca",
                "cela",
                "vous",
            ),
            *(
                "pouvez",
                "veux",
                "voudrais",
                "bien",
                "et",
                "c'est",
                "moi",
                "pour",
                "de",
                "du",
                "un",
                "une",
                "maintenant",
            ),
        ),
        thinking=("euh", "heu", "hm", "hmm", "ben", "bah", "ah", "voyons", "alors"),
    ),
    "es": Vocabulary(
        yes=(
            *("si", "claro", "por supuesto", "de acuerdo", "vale", "correcto", "exacto", "adelante", "hagalo", "hazlo"),
            *("asi es", "desde luego", "ok", "okay", "esta bien", "perfecto", "seguro"),
        ),
        no=("no", "nunca", "jamas", "tampoco", "nada", "ni", "ningun", "ninguna", "no lo haga", "no lo hagas"),
        rather_no=("pare", "espere", "espera", "cancele", "cancelar", "deje", "despues", "luego", "mejor", "pero"),
        courtesy=(
            *(
                "por favor",
                "gracias",
                "muchas",
                "senor",
                "senora",
                "yo",
                "lo",
                "la",
                "el",
                "eso",
                "esto",
                "usted",
                "puede",
            ),
            *("quiero", "y", "es", "me", "para", "de", "un", "una", "muy", "bien", "ahora", "que", "se", "a"),
        ),
        thinking=("eh", "em", "hm", "hmm", "mm", "ah", "pues", "bueno", "a ver", "este"),
    ),
}
"""`si` is yes in Spanish and if in French, so that each call is judged by its own language alone."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def judges(language: str) -> bool:
    """Whether there is a yes and a no in a language (a BCP 47 tag)."""
    return short_tag(language) in LANGUAGES


def judge(text: str, question: str, language: str) -> Answer:
    """Return what a caller's words come to, as an answer to a question in a language (a BCP 47 tag)."""
    words = plain_words(text)
    found = LANGUAGES.get(short_tag(language))
    if not words:
        return Answer.NOTHING
    if found is None:
        return Answer.UNCLEAR
    if not without(words, found.thinking):
        return Answer.NOTHING
    asked = set(plain_words(question))
    rather_no = tuple(phrase for phrase in found.rather_no if not set(phrase.split()) <= asked)
    after_no = without(words, (*found.no, *rather_no))
    after_yes = without(after_no, found.yes)
    assents = len(after_yes) < len(after_no)
    if len(after_no) < len(words):
        return Answer.UNCLEAR if assents else Answer.NO
    rest = without(after_yes, (*found.courtesy, *found.thinking))
    return Answer.YES if assents and all(word in asked for word in rest) else Answer.UNCLEAR


def says_the_same(said: str, given: str) -> bool:
    """Whether somebody who was given these words said them, and nothing else: as words, whatever the punctuation."""
    return plain_words(said) == plain_words(given)


def without(words: list[str], phrases: tuple[str, ...]) -> list[str]:
    """Return what is left of some words without these phrases, longest first."""
    left: list[str | None] = list(words)
    for phrase in sorted((phrase.split() for phrase in phrases), key=len, reverse=True):
        for start in range(len(left) - len(phrase) + 1):
            if left[start : start + len(phrase)] == phrase:
                left[start : start + len(phrase)] = [None] * len(phrase)
    return [word for word in left if word is not None]


def plain_words(text: str) -> list[str]:
    """Return the words in lower case, without accents: `Sí, ¡claro!` is `si`, `claro`."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("ß", "ss"))
    bare = "".join(character for character in plain if not unicodedata.combining(character)).replace("’", "'")
    return _WORD.findall(bare)


def short_tag(language: str) -> str:
    """Return the language of a BCP 47 tag, without its region."""
    return language.partition("-")[0].lower()

"""A clear yes, a clear no, or neither: in four languages, and never a yes that was none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.turns.consent import LANGUAGES, Answer, judge, judges, says_the_same

ASKED = {
    "en": "Shall I cancel the order 427?",
    "de": "Soll ich die Bestellung 427 stornieren?",
    "fr": "Dois-je annuler la commande 427 ?",
    "es": "¿Debo cancelar el pedido 427?",
}
YES = {
    "en": [
        "Yes.",
        "yes please",
        "Yeah, sure, go ahead.",
        "Okay.",
        "Yes, cancel the order 427, thank you.",
        "That's right",
    ],
    "de": [
        "Ja.",
        "Ja, bitte.",
        "Jawohl, stornieren Sie die Bestellung.",
        "Genau, in Ordnung",
        "Natürlich!",
        "ja gerne",
    ],
    "fr": ["Oui.", "Oui, s'il vous plaît.", "D'accord.", "Bien sûr, allez-y", "oui oui, la commande 427"],
    "es": ["Sí.", "Sí, por favor.", "Claro que sí.", "De acuerdo, gracias", "sí, cancelar el pedido 427"],
}
NO = {
    "en": ["No.", "No, thank you.", "Don't do that!", "please do not do it", "never", "Wait, stop."],
    "de": ["Nein.", "Nein, danke.", "Auf keinen Fall!", "lieber nicht", "Machen Sie das nicht"],
    "fr": ["Non.", "Non, merci.", "Surtout pas !", "ne le faites pas", "attendez"],
    "es": ["No.", "No, gracias.", "Nunca", "mejor no", "espere"],
}
NEITHER = {
    "en": [
        "What?",
        "yes, but not today",
        "Yes. No, wait.",
        "yes, the order 428",
        "I am not sure",
        "perhaps",
        "thank you",
    ],
    "de": ["Wie bitte?", "ja, aber nicht heute", "ja nein doch", "die Bestellung 428, ja", "bin mir nicht sicher"],
    "fr": ["Comment ?", "oui, mais pas aujourd'hui", "oui, la commande 428", "peut-être", "merci"],
    "es": ["¿Cómo?", "sí, pero no hoy", "sí, el pedido 428", "quizás", "gracias"],
}


def cases(texts: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(language, text) for language, some in texts.items() for text in some]


@pytest.mark.parametrize(("language", "text"), cases(YES))
def test_a_clear_yes(language: str, text: str) -> None:
    assert judge(text, ASKED[language], language) is Answer.YES


@pytest.mark.parametrize(("language", "text"), cases(NO))
def test_a_clear_no(language: str, text: str) -> None:
    assert judge(text, ASKED[language], language) is Answer.NO


@pytest.mark.parametrize(("language", "text"), cases(NEITHER))
def test_neither(language: str, text: str) -> None:
    assert judge(text, ASKED[language], language) in (Answer.UNCLEAR, Answer.NO)


@pytest.mark.parametrize(
    ("language", "text"), [("en", "Um."), ("de", "Ähm, also"), ("fr", "Euh…"), ("es", "pues"), ("en", "")]
)
def test_what_one_says_while_one_thinks_is_no_answer(language: str, text: str) -> None:
    assert judge(text, ASKED[language], language) is Answer.NOTHING


def test_a_language_without_words_has_no_clear_answer() -> None:
    assert not judges("it") and judges("de-AT")
    assert judge("sì", "Devo farlo?", "it") is Answer.UNCLEAR


@given(st.sampled_from(sorted(LANGUAGES)), st.text(max_size=60), st.text(max_size=60))
def test_a_word_of_refusal_anywhere_is_never_a_yes(language: str, before: str, after: str) -> None:
    no, yes = LANGUAGES[language].no[0], LANGUAGES[language].yes[0]
    assert judge(f"{before} {yes} {no} {after}", ASKED[language], language) is not Answer.YES
    assert judge(f"{no} {before}", f"{ASKED[language]} {no}", language) is not Answer.YES


@given(st.sampled_from(sorted(LANGUAGES)), st.from_regex(r"[bcdfgkqxz]{5,9}", fullmatch=True))
def test_a_word_that_is_not_known_and_was_not_asked_is_never_part_of_a_yes(language: str, word: str) -> None:
    yes = LANGUAGES[language].yes[0]
    assert judge(f"{yes} {word}", ASKED[language], language) is Answer.UNCLEAR
    assert judge(f"{yes} {word}", f"{ASKED[language]} {word}", language) is Answer.YES


def test_a_question_is_the_same_as_words_whatever_its_punctuation() -> None:
    assert says_the_same("shall I pay: 40 euros", "Shall I pay 40 euros?")
    assert not says_the_same("Shall I pay 4000 euros?", "Shall I pay 40 euros?")
    assert not says_the_same("Shall I not pay 40 euros?", "Shall I pay 40 euros?")
    assert not says_the_same("Shall I pay 40 euros? Or 50?", "Shall I pay 40 euros?")

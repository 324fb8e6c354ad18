"""What a caller is asked before a tool call runs, in their language, and what an operator reads. Pure.

The words are the tool's, or the agent file's; where neither has any they are made of the summary and all arguments.
An argument is spoken as words that can't be taken for a sentence, since it is the model that wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.define.approval import question_of, spoken
from worker.turns.consent import judges
from worker.turns.events import Question

__all__ = ["question_for", "question_text"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One language's words round what is asked. {what}: the tool and its arguments; {question}: the question."""

    shall: str
    again: str
    """Asked once more, where there was no clear yes or no."""
    keys: str


FRAMES: Mapping[str, Frame] = {
    "en": Frame(
        "Shall I do this: {what}?",
        "I need a clear answer. {question} Please say yes or no.",
        "{question} Press 1 if I shall, or another key if not.",
    ),
    "de": Frame(
        "Soll ich das tun: {what}?",
        "Ich brauche eine klare Antwort. {question} Bitte sagen Sie ja oder nein.",
        "{question} Drücken Sie die 1, wenn ich soll, oder eine andere Taste, wenn nicht.",
    ),
    "fr": Frame(
        "Dois-je faire ceci : {what} ?",
        "Il me faut une réponse claire. {question} Dites oui ou non, s'il vous plaît.",
        "{question} Appuyez sur 1 si je dois le faire, sur une autre touche sinon.",
    ),
    "es": Frame(
        "¿Debo hacer esto: {what}?",
        "Necesito una respuesta clara. {question} Diga sí o no, por favor.",
        "{question} Pulse 1 si debo hacerlo, u otra tecla si no.",
    ),
}


def question_text(template: str, summary: str, arguments: Mapping[str, Any], language: str) -> str:
    """Return the question: by a template with {parameter} places, or (where that is "") of summary and arguments."""
    if template:
        return question_of(template, arguments)
    given = [f"{name.replace('_', ' ')} {spoken(value)}" for name, value in arguments.items() if value is not None]
    return _frame(language).shall.format(what=", ".join([spoken(summary), *given]))


def question_for(text: str, language: str, *, voice: bool) -> Question:
    """Return how a caller is asked. voice: a spoken yes counts, where the language's is known."""
    frame = _frame(language)
    return Question(
        text=text,
        again=frame.again.format(question=text),
        keys=frame.keys.format(question=text),
        language=language,
        voice=voice and judges(language),
    )


def _frame(language: str) -> Frame:
    return FRAMES.get(language.partition("-")[0].lower(), FRAMES["en"])

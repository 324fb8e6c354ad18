"""How a caller is asked to type something, in their language. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tools.define.digits import Digits
from worker.call_tools.key_entry import Why
from worker.turns.events import Question

__all__ = ["entry_question"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One language's words. {what}: the parameter's name in words."""

    ask: str
    end: str
    nothing: str
    short: str
    long: str


FRAMES: Mapping[str, Frame] = {
    "en": Frame(
        "Please type your {what} on the keypad.",
        "Press the hash key at the end.",
        "I did not get any digits.",
        "Those were too few digits.",
        "Those were too many digits.",
    ),
    "de": Frame(
        "Bitte tippen Sie auf den Tasten: {what}.",
        "Drücken Sie am Ende die Rautetaste.",
        "Es sind keine Ziffern angekommen.",
        "Das waren zu wenige Ziffern.",
        "Das waren zu viele Ziffern.",
    ),
    "fr": Frame(
        "Veuillez taper sur le clavier : {what}.",
        "Appuyez sur la touche dièse à la fin.",
        "Je n'ai reçu aucun chiffre.",
        "Il manque des chiffres.",
        "Il y a trop de chiffres.",
    ),
    "es": Frame(
        "Teclee, por favor: {what}.",
        "Pulse la tecla almohadilla al final.",
        "No he recibido ninguna cifra.",
        "Faltan cifras.",
        "Sobran cifras.",
    ),
}


def entry_question(name: str, digits: Digits, language: str, again: Why | None = None) -> Question:
    """Return what the caller is asked for a parameter. again: what was wrong with what they typed before."""
    frame = FRAMES.get(language.partition("-")[0].lower(), FRAMES["en"])
    ask = digits.ask or frame.ask.format(what=name.replace("_", " "))
    wrong = {"nothing": frame.nothing, "short": frame.short, "long": frame.long}[again] if again else ""
    text = " ".join(filter(None, (wrong, ask, frame.end)))
    return Question(text=text, again=text, keys=text, language=language, voice=False, entry=True)

"""The conversation with somebody to whom a call is to be handed on: told who waits, they take it or decline.

It is a call of its own with an agent of its own, made here: its greeting is the briefing, and it has two functions.
By voice the model calls them; the keys 1 and 2 say the same without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.agent.agent import Agent, AgentLimits, AgentTools
from worker.agent.later import AgentLater
from worker.agent.recording import not_asked
from worker.agent.refer import AgentRefer
from worker.call_tools.functions import OwnFunction
from worker.turns.events import StartTool

__all__ = ["BRIEFING", "FUNCTIONS", "KEYS", "Consult", "caller_gone_words", "consult_agent"]

TAKE_CALL, DECLINE_CALL = "take_call", "decline_call"
KEYS: Mapping[str, bool] = {"1": True, "2": False}
"""What a key decides: whether the call is taken."""
SUMMARY = "{summary}"

BRIEFING: Mapping[str, str] = {
    "en": "Hello, I have a caller for you. {summary} Press 1 or say that you take the call; press 2 to decline it.",
    "de": "Guten Tag, ich habe einen Anruf für Sie. {summary} Drücken Sie die 1 oder sagen Sie, dass Sie ihn annehmen;"
    " mit der 2 lehnen Sie ab.",
    "fr": "Bonjour, j'ai un appel pour vous. {summary} Appuyez sur 1 ou dites que vous le prenez ; sur 2 pour refuser.",
    "es": "Hola, tengo una llamada para usted. {summary} Pulse 1 o diga que la acepta; pulse 2 para rechazarla.",
}
"""What is said first, by language; the agent file may have its own."""
AGAIN: Mapping[str, str] = {
    "en": "Are you there? Press 1 to take the call, or 2 to decline it.",
    "de": "Sind Sie da? Drücken Sie die 1, um den Anruf anzunehmen, oder die 2, um abzulehnen.",
    "fr": "Vous êtes là ? Appuyez sur 1 pour prendre l'appel, ou sur 2 pour refuser.",
    "es": "¿Está usted ahí? Pulse 1 para aceptar la llamada, o 2 para rechazarla.",
}
GOODBYE: Mapping[str, str] = {
    "en": "All right. Goodbye.",
    "de": "In Ordnung. Auf Wiederhören.",
    "fr": "Très bien. Au revoir.",
    "es": "De acuerdo. Adiós.",
}
GONE: Mapping[str, str] = {
    "en": "The caller has just hung up. Goodbye.",
    "de": "Der Anrufer hat gerade aufgelegt. Auf Wiederhören.",
    "fr": "L'appelant vient de raccrocher. Au revoir.",
    "es": "La persona acaba de colgar. Adiós.",
}
INSTRUCTIONS = """\
You are on the telephone with a colleague, for whom a caller waits on another line. What is known of the caller stands \
here and is all that you know: {summary}
They are to hear first: "{opening}" Where they spoke over it, say to them what they did not hear.
Answer a question in one short sentence, and invent nothing. As soon as the colleague agrees to take the call, call \
take_call at once and say nothing. If they do not want it or can not take it, call decline_call and say nothing."""
SILENCE_S = 7.0


def _function(name: str, description: str) -> Mapping[str, Any]:
    parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


FUNCTIONS = (
    _function(TAKE_CALL, "The colleague takes the call: they and the caller are connected."),
    _function(DECLINE_CALL, "The colleague does not take the call."),
)
"""What the model has in it."""


@dataclass(frozen=True, slots=True)
class Consult:
    """What becomes of it. decided: gets whether the call is taken; it may be told more than once."""

    decided: Callable[[bool], None]

    @property
    def functions(self) -> Mapping[str, OwnFunction]:
        """The functions by name. What they decide ends the conversation: nobody waits for an output."""
        return {TAKE_CALL: self._take, DECLINE_CALL: self._decline}

    async def _take(self, command: StartTool) -> None:
        self.decided(True)

    async def _decline(self, command: StartTool) -> None:
        self.decided(False)


def consult_agent(agent: Agent, briefing: str | None, summary: str) -> Agent:
    """Return the agent that asks somebody, in the voice and language of the one that hands the call on.

    briefing: the operator's words with {summary} in them; None: ours.
    """
    words = _of(BRIEFING, agent.language) if briefing is None else briefing
    opening = " ".join(words.replace(SUMMARY, _sentence(summary)).split())
    limits = AgentLimits(silence_seconds=SILENCE_S, silence_prompts=(_of(AGAIN, agent.language),) * 3)
    own = {
        "name": f"{agent.name} (transfer)",
        "greeting": opening,
        "goodbye": _of(GOODBYE, agent.language),
        "instructions": INSTRUCTIONS.format(summary=summary or "nothing.", opening=opening),
        "tools": AgentTools(allow=(), end_call=False),
        "limits": limits,
        "later": AgentLater(ways=()),
        "recording": not_asked(agent.recording),
        "transfer": (),
        "refer": AgentRefer(),
        "mcp": (),
    }
    return agent.model_copy(update=own)


def caller_gone_words(language: str) -> str:
    """Return what is said where the caller hangs up meanwhile."""
    return _of(GONE, language)


def _of(words: Mapping[str, str], language: str) -> str:
    return words.get(language.partition("-")[0].lower(), words["en"])


def _sentence(summary: str) -> str:
    """The summary with an end, so that what follows is no part of it."""
    return summary if not summary or summary[-1] in ".!?" else summary + "."

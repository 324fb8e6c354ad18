"""What the demo's caller expects an order desk to say: the grammar of its ears.

It leaves open what the answer is (any order, any status, any day), so that what is understood was really heard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from worker.local.speech import jsgf

__all__ = ["LINES", "PHRASES", "grammar"]

PHRASES = {
    "carrier": ("d h l", "u p s", "d p d"),
    "status": ("shipped", "delivered", "being packed", "waiting for payment", "cancelled", "returned"),
    "day": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "tomorrow", "yesterday"),
}
LINES = (
    "hello this is the order desk how can i help you",
    "order {order:digits:3} is {status}",
    "order {order:digits:3} is {status} with {carrier} and arrives (on|last|next) {day}",
    "order {order:digits:3} is {status} with {carrier} and arrives {day}",
    "order {order:digits:3} is {status} and arrives [on|last|next] {day}",
    "order {order:digits:3} was {status} [on|last|next] {day}",
    "i can not find order {order:digits:3} please check the number",
    "i am still looking for order {order:digits:3}",
    "it is {time:clock}",
    "thank you for calling goodbye",
    "is there anything else",
    "i am sorry i did not understand that please say it again",
    "i am sorry please say that once more",
    "i am sorry i could not look up order {order:digits:3} please try again later",
)

ANSWERS = ("order", "i can not find", "i am sorry i could not")
"""How the lines begin that word a slow tool's result."""


def grammar(fillers: Iterable[str] = ()) -> str:
    """Return the JSGF grammar of the agent's lines and of these fillers.

    An answer that comes while a filler is said follows it without a pause: the caller hears the two as one utterance.
    """
    spoken = dict.fromkeys(" ".join(re.findall(r"[a-z']+", text.lower())) for text in fillers)
    before = f"[({'|'.join(spoken)})] " if spoken else ""
    lines = (before + line if line.startswith(ANSWERS) else line for line in LINES)
    return jsgf([*lines, *spoken], PHRASES)

"""What a text model is told that plays a caller, and what its answers come to. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from worker.eval.plan import Act

__all__ = ["SILENCE", "Persona", "acts_of"]

LONGEST = 400
"""Characters that a caller says at once."""
MOST_KEYS = 32
SILENCE = "(nothing is heard)"
UNCLEAR = "(something that you could not make out)"
TASK = """\
You play a person who makes a phone call. You are never the one who is called, and never say that you are a model.
The person: {who}
Each message is what you heard of the other side; in brackets stands what you did not make out.
Answer with a JSON object alone: {{"say": "your next words, one or two short sentences, numbers as words",
"keys": "keys to press instead, if you are asked to: 0-9 * #", "hang_up": false}}
Leave say empty to wait. When your matter is settled, or hopeless, say goodbye; then hang up with "hang_up": true."""


class Persona:
    """One caller's part in a conversation, as the messages of a chat."""

    def __init__(self, who: str) -> None:
        self._messages: list[tuple[Any, str]] = [("system", TASK.format(who=who))]

    def hears(self, heard: Sequence[str]) -> list[tuple[Any, str]]:
        """Return what the model is asked, after it was heard; "" of what was not understood."""
        words = " ".join(text or UNCLEAR for text in heard) or SILENCE
        self._messages.append(("user", words))
        return list(self._messages)

    def answers(self, answer: Mapping[str, Any]) -> list[Act]:
        """Take the model's answer; returns what the caller does."""
        self._messages.append(("assistant", json.dumps(answer)))
        return acts_of(answer)


def acts_of(answer: Mapping[str, Any]) -> list[Act]:
    """Return what a model's answer comes to, in order; nothing: the caller waits."""
    say, keys = answer.get("say"), answer.get("keys")
    words = " ".join(re.sub(r"[^\w\s.,;:!?'\"%&/()-]", " ", say).split())[:LONGEST] if isinstance(say, str) else ""
    typed = re.sub(r"[^0-9A-D*#]", "", keys)[:MOST_KEYS] if isinstance(keys, str) else ""
    acts = [Act(say=words)] if any(char.isalnum() for char in words) else []
    acts += [Act(keys=typed)] if typed else []
    return acts + ([Act(hang_up=True)] if answer.get("hang_up") is True else [])

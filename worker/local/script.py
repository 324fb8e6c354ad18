"""The brain that follows a dialogue file. Pure: it remembers what was asked, and never blocks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.local.brain import Ask, Call, Plan, Say, exact_words
from worker.local.conversation import Item
from worker.local.dialogue import Answer, CallRule, Dialogue, TurnRule
from worker.local.patterns import plain
from worker.local.words import clock_words, digits_words

__all__ = ["Script", "fill"]

_FIELD = re.compile(r"\{([a-z_][a-z0-9_.]*)(?::([a-z]+))?\}")


def fill(template: str, values: Mapping[str, Any]) -> str | None:
    """Put values into `{field}`, `{field:digits}` (digit by digit), `{field:clock}`; None when one is missing."""
    missing = False

    def one(found: re.Match[str]) -> str:
        nonlocal missing
        value: Any = values
        for name in found[1].split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is None:
            missing = True
            return ""
        text = str(value)
        return digits_words(text) if found[2] == "digits" else clock_words(text) if found[2] == "clock" else text

    text = _FIELD.sub(one, template)
    return None if missing else text


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that the script made: by which rule, with which slots."""

    rule: CallRule
    slots: Mapping[str, str]


class Script:
    """Follows a dialogue; one per session."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._turn_of: dict[str, int] = {}

    def answer(self, ask: Ask) -> Plan:
        """Say what is asked for word by word; else word the results that are new and answer what was said last."""
        exact = exact_words(ask)
        if exact is not None:
            return Plan((Say(exact),))
        if ask.idle:
            return Plan((self._pick("idle", self.dialogue.idle),))
        outputs = [item for item in ask.items if _is_outcome(item) and not item.answered]
        users = [item for item in _since_agent(ask.items) if item.role == "user" and not item.answered]
        if users and self.dialogue.results_alone:
            outputs = []
        said: list[Say | Call] = [self._word(item, ask.items) for item in outputs]
        plan = self._hear(users, ask) if users else Plan()
        if not outputs and not users:
            return Plan((self._nothing_new(ask),))
        if said and all(isinstance(one, Say) for one in plan.output):
            together = " ".join(one.text for one in (*said, *plan.output) if isinstance(one, Say))
            return Plan((Say(together),), (*outputs, *users), plan.close, plan.silent, plan.fail)
        return Plan((*said, *plan.output), (*outputs, *users), plan.close, plan.silent, plan.fail)

    def _pick(self, key: str, texts: Sequence[str], values: Mapping[str, Any] | None = None) -> Say:
        """The next one of the texts that the values fill; each list is gone through in turn."""
        filled = [text for text in (fill(text, values or {}) for text in texts) if text is not None]
        if not filled:
            filled = [re.sub(_FIELD, "", texts[0]).strip()]
        number = self._turn_of.get(key, 0)
        self._turn_of[key] = number + 1
        return Say(filled[number % len(filled)])

    def _nothing_new(self, ask: Ask) -> Say:
        if ask.open_calls:
            return self._pick("pending", self.dialogue.pending)
        if not any(item.role == "assistant" for item in ask.items):
            return self._pick("greeting", self.dialogue.greeting)
        return self._pick("idle", self.dialogue.idle)

    def _hear(self, users: Sequence[Item], ask: Ask) -> Plan:
        texts = [plain(item.text) for item in users]
        # a pause may have cut one sentence in two: what makes no sense alone may make sense together
        for text in dict.fromkeys((texts[-1], " ".join(text for text in texts if text))):
            for number, turn in enumerate(self.dialogue.turns):
                for pattern in turn.hears:
                    slots = pattern.match(text)
                    if slots is not None:
                        return self._follow(turn, number, slots, ask)
        if ask.open_calls:
            return Plan((self._pick("pending", self.dialogue.pending),))
        return Plan((self._pick("not_understood", self.dialogue.not_understood),))

    def _follow(self, turn: TurnRule, number: int, slots: Mapping[str, str], ask: Ask) -> Plan:
        if turn.fault in ("close", "silence", "fail"):
            return Plan(
                close=1011 if turn.fault == "close" else None,
                silent=turn.fault == "silence",
                fail="scripted" if turn.fault == "fail" else None,
            )
        calls = []
        for rule in turn.calls:
            if rule.tool not in ask.tools:
                if rule.optional:
                    continue
                return Plan((self._pick("unable", self.dialogue.unable),))
            calls.append(self._call(rule, slots, broken=turn.fault == "bad_arguments"))
        waiting = {(item.name, item.arguments) for item in ask.open_calls}
        if calls and all((call.name, call.arguments) in waiting for call in calls):
            if turn.pending:
                return Plan((self._pick(f"pending {number}", turn.pending, slots),))
            return Plan((self._pick("pending", self.dialogue.pending),))
        said = [self._pick(f"turn {number}", turn.say, slots)] if turn.say else []
        return Plan((*said, *calls))

    def _call(self, rule: CallRule, slots: Mapping[str, str], *, broken: bool) -> Call:
        filled = {
            name: fill(value, slots) if isinstance(value, str) else value for name, value in rule.arguments.items()
        }
        text = json.dumps({name: value for name, value in filled.items() if value is not None})
        self._asked[rule.tool, text] = _Asked(rule, slots)
        return Call(rule.tool, text[:-1] if broken else text)

    def _word(self, output: Item, items: Sequence[Item]) -> Say:
        """Word a result by the rule of its call; if that has no answers, by the first rule of that function."""
        call: Item | None = output
        if output.kind == "function_call_output":
            calls = (item for item in items if item.kind == "function_call")
            call = next((item for item in calls if item.call_id == output.call_id), None)
        name, arguments = (call.name, call.arguments) if call else ("", "")
        result = _result(output)
        asked = self._asked.get((name, arguments))
        values = {**(asked.slots if asked else {}), **_object(arguments), **result}
        for answer in (asked and asked.rule.answers) or self._answers(name):
            if _fits(answer.when, result) and any(fill(text, values) is not None for text in answer.say):
                return self._pick(f"answer {name} {answer.say[0]}", answer.say, values)
        if result.get("status") == "pending":
            return self._pick("pending", self.dialogue.pending)
        return self._pick("failed", self.dialogue.failed, values)

    def _answers(self, tool: str) -> Sequence[Answer]:
        rules = (rule for turn in self.dialogue.turns for rule in turn.calls if rule.tool == tool and rule.answers)
        rule = next(rules, None)
        return () if rule is None else rule.answers


def _since_agent(items: Sequence[Item]) -> Sequence[Item]:
    """What came after the last thing that the agent said: a history that was replayed is not answered again."""
    calls = ("function_call", "mcp_call", "mcp_approval_request")
    spoken = [place for place, item in enumerate(items) if item.role == "assistant" or item.kind in calls]
    return items[spoken[-1] + 1 :] if spoken else items


def _is_outcome(item: Item) -> bool:
    """Whether an item says what came of a call: an output, an MCP call that has run, one that was declined."""
    declined = item.kind == "mcp_approval_request" and item.approve is False
    return item.kind == "function_call_output" or item.ran or declined


def _result(outcome: Item) -> dict[str, Any]:
    """What came of a call, as an object."""
    if outcome.kind == "mcp_approval_request":
        return {"status": "declined"}
    if outcome.error is not None:
        return {"status": "failed", "error": outcome.error["message"]}
    return _object(outcome.output)


def _object(text: str) -> dict[str, Any]:
    """JSON text as an object: another value stands under "result"."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"result": value}


def _fits(when: Mapping[str, Any], result: Mapping[str, Any]) -> bool:
    for name, wanted in when.items():
        value = result.get(name)
        if wanted == "*":
            if value is None:
                return False
        elif value not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True

"""Sentence patterns: what is heard, as a grammar for the recogniser and as a match for its words. Pure.

    what is the status of [my] order {order:digits:3}
    (i want|i would like) to speak to a human

Plain words stand for themselves, `[...]` may be left out, `(a|b)` is one or the other, `{name:kind}` is a slot. Kinds:
`digits` (1 to 8 of them), `digits:3`, `digits:3-5`, `clock` (a time of day in words), or the name of a list of phrases.
`{name}` alone takes the list of that name. Digits come out as digits: "four two seven" is "427".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.local.words import DIGITS, TEENS, TENS, digits_of

__all__ = ["Pattern", "PatternError", "jsgf", "parse", "plain"]

Phrases = Mapping[str, Sequence[str]]
MOST_DIGITS = 8
_TOKEN = re.compile(r"\s*(\{[^{}]*\}|[\[\]()|]|[a-z0-9'.-]+)")
_DIGIT = f"(?:{'|'.join(DIGITS)})"


class PatternError(ValueError):
    """A pattern that can't be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern, ready to use. rule: its JSGF expansion; kinds: the kind of each slot."""

    source: str
    rule: str
    regex: re.Pattern[str]
    kinds: Mapping[str, str]

    def match(self, words: str) -> dict[str, str] | None:
        """The slots' values if the words fit as a whole, else None."""
        found = self.regex.fullmatch(words)
        if found is None:
            return None
        return {
            name: digits_of(value) if self.kinds[name].startswith("digits") else value
            for name, value in found.groupdict().items()
            if value is not None
        }


def plain(text: str) -> str:
    """A text as a recogniser would write it: lower case, no punctuation."""
    return " ".join(re.sub(r"[^a-z0-9' ]", " ", text.lower().replace("’", "'")).split())


def parse(source: str, phrases: Phrases | None = None) -> Pattern:
    """Read a pattern. Raises PatternError."""
    tokens = _tokens(source.lower())
    reader = _Reader(source, tokens, phrases or {})
    rule, regex = reader.alternatives("")
    if not rule:
        raise PatternError("it is empty")
    return Pattern(source, rule, re.compile(rf"\s*{regex}".replace(r"\s*\s*", r"\s*")), reader.kinds)


def _tokens(source: str) -> list[str]:
    tokens, at = [], 0
    source = source.strip()
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None:
            raise PatternError(f"unexpected {source[at:].strip()[:1]!r}: only lower-case words, [], (|) and {{slots}}")
        tokens.append(found[1])
        at = found.end()
    return tokens


class _Reader:
    """Recursive descent over the tokens; each method returns (JSGF, regular expression)."""

    def __init__(self, source: str, tokens: list[str], phrases: Phrases) -> None:
        self.tokens = tokens
        self.phrases = phrases
        self.kinds: dict[str, str] = {}
        self.at = 0

    def alternatives(self, closing: str) -> tuple[str, str]:
        rules, regexes = [], []
        while True:
            rule, regex = self.sequence()
            rules.append(rule)
            regexes.append(regex)
            token = self.tokens[self.at] if self.at < len(self.tokens) else ""
            self.at += 1
            if token == closing:
                break
            if token != "|":
                raise PatternError(f"{closing or token!r} is missing" if closing else f"unexpected {token!r}")
        if len(rules) > 1 and not all(rules):
            raise PatternError("an alternative is empty: use [...] for what may be left out")
        return (rules[0], regexes[0]) if len(rules) == 1 else (" | ".join(rules), f"(?:{'|'.join(regexes)})")

    def sequence(self) -> tuple[str, str]:
        rules, regex = [], ""
        while self.at < len(self.tokens) and self.tokens[self.at] not in ("|", ")", "]"):
            token = self.tokens[self.at]
            self.at += 1
            if token in ("(", "["):
                rule, inner = self.alternatives(")" if token == "(" else "]")
                rules.append(f"({rule})" if token == "(" else f"[{rule}]")
                regex += inner if token == "(" else f"(?:{inner})?"
            elif token.startswith("{"):
                rule, inner = self.slot(token[1:-1].strip())
                rules.append(rule)
                regex += rf"{inner}(?:\s+|$)"
            else:
                rules.append(token)
                regex += rf"{re.escape(token)}(?:\s+|$)"
        return " ".join(rules), regex

    def slot(self, inside: str) -> tuple[str, str]:
        name, _, kind = (part.strip() for part in inside.partition(":"))
        kind = kind or name
        if not re.fullmatch("[a-z_][a-z0-9_]*", name):
            raise PatternError(f"{name!r} is no name for a slot")
        if name in self.kinds:
            raise PatternError(f"slot {name!r} stands there twice")
        self.kinds[name] = kind
        low_high = re.fullmatch(r"digits(?::(\d+)(?:-(\d+))?)?", kind)
        if low_high:
            low = int(low_high[1] or 1)
            high = int(low_high[2] or low_high[1] or MOST_DIGITS)
            if not 1 <= low <= high <= 20:
                raise PatternError(f"{kind!r}: from 1 to 20 digits")
            rule = " ".join(["<digit>"] * low) + " [<digit>" * (high - low) + "]" * (high - low)
            return rule, rf"(?P<{name}>{_DIGIT}(?:\s+{_DIGIT}){{{low - 1},{high - 1}}})"
        if kind == "clock":
            return "<clock>", rf"(?P<{name}>[a-z]+(?:\s+[a-z]+){{1,3}}?)"
        if kind not in self.phrases:
            known = ", ".join(["digits", "clock", *self.phrases])
            raise PatternError(f"slot {name!r} is of an unknown kind {kind!r} (known: {known})")
        values = [plain(value) for value in self.phrases[kind]]
        return f"({' | '.join(values)})", rf"(?P<{name}>{'|'.join(re.escape(value) for value in values)})"


def jsgf(patterns: Sequence[str | Pattern], phrases: Phrases | None = None) -> str:
    """A JSGF grammar that hears each of the patterns. Raises PatternError."""
    rules = [one.rule if isinstance(one, Pattern) else parse(one, phrases).rule for one in patterns]
    hours = " | ".join((*DIGITS, *TEENS, "twenty", "twenty one", "twenty two", "twenty three"))
    tens = " | ".join(TENS[2:])
    return "\n".join(
        (
            "#JSGF V1.0;",
            "grammar patterns;",
            f"<digit> = {' | '.join(DIGITS)};",
            f"<hour> = {hours};",
            f"<minute> = oh ({' | '.join(DIGITS[1:])}) | {' | '.join(TEENS)} | ({tens}) [{' | '.join(DIGITS[1:])}];",
            "<clock> = <hour> (hundred | <minute>);",
            f"public <sentence> = {' | '.join(f'({rule})' for rule in rules)};",
        )
    )

"""Who has to approve a tool call: the texts, the strictest of several, and arguments as words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import CallFacts, CallToApprove, ToolDefinitionError, tool
from tools.define.approval import (
    APPROVED,
    DECLINED,
    LONGEST_VALUE,
    approvers_of,
    fingerprint,
    question_of,
    spoken,
    strictest,
    words_of,
)

TEXTS = ("never", "caller", "key", "operator", "caller or key", "always", "caller or operator", "decline")


def test_a_policy_is_one_or_several_joined_by_or() -> None:
    assert approvers_of("caller") == {"caller"}
    assert approvers_of("caller or operator") == {"caller", "operator"}
    assert approvers_of("always") == {"caller", "key"}
    assert approvers_of("never") == APPROVED and approvers_of("decline") == DECLINED


@pytest.mark.parametrize("text", ["", "Caller", "caller, key", "callers", "never or caller", "caller or decline"])
def test_what_is_none_says_what_may_stand_there(text: str) -> None:
    with pytest.raises(ValueError, match="never, caller, key, operator"):
        approvers_of(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("never", "caller"),
        ("caller", "key"),
        ("key", "operator"),
        ("operator", "decline"),
        ("caller or key", "caller"),
        ("caller or operator", "key or operator"),
    ],
)
def test_the_second_is_stricter(one: str, other: str) -> None:
    assert strictest([approvers_of(one), approvers_of(other)]) == approvers_of(other)
    assert strictest([approvers_of(other), approvers_of(one)]) == approvers_of(other)


@given(st.lists(st.sampled_from(TEXTS), min_size=1))
def test_the_strictest_is_one_of_them_and_never_approves_where_one_does_not(texts: list[str]) -> None:
    found = strictest(approvers_of(text) for text in texts)
    assert found in [approvers_of(text) for text in texts]
    assert (found == APPROVED) == ({*texts} == {"never"})
    assert (found == DECLINED) == ("decline" in texts)


def test_a_tool_says_who_approves_it_and_what_is_asked() -> None:
    @tool(approval="caller or key", question="Shall I pay {amount} euros?")
    def pay(amount: int) -> int:
        """Pay."""
        return amount

    def rule(call: CallToApprove, facts: CallFacts) -> str:
        return "approve"

    @tool(approval=rule)
    def refund(amount: int) -> int:
        """Pay back."""
        return amount

    spec: Any = pay.__tool__  # type: ignore[attr-defined]
    assert (spec.approval, spec.question) == ("caller or key", "Shall I pay {amount} euros?")
    assert words_of(refund.__tool__.approval) == "rule rule"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"approval": "callers"}, "approval='callers' is wrong: write never, caller, key"),
        ({"approval": 3}, "approval=3 is wrong"),
        ({"approval": "caller", "question": "Pay {sum}?"}, "there is no 'sum'; the tool takes amount"),
        ({"aproval": "caller"}, "there is no option aproval; did you mean approval?"),
    ],
)
def test_a_wrong_one_is_told_where_it_stands(options: dict[str, Any], words: str) -> None:
    def pay(amount: int) -> int:
        """Pay."""
        return amount

    with pytest.raises(ToolDefinitionError, match=words.replace("{", r"\{").replace("?", r"\?")):
        tool(**options)(pay)


def test_the_same_arguments_have_the_same_fingerprint_in_any_order() -> None:
    assert fingerprint("pay", {"a": 1, "b": "x"}) == fingerprint("pay", {"b": "x", "a": 1})
    assert fingerprint("pay", {"a": 1}) != fingerprint("pay", {"a": 2})
    assert fingerprint("pay", {"a": 1}) != fingerprint("refund", {"a": 1})
    assert fingerprint("pay", {"a": 1}) != fingerprint("pay", {"a": "1"})


def test_an_argument_is_spoken_as_words_and_never_as_a_sentence() -> None:
    lie = "Ada? Never mind! Just say yes: it is free. Thanks"
    assert question_of("Shall I pay {payee}?", {"payee": lie}) == (
        "Shall I pay Ada Never mind Just say yes it is free Thanks?"
    )
    assert spoken("3.50") == "3.50" and spoken("a@example.com") == "a@example.com"
    assert spoken({"street": "Main 4", "zip": 12}) == "street Main 4, zip 12"
    assert spoken([1, None, True]) == "1, , True"


@given(st.text(max_size=300))
def test_nothing_that_ends_a_sentence_is_left_of_an_argument(text: str) -> None:
    words = spoken(text)
    assert len(words) <= LONGEST_VALUE
    assert not set(words) & set('?!:;\n\r"{}') and ". " not in words and not words.endswith(".")

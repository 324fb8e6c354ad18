from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest

from tools import Needs, ToolDefinitionError
from tools.define.chain import chain, check
from tools.define.spec import ToolSpec, spec_of
from tools.errors import InvalidArguments


def account(number: str, region: str = "eu") -> dict[str, Any]:
    """Account."""
    return {}


def orders(number: str, owner: Annotated[dict[str, Any], Needs("account")]) -> dict[str, Any]:
    """Orders."""
    return {}


def parcel(
    customer: str,
    last: Annotated[dict[str, Any], Needs("orders", number="customer")],
    owner: Annotated[dict[str, Any], Needs("account", number="customer")],
) -> dict[str, Any]:
    """Parcel."""
    return {}


def typo(customer: str, owner: Annotated[dict[str, Any], Needs("account", nummer="customer")]) -> None:
    """Typo."""


def lacks(customer: str, owner: Annotated[dict[str, Any], Needs("account")]) -> None:
    """Lacks."""


def lost(owner: Annotated[dict[str, Any], Needs("nowhere")]) -> None:
    """Lost."""


def egg(hen: Annotated[dict[str, Any], Needs("hen")]) -> None:
    """Egg."""


def hen(egg: Annotated[dict[str, Any], Needs("egg")]) -> None:
    """Hen."""


SPECS = {f.__name__: spec_of(f) for f in (account, orders, parcel, typo, lacks, lost, egg, hen)}


def test_a_chain_begins_with_what_is_needed_and_has_each_tool_call_once() -> None:
    steps = chain(SPECS["parcel"], {"customer": "7"}, SPECS.get)
    assert [(step.spec.name, dict(step.given)) for step in steps] == [
        ("account", {"number": "7"}),
        ("orders", {"number": "7"}),
        ("parcel", {"customer": "7"}),
    ]
    first, second, last = steps
    assert (first.key, last.key) == ("account-0", "")
    assert second.needs == {"owner": "account-0"}
    assert last.needs == {"last": second.key, "owner": "account-0"}


def test_a_tool_that_needs_nothing_is_a_chain_of_one() -> None:
    [step] = chain(SPECS["account"], {"number": "7"}, SPECS.get)
    assert (step.key, step.needs) == ("", {})


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (typo, "account has no parameter nummer"),
        (lacks, "account wants number, which is no parameter here"),
        (lost, "needs the tool nowhere: load it"),
        (egg, "needs itself: egg -> hen -> egg"),
    ],
)
def test_needs_that_can_not_be_met_are_found_at_the_start(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(ToolDefinitionError, match=words):
        check(SPECS[function.__name__], SPECS.get)


def test_good_needs_pass() -> None:
    check(SPECS["parcel"], SPECS.get)


def test_a_result_of_another_kind_is_refused_without_its_value() -> None:
    with pytest.raises(InvalidArguments) as caught:
        SPECS["orders"].signature.bind_needed("owner", ["sk-live"])
    assert "sk-live" not in str(caught.value) + caught.value.reason


def test_the_longest_chain_has_an_end() -> None:
    def make(number: int) -> ToolSpec:
        def link(last: Annotated[dict[str, Any], Needs(f"link{number - 1}")]) -> None:
            """Link."""

        def end() -> None:
            """End."""

        link.__annotations__["last"] = Annotated[dict[str, Any], Needs(f"link{number - 1}")]
        return spec_of(link if number else end, name=f"link{number}")

    links = {f"link{number}": make(number) for number in range(12)}
    assert len(chain(links["link7"], {}, links.get)) == 8
    with pytest.raises(ToolDefinitionError, match="more than 7"):
        chain(links["link8"], {}, links.get)

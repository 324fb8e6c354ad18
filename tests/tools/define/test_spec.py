from __future__ import annotations

from typing import Any

import pytest

from tools import ToolDefinitionError, ToolSpec, tool
from tools.define.spec import spec_of


def test_a_bare_decorator_takes_name_and_description_from_the_function() -> None:
    @tool
    def opening_hours(day: str) -> str:
        """Say when we are open."""
        return day

    spec: ToolSpec = opening_hours.__tool__  # type: ignore[attr-defined]
    assert opening_hours("Monday") == "Monday"
    assert (spec.name, spec.description, spec.summary) == (
        "opening_hours",
        "Say when we are open.",
        "opening hours",
    )
    assert (spec.mode, spec.timeout_s, spec.filler, spec.effects) == ("auto", 20.0, (), "any")
    assert spec.as_function()["parameters"]["required"] == ["day"]


def test_options_are_kept() -> None:
    @tool(
        name="pay",
        description="Pay.",
        mode="queued",
        timeout=5,
        filler="One moment.",
        grace=0.5,
        on_hangup="finish_and_notify",
        effects="once",
        summary="your payment",
    )
    async def pay_now() -> None: ...

    spec: ToolSpec = pay_now.__tool__  # type: ignore[attr-defined]
    assert spec.name == "pay" and spec.queued and spec.is_async
    assert spec.filler == ("One moment.",) and spec.grace_s == 0.5 and spec.timeout_s == 5.0
    assert (spec.on_hangup, spec.effects, spec.summary) == ("finish_and_notify", "once", "your payment")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "que"}, "mode='que' is wrong: it is one of inline, queued, auto"),
        ({"on_barge_in": "stop"}, "on_barge_in='stop' is wrong: it is one of keep, cancel"),
        ({"on_hangup": "drop"}, "on_hangup='drop' is wrong: it is one of cancel, finish, finish_and_notify"),
        ({"effects": "twice"}, "effects='twice' is wrong"),
        ({"timeout": 0}, "timeout=0 is wrong: give seconds, more than 0"),
        ({"timeout": float("nan")}, "timeout=nan is wrong"),
        ({"grace": -1}, "grace=-1 is wrong"),
        ({"name": "two words"}, "'two words' is no name that a model can call"),
        ({"name": ""}, "'' is no name"),
        ({"timeuot": 5}, "there is no option timeuot; did you mean timeout?"),
        ({"on_hang_up": "cancel"}, "there is no option on_hang_up; did you mean on_hangup?"),
        ({"colour": "red"}, "there is no option colour; the options are: name, description, timeout"),
        ({"timeout_s": 5}, "there is no option timeout_s; did you mean timeout?"),
        ({"timeout": "5"}, "timeout='5' is wrong: give seconds"),
        ({"timeout": True}, "timeout=True is wrong: give seconds"),
        ({"filler": 7}, "filler=7 is wrong: give a text"),
        ({"secrets": [7]}, "secrets=[7] is wrong: give a text"),
        ({"summary": 7}, "summary=7 is wrong: give a text"),
        ({"notify": 7}, "notify=7 is wrong: give a text"),
        ({"name": 7}, "name=7 is wrong: give a text"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(options: dict[str, object], message: str) -> None:
    def found() -> None:
        """Do something."""

    with pytest.raises(ToolDefinitionError) as caught:
        tool(**options)(found)  # type: ignore[call-overload]
    assert message in str(caught.value)
    assert "test_spec" in str(caught.value)


def test_a_tool_without_a_docstring_is_refused() -> None:
    def silent() -> None: ...

    with pytest.raises(ToolDefinitionError, match="has no docstring: say in it what the tool does"):
        tool(silent)


def test_a_class_is_no_tool() -> None:
    with pytest.raises(ToolDefinitionError, match="@tool goes on a function"):
        tool(type("Thing", (), {}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retries": 2}, 'add effects="idempotent"'),
        ({"retries": 2, "effects": "once"}, 'add effects="idempotent"'),
        ({"retries": 11, "effects": "idempotent"}, "a number from 0 to 10"),
        ({"retries": "two", "effects": "idempotent"}, "a number from 0 to 10"),
        ({"cache": 60, "effects": "once"}, "can't come out of a cache"),
        ({"cache": 0}, "cache=0 is wrong"),
        ({"backoff": -1.0}, "backoff=-1.0 is wrong"),
    ],
)
def test_what_may_run_again_or_not_at_all_says_so(options: dict[str, Any], words: str) -> None:
    def charge() -> None:
        """Charge."""

    with pytest.raises(ToolDefinitionError, match=words):
        spec_of(charge, **options)


def test_pauses_double_and_the_version_is_of_what_the_tool_is() -> None:
    def charge() -> None:
        """Charge."""

    found = spec_of(charge, effects="idempotent", retries=8, backoff=1)
    assert found.delays_s == (1, 2, 4, 8, 16, 32, 60, 60)
    assert found.version == spec_of(charge).version
    assert found.version != spec_of(charge, description="Charge more.").version

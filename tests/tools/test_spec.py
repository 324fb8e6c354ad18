from __future__ import annotations

import pytest

from tools import ToolDefinitionError, ToolSpec, tool


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
        ({"on_hangup": "drop"}, "on_hangup='drop' is wrong: it is one of cancel, finish, finish_and_notify"),
        ({"effects": "twice"}, "effects='twice' is wrong"),
        ({"timeout": 0}, "timeout=0 is wrong: give seconds, more than 0"),
        ({"timeout": float("nan")}, "timeout=nan is wrong"),
        ({"grace": -1}, "grace=-1 is wrong"),
        ({"name": "two words"}, "'two words' is no name that a model can call"),
        ({"name": ""}, "'' is no name"),
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

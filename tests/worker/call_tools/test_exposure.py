"""How a session is told of tools, and what its function calls mean."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import tool
from tools.define.spec import ToolSpec
from worker.call_tools.exposure import (
    DESCRIBE_TOOL,
    DISCOVERY,
    LIST_TOOLS,
    REGISTRY,
    RUN_TOOL,
    ToolView,
    tokens_of,
    view_of,
)


@tool
def order_status(order: str) -> str:
    """Look up an order by its number.

    Says where it is.
    """
    return order


@tool
def current_time() -> str:
    """Tell the time."""
    return "noon"


SPECS: tuple[ToolSpec, ...] = (order_status.__tool__, current_time.__tool__)  # type: ignore[attr-defined]


def registry(*specs: ToolSpec, version: int = 1) -> ToolView:
    return view_of(specs or SPECS, "registry", most_tokens=0, version=version)


DIRECT = view_of(SPECS, "direct", most_tokens=0)


def answer(name: str, arguments: Any, view: ToolView | None = None) -> dict[str, Any]:
    text = (view or registry()).answer(name, arguments if isinstance(arguments, str) else json.dumps(arguments))
    assert text is not None
    found: dict[str, Any] = json.loads(text)
    return found


class TestChoice:
    def test_direct_gives_each_tool_as_a_function(self) -> None:
        assert DIRECT.functions == tuple(spec.as_function() for spec in SPECS)
        assert DIRECT.instructions("Be brief.") == "Be brief." and DIRECT.announcement is None

    def test_registry_gives_three_functions_and_their_order(self) -> None:
        assert [one["name"] for one in registry().functions] == [LIST_TOOLS, DESCRIBE_TOOL, RUN_TOOL]
        assert registry().instructions("Be brief.\n") == f"Be brief.\n\n{DISCOVERY}"
        assert registry().instructions("") == DISCOVERY

    def test_a_tool_that_others_answers_name_is_a_function_in_any_case(self) -> None:
        view = view_of(SPECS, "registry", most_tokens=0, apart=frozenset({"current_time"}))
        assert [one["name"] for one in view.functions] == [LIST_TOOLS, DESCRIBE_TOOL, RUN_TOOL, "current_time"]
        assert [one["name"] for one in answer(LIST_TOOLS, {}, view)["tools"]] == ["order_status"]
        assert view.wrap("current_time", "{}") == ("current_time", "{}")

    def test_auto_goes_by_size(self) -> None:
        size = tokens_of(spec.as_function() for spec in SPECS)
        assert 50 < size < 200
        assert not view_of(SPECS, "auto", most_tokens=size).registry
        assert view_of(SPECS, "auto", most_tokens=size - 1).registry

    def test_auto_has_no_catalog_of_nothing(self) -> None:
        assert not view_of((), "auto", most_tokens=0).registry

    @pytest.mark.parametrize("function", REGISTRY, ids=lambda one: str(one["name"]))
    def test_the_functions_have_the_shape_of_tools(self, function: dict[str, Any]) -> None:
        assert set(function) == set(SPECS[0].as_function())
        assert function["parameters"]["additionalProperties"] is False


class TestDiscovery:
    def test_list(self) -> None:
        assert answer(LIST_TOOLS, {}, registry(version=3)) == {
            "version": 3,
            "tools": [
                {"name": "order_status", "description": "Look up an order by its number."},
                {"name": "current_time", "description": "Tell the time."},
            ],
        }

    def test_describe(self) -> None:
        found = answer(DESCRIBE_TOOL, {"name": "order_status"})
        assert found == {
            "name": "order_status",
            "description": "Look up an order by its number.\n\nSays where it is.",
            "parameters": SPECS[0].as_function()["parameters"],
            "version": SPECS[0].version,
        }

    @pytest.mark.parametrize(
        ("arguments", "status", "words"),
        [
            ({"name": "order_stat"}, "unknown_tool", "Did you mean 'order_status'?"),
            ({"name": "zzz"}, "unknown_tool", "The tools are: order_status, current_time."),
            ({}, "invalid", "The field 'name' is missing"),
            ({"nam": "x"}, "invalid", "There is no field 'nam' (did you mean 'name'?)"),
            ("[", "invalid", "not valid JSON"),
            ("[]", "invalid", "JSON object"),
        ],
    )
    @pytest.mark.parametrize("function", [DESCRIBE_TOOL, RUN_TOOL])
    def test_mistakes_are_told_with_what_to_do(self, function: str, arguments: Any, status: str, words: str) -> None:
        found = answer(function, arguments)
        assert found["status"] == status and words in found["error"]

    def test_with_direct_tools_and_for_tools_themselves_there_is_nothing_to_answer(self) -> None:
        assert DIRECT.answer("order_status", "{}") is None
        assert registry().answer("order_status", "{}") is None
        assert registry().answer("end_call", "{}") is None


class TestRun:
    @pytest.mark.parametrize("inner", [{"order": "427"}, '{"order": "427"}'])
    def test_it_is_the_tools_own_call(self, inner: Any) -> None:
        name, arguments = registry().unwrap(RUN_TOOL, json.dumps({"name": "order_status", "arguments": inner}))
        assert (name, json.loads(arguments)) == ("order_status", {"order": "427"})
        assert registry().answer(RUN_TOOL, json.dumps({"name": "order_status", "arguments": inner})) is None

    def test_without_arguments(self) -> None:
        assert registry().unwrap(RUN_TOOL, '{"name":"current_time"}') == ("current_time", "{}")

    def test_what_is_no_run_stays(self) -> None:
        for name in (LIST_TOOLS, "order_status", "end_call"):
            assert registry().unwrap(name, '{"name":"current_time"}') == (name, '{"name":"current_time"}')

    def test_a_function_of_the_call_is_not_to_be_had_this_way(self) -> None:
        arguments = '{"name":"end_call"}'
        assert registry().unwrap(RUN_TOOL, arguments) == (RUN_TOOL, arguments)
        assert answer(RUN_TOOL, arguments)["status"] == "unknown_tool"

    def test_an_old_version_is_not_run(self) -> None:
        current = {"name": "order_status", "arguments": {"order": "1"}, "version": SPECS[0].version}
        assert registry().unwrap(RUN_TOOL, json.dumps(current))[0] == "order_status"
        old = json.dumps({**current, "version": "00000000"})
        assert registry().unwrap(RUN_TOOL, old) == (RUN_TOOL, old)
        assert "Call describe_tool again" in answer(RUN_TOOL, old)["error"]

    def test_a_new_session_is_told_of_it_as_it_was_asked(self) -> None:
        view = registry()
        asked = {"name": "order_status", "arguments": {"order": "427"}}
        name, arguments = view.wrap(*view.unwrap(RUN_TOOL, json.dumps(asked)))
        assert (name, json.loads(arguments)) == (RUN_TOOL, asked)
        assert DIRECT.wrap("order_status", "{}") == ("order_status", "{}")
        assert view.wrap("end_call", "{}") == ("end_call", "{}")

    @given(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
    def test_whatever_a_model_writes_is_run_or_answered_never_both(self, text: str, value: Any) -> None:
        view = registry()
        written = [text, json.dumps(value), json.dumps({"name": value}), json.dumps({"name": "order_status", text: 1})]
        for arguments in (*written, json.dumps({"name": "order_status", "arguments": value})):
            name, _ = view.unwrap(RUN_TOOL, arguments)
            told = view.answer(RUN_TOOL, arguments)
            assert (name == RUN_TOOL) == (told is not None)
            assert told is None or json.loads(told)["error"]


def test_the_model_is_told_of_a_change_that_its_functions_do_not_show() -> None:
    announced = registry(version=4).announcement
    assert announced is not None and "version 4" in announced and "list_tools" in announced


def test_more_tools_than_a_provider_takes_stand_behind_the_registry() -> None:
    spec: ToolSpec = order_status.__tool__  # type: ignore[attr-defined]
    many = [replace(spec, name=f"tool_{number}") for number in range(121)]
    assert not view_of(many[:120], "direct", most_tokens=3000).registry
    assert view_of(many, "direct", most_tokens=3000).functions == REGISTRY

"""A server's tools as tools of ours: names that are legal everywhere, what is left out, what a run means."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.mcp.asking import Ask, Listed
from tools.mcp.naming import function_names
from tools.mcp.server import McpServer
from tools.mcp.specs import offered_by

LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


async def run(server: McpServer, ask: Ask) -> Any:
    raise AssertionError("nothing is run here")


def server(**more: Any) -> McpServer:
    return McpServer.model_validate({"label": "crm", "url": "http://127.0.0.1:1/mcp", **more})


def listed(name: str, schema: Any = None, **hints: bool) -> Listed:
    return Listed(name=name, description="Does it.", schema=schema or {"type": "object"}, **hints)


@given(st.lists(st.text(min_size=1, max_size=100), max_size=8))
def test_names_are_legal_for_every_provider_and_each_stands_once(tools: list[str]) -> None:
    names = function_names("crm", tools)
    assert set(names) == set(tools) and len(set(names.values())) == len(names)
    assert all(LEGAL.fullmatch(name) and name.startswith("crm__") for name in names.values())
    assert function_names("crm", reversed(tools)) == names


def test_what_is_legal_keeps_its_name_and_others_give_way() -> None:
    names = function_names("crm", ["a.b", "a_b", "a b", "find"])
    assert names["find"] == "crm__find" and names["a_b"] == "crm__a_b"
    assert re.fullmatch(r"crm__a_b_[0-9a-f]{8}", names["a.b"]) and names["a.b"] != names["a b"]


def test_effects_come_from_the_agent_file_or_from_the_servers_hints() -> None:
    tools = [listed("look", read_only=True), listed("set", idempotent=True), listed("pay"), listed("send")]
    definition = server(tools={"send": {"effects": "any"}, "set": {"retries": 0, "cache": 5}})
    specs = {spec.name: spec for spec in offered_by(definition, tools, run).specs}
    assert {name: (spec.effects, spec.retries) for name, spec in specs.items()} == {
        "crm__look": ("idempotent", 1),
        "crm__set": ("idempotent", 0),
        "crm__pay": ("once", 0),
        "crm__send": ("any", 0),
    }
    assert specs["crm__set"].cache_s == 5 and specs["crm__look"].mode == "queued"
    distrusted = offered_by(server(trust_annotations=False), tools, run).specs
    assert {spec.effects for spec in distrusted} == {"once"}


def test_the_agent_file_chooses_among_the_tools() -> None:
    tools = [listed("find_order", read_only=True), listed("find_and_pay"), listed("pay")]
    names = [spec.name for spec in offered_by(server(allowed_tools=("find_*",)), tools, run).specs]
    assert names == ["crm__find_order", "crm__find_and_pay"]
    assert [spec.name for spec in offered_by(server(read_only=True), tools, run).specs] == ["crm__find_order"]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "array"}, "does not describe an object"),
        ({"type": "object", "properties": {"a": {"type": "colour"}}}, "is wrong at properties/a/type"),
        ({"type": "object", "properties": {"a": {"$ref": "https://x/y"}}}, "refers to something outside itself"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}, "refers to #/$defs/b, which it hasn't"),
        ({"type": "object", "description": "x" * 40_000}, "has 4"),
        ({"type": "object", "default": float("nan")}, "is no JSON"),
    ],
)
def test_a_tool_with_a_broken_schema_is_left_out_with_a_line_and_the_others_stay(schema: Any, why: str) -> None:
    offered = offered_by(server(), [listed("bad", schema), listed("good")], run)
    assert [spec.name for spec in offered.specs] == ["crm__good"]
    (line,) = offered.left_out
    assert line.startswith(f"'bad': its schema {why}")


def test_one_that_is_nested_for_ever_is_left_out() -> None:
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(60):
        deep = {"type": "object", "properties": {"a": deep}}
    assert offered_by(server(), [listed("deep", deep)], run).left_out == [
        "'deep': its schema is nested deeper than 32 levels"
    ]


def test_five_hundred_tools_and_more_are_bounded() -> None:
    offered = offered_by(server(), [listed(f"t{n}") for n in range(1005)], run)
    assert len(offered.specs) == 1000 and len(offered.left_out) == 5


def test_a_tool_without_a_description_is_called_by_its_name() -> None:
    tool = Listed(name="find_order", description="", schema={})
    (spec,) = offered_by(server(description="The shop's orders"), [tool], run).specs
    assert spec.description == "find order (The shop's orders)" and spec.summary == "find order"
    assert spec.source == "mcp crm:find_order" and spec.remote is not None


def test_what_a_version_stands_for() -> None:
    def version(tool: Listed, **more: Any) -> str:
        (spec,) = offered_by(server(**more), [tool], run).specs
        return spec.version

    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert version(listed("a")) == version(listed("a"))
    assert version(listed("a")) != version(listed("a", schema))

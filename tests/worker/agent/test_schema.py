"""The schema for editors: up to date, a schema, and of one mind with what reads agent files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from worker.agent.agent_file import DEFAULT_AGENT, AgentFileError, parse_agent_file
from worker.agent.schema import agent_schema, schema_text

FILE = DEFAULT_AGENT.with_name("agent.schema.json")


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    return Draft7Validator(agent_schema())


def refused(text: str) -> bool:
    try:
        parse_agent_file(tomllib.loads(text), Path("agent.toml"))
    except AgentFileError:
        return True
    return False


def test_the_file_is_what_is_made_today() -> None:
    assert FILE.read_text() == schema_text(), "uv run offhook agent schema >worker/agent/agent.schema.json"


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(agent_schema())


def test_the_shipped_agent_fits_it_and_names_it(validator: Draft7Validator) -> None:
    text = DEFAULT_AGENT.read_text()
    validator.validate(tomllib.loads(text))
    assert text.startswith(f"#:schema ./{FILE.name}\n")


def test_the_examples_fit_it(validator: Draft7Validator) -> None:
    examples = sorted((Path(__file__).parents[3] / "tools" / "examples").glob("*/agent.toml"))
    assert examples
    for path in examples:
        validator.validate(tomllib.loads(path.read_text()))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('greting = "Hello"', True),
        ("greeting = 3", True),
        ('[tools]\nexposure = "all"', True),
        ("[limits]\nmax_call_seconds = 0", True),
        ("[fillers]\ngrace_ms = -1", True),
        ('language = "English please"', True),
        ('[[route]]\ngreeting = "Hello"', True),
        ('[[route]]\ndialled = "1"\ngreting = "Hello"', True),
        ("route = 3", True),
        ('[[route]]\ndialled = "1"\n[route.tools]\nallow = "all"', True),
        ('[[route]]\ndialled = "1"\ngreeting = "Hello"\n[route.tools]\nallow = ["a*"]', False),
        ('[[route]]\ncaller = "+49*"', False),
        ('[tools]\nmodules = ["shop.py"]\n[tools.max_runs_of]\npay = 1', False),
        ("[provider.audio.input]\nanything = true", False),
        ("", False),
    ],
)
def test_an_editor_and_the_worker_say_the_same(validator: Draft7Validator, text: str, wrong: bool) -> None:
    assert refused(text) is wrong
    assert validator.is_valid(tomllib.loads(text)) is not wrong


def test_every_key_has_a_word_about_it() -> None:
    def bare(where: str, schema: dict[str, Any]) -> list[str]:
        return [
            f"{where}.{name}"
            for name, key in schema.get("properties", {}).items()
            if not key.get("description") and "$ref" not in key
        ]

    schema = agent_schema()
    found = bare("agent", schema)
    for name, definition in schema["definitions"].items():
        found += bare(name, definition)
    assert found == []

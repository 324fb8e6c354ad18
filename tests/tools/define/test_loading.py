from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tools import ToolDefinitionError
from tools.define.loading import load_tools

TOOLS = '''
from tools import tool
from tools.builtin.clock import current_time

@tool
def refund(order: str) -> str:
    """Refund an order."""
    return order

@tool
def greet() -> str:
    """Greet."""
    return "hello"

def helper() -> None: ...
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop_tools.py"
    path.write_text(TOOLS)
    return path


def test_a_package_gives_the_tools_of_its_modules() -> None:
    assert [spec.name for spec in load_tools(["tools.builtin"])] == ["current_time", "order_status"]


def test_a_module_and_one_function_of_it() -> None:
    assert [spec.name for spec in load_tools(["tools.builtin.clock"])] == ["current_time"]
    assert [spec.name for spec in load_tools(["tools.builtin.orders:order_status"])] == ["order_status"]


def test_a_file_gives_what_it_defines_and_not_what_it_imports(file: Path) -> None:
    assert [spec.name for spec in load_tools([str(file)])] == ["refund", "greet"]
    assert [spec.name for spec in load_tools([f"{file}:greet"])] == ["greet"]


def test_the_same_tool_twice_is_one_tool(file: Path) -> None:
    assert len(load_tools([str(file), f"{file}:greet", "tools.builtin", "tools.builtin.clock"])) == 4


def test_what_is_wrong_in_a_file_is_told_with_the_file_s_path(file: Path) -> None:
    assert {spec.source for spec in load_tools([str(file)])} == {f"{file}:refund", f"{file}:greet"}
    with pytest.raises(ToolDefinitionError, match=rf"no refnud in {re.escape(str(file))}; did you mean refund"):
        load_tools([f"{file}:refnud"])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("@tool\ndef pay(): ...", "it has no docstring"),
        ('@tool\ndef pay(order):\n    """Pay."""', "order has no type"),
        ('@tool(retries=2)\ndef pay():\n    """Pay."""', "would run it again"),
    ],
)
def test_a_wrong_tool_is_told_with_its_file_s_path(file: Path, wrong: str, words: str) -> None:
    file.write_text(f"from tools import tool\n\n{wrong}\n")
    with pytest.raises(ToolDefinitionError, match=rf"^tool {re.escape(str(file))}:pay: .*{words}"):
        load_tools([str(file)])


def test_two_tools_of_one_name_name_both(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "more.py"
    other.write_text(TOOLS.split("def helper")[0])
    with pytest.raises(ToolDefinitionError, match=r"two tools are called refund: .*shop_tools.*:refund and .*more"):
        load_tools([str(file), str(other)])


def refused(reference: str) -> str:
    with pytest.raises(ToolDefinitionError) as caught:
        load_tools([reference])
    assert repr(reference) in str(caught.value) or reference.rpartition("/")[2] in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_loaded_says_how_to_mend_it(file: Path, tmp_path: Path) -> None:
    assert "there is no module nowhere: install it, or give a file's path" in refused("nowhere.tools")
    assert "there is no module tools.nowhere" in refused("tools.nowhere")
    assert "there is no file" in refused(str(tmp_path / "none.py"))
    assert "this is no reference to tools" in refused("not a module")
    assert "did you mean refund?" in refused(f"{file}:refnud")
    assert "helper is no tool: put @tool" in refused(f"{file}:helper")
    assert "there is no tool in it: put @tool" in refused("json")


def test_a_module_beside_one_is_hinted_at(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(file.parent))])
    assert "give the file's path, ./shop_tools.py" in refused("shop_tools")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import nowhere_at_all",
            "importing it raised ModuleNotFoundError: No module named 'nowhere_at_all'",
        ),
        ("def broken(:", "importing it raised SyntaxError"),
        ("raise SystemExit(3)", "importing it raised SystemExit: 3"),
        ("from tools import tool\n@tool\ndef f(x) -> None:\n    'Do.'", "x has no type: annotate it"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ToolDefinitionError) as caught:
        load_tools([str(path)])
    assert message in str(caught.value)

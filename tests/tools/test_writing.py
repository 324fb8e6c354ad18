"""The page for authors, tried: its code is loaded and run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tools import ToolSpec
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.testing import run_tool
from tools.tool_call.request import ToolRequest

PAGE = Path(__file__).parents[2] / "tools" / "WRITING.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_page_shows_a_tool_in_twenty_lines() -> None:
    assert len(BLOCKS) == 6
    assert len(BLOCKS[0].strip().splitlines()) <= 20


PAID = BLOCKS[4].replace("charge(order, card.get_secret_value())", "assert card.get_secret_value() == CARD")
CARD = "4111111111111111"


@pytest.fixture
def shop(tmp_path: Path) -> list[ToolSpec]:
    path = tmp_path / "shop.py"
    path.write_text("\n\n".join([BLOCKS[0], BLOCKS[3], PAID, BLOCKS[5] + "    return {'key': key}\n"]), "utf-8")
    return load_tools([str(path)])


@pytest.mark.parametrize("block", [1, 2])
def test_its_tests_pass(shop: list[ToolSpec], block: int) -> None:
    tests: dict[str, Any] = {"order_status": shop[0].function}
    exec(compile(BLOCKS[block], str(PAGE), "exec"), tests)
    found = [value for name, value in tests.items() if name.startswith("test_")]
    assert len(found) == 2
    for test in found:
        test()


async def test_its_chain_and_its_secret_work(shop: list[ToolSpec]) -> None:
    catalog = Catalog(shop, inline=InlineRunner(), secrets={"SHOP_KEY": "k"})

    async def run(name: str) -> str:
        request = ToolRequest(call_id="c", tool_call_id=name, name=name, arguments='{"order": "427"}')
        return (await catalog.run(request)).output

    assert await run("arrival") == '{"arrives":"Thursday"}'
    assert await run("refund") == '{"key":"k"}'


def test_what_the_caller_types_reaches_it(shop: list[ToolSpec]) -> None:
    pay = next(spec for spec in shop if spec.name == "pay").function
    pay.__globals__["CARD"] = CARD
    assert run_tool(pay, {"order": "427"}, typed={"card": CARD}).value == {
        "entered": {"card": "entered"},
        "order": "427",
        "paid": True,
    }

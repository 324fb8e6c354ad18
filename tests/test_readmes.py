"""The tables of rooms are right: each package's README names every module in it, and every linked file is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = sorted(path for package in ("worker", "telephony", "tools") for path in (ROOT / package).rglob("README.md"))


def rooms(package: Path) -> set[str]:
    return {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_every_room_is_in_the_table_of_its_package(readme: Path) -> None:
    lines = [line for line in readme.read_text("utf-8").splitlines() if line.startswith("|")]
    named = {name for line in lines for quoted in re.findall(r"`([^`]+)`", line) for name in re.findall(r"\w+", quoted)}
    assert rooms(readme.parent) - named == set()


@pytest.mark.parametrize("readme", [ROOT / "README.md", *READMES], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_readme_links_to_is_there(readme: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", readme.read_text("utf-8"))
    assert [link for link in links if not (readme.parent / link).exists()] == []


def test_every_package_of_rooms_has_a_readme() -> None:
    packages = {path.parent for package in ("worker", "telephony") for path in (ROOT / package).rglob("__init__.py")}
    bare = [
        str(path.relative_to(ROOT)) for path in packages if len(rooms(path)) > 3 and not (path / "README.md").exists()
    ]
    assert bare == []

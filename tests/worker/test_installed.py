"""Remedies that work where offhook is installed: a clone has groups of packages, a wheel has extras."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from worker import installed

ROOT = Path(__file__).parents[2]


class Wheel:
    """An installed distribution's own files."""

    def __init__(self, **files: str) -> None:
        self._files = files

    def read_text(self, name: str) -> str | None:
        return self._files.get(name.partition(".")[0])


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"INSTALLER": "pip\n"}, "pip install 'offhook[embedded]'"),
        ({"INSTALLER": "uv"}, "uv pip install 'offhook[embedded]'"),
        ({}, "pip install 'offhook[embedded]'"),
        (
            {"INSTALLER": "pip", "direct_url": '{"url": "file:///a/offhook-1-py3-none-any.whl", "archive_info": {}}'},
            "pip install 'offhook[embedded] @ file:///a/offhook-1-py3-none-any.whl'",
        ),
        ({"INSTALLER": "pip", "direct_url": "["}, "pip install 'offhook[embedded]'"),
    ],
)
def test_an_installed_wheel_takes_extras(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], command: str
) -> None:
    monkeypatch.setattr(installed, "CLONE", tmp_path)
    monkeypatch.setattr(installed, "distribution", lambda name: Wheel(**files))
    assert installed.remedy("embedded") == command


def test_a_clone_takes_groups() -> None:
    assert installed.remedy("dashboard") == "uv sync --group dashboard"


def test_each_extra_is_a_group_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    assert {"embedded", "dashboard"} <= set(extras)
    for name in ("embedded", "dashboard"):
        assert project["dependency-groups"][name] == [f"offhook[{name}]"]

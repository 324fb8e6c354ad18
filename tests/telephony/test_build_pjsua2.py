"""docker/build-pjsua2: what it refuses, before it takes minutes. The build itself is run by whoever needs a wheel."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "build-pjsua2"


def run(tmp_path: Path, *arguments: str, path: str | None = None) -> str:
    """Run the script, which must fail; returns what it says."""
    env = {"PATH": path} if path else None
    command = [
        sys.executable,
        str(SCRIPT),
        *arguments,
        "--work",
        str(tmp_path / "work"),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, env=env)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


@pytest.fixture
def tools(tmp_path: Path) -> None:
    """Skip where the script would stop at missing packages."""
    said = run(tmp_path, str(tmp_path))
    if "packages are missing" in said or "Python.h is missing" in said:
        pytest.skip("the build's Debian packages are not installed")


def test_no_source(tmp_path: Path) -> None:
    assert "does not exist" in run(tmp_path, str(tmp_path / "none"))


def test_missing_packages_are_named(tmp_path: Path) -> None:
    said = run(tmp_path, str(tmp_path), path=str(tmp_path))
    assert "mend: apt-get install -y build-essential swig binutils" in said or "Python.h is missing" in said


def test_a_wrong_checksum(tmp_path: Path, tools: None) -> None:
    archive = tmp_path / "pjproject.tar.gz"
    with tarfile.open(archive, "w:gz"):
        pass
    said = run(tmp_path, str(archive), "--sha256", "0" * 64)
    assert "WRONG CHECKSUM" in said and "nothing was built" in said


def test_something_else(tmp_path: Path, tools: None) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert "is no pjproject source tree" in run(tmp_path, str(other))
    archive = tmp_path / "other.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        made.add(other, "other")
    assert "is no pjproject source tree" in run(tmp_path, str(archive))

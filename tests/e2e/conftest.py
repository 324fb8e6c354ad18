"""End-to-end scenes: real processes, real SIP and RTP on loopback. The parts they are built of are in parts/."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # for `parts`, which is no installed package

from parts.caller import Call, Phone
from parts.front import INNER, PASSWORD, Front
from parts.program import OFFHOOK, Program, environment, run, until
from parts.provider import Provider, Session
from parts.services import OwnDesk, RedisServer, ToolWorker, Worker
from parts.wire import Rtp, Sipp

SHOP = Path(__file__).parent / "parts" / "shop.py"
WORKSHOP = SHOP.with_name("workshop.py")
SHOP_KEY = "quite-a-plain-word"
"""A secret that doesn't look like one."""

Talk = tuple[Call, Session, str]

SCRIPTED_AGENT = """
goodbye = "Goodbye, and thank you."
instructions = "Be brief."
[tools]
modules = ["{shop}"]
[outbound]
screen = false
[[route]]
dialled = "patient"
interruption = "reversible"
"""
"""The callers of its scenes are tones, which are no people. No greeting: a scene begins in silence."""

WORKSHOP_AGENT = """
goodbye = "Goodbye, and thank you."
[tools]
modules = ["{workshop}"]
exposure = "direct"
"""

SPOKEN_AGENT = """
greeting = "Hello, this is the order desk. How can I help you?"
instructions = "You are the order desk."
[tools]
modules = ["{shop}", "tools.builtin.clock"]
[fillers]
voice = "en-us"
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These take their time on a loaded machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(150))


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder with a short path: that of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def own_folder(folder: Path) -> Path:
    """A module's own, new each time: its scenes may be set up twice, where tests move from process to process."""
    return Path(tempfile.mkdtemp(dir=folder))


@pytest.fixture(scope="session")
def scripted_agent(folder: Path) -> Path:
    path = folder / "scripted.toml"
    path.write_text(SCRIPTED_AGENT.format(shop=SHOP))
    return path


@pytest.fixture(scope="session")
def spoken_agent(folder: Path) -> Path:
    path = folder / "spoken.toml"
    path.write_text(SPOKEN_AGENT.format(shop=SHOP))
    return path


@pytest.fixture(scope="session")
def redis(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def tool_worker(redis: RedisServer, scripted_agent: Path, folder: Path) -> Iterator[ToolWorker]:
    worker = ToolWorker(redis.url, scripted_agent, folder).ready()
    yield worker
    worker.stop()


@pytest.fixture(scope="session")
def provider_server() -> Iterator[Provider]:
    server = Provider().start()
    yield server
    server.stop()


@pytest.fixture
def provider(provider_server: Provider) -> Iterator[Provider]:
    """The realtime service that the test plays."""
    provider_server.forget()
    yield provider_server
    provider_server.forget()


@pytest.fixture(scope="session")
def desk_worker(
    redis: RedisServer, tool_worker: ToolWorker, provider_server: Provider, scripted_agent: Path, folder: Path
) -> Iterator[Worker]:
    worker = Worker(
        folder / "desk",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=scripted_agent,
        **provider_server.settings,
        OFFHOOK_MAX_CALLS=4,
        SHOP_FOLDER=folder,
    ).ready()
    yield worker
    assert worker.alive, worker.text()
    assert worker.stop() == 0, worker.text()


@pytest.fixture
def desk(desk_worker: Worker, provider: Provider) -> Worker:
    """A worker whose provider the test plays, shared by all scenes that do it no harm."""
    assert desk_worker.alive, desk_worker.text()
    desk_worker.forget_calls()
    return desk_worker


@pytest.fixture
def start_desk(provider: Provider, scripted_agent: Path) -> Iterator[Callable[..., OwnDesk]]:
    """Start a worker, a tool worker and a Redis of the scene's own, to be killed."""
    started: list[OwnDesk] = []
    with tempfile.TemporaryDirectory(prefix="e2e-") as folder:

        def start(**settings: Any) -> OwnDesk:
            started.append(OwnDesk(Path(folder), scripted_agent, provider.url, **settings))
            return started[-1]

        yield start
        for one in started:
            one.stop()


@pytest.fixture
def own_desk(start_desk: Callable[..., OwnDesk]) -> OwnDesk:
    return start_desk()


@pytest.fixture(scope="session")
def workshop_desk(provider_server: Provider, folder: Path) -> Iterator[OwnDesk]:
    (own := folder / "ws").mkdir()
    agent = own / "agent.toml"
    agent.write_text(WORKSHOP_AGENT.format(workshop=WORKSHOP))
    desk = OwnDesk(own, agent, provider_server.url, secrets={"SHOP_KEY": SHOP_KEY})
    desk.start_tool_worker()
    yield desk
    assert desk.worker.alive and all(one.alive for one in desk.tool_workers), desk.worker.text()
    assert desk.stop() == 0, desk.worker.text()


@pytest.fixture
def workshop(workshop_desk: OwnDesk, provider: Provider) -> OwnDesk:
    """A worker with the tools of parts/workshop.py and two tool workers, shared; the test plays the provider."""
    workshop_desk.worker.forget_calls()
    return workshop_desk


@pytest.fixture
def shop_key() -> str:
    """The secret of the workshop's tools."""
    return SHOP_KEY


@pytest.fixture
def dial_workshop(
    dial: Callable[[str], Call], workshop: OwnDesk, provider: Provider
) -> Callable[[], tuple[Call, Session, str]]:
    """Call the workshop: the caller's side, the provider's side, the worker's call id."""

    def start() -> tuple[Call, Session, str]:
        call = dial(workshop.worker.uri)
        return call, provider.session(), workshop.worker.next_call()

    return start


@pytest.fixture(scope="session", params=["openai", "gemini"])
def spoken_worker(request: pytest.FixtureRequest, spoken_agent: Path, folder: Path) -> Iterator[Worker]:
    """Whatever it speaks with its local realtime server, its callers must not hear a difference."""
    own = {"OFFHOOK_AGENT": spoken_agent, "SHOP_FOLDER": folder, "OFFHOOK_REALTIME_PROTOCOL": request.param}
    worker = Worker(folder / f"spoken-{request.param}", **own).ready()
    yield worker
    assert worker.alive, worker.text()
    assert worker.stop() == 0, worker.text()


@pytest.fixture
def spoken(spoken_worker: Worker) -> Worker:
    """A worker with nothing configured but its agent: one can talk to it."""
    spoken_worker.forget_calls()
    return spoken_worker


@pytest.fixture(scope="session")
def phone_process(folder: Path) -> Iterator[Phone]:
    phone = Phone(folder).ready()
    yield phone
    phone.stop()


@pytest.fixture
def dial(phone_process: Phone) -> Iterator[Callable[[str], Call]]:
    """Call from the telephone, and wait for the answer; what is left at the end is hung up."""
    calls: list[Call] = []

    def start(uri: str) -> Call:
        calls.append(phone_process.dial(uri))
        return calls[-1]

    yield start
    for call in calls:
        call.hang_up()


@pytest.fixture
def dial_desk(dial: Callable[[str], Call], desk: Worker, provider: Provider) -> Callable[[], tuple[Call, Session, str]]:
    """Call the desk: the caller's side, the provider's side, the worker's call id."""

    def start() -> tuple[Call, Session, str]:
        call = dial(desk.uri)
        return call, provider.session(), desk.next_call()

    return start


@pytest.fixture
def sipp(tmp_path: Path) -> Iterator[Callable[..., Sipp]]:
    """Start sipp scenes; skips where sipp isn't installed."""
    runs: list[Sipp] = []

    def start(scene: str, target: str = "", *options: str, **keys: Any) -> Sipp:
        runs.append(Sipp(scene, target, tmp_path, *options, **keys))
        return runs[-1]

    yield start
    for one in runs:
        one.stop()


@pytest.fixture
def rtp() -> Iterator[Callable[[], Rtp]]:
    """Open RTP sockets."""
    opened: list[Rtp] = []

    def start() -> Rtp:
        opened.append(Rtp())
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def offhook() -> Callable[..., tuple[int, str, str]]:
    """Run `offhook WORDS` to its end."""
    return run


@pytest.fixture
def our_desk(shared_desk: OwnDesk, provider: Provider) -> OwnDesk:
    """The desk that a module shares among its scenes."""
    shared_desk.worker.forget_calls()
    return shared_desk


@pytest.fixture
def call_up(our_desk: OwnDesk, provider: Provider, dial: Callable[[str], Call]) -> Callable[[], Talk]:
    """Call it; returns the call, its session and its id."""

    def start() -> Talk:
        call = dial(our_desk.worker.uri)
        return call, provider.session(), our_desk.worker.next_call()

    return start


@pytest.fixture(scope="module")
def front(own_folder: Path) -> Iterator[Front]:
    front = Front(own_folder)
    yield front
    front.stop()


@pytest.fixture
def start_behind(
    front: Front, redis: RedisServer, provider: Provider, scripted_agent: Path, tmp_path: Path
) -> Iterator[Callable[..., Worker]]:
    """Start a worker behind the front, at an address of its own."""
    workers: list[Worker] = []

    def one(**settings: Any) -> Worker:
        own = {
            "REDIS_URL": redis.url,
            "OFFHOOK_AGENT": scripted_agent,
            **provider.settings,
            "SHOP_FOLDER": tmp_path,
            **settings,
        }
        workers.append(front.worker(tmp_path / "calls", f"127.0.2.{len(workers) + 1}", **own))
        return workers[-1]

    yield one
    for worker in workers:
        worker.kill()
    until(lambda: not any(flags.startswith("A") for flags, _ in front.destinations().values()), "nobody in rotation")


@pytest.fixture
def pair(front: Front, start_behind: Callable[..., Worker]) -> tuple[Worker, Worker]:
    """Two workers in rotation."""
    one, other = start_behind(), start_behind()
    one.ready(), other.ready()
    front.in_rotation(2)
    return one, other


@pytest.fixture
def dial_out(redis: RedisServer, provider: Provider, scripted_agent: Path) -> Iterator[Callable[..., Program]]:
    """`offhook dial`, through a front."""
    programs: list[Program] = []

    def dial(front: Front, number: str) -> Program:
        settings = {
            "REDIS_URL": redis.url,
            "OFFHOOK_AGENT": scripted_agent,
            **provider.settings,
            "OFFHOOK_SIP_HOST": "127.0.2.1",
            "OFFHOOK_SIP_PORT": 0,
            "OFFHOOK_RTP_PORTS": "0-0",
            "OFFHOOK_HTTP": "off",
            "OFFHOOK_DRAIN_SECONDS": 0,
            "OFFHOOK_SIP_PROXY": f"sip:{INNER}:{front.inner_port};transport=tcp",
            "OFFHOOK_SIP_PROXY_PASSWORD": PASSWORD,
        }
        uri = f"sip:{number}@{INNER}:{front.inner_port}"
        programs.append(Program([*OFFHOOK, "dial", uri], environment(**settings)))
        return programs[-1]

    yield dial
    for program in programs:
        program.kill()

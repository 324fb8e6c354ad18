"""What callers notice of a front whose parts die: a worker, the proxy, the media relay."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call, Phone
from parts.front import INNER, Front, heard_both_ways, owner, takes
from parts.program import ROOT, Program, environment, until
from parts.provider import Opening, Provider
from parts.services import RedisServer, Worker

from tests.ports import free_port, free_udp_port
from worker.embedded.services import redis_program


def test_a_worker_that_dies_is_out_its_caller_hears_bye_and_the_next_one_is_answered(
    front: Front, pair: tuple[Worker, Worker], dial: Callable[[str], Call]
) -> None:
    dead_call = dial(front.uri)
    dead, other = owner(*pair)
    dead.kill()
    front.in_rotation(1)
    call = dial(front.uri)
    assert takes(other) == [1]
    assert dead_call.ended()["status"] == 200  # BYE, from the proxy
    assert call.up


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Front]:
    """A front that by itself waits longer for workers than any scene does."""
    front = Front(tmp_path, PROXY_ANSWER_MS=120000, PROXY_GONE_SECONDS=300)
    yield front
    front.stop()


@pytest.fixture
def start_at(
    patient: Front, redis: RedisServer, provider: Provider, scripted_agent: Path, tmp_path: Path
) -> Iterator[Callable[..., Worker]]:
    """Start a worker behind it, at that address."""
    workers: list[Worker] = []
    own = {"OFFHOOK_AGENT": scripted_agent, **provider.settings}

    def start(host: str, **settings: Any) -> Worker:
        all_of_it = {**own, "REDIS_URL": redis.url, "SHOP_FOLDER": tmp_path, **settings}
        workers.append(patient.worker(tmp_path / "calls", host, **all_of_it))
        return workers[-1].ready()

    yield start
    for worker in workers:
        worker.kill()


def test_a_call_that_a_dying_worker_has_not_answered_is_answered_by_another(
    patient: Front, start_at: Callable[..., Worker], provider: Provider, phone_process: Phone
) -> None:
    """As soon as its connection is lost: no timer of the proxy's has run out."""
    provider.always = Opening(silent=True)  # so that it rings
    pair = [start_at(f"127.0.4.{number}", OFFHOOK_ANSWER_SECONDS=30) for number in (1, 2)]
    patient.in_rotation(2)
    call = Call(phone_process, str(phone_process.do("invite", uri=patient.uri)))
    phone_process.event("CallProgress", call_id=call.call_id, status=180)
    dying, other = owner(*pair)
    provider.always = None
    dying.kill()
    phone_process.event("MediaActive", call_id=call.call_id)
    assert takes(other) == [1]
    heard_both_ways(call, provider)
    call.hang_up()
    until(lambda: not any(count for _, count in patient.destinations().values()), "no call is counted")


def test_the_next_process_at_a_dead_workers_address_ends_its_calls(
    patient: Front, start_at: Callable[..., Worker], provider: Provider, dial: Callable[[str], Call]
) -> None:
    """As a supervisor starts it again; nobody waits for the proxy to give the worker up."""
    place = {"host": "127.0.4.3", "OFFHOOK_SIP_PORT": free_udp_port("127.0.4.3")}
    dead = start_at(**place)
    patient.in_rotation(1)
    dead_call = dial(patient.uri)
    dead.kill()
    patient.in_rotation(0)
    successor = start_at(**place)
    patient.in_rotation(1)
    assert dead_call.ended()["status"] == 200
    assert [count for _, count in patient.destinations().values()] == [0]
    call = dial(patient.uri)
    assert takes(successor) == [1]
    heard_both_ways(call, provider)


def test_a_worker_that_hangs_is_out_and_comes_back(front: Front, pair: tuple[Worker, Worker]) -> None:
    pair[0].signal(signal.SIGSTOP)
    front.in_rotation(1)
    pair[0].signal(signal.SIGCONT)
    front.in_rotation(2)


def test_calls_go_on_over_a_restart_of_the_proxy_and_workers_are_back(
    front: Front, pair: tuple[Worker, Worker], provider: Provider, dial: Callable[[str], Call]
) -> None:
    call = dial(front.uri)
    has, _ = owner(*pair)
    assert front.proxy is not None
    front.proxy.kill()
    front.start_proxy()
    front.in_rotation(2)
    heard_both_ways(call, provider)
    call.hang_up()
    until(lambda: takes(has) == [0], "the worker heard the caller's BYE")


def test_a_restarted_proxy_counts_the_calls_that_are_up(
    front: Front, pair: tuple[Worker, Worker], dial: Callable[[str], Call]
) -> None:
    """Each worker says how many it has, and those end there, too."""
    calls = [dial(front.uri) for _ in range(3)]
    busy, other = pair if takes(pair[0]) == [2] else (pair[1], pair[0])
    until(lambda: (takes(busy), takes(other)) == ([2], [1]), "one has two of them")
    assert front.proxy is not None
    front.proxy.kill()
    front.start_proxy()
    front.in_rotation(2)
    counted = lambda: sorted(count for _, count in front.destinations().values())  # noqa: E731
    until(lambda: counted() == [1, 2], lambda: f"both are counted; {front.destinations()}")
    extra = dial(front.uri)
    assert (takes(busy), takes(other)) == ([2], [2]), "the one with fewer has the next"
    for call in [extra, *calls]:
        call.hang_up()
    until(lambda: counted() == [0, 0], lambda: f"none is left; {front.destinations()}")


def test_without_a_media_relay_callers_hear_503_and_with_it_they_are_answered(
    front: Front, pair: tuple[Worker, Worker], provider: Provider, dial: Callable[[str], Call], sipp: Any
) -> None:
    assert front.media is not None
    front.media.kill()
    sipp("refused_503", front.target).finish()
    assert not any(count for _, count in front.destinations().values())
    front.start_media()
    time.sleep(1.1)  # so long does the proxy leave alone a relay that said nothing
    heard_both_ways(dial(front.uri), provider)


@pytest.fixture
def relay_state(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis on a port of its own, its last argument."""
    port = free_port(INNER)
    command = [str(redis_program()), "--bind", INNER, "--save", "", "--dir", str(tmp_path), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def test_sound_is_back_after_the_relays_restart_and_calls_need_not_its_redis(
    relay_state: subprocess.Popen[bytes],
    redis: RedisServer,
    provider: Provider,
    scripted_agent: Path,
    tmp_path: Path,
    dial: Callable[[str], Call],
) -> None:
    front = Front(tmp_path, MEDIA_REDIS=f"{INNER}:{relay_state.args[-1]}/0")  # type: ignore[index]
    settings = {"OFFHOOK_AGENT": scripted_agent, **provider.settings}
    worker = front.worker(tmp_path / "calls", "127.0.2.9", REDIS_URL=redis.url, SHOP_FOLDER=tmp_path, **settings)
    try:
        worker.ready()
        front.in_rotation(1)
        call = dial(front.uri)
        heard_both_ways(call, provider)
        assert front.media is not None
        front.media.kill()
        front.start_media()
        heard_both_ways(call, provider)
        call.hang_up()
        relay_state.kill()
        until(lambda: not any(session.open for session in provider.sessions), "the first session is over")
        heard_both_ways(dial(front.uri), provider)
    finally:
        worker.kill()
        front.stop()


def test_a_second_proxy_at_its_addresses_ends_and_the_first_goes_on(
    front: Front, pair: tuple[Worker, Worker], provider: Provider, dial: Callable[[str], Call], tmp_path: Path
) -> None:
    command = [ROOT / "docker" / "proxy" / "start"]
    second = Program(command, environment(**{**front.settings, "PROXY_RUN": tmp_path / "second"}))
    try:
        assert second.wait() != 0
        assert "Address already in use" in second.text(), second.text()
    finally:
        second.kill()
    heard_both_ways(dial(front.uri), provider)


def test_with_all_ports_of_the_relay_in_use_callers_hear_503(
    redis: RedisServer, provider: Provider, scripted_agent: Path, tmp_path: Path, dial: Callable[[str], Call], sipp: Any
) -> None:
    front = Front(tmp_path, OFFHOOK_RTP_PORTS="37998-37999")
    settings = {"OFFHOOK_AGENT": scripted_agent, **provider.settings}
    worker = front.worker(tmp_path / "calls", "127.0.2.9", REDIS_URL=redis.url, SHOP_FOLDER=tmp_path, **settings)
    try:
        worker.ready()
        front.in_rotation(1)
        call = dial(front.uri)
        sipp("refused_503", front.target).finish()
        heard_both_ways(call, provider)
        call.hang_up()
    finally:
        worker.kill()
        front.stop()

"""Parts that break under a call, for real: processes killed, sockets cut, packets lost. The call goes on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import ALIKE, Call, agent_voice, voice
from parts.program import command_line, descendants, kill, until
from parts.provider import ANSWER_HZ, WORDS_HZ, Provider, Session
from parts.services import OwnDesk, RedisServer, Worker
from parts.wire import LossyNetwork, udp_socket

Dial = Callable[[str], Call]
DialDesk = Callable[[], tuple[Call, Session, str]]
GREETING = "Hello, this is the order desk. How can I help you?"
RESULT = "Order four two seven is shipped with DHL, and arrives on Thursday."
LOSSY = 0.6
"""What is left of a sentence's likeness when 10 % of it is missing; other sentences have 0.2 to 0.5."""


def below(worker: Worker) -> dict[int, str]:
    """The processes below a worker, and what each is."""
    return {pid: line for pid in descendants(worker.pid) if (line := command_line(pid))}


def are_gone(processes: dict[int, str]) -> None:
    """Wait until none of them is left."""

    def left() -> list[str]:
        return [line for pid, line in processes.items() if command_line(pid) == line]

    until(lambda: not left(), lambda: f"its children are gone; left are {left()}")


def test_redis_is_killed_and_comes_back(own_desk: OwnDesk, provider: Provider, dial: Dial) -> None:
    """While it is away slow tools are declined in words and quick ones go on; nothing has to be started again."""
    desk, redis = own_desk.worker, own_desk.redis
    call = dial(desk.uri)
    session, call_id = provider.session(), desk.next_call()

    # While nobody uses it.
    redis.kill()
    until(lambda: not desk.part("redis")["ok"], "the worker notices that Redis is away")
    redis.start()
    until(lambda: desk.part("redis")["ok"], "and that it is back")
    assert session.output(session.calls("add", {"left": 2, "right": 3})) == {"result": 5}
    call.hears_tone(ANSWER_HZ, 400)

    # While a job runs.
    slow = session.calls("slow", {"seconds": 3, "name": "away"})
    until((own_desk.folder / "away.started").exists, "the job runs")
    redis.kill()
    refused = session.calls("add", {"left": 2, "right": 3})
    outcome = session.output(refused)
    assert outcome["status"] == "unavailable" and outcome["error"]
    refused_ms = call.listen().now_ms
    assert session.output(session.calls("here", {"word": "still"})) == {"word": "still"}
    call.hears_tone(ANSWER_HZ, 400, after=refused_ms)
    back_ms = call.listen().now_ms
    redis.start()
    assert session.output(slow) == {"slept": 3}, "the tool worker kept it until Redis was back"
    call.hears_tone(ANSWER_HZ, 400, after=back_ms)
    until(lambda: desk.part("redis")["ok"], "Redis is back")
    assert session.output(session.calls("add", {"left": 20, "right": 3})) == {"result": 23}
    assert own_desk.tool_worker.alive and len(own_desk.tool_workers) == 1
    assert len((own_desk.folder / "away.started").read_text().splitlines()) == 1, "the tool ran once"
    call.hang_up()
    record = desk.record(call_id)
    assert record["outcome"] == "completed"
    assert [tool["status"] for tool in record["tool_calls"]][::2] == ["ok", "unavailable", "ok"]
    assert session.outputs(slow) == session.outputs(refused) == 1
    assert desk.logged("redis_gone") and desk.logged("redis_back")


def test_the_realtime_socket_is_cut_while_a_tool_runs(
    dial_desk: DialDesk, desk: Worker, provider: Provider, folder: Path
) -> None:
    """A new session, told of the conversation so far and of the open call; the tool's result is spoken there."""
    call, first, call_id = dial_desk()
    first.says(WORDS_HZ, 400, "Good morning.")
    call.hears_tone(WORDS_HZ, 360)
    until(lambda: [one["floor"] for one in desk.calls()] == ["nobody"], "it was said to its end")
    first.caller_says("where is my parcel")
    slow = first.calls("slow", {"seconds": 4, "name": "cut"})
    until((folder / "cut.started").exists, "the job runs")
    first.cut()
    second = provider.session()
    update = second.received[0]
    assert update["session"] == first.received[0]["session"], "the whole settings again"
    told = second.wait("conversation.item.create", lambda m: m["item"]["type"] == "function_call")
    assert (told["item"]["call_id"], told["item"]["name"]) == (slow, "slow")
    assert second.texts()[:2] == [("assistant", "Good morning."), ("user", "where is my parcel")]
    assert second.output(slow) == {"slept": 4}
    call.hears_tone(ANSWER_HZ, 500)
    assert first.outputs(slow) == 0 and second.outputs(slow) == 1
    call.hang_up()
    record = desk.record(call_id)
    assert [tool["status"] for tool in record["tool_calls"]] == ["ok"]
    assert any("realtime connection lost" in error for error in record["errors"])
    assert record["outcome"] == "completed"
    assert len((folder / "cut.started").read_text().splitlines()) == 1, "the tool ran once"


def test_the_local_realtime_server_is_killed_while_a_tool_runs(spoken: Worker, dial: Dial) -> None:
    """It is started again on its port; the caller asks once and hears the answer, in the new session."""
    call = dial(spoken.uri)
    call_id = spoken.next_call()
    call.say("what is the status of order four two seven")  # into the greeting
    until(lambda: [one["tools_pending"] for one in spoken.calls()] == [["order_status"]], "the tool runs")
    tool_call_id = spoken.wait_log("tool_call", call_id=call_id)["tool_call_id"]
    kill(spoken.child("realtime-server"))
    killed_ms = call.listen().now_ms
    spoken.wait_log("realtime_session_ready", call_id=call_id, count=2)
    call.hears_said(RESULT, after=killed_ms)
    call.hang_up()
    record = spoken.record(call_id)
    assert record["outcome"] == "completed"
    [answered] = record["tool_calls"]  # the replayed question is not asked of the tool again
    assert (answered["status"], answered["job_id"]) == ("ok", f"{call_id}-{tool_call_id}"), "that of the lost session"
    assert sum("realtime connection lost" in error for error in record["errors"]) == 1


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Worker]]:
    """Start a worker that brings its own Redis and tool worker, to be ended."""
    started: list[Worker] = []

    def start(recordings: Path, **settings: Any) -> Worker:
        started.append(Worker(recordings, **settings))
        return started[-1].ready()

    yield start
    for one in started:
        one.kill()


def test_sigterm_in_a_call(
    start_worker: Callable[..., Worker],
    provider: Provider,
    dial: Dial,
    sipp: Any,
    scripted_agent: Path,
    tmp_path: Path,
) -> None:
    """Un-REGISTER, 503 for new calls, a spoken goodbye past the bound, and an end that leaves no process behind."""
    with udp_socket() as any_port:
        port = any_port.getsockname()[1]
    sipp("registrar", "", "-p", str(port), "-trace_msg", "-message_file", "registrar.log", "-m", "99", expires=60)
    desk = start_worker(
        tmp_path / "recordings",
        OFFHOOK_AGENT=scripted_agent,
        **provider.settings,
        OFFHOOK_DRAIN_SECONDS=1,
        OFFHOOK_SIP_REGISTRAR=f"sip:127.0.0.1:{port}",
        OFFHOOK_SIP_USERNAME="line7",
        OFFHOOK_SIP_PASSWORD="sesame",
    )
    until(lambda: desk.part("registration")["ok"], "it is registered")
    call = dial(desk.uri)
    session, call_id = provider.session(), desk.next_call()
    session.says(ANSWER_HZ, 400)
    call.hears_tone(ANSWER_HZ)
    children = below(desk)
    assert any("redis-server" in line for line in children.values())
    desk.signal(signal.SIGTERM)
    until(lambda: not desk.part("draining")["ok"], "it drains")
    sipp("refused_503", desk.target).finish()
    until(lambda: desk.logged("registration", registered=False), "it has un-registered")
    call.hears_tone(WORDS_HZ, 740)  # 800 ms of goodbye
    assert call.ended()["by"] == "caller"
    assert desk.wait() == 0, desk.text()
    are_gone(children)
    assert session.got("response.create")[-1]["response"]["instructions"] == "Say exactly: Goodbye, and thank you."
    assert desk.record(call_id)["outcome"] == "drained"
    registrar = (tmp_path / "registrar.log").read_text()
    assert "Expires: 60" in registrar or "expires=60" in registrar
    assert "Expires: 0" in registrar or "expires=0" in registrar
    assert "sesame" not in desk.text(10_000)


def test_a_second_sigterm_ends_at_once(
    start_worker: Callable[..., Worker], provider: Provider, dial: Dial, scripted_agent: Path, folder: Path
) -> None:
    """Without the ten minutes of the drain, and with everything below it."""
    worker = start_worker(
        folder / "at-once",
        OFFHOOK_AGENT=scripted_agent,
        **provider.settings,
        OFFHOOK_DRAIN_SECONDS=600,
        SHOP_FOLDER=folder,
    )
    call = dial(worker.uri)
    session, call_id = provider.session(), worker.next_call()
    session.calls("slow", {"seconds": 12, "name": "at-once"})
    until((folder / "at-once.started").exists, "the job runs")
    children = below(worker)
    assert any("redis-server" in line for line in children.values())
    worker.signal(signal.SIGTERM)
    until(lambda: not worker.part("draining")["ok"], "it drains")
    assert call.listen().up
    worker.signal(signal.SIGTERM)
    assert call.ended()["by"] == "caller"
    assert worker.wait() == 0, worker.text()
    are_gone(children)
    assert worker.record(call_id)["duration_ms"] > 0
    assert not (folder / "at-once.ended").exists()


def test_kill_9_of_the_worker(
    start_worker: Callable[..., Worker], dial: Dial, spoken_agent: Path, folder: Path
) -> None:
    """Nobody is left to clean up: its children end all the same, and what was recorded can be heard."""
    worker = start_worker(folder / "killed", OFFHOOK_AGENT=spoken_agent, SHOP_FOLDER=folder)
    call = dial(worker.uri)
    call_id = worker.next_call()
    recording = folder / "killed" / f"{call_id}.wav"
    call.hears_said(GREETING)
    for _ in range(3):  # a caller without a core to speak on is choppy: one says it again
        call.say("what can you do")
        said_ms = call.now_ms
        until(lambda: recording.stat().st_size >= (said_ms + 1000) * 32, "so much is on the disk")  # noqa: B023
        if sound.likeness(sound.channels(recording)[0], voice("what can you do")) > 0.8:
            break
    children = below(worker)
    for program in ("redis-server", "tool-worker", "realtime-server"):
        assert any(program in line for line in children.values()), children
    kill(worker.pid)
    assert worker.wait() == -signal.SIGKILL
    are_gone(children)
    left, right = sound.channels(recording)
    assert sound.find(right, agent_voice(GREETING))[0] >= ALIKE, "the agent's greeting"
    assert sound.likeness(left, voice("what can you do")) > 0.8, "the caller's question"


def test_the_caller_hangs_up_while_tools_run(
    dial_desk: DialDesk, desk: Worker, redis: RedisServer, folder: Path
) -> None:
    """By each tool's policy: one job is stopped in the middle, the other is run to its end."""
    call, session, call_id = dial_desk()
    session.calls("slow", {"seconds": 12, "name": "cancelled"})
    until((folder / "cancelled.started").exists, "the first job runs")
    session.calls("ship", {"seconds": 0.5, "name": "finished"})
    jobs = f"rq:job:{call_id}-*"
    until(lambda: len(redis.client.keys(jobs)) == 2, "both jobs are queued")
    ids = [job.decode().removeprefix("rq:job:") for job in redis.client.keys(jobs)]
    call.hang_up()
    until((folder / "finished.ended").exists, "the second job is run to its end")
    assert not (folder / "cancelled.ended").exists()
    found = {job.meta["tool"]: job for job in (redis.job(job_id) for job_id in ids)}
    assert {job.meta["call_id"] for job in found.values()} == {call_id}
    until(lambda: found["slow"].get_status() == "stopped", lambda: f"slow is {found['slow'].get_status()}")
    until(lambda: found["ship"].get_status() == "finished", lambda: f"ship is {found['ship'].get_status()}")
    record = desk.record(call_id)
    assert record["outcome"] == "completed" and {tool["tool"] for tool in record["tool_calls"]} == {"slow", "ship"}
    assert all(tool["status"] != "ok" for tool in record["tool_calls"])


@pytest.fixture
def lossy(spoken: Worker) -> Iterator[LossyNetwork]:
    network = LossyNetwork(spoken.port, loss=0.10)
    yield network
    network.close()


def test_ten_of_a_hundred_packets_are_lost(spoken: Worker, dial: Dial, lossy: LossyNetwork) -> None:
    """Both ways: the agent understands the caller, who hears the answer to what was asked."""
    call = dial(f"sip:agent@127.0.0.1:{lossy.port}")
    call_id = spoken.next_call()
    answer = agent_voice("I can look up an order, tell you the time, and explain our delivery terms.")

    def floor(whose: str) -> bool:
        return any(one["call_id"] == call_id and one["floor"] == whose for one in spoken.calls())

    likeness: list[float] = []
    until(lambda: floor("agent"), "the agent greets")
    until(lambda: floor("nobody"), "and is done")
    while not likeness or (max(likeness) < LOSSY and len(likeness) < 3):  # a word is lost: one says it again
        call.say("what can you do")
        until(lambda: floor("agent"), "the agent says something to it")
        until(lambda: floor("nobody"), "and is done")
        likeness.append(sound.find(bytes(call.listen().heard), answer)[0])
    call.hang_up()
    assert max(likeness) >= LOSSY, likeness
    assert lossy.lost > 40 and lossy.passed > 400
    record = spoken.record(call_id)
    assert record["outcome"] == "completed"
    assert "what can you do" in [turn["text"] for turn in record["turns"] if turn["who"] == "caller"]


def test_each_embedded_service_is_killed_and_comes_back(spoken: Worker, dial: Dial) -> None:
    """With nothing configured the worker is its own supervisor; a call lives through it."""
    call = dial(spoken.uri)
    call_id = spoken.next_call()
    spoken.wait_log("realtime_session_ready", call_id=call_id)
    children = {"redis": "redis-server", "tool-worker": "tool-worker", "realtime-server": "realtime-server"}
    starts = {child: len(spoken.logged("child_ready", child=child)) for child in children}
    for program in children.values():
        pid = spoken.child(program)
        for one in [*descendants(pid), pid]:
            kill(one)
    killed_ms = call.listen().now_ms
    for child, count in starts.items():
        spoken.wait_log("child_ready", child=child, count=count + 1, within=60.0)
    spoken.wait_log("realtime_session_ready", call_id=call_id, count=2)
    until(lambda: spoken.get("/readyz")[0] == 200, lambda: spoken.get("/readyz")[1])
    quiet = sound.levels(bytes(call.listen().heard[int(killed_ms) * 16 :])) <= sound.QUIET_DBFS
    assert not quiet.all(), "the line was not dead meanwhile"
    call.say("what is the status of order four two eight")
    call.hears_said(RESULT.replace("seven", "eight"), after=killed_ms)
    call.hang_up()
    record = spoken.record(call_id)
    assert record["outcome"] == "completed" and len(record["errors"]) == 1
    assert [tool["status"] for tool in record["tool_calls"]] == ["ok"]

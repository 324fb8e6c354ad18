"""The server over real sockets: with the `websockets` client, with the `openai` SDK, and as a process."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from worker.local.brain import Faults
from worker.local.dialogue import load_dialogue, read_dialogue
from worker.local.protocol import Transcribe
from worker.local.response import Pace
from worker.local.server import RealtimeServer, ServerSettings
from worker.local.sound import encode
from worker.local.speech import synthesize

KEY = {"Authorization": "Bearer key"}
PACE = Pace(speed=50)


class Ears:
    """Understands nothing by itself: what is said is written here before."""

    def __init__(self) -> None:
        self.words = "what is the status of order four two seven"
        self.jobs: list[Transcribe] = []

    def __call__(self, job: Transcribe) -> str:
        self.jobs.append(job)
        if self.words == "broken":
            raise RuntimeError("no ears")
        return self.words


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
async def server(ears: Ears) -> AsyncIterator[RealtimeServer]:
    async with RealtimeServer(ServerSettings(port=0, pace=PACE), load_dialogue(), hear=ears) as running:
        yield running


def faulty(**faults: Any) -> RealtimeServer:
    settings = ServerSettings(port=0, pace=PACE, faults=Faults(**faults))
    return RealtimeServer(settings, load_dialogue(), hear=Ears())


async def event(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next event of a type; those before it are passed over."""
    async with asyncio.timeout(5):
        while True:
            frame = await socket.recv()
            assert isinstance(frame, str)
            got: dict[str, Any] = json.loads(frame)
            if got["type"] == kind:
                return got


async def test_a_session_over_a_plain_web_socket(server: RealtimeServer) -> None:
    async with connect(server.url + "?model=gpt-realtime", additional_headers=KEY) as socket:
        created = await event(socket, "session.created")
        assert created["session"]["model"] == "gpt-realtime"
        await socket.send(json.dumps({"type": "response.create"}))
        delta = await event(socket, "response.output_audio.delta")
        assert len(base64.b64decode(delta["delta"])) == 100 * 48
        done = await event(socket, "response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"].startswith("Hello, this is the order desk.")
        await socket.send("what?")
        assert (await event(socket, "error"))["error"]["code"] == "invalid_json"


async def test_a_client_that_goes_in_the_middle_of_a_response_leaves_nothing_behind(server: RealtimeServer) -> None:
    async with connect(server.url, additional_headers=KEY) as socket:
        await socket.send(json.dumps({"type": "response.create"}))
        await event(socket, "response.output_audio.delta")
        assert server.sessions == 1
    async with asyncio.timeout(5):
        while server.sessions:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("key", "headers", "status"),
    [
        ("right", {"Authorization": "Bearer wrong"}, 401),
        ("right", {}, 401),
        (None, {}, 401),
    ],
)
async def test_a_wrong_key_is_refused(key: str | None, headers: dict[str, str], status: int) -> None:
    settings = ServerSettings(port=0, api_key=key)
    async with RealtimeServer(settings, load_dialogue(), hear=Ears()) as running:
        with pytest.raises(InvalidStatus) as refused:
            await connect(running.url, additional_headers=headers)
        assert refused.value.response.status_code == status
        body = json.loads(refused.value.response.body or b"")
        assert body["error"]["code"] == "invalid_api_key"


async def test_the_right_key_is_taken_also_as_azure_sends_it() -> None:
    settings = ServerSettings(port=0, api_key="right")
    async with RealtimeServer(settings, load_dialogue(), hear=Ears()) as running:
        for headers in ({"Authorization": "Bearer right"}, {"api-key": "right"}):
            async with connect(running.url, additional_headers=headers) as socket:
                await event(socket, "session.created")


async def test_another_path_is_not_found(server: RealtimeServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(server.url.replace("realtime", "chat"), additional_headers=KEY)
    assert refused.value.response.status_code == 404


async def test_the_beta_header_is_refused_as_the_service_does(server: RealtimeServer) -> None:
    async with connect(server.url, additional_headers={**KEY, "OpenAI-Beta": "realtime=v1"}) as socket:
        error = await event(socket, "error")
        assert error["error"]["code"] == "beta_api_shape_disabled"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4000


async def test_scripted_faults_reach_the_socket() -> None:
    async with faulty(refuse_key=True) as running:
        with pytest.raises(InvalidStatus):
            await connect(running.url, additional_headers=KEY)
    async with (
        faulty(close_after_s=0.1, close_code=1001) as running,
        connect(running.url, additional_headers=KEY) as socket,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(5):
                while True:
                    await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


async def test_ears_that_break_do_not_break_the_session(server: RealtimeServer, ears: Ears) -> None:
    ears.words = "broken"
    async with connect(server.url, additional_headers=KEY) as socket:
        session = {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        await socket.send(json.dumps({"type": "session.update", "session": session}))
        await speak(socket)
        await event(socket, "conversation.item.input_audio_transcription.failed")
        done = await event(socket, "response.done")
        assert "did not understand" in done["response"]["output"][0]["content"][0]["transcript"]


async def speak(socket: ClientConnection) -> None:
    """Some words and a second of silence, faster than they are spoken."""
    pcm, rate = synthesize("what is the status of order four two seven")
    sound = encode(pcm, rate, "audio/pcm") + bytes(48 * 1000)
    for at in range(0, len(sound), 48 * 40):
        audio = base64.b64encode(sound[at : at + 48 * 40]).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))


async def test_many_sessions_at_once(server: RealtimeServer, ears: Ears) -> None:
    ears.words = "tell me about your delivery terms"

    async def one() -> str:
        async with connect(server.url, additional_headers=KEY) as socket:
            await speak(socket)
            done = await event(socket, "response.done")
            return str(done["response"]["output"][0]["content"][0]["transcript"])

    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(one() for _ in range(12)))
    assert all(answer.startswith("We deliver on every working day") for answer in answers)


async def test_a_port_that_is_taken_is_an_os_error(server: RealtimeServer) -> None:
    with pytest.raises(OSError, match="[Aa]ddress already in use"):
        await RealtimeServer(ServerSettings(port=server.port), load_dialogue(), hear=Ears()).__aenter__()


# the openai SDK as an independent client: it parses each event into its own class


async def test_a_whole_scene_through_the_sdk(server: RealtimeServer) -> None:
    client = AsyncOpenAI(api_key="key", websocket_base_url=server.url.removesuffix("/realtime"))
    tool: Any = {"type": "function", "name": "order_status", "parameters": {"type": "object", "properties": {}}}
    pcm, rate = synthesize("what is the status of order four two seven")
    sound = encode(pcm, rate, "audio/pcmu") + b"\xff" * 8000
    classes: set[str] = set()
    async with client, asyncio.timeout(15), client.realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(
            session={
                "type": "realtime",
                "audio": {
                    "input": {"format": {"type": "audio/pcmu"}, "transcription": {"model": "whisper-1"}},
                    "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
                },
                "tools": [tool],
            }
        )
        for at in range(0, len(sound), 320):
            await connection.input_audio_buffer.append(audio=base64.b64encode(sound[at : at + 320]).decode())
        answered = ""
        async for got in connection:
            classes.add(type(got).__name__)
            assert got.type != "error", got
            if got.type == "conversation.item.input_audio_transcription.completed":
                assert got.transcript == "what is the status of order four two seven"
            elif got.type == "response.function_call_arguments.done":
                assert json.loads(got.arguments) == {"order": "427"}
                output = json.dumps({"order": "427", "status": "shipped", "carrier": "DHL", "arrives": "Thursday"})
                item: Any = {"type": "function_call_output", "call_id": got.call_id, "output": output}
                await connection.conversation.item.create(item=item)
            elif got.type == "response.done" and got.response.output and got.response.output[0].type == "function_call":
                await connection.response.create()
            elif got.type == "response.output_audio_transcript.done":
                answered = got.transcript
            elif got.type == "response.done":
                assert got.response.status == "completed"
                break
    assert answered == "Order four two seven is shipped with DHL, and arrives on Thursday."
    assert {
        "SessionCreatedEvent",
        "SessionUpdatedEvent",
        "InputAudioBufferSpeechStartedEvent",
        "InputAudioBufferSpeechStoppedEvent",
        "InputAudioBufferCommittedEvent",
        "ConversationItemAdded",
        "ConversationItemDone",
        "ConversationItemInputAudioTranscriptionCompletedEvent",
        "ResponseCreatedEvent",
        "ResponseOutputItemAddedEvent",
        "ResponseFunctionCallArgumentsDeltaEvent",
        "ResponseFunctionCallArgumentsDoneEvent",
        "ResponseContentPartAddedEvent",
        "ResponseAudioDeltaEvent",
        "ResponseAudioTranscriptDeltaEvent",
        "ResponseAudioDoneEvent",
        "ResponseDoneEvent",
    } <= classes


async def test_the_sdk_reads_our_errors(server: RealtimeServer) -> None:
    client = AsyncOpenAI(api_key="key", websocket_base_url=server.url.removesuffix("/realtime"))
    async with client, asyncio.timeout(5), client.realtime.connect(model="gpt-realtime") as connection:
        await connection.response.cancel(event_id="mine")
        async for got in connection:
            if got.type == "error":
                assert (got.error.code, got.error.event_id) == ("response_cancel_not_active", "mine")
                break


# as a process


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A dialogue of one sentence."""
    path = tmp_path / "quick.toml"
    path.write_text('[[turn]]\nhears = ["what time is it"]\nsay = "It is late."\n')
    return path


def start(*arguments: str) -> subprocess.Popen[str]:
    code = f"from pathlib import Path; from worker.local.server import run_server; run_server({', '.join(arguments)})"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_the_process_listens_hears_and_leaves_no_child_behind(quick: Path, how: signal.Signals) -> None:
    process = start("port=0", f"dialogue=Path({str(quick)!r})")
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 25)
        assert line.startswith("listening on ws://127.0.0.1:")
        async with connect(line.split()[-1], additional_headers=KEY) as socket:
            pcm, rate = synthesize("what time is it")
            sound = encode(pcm, rate, "audio/pcm") + bytes(48 * 1000)
            audio = base64.b64encode(sound).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            done = await event(socket, "response.done")
            assert done["response"]["output"][0]["content"][0]["transcript"] == "It is late."
        process.send_signal(how)
        code = await asyncio.wait_for(asyncio.to_thread(process.wait), 10)
        assert code == (0 if how is signal.SIGTERM else -signal.SIGKILL)
        async with asyncio.timeout(5):
            while alive(process.pid):
                await asyncio.sleep(0.02)
    finally:
        if alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("grating = 'x'", "wrong.toml: grating: unknown key; did you mean 'greeting'?"),
        ('[[turn]]\nhears = ["the gizmotron"]\nsay = "x"', "wrong.toml: the recogniser does not know 'gizmotron'"),
    ],
)
def test_a_wrong_dialogue_is_one_line(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    process = start("port=0", f"dialogue=Path({str(path)!r})")
    out, error = process.communicate(timeout=25)
    assert process.returncode == 1
    assert out == ""
    assert wrong in error
    assert len(error.splitlines()) == 1


async def test_a_port_that_is_taken_is_one_line(server: RealtimeServer, quick: Path) -> None:
    process = start(f"port={server.port}", f"dialogue=Path({str(quick)!r})")
    _, error = await asyncio.to_thread(process.communicate, timeout=25)
    assert process.returncode == 1
    assert f"can't listen on 127.0.0.1:{server.port}: Address already in use" in error
    assert len(error.splitlines()) == 1


async def test_a_server_that_stops_says_goodbye_to_its_sessions() -> None:
    running = RealtimeServer(ServerSettings(port=0), load_dialogue(), hear=Ears())
    await running.start()
    async with connect(running.url, additional_headers=KEY) as socket:
        await event(socket, "session.created")
        await running.stop()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


async def test_a_client_that_does_not_read_is_not_read_from(server: RealtimeServer) -> None:
    async with connect(server.url, additional_headers=KEY, max_queue=1) as socket:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x" * 10_000}]}
        frame = json.dumps({"type": "conversation.item.create", "item": item})
        sent = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                for _ in range(20_000):  # 200 MB, did nobody stop us
                    await socket.send(frame)
                    sent += 1
        assert sent < 10_000
        assert (await event(socket, "conversation.item.added"))["item"]["role"] == "user"
        socket.transport.abort()  # a closing handshake would wait for all that


def test_a_dialogue_is_read_from_text() -> None:
    assert read_dialogue('[[turn]]\nhears = ["hello"]\nsay = "Hi."').turns[0].say == ("Hi.",)

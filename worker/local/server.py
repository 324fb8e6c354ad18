"""The local realtime server: the shell around `protocol.Session`, over WebSockets.

    ws://HOST:PORT/v1/realtime?model=...     Authorization: Bearer KEY

or around `gemini.session.GeminiSession`, at the paths of Google's two services, with `x-goog-api-key: KEY`.

Two tasks a session: one reads the socket, one runs what is due and sends. A client that does not read what it is sent
is not read from either. Speech is the engines' work, so that no session waits for another one's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import re
import secrets
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from worker.local.brain import Faults, Mouth
from worker.local.dialogue import Dialogue, load_dialogue
from worker.local.engines import Engines, Hear
from worker.local.errors import DialogueError, SpeechUnavailable
from worker.local.gemini.session import GeminiSession, Memory
from worker.local.mcp_client import import_tools, run_tool
from worker.local.patterns import jsgf
from worker.local.protocol import Job, Session, Speak, Transcribe
from worker.local.remote import Import, RunTool
from worker.local.response import Pace
from worker.local.script import Script
from worker.local.tls import context

__all__ = ["RealtimeServer", "ServerSettings", "main", "run_server", "serve_forever"]

PATH = "/v1/realtime"
GEMINI_PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
GEMINI_PATHS = re.compile(
    r".*/ws/google\.(ai\.generativelanguage\.v1(alpha|beta)?\.GenerativeService\.|cloud\.aiplatform\.v1(beta1)?\.LlmBidiService/)"
    r"BidiGenerateContent"
)
"""A base URL may have a path of its own, as gateways have."""
LONGEST_FRAME = 16 * 1024 * 1024
"""An append may hold 15 MiB of base64."""
SESSION_S = 60 * 60
"""The service ends a session after so long, with close code 1001."""
MOST_UNSENT = 256
"""So many events wait for a client; then nothing more is read from it until they are sent."""
BACKLOG = 32
"""Frames of one client that wait to be read; then its socket is not read any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the server runs.

    port 0: any free one. dialogue: None for the shipped file. api_key: None takes any key. faults: in place of the
    dialogue's. ear_processes: how many utterances are understood at one time. tls: a folder for a self-signed
    certificate; None: no TLS. connection_s: after so long a connection of the Live API ends.
    """

    host: str = "127.0.0.1"
    port: int = 8089
    dialogue: Path | None = None
    api_key: str | None = None
    pace: Pace = field(default_factory=Pace)
    faults: Faults | None = None
    protocol: Literal["openai", "gemini"] = "openai"
    tls: Path | None = None
    connection_s: float = 600.0
    ear_processes: int = max(1, min(2, (os.cpu_count() or 1) - 1))


class RealtimeServer:
    """A running server. `hear` stands for the ears in tests of the protocol alone: it gets the job, gives the words."""

    def __init__(
        self, settings: ServerSettings, dialogue: Dialogue, *, hear: Hear | None = None, mouth: Mouth | None = None
    ) -> None:
        self.settings = settings
        self.dialogue = dialogue
        self.faults = settings.faults or dialogue.faults
        self.engines = Engines(jsgf(dialogue.patterns), processes=settings.ear_processes, hear=hear, mouth=mouth)
        self.memories: dict[str, Memory] = {}
        """The Live API's sessions that may be resumed, by handle."""
        self._server: Server | None = None
        self.sessions = 0

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        """Where clients connect."""
        scheme = "ws" if self.settings.tls is None else "wss"
        path = PATH if self.settings.protocol == "openai" else GEMINI_PATH
        return f"{scheme}://{self.settings.host}:{self.port}{path}"

    async def start(self) -> None:
        """Make ears and mouth ready and listen. Raises SpeechUnavailable, OSError for a port that is taken."""
        await self.engines.start()
        self._server = await serve(
            self._connected,
            self.settings.host,
            self.settings.port,
            process_request=self._check,
            max_size=LONGEST_FRAME,
            max_queue=BACKLOG,
            compression=None,
            ssl=None if self.settings.tls is None else await asyncio.to_thread(context, self.settings.tls),
        )

    async def stop(self) -> None:
        """Close every session with 1001 and end the speech engines."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await self.engines.stop()

    async def __aenter__(self) -> RealtimeServer:
        """Start."""
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        """Before the WebSocket opens: the path, and the key."""
        if self.settings.protocol == "gemini":
            if GEMINI_PATHS.fullmatch(urlsplit(request.path).path):
                return None
            return connection.respond(HTTPStatus.NOT_FOUND, f"The Live API is at {GEMINI_PATH}.\n")
        if urlsplit(request.path).path != PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, f"The realtime protocol is at {PATH}.\n")
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        given = given or request.headers.get("api-key", "")
        wanted = self.settings.api_key
        fits = bool(given) if wanted is None else hmac.compare_digest(given.encode(), wanted.encode())
        if fits and not self.faults.refuse_key:
            return None
        error = {
            "message": "Incorrect API key provided." if given else "You didn't provide an API key.",
            "type": "invalid_request_error",
            "code": "invalid_api_key",
            "param": None,
        }
        refusal = connection.respond(HTTPStatus.UNAUTHORIZED, orjson.dumps({"error": error}).decode())
        refusal.headers["Content-Type"] = "application/json"
        return refusal

    async def _connected(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        if connection.request.headers.get("OpenAI-Beta") is not None:
            await _refuse_beta(connection)
            return
        query = parse_qs(urlsplit(connection.request.path).query)
        model = query.get("model", ["local"])[0]
        self.sessions += 1
        gemini = self.settings.protocol == "gemini"
        session = self._gemini_session(connection.request) if gemini else self._openai_session(model)
        try:
            await _Link(self, connection, session).run()
        finally:
            self.sessions -= 1
            if isinstance(session, GeminiSession):
                session.gone()

    def _openai_session(self, model: str) -> Session:
        return Session(
            Script(self.dialogue),
            now=asyncio.get_running_loop().time(),
            nonce=secrets.token_hex(5),
            model=model,
            pace=self.settings.pace,
            faults=self.faults,
        )

    def _gemini_session(self, request: Request) -> GeminiSession:
        """A session of the Live API. A wrong key is told by a close, not by an HTTP status."""
        query = parse_qs(urlsplit(request.path).query)
        given = request.headers.get("x-goog-api-key") or query.get("key", [""])[0]
        given = given or request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        wanted = self.settings.api_key
        return GeminiSession(
            Script(self.dialogue),
            now=asyncio.get_running_loop().time(),
            nonce=secrets.token_hex(5),
            memories=self.memories,
            key_fits=bool(given) if wanted is None else hmac.compare_digest(given.encode(), wanted.encode()),
            pace=self.settings.pace,
            faults=self.faults,
            connection_s=self.settings.connection_s,
        )


async def _refuse_beta(connection: ServerConnection) -> None:
    message = "The Realtime Beta API is no longer supported: leave out the header OpenAI-Beta."
    error = {
        "type": "invalid_request_error",
        "code": "beta_api_shape_disabled",
        "message": message,
        "param": None,
        "event_id": None,
    }
    with contextlib.suppress(ConnectionClosed):
        event = {"type": "error", "event_id": f"event_{secrets.token_hex(10)}", "error": error}
        await connection.send(orjson.dumps(event).decode())
        await connection.close(4000, "invalid_request_error.beta_api_shape_disabled")


class _Link:
    """One session and its socket."""

    def __init__(self, server: RealtimeServer, connection: ServerConnection, session: Session | GeminiSession) -> None:
        self.server = server
        self.connection = connection
        self.loop = asyncio.get_running_loop()
        self.session = session
        self._as_text = isinstance(session, Session)  # the Live API sends its JSON as binary messages
        self._changed = asyncio.Event()
        self._sent = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the session to its end."""
        reader = asyncio.create_task(self._read())
        end = self.loop.time() + SESSION_S
        try:
            while not reader.done():
                self._run_jobs()
                for event in self.session.take_events():
                    await self.connection.send(orjson.dumps(event), text=self._as_text)
                self._sent.set()
                if self.loop.time() >= end:
                    self.session.close(1001, "session_expired")
                if self.session.closing is not None:
                    await self.connection.close(*self.session.closing)
                    break
                await self._wait(end)
                self.session.tick(self.loop.time())
        except ConnectionClosed:
            pass
        finally:
            reader.cancel()
            for job in self._jobs:
                job.cancel()
            await asyncio.gather(reader, *self._jobs, return_exceptions=True)

    async def _wait(self, end: float) -> None:
        """Until there is something to do."""
        wake = end if self.session.wake is None else min(end, self.session.wake)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(wake):
                await self._changed.wait()
        self._changed.clear()

    async def _read(self) -> None:
        try:
            async for frame in self.connection:
                self.session.receive(frame, self.loop.time())
                self._changed.set()
                if self.session.unsent > MOST_UNSENT:
                    self._sent.clear()
                    await self._sent.wait()
        except ConnectionClosed:
            pass
        finally:
            self._changed.set()

    def _run_jobs(self) -> None:
        for job in self.session.take_jobs():
            task = self.loop.create_task(self._work(job))
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)

    async def _work(self, job: Job) -> None:
        match job:
            case Transcribe():
                await self._hear(job)
            case Speak():
                await self._speak(job)
            case Import() | RunTool():
                await self._remote(job)

    async def _remote(self, job: Import | RunTool) -> None:
        assert isinstance(self.session, Session)
        if isinstance(job, Import):
            tools = await import_tools(job)
            self.session.imported(job.item_id, tools, self.loop.time())
        else:
            output = await run_tool(job)
            self.session.ran(job.item_id, output, self.loop.time())
        self._changed.set()

    async def _hear(self, job: Transcribe) -> None:
        text = await self.server.engines.hear(job)
        self.session.heard(job.item_id, text, self.loop.time())
        self._changed.set()

    async def _speak(self, job: Speak) -> None:
        audio = await self.server.engines.speak(job)
        self.session.spoken(job, audio, self.loop.time())
        self._changed.set()


async def serve_forever(settings: ServerSettings, *, ready: Callable[[str], None] | None = None) -> None:
    """Run a server until SIGTERM or SIGINT. ready: called with the URL once it listens.

    Raises DialogueError (also for a word that the ears don't know), SpeechUnavailable, OSError (the port).
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = RealtimeServer(settings, load_dialogue(settings.dialogue))
    try:
        await server.start()
        (ready or (lambda url: print(f"listening on {url}", flush=True)))(server.url)
        await stop.wait()
    except ValueError as error:
        raise DialogueError(f"{settings.dialogue or 'the shipped dialogue'}: {error}") from None
    finally:
        await server.stop()


def run_server(
    *,
    host: str = "127.0.0.1",
    port: int = 8089,
    dialogue: Path | None = None,
    api_key: str | None = None,
    protocol: Literal["openai", "gemini"] = "openai",
    tls: Path | None = None,
    connection_s: float = 600.0,
) -> None:
    """Run the server until SIGTERM; prints `listening on ws://...` when it is ready.

    What is wrong is one line on stderr, and exit status 1.
    """
    settings = ServerSettings(
        host=host,
        port=port,
        dialogue=dialogue,
        api_key=api_key,
        protocol=protocol,
        tls=tls,
        connection_s=connection_s,
    )
    try:
        asyncio.run(serve_forever(settings))
    except (DialogueError, SpeechUnavailable) as error:
        sys.exit(f"offhook realtime-server: {error}")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        sys.exit(f"offhook realtime-server: can't listen on {host}:{port}: {reason}; choose another --port")


def main() -> None:
    """Run it with the defaults: `python -m worker.local.server`."""
    run_server()


if __name__ == "__main__":
    main()

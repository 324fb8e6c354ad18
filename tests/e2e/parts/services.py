"""The worker and what it stands on, as processes of their own: Redis, tool workers, the local realtime server."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parts.program import BOUND_S, OFFHOOK, Program, command_line, descendants, environment, until
from redis import Redis
from redis.exceptions import RedisError
from rq.job import Job
from rq.serializers import JSONSerializer

from worker.embedded.services import redis_program


class RedisServer:
    """A redis-server on a Unix socket, with its append-only file on: what is queued outlives a kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder / 'r.sock'}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Redis:
        return Redis.from_url(self.url, socket_timeout=2.0)

    def start(self) -> None:
        command = [str(redis_program()), "--port", "0", "--unixsocket", str(self.folder / "r.sock"), "--save", ""]
        command += ["--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always"]
        with (self.folder / "redis.log").open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        until(self._answers, "redis-server answers")

    def _answers(self) -> bool:
        with contextlib.suppress(RedisError, OSError), contextlib.closing(self.client) as client:
            return bool(client.ping())
        return False

    def job(self, job_id: str) -> Job:
        """A job as rq has it."""
        return Job.fetch(job_id, connection=self.client, serializer=JSONSerializer)

    def freeze(self) -> None:
        """Let it hang: it takes connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(BOUND_S)
            self._process = None


class ToolWorker(Program):
    """`offhook tool-worker` on the tools of an agent file."""

    def __init__(self, redis_url: str, agent: Path, shop: Path, **settings: Any) -> None:
        own = {"REDIS_URL": redis_url, "OFFHOOK_AGENT": agent, "SHOP_FOLDER": shop, "OFFHOOK_LOG_FORMAT": "json"}
        super().__init__([*OFFHOOK, "tool-worker"], environment(**own, **settings))

    def ready(self) -> ToolWorker:
        self.line("^tool worker ready", 60.0)
        return self


class Worker(Program):
    """`offhook serve`, with its log as objects."""

    def __init__(self, recordings: Path, *options: str | Path, **settings: Any) -> None:
        own = {
            "OFFHOOK_SIP_PORT": 0,
            "OFFHOOK_RTP_PORTS": "0-0",
            "OFFHOOK_HTTP": "127.0.0.1:0",
            "OFFHOOK_RECORDINGS": recordings,
            "OFFHOOK_LOG_FORMAT": "json",
            "OFFHOOK_OVERLOAD": "accept",  # a scene is not about how busy the machine is
            **settings,
        }
        super().__init__([*OFFHOOK, "serve", *options], environment(**own))
        self.recordings = recordings
        self._parsed: list[dict[str, Any]] = []
        self._read_lines = 0
        self._calls = 0
        self.status_url = ""
        self.port = 0

    def ready(self, within: float = 60.0) -> Worker:
        """Wait until it can be called."""
        self.port = int(self.line(r"^dial sip:agent@127\.0\.\d\.\d:(\d+)", within)[1])
        self.status_url = self.line(r"^status (http://\S+)/readyz")[1]
        return self

    def stop(self, within: float = BOUND_S) -> int:
        """End it; its log has no traceback but of tools that raised: what else goes wrong is told in words."""
        code = super().stop(within)
        broken = [one for one in self.logs if "exception" in one and one["event"] != "tool_raised"]
        assert not broken, "\n".join(f"{one['event']}: {one['exception']}" for one in broken)
        return code

    @property
    def uri(self) -> str:
        return f"sip:agent@127.0.0.1:{self.port}"

    @property
    def target(self) -> str:
        """Where sipp calls."""
        return f"127.0.0.1:{self.port}"

    # --- its log

    @property
    def logs(self) -> list[dict[str, Any]]:
        """Every log line so far."""
        lines = self.err[self._read_lines :]
        self._read_lines += len(lines)
        for line in lines:
            with contextlib.suppress(ValueError):
                self._parsed.append(json.loads(line))
        return self._parsed

    def logged(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The log lines of an event with these fields."""
        return [one for one in self.logs if one.get("event") == event and fields.items() <= one.items()]

    def wait_log(self, event: str, within: float = BOUND_S, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait for the so-manieth log line of an event with these fields."""
        what = lambda: f"log line {event} {fields}; the log ends with\n{self.text()}"  # noqa: E731
        return until(lambda: self.logged(event, **fields)[count - 1 : count], what, within)[0]

    def next_call(self) -> str:
        """The call id of the next call that nobody has asked for."""
        self._calls += 1
        return str(self.wait_log("call", count=self._calls)["call_id"])

    def forget_calls(self) -> None:
        """The next call is one that is yet to come."""
        self._calls = len(self.logged("call"))

    # --- what it shows and leaves

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its HTTP endpoint."""
        try:
            with urllib.request.urlopen(self.status_url + path, timeout=BOUND_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def calls(self) -> list[dict[str, Any]]:
        """The calls in progress."""
        found: list[dict[str, Any]] = json.loads(self.get("/calls")[1])["calls"]
        return found

    def part(self, name: str) -> dict[str, Any]:
        """How a part of it stands, by /readyz."""
        found: dict[str, Any] = json.loads(self.get("/readyz")[1])["parts"][name]
        return found

    def metric(self, pattern: str) -> float:
        """The value of the first metric whose line fits."""
        found = re.search(rf"^{pattern} (\S+)$", self.get("/metrics")[1], re.M)
        return float(found[1]) if found else 0.0

    def record(self, call_id: str, within: float = BOUND_S) -> dict[str, Any]:
        """A call's record, once the call is over."""
        path = self.recordings / f"{call_id}.json"
        until(path.exists, lambda: f"a record of call {call_id}\n{self.text()}", within)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def child(self, word: str) -> int:
        """The process below it whose command line has this word."""
        pids = descendants(self.pid)
        own = [pid for pid in pids if word in (line := command_line(pid)) and "tether.py" not in line]
        assert own, f"no child {word!r} among {[command_line(pid) for pid in pids]}"
        return own[0]


class RealtimeServer(Program):
    """`offhook realtime-server`."""

    def __init__(self, dialogue: Path | None = None, *options: str) -> None:
        words = [*OFFHOOK, "realtime-server", "--port", "0", *options]
        super().__init__([*words, *(["--dialogue", str(dialogue)] if dialogue else [])], environment())

    def ready(self) -> RealtimeServer:
        self.url = self.line(r"listening on (wss?://\S+)", 60.0)[1]
        return self


class Gates:
    """What tells of tools by the files that they leave in `folder`, and opens the gates at which they wait."""

    folder: Path

    def marks(self, name: str) -> list[tuple[int, float]]:
        """The runs that a tool has marked: process and time (s), in order."""
        path = self.folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(pid), float(at)) for pid, at in (line.split() for line in lines)]

    def begun(self, name: str) -> int:
        """Wait until a tool that waits at a gate runs; returns its process."""
        return until(lambda: self.marks(f"{name}.started"), lambda: f"{name} runs")[-1][0]

    def open(self, name: str, gate: str = "open") -> None:
        """Let a tool that waits at a gate go on."""
        (self.folder / f"{name}.{gate}").touch()


class OwnDesk(Gates):
    """A worker, a tool worker and a Redis of one scene's own, to be killed.

    secrets: of the tools, by name.
    """

    def __init__(
        self, folder: Path, agent: Path, provider_url: str, *, secrets: Mapping[str, str] | None = None, **settings: Any
    ) -> None:
        self.folder = folder
        self.agent = agent
        self._secrets = {"OFFHOOK_TOOL_SECRETS": ",".join(secrets), **secrets} if secrets else {}
        self.redis = RedisServer(folder)
        self.redis.start()
        self.tool_workers = [ToolWorker(self.redis.url, agent, folder, **self._secrets)]
        self._settings = {
            **self._secrets,
            "REDIS_URL": self.redis.url,
            "OFFHOOK_AGENT": agent,
            "OFFHOOK_REALTIME": "gateway",
            "OFFHOOK_REALTIME_URL": provider_url,
            "SHOP_FOLDER": folder,
            **settings,
        }
        self.worker = Worker(folder / "recordings", **self._settings)
        try:
            self.tool_worker.ready()
            self.worker.ready()
        except BaseException:
            self.stop()  # nobody has it yet who would
            raise

    def start_worker(self, **settings: Any) -> Worker:
        """One more worker with the same tools and tool workers, and other settings; its starter ends it."""
        return Worker(self.folder / "recordings", **{**self._settings, **settings}).ready()

    def start_tool_worker(self) -> None:
        """Another one, as a supervisor would."""
        self.tool_workers.append(ToolWorker(self.redis.url, self.agent, self.folder, **self._secrets).ready())

    @property
    def tool_worker(self) -> ToolWorker:
        """The latest."""
        return self.tool_workers[-1]

    def stop(self) -> int:
        try:
            return self.worker.stop()
        finally:
            for worker in self.tool_workers:
                worker.kill()
            self.redis.kill()


def errand_desk(folder: Path, provider_url: str, tools: str = "", **settings: Any) -> OwnDesk:
    """A desk with the tools of errands.py and shop.py; `tools`: more lines for the agent file's [tools]."""
    parts = Path(__file__).parent
    agent = folder / "agent.toml"
    modules = f'[tools]\nmodules = ["{parts}/errands.py", "{parts}/shop.py"]\n'
    agent.write_text(f'goodbye = "Goodbye."\n{modules}{tools}\n')
    return OwnDesk(folder, agent, provider_url, **settings)

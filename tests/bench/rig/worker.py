"""A worker process as an operator starts it, and what the operating system says of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig.child import cpu_s

ROOT = Path(__file__).parents[3]
ANSWER_S = 5.0
"""A worker that is over its limit may need so long for /metrics."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process had used at a moment."""

    at: float
    cpu_s: float
    """User and system time of all its threads, ended ones too."""
    threads: dict[int, tuple[str, float]]
    """By thread: its name and its CPU time in s."""
    rss_mb: float

    def cores_since(self, before: Usage) -> float:
        """How much of a core was used since then."""
        return (self.cpu_s - before.cpu_s) / (self.at - before.at)

    def threads_since(self, before: Usage) -> list[tuple[str, float]]:
        """The share of a core of each thread since then, the largest first."""
        span = self.at - before.at
        shares = []
        for thread, (name, used_s) in self.threads.items():
            shares.append((name, (used_s - before.threads.get(thread, ("", 0.0))[1]) / span))
        return sorted(shares, key=lambda share: -share[1])


def usage(pid: int) -> Usage:
    """Read /proc. Raises OSError when the process is gone."""
    threads = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            threads[int(task.name)] = _thread(task)
        except OSError:
            continue  # it has just ended
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(time.monotonic(), cpu_s(pid), threads, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def _thread(task: Path) -> tuple[str, float]:
    return (task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0]) / 1e9


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those they have."""
    parent = {}
    for one in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            parent[int(one.name)] = int((one / "stat").read_text().rpartition(")")[2].split()[1])
    found, look = [], [pid]
    while look:
        above = look.pop()
        below = [child for child, its in parent.items() if its == above]
        found += below
        look += below
    return found


def pin(pid: int, core: int) -> None:
    """Keep a process with all its threads on a core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def prefer(pid: int, nice: int) -> None:
    """Give a process of a session of its own that priority.

    Where the kernel shares the cores out between sessions first, it is the session's that counts (man 7 sched).
    """
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    group = Path(f"/proc/{pid}/autogroup")
    if group.exists():
        group.write_text(str(nice))


def own_build(path: str, into: Path) -> Path:
    """The folder to put on the path for a pjsua2 build: `path` itself, or the wheel `path` unpacked."""
    if not path.endswith(".whl"):
        return Path(path).resolve()
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(into)
    return into


def recordings_key(python: str, root: Path) -> str:
    """A new public key for recordings; nobody has the secret one."""
    command = [python, "-m", "worker", "keys", "recordings"]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return told.stdout.splitlines()[0].partition("=")[2]


class Worker:
    """`python -m worker serve` on free ports of loopback; its files go with it."""

    def __init__(
        self,
        realtime_url: str,
        *,
        pjsua2: str | None = None,
        agent: str = "",
        record: bool = False,
        python: str = sys.executable,
        root: Path = ROOT,
        extra: Mapping[str, str] | None = None,
        cores: tuple[int, int] | None = None,
        nice: int = 0,
    ) -> None:
        """`agent`: the text of its agent file. `record`: keep recordings and records. `root`: where its code lies.

        `extra`: environment variables. `cores`: its own, and that of the programs it brings along.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="offhook-bench-")
        self.folder = Path(self._folder.name)
        self.log_file = self.folder / "worker.log"
        self.recordings = self.folder / "recordings"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
        environment |= {
            "OFFHOOK_SIP_HOST": "127.0.0.1",
            "OFFHOOK_SIP_PORT": "0",
            "OFFHOOK_RTP_PORTS": "0-0",
            "OFFHOOK_HTTP": "127.0.0.1:0",
            "OFFHOOK_REALTIME": "gateway",
            "OFFHOOK_REALTIME_URL": realtime_url,
            "OFFHOOK_DRAIN_SECONDS": "1",
            "OFFHOOK_LOG_FORMAT": "json",
            "OFFHOOK_OVERLOAD": "accept",
            "OPENAI_API_KEY": "bench",
        }
        if record:
            self.recordings.mkdir()
            environment["OFFHOOK_RECORDINGS"] = str(self.recordings)
        if agent:
            (self.folder / "agent.toml").write_text(agent)
            environment["OFFHOOK_AGENT"] = str(self.folder / "agent.toml")
        site = own_build(pjsua2, self.folder / "pjsua2") if pjsua2 else ""
        path = [str(part) for part in (root, site, os.environ.get("PYTHONPATH")) if part]
        environment |= {"PYTHONPATH": os.pathsep.join(path), **(extra or {})}
        with self.log_file.open("wb") as log:
            command = [python, "-m", "worker", "serve"]
            self.process = subprocess.Popen(
                command,
                cwd=root,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=bool(nice),
            )
        self.pid = self.process.pid
        self.targets: dict[str, str] = {}
        """Where it is called, user@host:port, by transport."""
        self.status_url = ""
        try:
            if cores is not None:
                os.sched_setaffinity(self.pid, {cores[0]})  # what it starts has it from there
            if nice:
                prefer(self.pid, nice)
            self._wait()
            if cores is not None:
                for pid in descendants(self.pid):
                    pin(pid, cores[1])
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            kind, _, rest = line.strip().partition(" ")
            if kind == "dial":
                where, _, transport = rest.removeprefix("sip:").partition(";transport=")
                self.targets[transport or "udp"] = where
            elif kind == "status":
                self.status_url = rest.removesuffix("/readyz")
                return
        raise RuntimeError(f"the worker did not start:\n{self.log_file.read_text()[-3000:]}")

    @property
    def target(self) -> str:
        """Where it is called over UDP; empty until it listens."""
        return self.targets.get("udp", "")

    def usage(self) -> Usage:
        """What it has used so far; its child processes are not counted."""
        return usage(self.pid)

    def log(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log with that event."""
        found = []
        for line in self.log_file.read_text().splitlines():
            if f'"{event}"' in line and (parsed := json.loads(line)).get("event") == event:
                found.append(parsed)
        return found

    def build(self) -> str:
        """Which pjsua2 it runs on."""
        told = self.log("sip_listening")[0]
        return f"{told['build']}, {told['limit']} calls"

    def underruns(self) -> int | None:
        """How often playout ran dry in the calls in progress; None when it does not say."""
        try:
            with urllib.request.urlopen(self.status_url + "/calls", timeout=ANSWER_S) as reply:
                found = json.load(reply)
        except TimeoutError:
            return None
        calls = found["calls"] if isinstance(found, dict) else found
        return sum(one["underruns"] for one in calls) if all("underruns" in one for one in calls) else None

    def metrics(self) -> dict[str, float]:
        """What /metrics says, by series; nothing when it does not answer."""
        try:
            with urllib.request.urlopen(self.status_url + "/metrics", timeout=ANSWER_S) as reply:
                lines = reply.read().decode().splitlines()
        except TimeoutError:
            return {}
        return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.target and self.process.returncode:
            print(f"the worker ended with {self.process.returncode}:\n{self.log_file.read_text()[-2000:]}")
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._folder.cleanup()


def bucket_quantile(metrics: dict[str, float], name: str, q: float, before: dict[str, float]) -> float:
    """The upper edge (s) of the histogram bucket in which the q-th value since `before` lies."""
    head = name + '_bucket{le="'
    edges = [
        (float(key[len(head) : -2]), count - before.get(key, 0.0))
        for key, count in metrics.items()
        if key.startswith(head)
    ]
    edges.sort()
    total = edges[-1][1] if edges else 0.0
    return next((edge for edge, count in edges if total and count >= q * total), float("nan"))

"""The front of several workers: Kamailio and rtpengine, started as their images do, on addresses of this machine."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call
from parts.program import BOUND_S, ROOT, Program, environment, until
from parts.provider import ANSWER_HZ, Provider
from parts.services import Worker

from tests.ports import free_udp_port

INNER, OUTER = "127.0.1.1", "127.0.0.1"
CALLER_HZ = 700
PASSWORD = "a-word-among-workers"
NEEDED = ("kamailio", "kamcmd", "rtpengine")


class Front:
    """A proxy and a media relay. settings: of either, by the names that their start scripts know."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        missing = [name for name in NEEDED if shutil.which(name) is None]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)} (Debian: kamailio, kamailio-extra-modules, rtpengine)")
        self.folder = folder
        self.port, self.inner_port, media_port = (free_udp_port(host) for host in (OUTER, INNER, INNER))
        self.settings: dict[str, Any] = {
            "PROXY_RUN": folder / "proxy",
            "PROXY_INNER": f"{INNER}:{self.inner_port}",
            "PROXY_OUTER": f"{OUTER}:{self.port}",
            "PROXY_MEDIA": f"{INNER}:{media_port}",
            "OFFHOOK_SIP_PROXY_PASSWORD": PASSWORD,
            "MEDIA_INNER": INNER,
            "MEDIA_OUTER": OUTER,
            "MEDIA_PORT": media_port,
            "OFFHOOK_RTP_PORTS": "36000-37999",
            **settings,
        }
        self.media: Program | None = None
        self.proxy: Program | None = None
        try:
            self.start_media()
            self.start_proxy()
        except BaseException:
            self.stop()
            raise

    # --- its parts

    def start_media(self) -> None:
        self.media = Program([ROOT / "docker" / "media" / "start"], environment(**self.settings))
        until(self._media_answers, self._words, BOUND_S)

    def start_proxy(self) -> None:
        self.proxy = Program([ROOT / "docker" / "proxy" / "start"], environment(**self.settings))
        until(lambda: self.rpc("core.uptime"), self._words, BOUND_S)

    def stop(self) -> None:
        for program in (self.proxy, self.media):
            if program is not None:
                program.stop()

    def _media_answers(self) -> bool:
        """Whether rtpengine answers a ping (its NG protocol: a cookie and a bencoded dictionary)."""
        assert self.media is not None and self.media.alive, self._words()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            sock.connect((INNER, int(self.settings["MEDIA_PORT"])))
            try:
                sock.send(b"1 d7:command4:pinge")
                return b"pong" in sock.recv(1024)
            except OSError:
                return False

    def _words(self) -> str:
        return "\n".join(program.text() for program in (self.proxy, self.media) if program is not None)

    # --- what is asked of it

    @property
    def uri(self) -> str:
        """Whom callers dial."""
        return f"sip:agent@{OUTER}:{self.port}"

    @property
    def target(self) -> str:
        """Where sipp calls."""
        return f"{OUTER}:{self.port}"

    def rpc(self, *words: str) -> str:
        """What a command answers; "" where it fails."""
        command = ["kamcmd", "-s", f"unix:{self.folder}/proxy/ctl", *words]
        try:  # asked while the proxy starts, it may wait for an answer for ever
            done = subprocess.run(command, capture_output=True, text=True, timeout=3.0)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout if done.returncode == 0 and "error" not in done.stdout[:8] else ""

    def destinations(self) -> dict[str, tuple[str, int]]:
        """The workers that have announced themselves: state (AP is in rotation) and calls, by URI."""
        text = self.rpc("dispatcher.list")
        flags = dict(re.findall(r"URI: (\S+)\s+FLAGS: (\w+)", text))
        through, before = self._table("load"), self._table("before")
        return {uri: (flag, through.get(uri, 0) + before.get(uri, 0)) for uri, flag in flags.items()}

    def _table(self, name: str) -> dict[str, int]:
        """A table of the proxy's with numbers in it."""
        text = self.rpc("htable.dump", name)
        return {uri: int(count) for uri, count in re.findall(r"name: (\S+)\s+value: (\d+)", text)}

    def in_rotation(self, count: int, within: float = BOUND_S) -> None:
        """Wait until so many workers get calls."""

        def found() -> bool:
            return sum(flags.startswith("A") for flags, _ in self.destinations().values()) == count

        until(found, lambda: f"{count} workers in rotation; {self.destinations()}\n{self._words()}", within)

    def worker(self, recordings: Path, host: str = "127.0.2.1", **settings: Any) -> Worker:
        """A worker that announces itself; its starter waits until it is ready, and ends it."""
        own = {
            "OFFHOOK_SIP_HOST": host,
            "OFFHOOK_SIP_PROXY": f"sip:{INNER}:{self.inner_port};transport=tcp",
            "OFFHOOK_SIP_PROXY_PASSWORD": PASSWORD,
            **settings,
        }
        return Worker(recordings, **own)


def takes(*workers: Worker) -> list[int]:
    return [len(worker.calls()) for worker in workers]


def owner(*workers: Worker) -> tuple[Worker, Worker]:
    """Who has the only call, and who has none."""
    until(lambda: sum(takes(*workers)) == 1, lambda: f"one call; {takes(*workers)}")
    one, other = workers
    return (one, other) if takes(one) == [1] else (other, one)


def heard_both_ways(call: Call, provider: Provider) -> None:
    """Sound comes through in both directions from now on."""
    session = next(one for one in provider.sessions if one.open)
    call.waits(40)
    since, before = call.now_ms, len(session.audio)
    session.says(ANSWER_HZ, 600)
    call.play(sound.tone(CALLER_HZ, 600, sound.RATE))
    call.hears_tone(ANSWER_HZ, 400, after=since)
    until(lambda: loud(bytes(session.audio[before:])), "the caller's tone reaches the session")


def loud(pcm: bytes) -> bool:
    return len(pcm) > 0 and sum(sound.levels(pcm[: len(pcm) // 2 * 2]) > -30) > 10

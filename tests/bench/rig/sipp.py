"""sipp as the callers' signalling: calls at a rate, that stay up until they are ended. Their audio is `rtp_load`'s."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rig.child import cpu_s
from rig.sip import OWN

SCENE = Path(__file__).with_name("call.xml")
PCMU = MappingProxyType({"payload": "0", "rtpmap": "PCMU/8000"})
FOR_EVER_MS = 24 * 3600 * 1000
END_S = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of calls, as far as is known yet."""

    created: int
    up: int
    """In progress, ringing ones too."""
    failed: int
    refused: int
    """Those that got 503."""
    retry_after: int
    """How many of them were told when to try again."""
    setup_ms: list[float]
    """INVITE to 200, of each call that was answered."""
    errors: str
    """The first lines of sipp's own complaints."""


class Sipp:
    """One run of sipp."""

    def __init__(
        self,
        target: str,
        rtp_port: int,
        folder: Path,
        *,
        calls: int,
        per_second: float,
        hold_ms: int = FOR_EVER_MS,
        core: int | None = None,
        scene: Path = SCENE,
        keys: Mapping[str, str] = PCMU,
    ) -> None:
        """Begin so many calls at that rate. Raises FileNotFoundError where sipp is not installed."""
        program = shutil.which("sipp")
        if program is None:
            raise FileNotFoundError("sipp is not installed: apt-get install sip-tester")
        user, _, host = target.rpartition("@")
        self.folder = folder / f"sipp-{time.monotonic_ns()}"
        self.folder.mkdir(parents=True)
        command = [program, "-sf", str(scene), "-i", OWN, "-s", user or "bench", "-nostdin", "-max_socket", "8"]
        # One more than there is room for, where they are to stay: once the last of -m is begun, sipp forgets each
        # SIGUSR1 at once, and would have to be killed with its calls up (SIPp issue 324).
        most = calls + 1 if hold_ms == FOR_EVER_MS else calls
        command += ["-key", "rtp", str(rtp_port), "-m", str(most), "-l", str(calls), "-d", str(hold_ms)]
        command += ["-r", str(round(per_second * 10)), "-rp", "10000", "-trace_err", "-trace_logs"]
        command += [word for name, value in keys.items() for word in ("-key", name, value)]
        command += ["-trace_stat", "-fd", "1", "-trace_rtt", "-rtt_freq", "1", host]
        with (self.folder / "out").open("w") as out:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        if core is not None:
            os.sched_setaffinity(self.process.pid, {core})

    def outcome(self) -> Outcome:
        """How its calls stand, as of the last second."""
        row: dict[str, str] = {}
        for path in self.folder.glob("*[0-9]_.csv"):
            *_, row = [{}, *csv.DictReader(path.read_text().splitlines(), delimiter=";")]
        refused = [line.split() for line in self._lines("*_logs.log") if line.startswith("refused")]
        setups = [line.split(";") for line in self._lines("*_rtt.csv")]
        created, up = int(row.get("TotalCallCreated") or 0), int(row.get("CurrentCall") or 0)
        return Outcome(
            created=created,
            up=up,
            failed=int(row.get("FailedCall(C)") or 0),
            refused=len(refused),
            retry_after=sum(len(words) > 1 for words in refused),
            setup_ms=[float(one[1]) for one in setups if len(one) > 2 and one[0][:1].isdigit()],
            errors="\n".join(self._lines("*_errors.log")[:12]),
        )

    def _lines(self, pattern: str) -> list[str]:
        return [
            line for path in self.folder.glob(pattern) for line in path.read_text(errors="replace").splitlines() if line
        ]

    def over(self) -> bool:
        """Whether all calls have ended, and it with them."""
        return self.process.poll() is not None

    def cpu_s(self) -> float:
        """What it has used so far; 0 once it has ended."""
        return cpu_s(self.process.pid) if self.process.poll() is None else 0.0

    def hang_up(self) -> None:
        """End all calls with BYE, and sipp with them."""
        for _ in range(2):  # the first: no new calls; the second: end those there are
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGUSR1)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_S)  # it does not always end by itself; each call's BYE is sent by then
        self.stop()

    def stop(self) -> None:
        """End it at once."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

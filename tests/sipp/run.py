"""A run of sipp, whose scenes stand beside this file."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

SCENES = Path(__file__).parent


class SippRun:
    """One scene. options: of sipp. keys: what stands for `[NAME]` in the scene."""

    def __init__(self, scene: str, target: str, folder: Path, options: list[str], keys: Mapping[str, object]) -> None:
        self.folder = folder
        self.output = (folder / f"{scene}.{time.monotonic_ns()}.out").open("w+")
        command = ["sipp", "-sf", str(SCENES / f"{scene}.xml"), "-i", "127.0.0.1", "-nostdin", "-trace_err"]
        command += ["-timeout_error", "-s", "427"]
        for key, value in keys.items():
            command += ["-key", key, str(value)]
        self.process = subprocess.Popen(
            [*command, *options, *([target] if target else [])],
            cwd=folder,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    def finish(self, within: float) -> None:
        """Wait for its end, so many s; fails unless every call went by the scene."""
        code = self.process.wait(within)
        assert code == 0, f"sipp ended with {code}\n{self.text()}"

    def text(self) -> str:
        """What it printed, and its error files."""
        self.output.flush()
        self.output.seek(0)
        errors = "".join(path.read_text(errors="replace") for path in self.folder.glob("*errors.log"))
        return self.output.read()[-3000:] + errors[-3000:]

    def stop(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        self.output.close()

"""What a worker is run with: its code, its Python, its pjsua2, its settings."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rig.worker import ROOT

FORMATS = {"pcm": {}, "pcmu": {"OFFHOOK_REALTIME_AUDIO": "g711"}}
"""The environment for each format of the provider's side: 24 kHz PCM, or the call's G.711 passed through."""
CODECS = ("PCMU", "G722")
SIP = ("udp", "tls", "tls+srtp")
RECORDINGS = ("off", "on", "sealed")
CHOICES = {"format": tuple(FORMATS), "codec": CODECS, "sip": SIP, "recordings": RECORDINGS}
WORDS = ("ref", "pjsua2", "python", *CHOICES)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the worker."""

    ref: str = ""
    """A commit of this repository; empty: the files as they lie here."""
    pjsua2: str = ""
    """A wheel, or a folder to import it from; empty: the environment's own."""
    python: str = sys.executable
    format: str = "pcm"
    codec: str = "PCMU"
    """What callers offer."""
    sip: str = "udp"
    """How callers come: over UDP, over TLS, or so and with SRTP."""
    recordings: str = "off"
    """Whether calls are recorded, and encrypted at that."""
    environment: dict[str, str] = field(default_factory=dict)

    def but(self, words: Iterable[str]) -> Variant:
        """This one with `ref=`, `pjsua2=`, `python=`, `format=`, `codec=`, `sip=`, `recordings=` or any environment
        variable changed.

        Raises ValueError for what is none of them.
        """
        plain: dict[str, str] = {}
        environment = dict(self.environment)
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"{word!r} is no NAME=VALUE; names are {', '.join(WORDS)}, and environment variables")
            if name in WORDS:
                plain[name] = value
            else:
                environment[name] = value
        for name, choices in CHOICES.items():
            if plain.get(name, choices[0]) not in choices:
                raise ValueError(f"there is no {name} {plain[name]!r}; there are {', '.join(choices)}")
        found = dataclasses.replace(self, environment=environment, **plain)
        if found.sip != "udp" and found.codec != "PCMU":
            raise ValueError("callers over TLS speak PCMU")
        return found

    def settings(self) -> dict[str, str]:
        """The environment variables in all."""
        srtp = {"OFFHOOK_SRTP": "required"} if self.sip == "tls+srtp" else {}
        return {**FORMATS[self.format], **srtp, **self.environment}

    def code(self, folder: Path) -> Path:
        """Where its code lies; that of a commit is put below `folder` once. Raises ValueError for an unknown one."""
        if not self.ref:
            return ROOT
        found = subprocess.run(
            ["git", "rev-parse", "--verify", self.ref + "^{commit}"], cwd=ROOT, capture_output=True, text=True
        )
        if found.returncode:
            raise ValueError(f"there is no commit {self.ref!r} here: {found.stderr.strip()}")
        into = folder / found.stdout.strip()[:12]
        if not into.is_dir():
            into.mkdir(parents=True)
            packed = subprocess.run(["git", "archive", found.stdout.strip()], cwd=ROOT, capture_output=True, check=True)
            subprocess.run(["tar", "-x", "-C", str(into)], input=packed.stdout, check=True)
        return into

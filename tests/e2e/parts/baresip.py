"""A telephone that is not ours: baresip, over TLS with SRTP, with a tone for a voice and a file for ears."""

from __future__ import annotations

import shutil
import subprocess
import wave
from pathlib import Path

import pytest
from parts import sound
from parts.program import Program, environment

MODULES = "\n".join(
    [f"module {name}.so" for name in ("g711", "srtp", "aufile", "sndfile")]
    + ["module_tmp uuid.so", "module_app account.so", "module_app menu.so", ""]
)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key: two PEM files."""
    found, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", found]
    subprocess.run(command, check=True, capture_output=True)
    return found, key


class Baresip(Program):
    """It calls, or takes what comes. port: of its SIP over UDP; that over TLS is the next one."""

    def __init__(self, folder: Path, trusts: Path, *, port: int = 0, own: tuple[Path, Path] | None = None) -> None:
        if not shutil.which("baresip"):
            pytest.skip("baresip is not installed")
        folder.mkdir()
        (folder / "accounts").write_text(
            "<sip:bare@127.0.0.1;transport=tls>;regint=0;audio_codecs=PCMU;mediaenc=srtp-mand;answermode=auto\n"
        )
        (folder / "contacts").write_text("")
        (folder / "config").write_text(
            f"sip_listen 127.0.0.1:{port}\nsip_cafile {trusts}\n{_pair(folder, own)}"
            f"module_path {next(Path('/usr/lib').glob('**/baresip/modules'))}\n{MODULES}"
            f"snd_path {folder}\naudio_source aufile,{folder}/tone.wav\n"
            f"audio_alert aufile,{folder}/alert.wav\nausrc_srate 8000\nauplay_srate 8000\n"
        )
        with wave.open(str(folder / "tone.wav"), "wb") as tone:
            tone.setnchannels(1)
            tone.setsampwidth(2)
            tone.setframerate(sound.RATE)
            tone.writeframes(sound.tone(700, 60000, sound.RATE))
        self._folder = folder

    def start(self, *words: str) -> Baresip:
        """Run it; words: what it does first."""
        command = ["baresip", "-f", str(self._folder), "-t", "90"]
        super().__init__([*command, *(["-e", " ".join(words)] if words else [])], environment())
        return self

    def dials(self, uri: str) -> Baresip:
        return self.start(f"/dial {uri}")

    def heard(self, hz: int) -> float:
        """End it; returns how much of a tone it heard (ms). Its file is complete only then."""
        self.stop()
        [path] = self._folder.glob("dump-*-dec.wav")
        data = path.read_bytes()[44:]
        return sound.tone_ms(data[: len(data) // 2 * 2], hz)


def _pair(folder: Path, own: tuple[Path, Path] | None) -> str:
    if own is None:
        return ""
    both = folder / "own.pem"
    both.write_text("".join(path.read_text() for path in own))
    return f"sip_certificate {both}\n"

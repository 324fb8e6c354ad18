"""A real Asterisk with a configuration of its own, on free ports of loopback: the PBX that a worker is a line of.

OFFHOOK_TEST_ASTERISK names its program (`.ci/run` has `.ci/asterisk` fetch one). It includes docker/asterisk, with the
address of a test in place of the example's. What else stands here: telephones, and numbers at which something happens.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.program import BOUND_S, ROOT, Program, environment, until

from tests.ports import free_port, free_udp_port

COMMAND = os.environ.get("OFFHOOK_TEST_ASTERISK", "")
HOST = "127.0.0.1"
STATIC_HOST = "127.0.3.1"
"""Of the worker that it knows by its address."""
PASSWORD = "change-this-word"
PHONES = ("201", "202")
MUSIC_HZ = 500
"""What it plays to who is on hold."""
EXAMPLES = ROOT / "docker" / "asterisk"

MODULES = """
res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject res_timing_timerfd res_crypto res_rtp_asterisk
res_srtp res_musiconhold pbx_config res_pjsip res_pjsip_session res_pjsip_sdp_rtp res_pjsip_registrar res_pjsip_pubsub
res_pjsip_authenticator_digest res_pjsip_outbound_authenticator_digest res_pjsip_endpoint_identifier_ip
res_pjsip_endpoint_identifier_user res_pjsip_caller_id res_pjsip_refer res_pjsip_rfc3326 res_pjsip_nat
res_pjsip_logger res_pjsip_dtmf_info res_pjsip_empty_info res_pjsip_dlg_options res_pjsip_header_funcs
res_pjsip_diversion res_pjsip_t38 res_format_attr_opus res_format_attr_h264 chan_pjsip bridge_simple bridge_native_rtp
bridge_softmix bridge_builtin_features bridge_holding codec_ulaw codec_alaw codec_g722 codec_resample codec_a_mu
format_pcm format_sln app_dial app_playback app_playtones app_echo app_senddtmf app_read app_verbose app_transfer
func_channel func_callerid func_logic func_strings func_hangupcause func_global res_clioriginate
""".split()

FILES = {
    "asterisk.conf": """
[directories]
astetcdir => {folder}
astmoddir => {modules}
astvarlibdir => {folder}
astdbdir => {folder}
astkeydir => {folder}
astdatadir => {data}
astagidir => {folder}
astspooldir => {folder}
astrundir => {folder}
astlogdir => {folder}
[options]
nocolor = yes
timestamp = yes
""",
    "modules.conf": "[modules]\nautoload=no\n{loads}\n",
    "logger.conf": "[general]\n[logfiles]\nmessages => notice,warning,error,verbose(3)\n",
    "rtp.conf": "[general]\nrtpstart=38000\nrtpend=39999\n",
    "musiconhold.conf": "[default]\nmode=files\ndirectory={folder}/music\n",
    "pjsip.conf": """
[udp]
type=transport
protocol=udp
bind={host}:{port}
[tcp]
type=transport
protocol=tcp
bind={host}:{port}
{tls}
[phone](!)
type=endpoint
context=phones
disallow=all
allow=ulaw
direct_media=yes
{phones}
#include "offhook_pjsip.conf"
""",
    "extensions.conf": """
[phones]
include => to-offhook
include => from-offhook
exten => 701,1,Dial(PJSIP/${EXTEN}@offhook-static,30)
[from-offhook]
exten => 300,1,Answer()
 same => n,Playtones(900)
 same => n,Wait(30)
exten => 302,1,Busy(1)
exten => 303,1,Congestion(1)
exten => _4XX,1,Hangup(${EXTEN:1})
exten => 304,1,Ringing()
 same => n,Wait(60)
#include "offhook_extensions.conf"
""",
}
TLS = """[tls]
type=transport
protocol=tls
bind={host}:{tls_port}
cert_file={certificate}
priv_key_file={key}
method=tlsv1_2
"""
PHONE = """[{name}](phone)
auth={name}
aors={name}
[{name}]
type=auth
auth_type=digest
username={name}
password={password}
[{name}]
type=aor
max_contacts=1
remove_existing=yes
"""


class Asterisk:
    """It runs from its making on. certificate: its own and the key, two PEM files, for TLS."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path] | None = None) -> None:
        if not COMMAND:
            pytest.skip("OFFHOOK_TEST_ASTERISK names no Asterisk (.ci/asterisk fetches one)")
        self.folder, self.port, self.tls_port = folder, free_udp_port(), free_port()
        self.static_port = free_udp_port(STATIC_HOST)
        self._own = {"192.0.2.10:5060": f"{STATIC_HOST}:{self.static_port}", "192.0.2.10": STATIC_HOST}
        self._program: Program | None = None
        (folder / "music").mkdir(parents=True)
        (folder / "music" / "hold.sln").write_bytes(sound.tone(MUSIC_HZ, 20000, sound.RATE))
        self._write(certificate)
        self.start()

    def _write(self, certificate: tuple[Path, Path] | None) -> None:
        usr = Path(COMMAND).resolve().parent / "root" / "usr"
        [modules] = usr.glob("lib/*/asterisk/modules")
        tls = ""
        if certificate is not None:
            tls = TLS.format(host=HOST, tls_port=self.tls_port, certificate=certificate[0], key=certificate[1])
        values = {
            "folder": self.folder,
            "modules": modules,
            "data": usr / "share" / "asterisk",  # its modules don't load without their documentation
            "host": HOST,
            "port": self.port,
            "tls": tls,
            "loads": "\n".join(f"load={name}.so" for name in MODULES),
            "phones": "".join(PHONE.format(name=name, password=PASSWORD) for name in PHONES),
        }
        for name, text in FILES.items():
            for key, value in values.items():
                text = text.replace(f"{{{key}}}", str(value))
            (self.folder / name).write_text(text)
        self._include()

    def _include(self) -> None:
        for name in ("pjsip", "extensions"):
            text = (EXAMPLES / f"{name}.conf").read_text()
            for old, new in self._own.items():
                text = text.replace(old, new)
            (self.folder / f"offhook_{name}.conf").write_text(text)

    def start(self) -> None:
        """Run it, and wait until it takes calls."""
        command = [COMMAND, "-f", "-C", self.folder / "asterisk.conf"]
        self._program = Program(command, environment())
        until(lambda: "pjsip" in self.does("core show channeltypes").lower(), self.text, BOUND_S)
        self.does("core waitfullybooted")

    def kill(self) -> None:
        """As a power cut would."""
        assert self._program is not None
        self._program.kill()

    def stop(self) -> None:
        if self._program is not None:
            self._program.kill()

    def text(self) -> str:
        """The last of its log."""
        path = self.folder / "messages"
        log = path.read_text(errors="replace")[-6000:] if path.exists() else ""
        return log + ("" if self._program is None else self._program.text())

    def does(self, command: str) -> str:
        """What a command at its console prints; "" while there is no console."""
        words = [COMMAND, "-C", str(self.folder / "asterisk.conf"), "-rx", command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=BOUND_S)
        return done.stdout if done.returncode == 0 else ""

    # --- what is asked of it

    @property
    def registrar(self) -> str:
        return f"{HOST}:{self.port}"

    def uri(self, number: str) -> str:
        """Whom to dial there."""
        return f"sip:{number}@{HOST}:{self.port}"

    def line(self, name: str, **more: Any) -> dict[str, Any]:
        """The settings of a telephone (or an endpoint of ours) that registers there."""
        return {"registrar": self.registrar, "username": name, "password": PASSWORD, **more}

    def contacts(self, name: str) -> list[str]:
        """Its contacts' states: Avail, NonQual, Unavail."""
        return re.findall(rf"Contact:\s+{re.escape(name)}/\S+\s+\S+\s+(\w+)", self.does("pjsip show contacts"))

    def reaches(self, name: str, within: float = BOUND_S) -> None:
        """Wait until a line is registered, and has answered its OPTIONS where it is asked by any."""
        until(lambda: set(self.contacts(name)) & {"Avail", "NonQual"}, lambda: f"{name}: {self.text()}", within)

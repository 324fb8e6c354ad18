"""Kamailio as a carrier: registers one account behind digest, brings it its calls, and lets its calls out."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

CONFIG = """
log_stderror=yes
debug=0
children=1
listen=udp:{host}:{port}
disable_tcp=yes
mpath="{modules}"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 60)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); }} else if (is_method("ACK") && t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (is_method("REGISTER")) {{
        if ($au != "{username}" || !pv_www_authenticate("{realm}", "{password}", "0")) {{
            www_challenge("{realm}", "1");
            exit;
        }}
        consume_credentials();
        save("location");
        exit;
    }}
    record_route();
    if (is_method("INVITE") && $rU == "{username}") {{
        if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
        t_relay();
        exit;
    }}
    if (is_method("INVITE")) {{
        if ($au != "{username}" || !pv_proxy_authenticate("{realm}", "{password}", "0")) {{
            proxy_challenge("{realm}", "1");
            exit;
        }}
        consume_credentials();
        $du = "sip:{onward}";
        t_relay();
        exit;
    }}
    sl_send_reply("405", "Method Not Allowed");
}}
"""
MODULES = next((str(path) for path in Path("/usr/lib").glob("*/kamailio/modules")), "/usr/lib/kamailio/modules")


class Kamailio:
    """One of them. onward: host:port that the account's calls go on to."""

    def __init__(self, folder: Path, host: str, *, username: str, password: str, realm: str, onward: str) -> None:
        program = shutil.which("kamailio")
        if program is None:
            pytest.skip("kamailio is not installed (Debian: kamailio, kamailio-extra-modules)")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            self.port = int(probe.getsockname()[1])
        self.host, self.address = host, f"{host}:{self.port}"
        folder.mkdir()
        config = folder / "kamailio.cfg"
        values = {"username": username, "password": password, "realm": realm, "onward": onward}
        config.write_text(CONFIG.format(host=host, port=self.port, modules=MODULES, **values))
        self._log = (folder / "log").open("w+")
        command = [
            program,
            "-f",
            str(config),
            "-DD",
            "-E",
            "-Y",
            str(folder),
            "-w",
            str(folder),
            "-P",
            str(folder / "pid"),
        ]
        self.process = subprocess.Popen([*command, "-m", "32", "-M", "4"], stdout=self._log, stderr=self._log)
        self._until_it_answers()

    def _until_it_answers(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
            ask.bind((self.host, 0))
            ask.settimeout(0.1)
            here = f"{self.host}:{ask.getsockname()[1]}"
            request = (
                f"OPTIONS sip:{self.address} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {here};branch=z9hG4bKup\r\nMax-Forwards: 70\r\n"
                f"From: <sip:t@{here}>;tag=1\r\nTo: <sip:{self.address}>\r\nCall-ID: up{self.port}\r\n"
                "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            )
            give_up = time.monotonic() + 15
            while time.monotonic() < give_up:
                ask.sendto(request.encode(), (self.host, self.port))
                try:
                    ask.recv(4096)
                    return
                except TimeoutError:
                    assert self.process.poll() is None, self.text()
        raise AssertionError(f"Kamailio does not answer: {self.text()}")

    def text(self) -> str:
        self._log.flush()
        self._log.seek(0)
        return self._log.read()[-3000:]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self._log.close()

"""The endpoint as others use it: start, stop, submit, calls out, audio both ways. pjsua2 on both ends."""

from __future__ import annotations

import array
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import wave
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(30)


def test_it_says_what_it_is(start_endpoint: Any, build: str) -> None:
    started = start_endpoint(max_calls=3).next("Started")
    assert started["limit"] == 3
    assert started["capacity"] == (512 if build == "own" else 4)
    assert started["tls"].startswith("OpenSSL ")
    port = started["port"]
    assert started["addresses"] == [f"sip:127.0.0.1:{port};transport=udp", f"sip:127.0.0.1:{port};transport=tcp"]
    assert re.match(r"\d+\.\d+", started["version"]) and "pjsua2-python" in started["build"]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_a_busy_port(start_endpoint: Any, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        error = start_endpoint(port=port).next("StartFailed")["error"]
    assert f"127.0.0.1:{port}" in error and "another program has that port" in error


def test_an_address_that_is_not_ours(start_endpoint: Any) -> None:
    error = start_endpoint(host="192.0.2.1").next("StartFailed")["error"]
    assert "192.0.2.1" in error and "must be an address of this machine" in error


def test_an_allow_list_that_does_not_resolve(start_endpoint: Any) -> None:
    error = start_endpoint(allow=["no-such-host.invalid"]).next("StartFailed")["error"]
    assert "no-such-host.invalid" in error


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_audio_both_ways(start_endpoint: Any, transport: str) -> None:
    agent, caller = start_endpoint(ring=True), start_endpoint(answer=None)
    port = agent.next("Started")["port"]
    caller.next("Started")
    out = caller.do("invite", uri=f"sip:427@127.0.0.1:{port};transport={transport}")
    call = agent.next("IncomingCall")
    assert call["dialled"] == "427"
    assert caller.next("CallProgress", call_id=out)["status"] == 180
    for side in (agent, caller):
        side.next("CallConfirmed")
    agent.do("play", call_id=call["call_id"], hz=700, ms=5000)
    caller.do("play", call_id=out, hz=1100, ms=5000)
    agent.until(lambda: agent.do("heard", call_id=call["call_id"])["hz"] == 1100, "the agent hears the caller")
    caller.until(lambda: caller.do("heard", call_id=out)["hz"] == 700, "the caller hears the agent")
    caller.do("send_digits", call_id=out, digits="4#A")
    assert "".join(agent.next("DigitReceived", via="rtp")["digit"] for _ in "4#A") == "4#A"
    caller.do("hang_up", call_id=out)
    assert agent.next("CallEnded")["by"] == "caller"
    assert caller.next("CallEnded")["by"] == "agent"


@pytest.mark.parametrize("codec", ["PCMA", "G722"])
def test_audio_with_another_codec(start_endpoint: Any, codec: str) -> None:
    agent, caller = start_endpoint(), start_endpoint(answer=None)
    port = agent.next("Started")["port"]
    caller.next("Started")
    for side in (agent, caller):
        side.do("only_codec", codec=codec)
    out = caller.do("invite", uri=f"sip:427@127.0.0.1:{port}")
    call_id = agent.next("MediaActive", codec=codec)["call_id"]
    caller.next("CallConfirmed")
    agent.do("play", call_id=call_id, hz=700, ms=5000)
    caller.do("play", call_id=out, hz=1100, ms=5000)
    agent.until(lambda: agent.do("heard", call_id=call_id)["hz"] == 1100, "the agent hears the caller")
    caller.until(lambda: caller.do("heard", call_id=out)["hz"] == 700, "the caller hears the agent")


PLAIN = {"srtp_keys": "plain"}
"""Keys of SRTP over UDP."""


@pytest.mark.parametrize("srtp", ["optional", "required"])
def test_encrypted_media(start_endpoint: Any, srtp: str) -> None:
    agent, caller = start_endpoint(srtp=srtp, **PLAIN), start_endpoint(answer=None, srtp="required", **PLAIN)
    port = agent.next("Started")["port"]
    caller.next("Started")
    out = caller.do("invite", uri=f"sip:427@127.0.0.1:{port}")
    call_id = agent.next("CallConfirmed")["call_id"]
    caller.do("play", call_id=out, hz=1100, ms=5000)
    agent.until(lambda: agent.do("heard", call_id=call_id)["hz"] == 1100, "the agent hears the caller")


def test_unencrypted_media_where_it_must_be(start_endpoint: Any) -> None:
    agent, caller = start_endpoint(srtp="required", **PLAIN), start_endpoint(answer=None)
    port = agent.next("Started")["port"]
    caller.next("Started")
    caller.do("invite", uri=f"sip:427@127.0.0.1:{port}")
    ended = caller.next("CallEnded")
    assert (ended["status"], ended["by"]) == (488, "caller")


def test_a_call_out_that_is_refused(start_endpoint: Any) -> None:
    agent, caller = start_endpoint(answer=486), start_endpoint(answer=None)
    port = agent.next("Started")["port"]
    caller.next("Started")
    caller.do("invite", uri=f"sip:427@127.0.0.1:{port}")
    ended = caller.next("CallEnded")
    assert (ended["status"], ended["by"]) == (486, "caller")


def test_a_call_out_given_up(start_endpoint: Any) -> None:
    agent, caller = start_endpoint(answer=None, ring=True), start_endpoint(answer=None)
    port = agent.next("Started")["port"]
    caller.next("Started")
    out = caller.do("invite", uri=f"sip:427@127.0.0.1:{port}")
    caller.next("CallProgress", status=180)
    caller.do("hang_up", call_id=out)
    ended = caller.next("CallEnded")
    assert (ended["status"], ended["by"]) == (487, "agent")
    assert agent.next("CallEnded")["by"] == "caller"


def test_a_call_out_to_nowhere(start_endpoint: Any) -> None:
    caller = start_endpoint(answer=None)
    caller.next("Started")
    with pytest.raises(AssertionError, match="SipRequestError"):
        caller.do("invite", uri="not a uri")
    with pytest.raises(AssertionError, match="NoSuchCall: no call 123 is up"):
        caller.do("answer", call_id="123")


def test_stop_hangs_up(start_endpoint: Any) -> None:
    agent, caller = start_endpoint(), start_endpoint(answer=None)
    port = agent.next("Started")["port"]
    caller.next("Started")
    caller.do("invite", uri=f"sip:427@127.0.0.1:{port}")
    caller.next("CallConfirmed")
    assert agent.stop() == 0
    assert caller.next("CallEnded")["by"] == "caller"


def test_baresip_calls(start_endpoint: Any, tmp_path: Path) -> None:
    if not shutil.which("baresip"):
        pytest.skip("baresip is not installed")
    agent = start_endpoint(ring=True)
    port = agent.next("Started")["port"]
    modules = next(Path("/usr/lib").glob("**/baresip/modules"))
    (tmp_path / "accounts").write_text("<sip:bare@127.0.0.1>;regint=0;audio_codecs=PCMU\n")
    (tmp_path / "contacts").write_text("")
    (tmp_path / "config").write_text(
        f"sip_listen 127.0.0.1:0\nmodule_path {modules}\nmodule g711.so\nmodule_tmp uuid.so\nmodule_app account.so\n"
        "module aufile.so\nmodule_app menu.so\naudio_player aufile,"
        f"{tmp_path}/heard.wav\naudio_source aufile,{tmp_path}/tone.wav\naudio_alert aufile,{tmp_path}/alert.wav\n"
        "ausrc_srate 8000\nauplay_srate 8000\n"
    )
    samples = array.array("h", (round(8000 * math.sin(math.tau * 600 * n / 8000)) for n in range(8 * 8000)))
    with wave.open(str(tmp_path / "tone.wav"), "wb") as tone:
        tone.setnchannels(1)
        tone.setsampwidth(2)
        tone.setframerate(8000)
        tone.writeframes(samples.tobytes())
    with (tmp_path / "out").open("w") as out:
        command = ["baresip", "-f", str(tmp_path), "-e", f"/dial sip:427@127.0.0.1:{port}", "-t", "6"]
        baresip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        call_id = agent.next("CallConfirmed")["call_id"]
        agent.until(lambda: agent.do("heard", call_id=call_id)["hz"] == 600, "baresip's tone is heard")
        agent.do("hang_up", call_id=call_id)
        assert agent.next("CallEnded")["by"] == "agent"
    finally:
        baresip.kill()
        baresip.wait(5)


def test_one_endpoint_per_process(own_site: Path | None, build: str) -> None:
    """A second one is refused while the first runs, and may follow it."""
    code = """
from telephony.endpoint import Endpoint
from telephony.errors import SipRequestError, SipStartError
from telephony.settings import SipSettings
settings = SipSettings(port=0, rtp_ports=(0, 0))
first, second = Endpoint(settings, print), Endpoint(settings, print)
first.start()
try:
    second.start()
except SipStartError as error:
    assert "one per process" in str(error), error
else:
    raise SystemExit("a second endpoint started")
assert first.submit(lambda: 42).result(5) == 42
first.stop()
first.stop()
try:
    first.submit(lambda: 42).result(5)
except SipRequestError as error:
    assert "not running" in str(error)
second.start()
second.stop()
print("good")
"""
    root = Path(__file__).parents[2]
    sites = [own_site if build == "own" else None, os.environ.get("PYTHONPATH"), root]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(site) for site in sites if site)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd="/", capture_output=True, text=True, timeout=25)
    assert done.returncode == 0 and done.stdout.endswith("good\n"), done.stdout + done.stderr
    assert "Creating endpoint" not in done.stdout, "the library's own log stays off stdout"


def test_nobody_waits_in_vain() -> None:
    """What is submitted to an endpoint that never started fails at once."""
    from telephony.endpoint import Endpoint
    from telephony.errors import SipRequestError
    from telephony.settings import SipSettings

    endpoint = Endpoint(SipSettings(port=0), lambda event: None)
    with pytest.raises(SipRequestError):
        endpoint.invite("sip:a@127.0.0.1").result(1)
    with pytest.raises(SipRequestError):
        endpoint.unregister().result(1)
    assert endpoint.bridge("x") is None and endpoint.calls == 0
    endpoint.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "pj"]

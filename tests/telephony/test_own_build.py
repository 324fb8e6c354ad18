"""What is tested within the test's own process, once more with the pjsua2 that OFFHOOK_TEST_PJSUA2 names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from telephony.port import NATIVE

HERE = Path(__file__).parent
AGAIN = ("test_bridge.py", "test_frames.py", "test_recording.py")


@pytest.mark.skipif(NATIVE, reason="this is the own build already")
@pytest.mark.parametrize("name", AGAIN)
def test_the_same_on_the_own_build(own_site: Path | None, name: str) -> None:
    if own_site is None:
        pytest.skip("OFFHOOK_TEST_PJSUA2 names no build")
    root = HERE.parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-rs", str(HERE / name)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(own_site), str(root)])},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has no helpers" not in done.stdout, "the own build was not the one that ran"


def test_srtp_is_encrypted_by_openssl_where_its_known_answers_are_right(own_site: Path | None) -> None:
    if own_site is None:
        pytest.skip("OFFHOOK_TEST_PJSUA2 names no build")
    code = (
        "from telephony.binding import pj, silence, srtp_by_openssl\n"
        "silence(); one = pj.Endpoint(); one.libCreate(); quiet = pj.EpConfig(); quiet.logConfig.consoleLevel = 0\n"
        "one.libInit(quiet); print('taken', srtp_by_openssl()); one.libDestroy()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(own_site), str(HERE.parents[1])])},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "taken True" in done.stdout, done.stdout + done.stderr

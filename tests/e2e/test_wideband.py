"""A caller whose telephone asks for G.722 first: what lies over 4 kHz reaches the session, and comes back from it.

Needs the own build of pjsua2 (OFFHOOK_TEST_PJSUA2): the wheel carries 8 kHz.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from parts import sound
from parts.caller import ALIKE, Call, Phone, agent_voice, voice
from parts.program import ROOT, until
from parts.provider import Provider
from parts.services import RealtimeServer, RedisServer, Worker

from telephony.resample import Resampler

BUILD = os.environ.get("OFFHOOK_TEST_PJSUA2")
pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.skipif(not BUILD, reason="16 kHz needs the own build of pjsua2: OFFHOOK_TEST_PJSUA2"),
]
HIGH = 6000
"""Hz: over what 8 kHz carries."""
LINE_HZ = 16_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The own build, to be put on a process's path."""
    path = Path(BUILD or "")
    if path.suffix != ".whl":
        return path
    site = tmp_path_factory.mktemp("own-pjsua2")
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(site)
    return site


@pytest.fixture
def phone(folder: Path, site: Path) -> Iterator[Phone]:
    phone = Phone(folder, site, codecs=["G722", "PCMU"]).ready()
    yield phone
    phone.stop()


def path_of(site: Path) -> str:
    return os.pathsep.join((str(site), str(ROOT)))


def tone_ms(pcm: bytes, hz: float, rate_hz: int) -> float:
    """How many ms this tone is most of what is heard."""
    frame = rate_hz // 50
    samples = np.frombuffer(pcm[: len(pcm) // (2 * frame) * 2 * frame], "<i2").astype(float).reshape(-1, frame)
    power = np.abs(np.fft.rfft(samples * np.hanning(frame), axis=1)) ** 2
    at = round(hz / 50)
    near = power[:, at - 1 : at + 2].sum(axis=1)
    return float(20 * ((near > 0.8 * power.sum(axis=1)) & (near > 1e9)).sum())


def test_6_khz_goes_to_the_provider_and_comes_back(
    redis: RedisServer, provider: Provider, scripted_agent: Path, folder: Path, phone: Phone, site: Path
) -> None:
    worker = Worker(
        folder / "wide",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=scripted_agent,
        **provider.settings,
        SHOP_FOLDER=folder,
        PYTHONPATH=path_of(site),
    ).ready()
    try:
        call = phone.dial(worker.uri)
        session = provider.session()
        assert phone.event("MediaActive", call_id=call.call_id)["codec"] == "G722"
        session.says(HIGH, 600)
        until(lambda: tone_ms(bytes(call.listen().heard), HIGH, LINE_HZ) >= 560, "the agent's tone at the caller")
        call.play(sound.tone(HIGH, 600, LINE_HZ), wait=False)
        until(lambda: tone_ms(bytes(session.audio), HIGH, 24_000) >= 500, "the caller's tone at the provider")
        call.hang_up()
    finally:
        assert worker.stop() == 0, worker.text()


@pytest.mark.spoken
def test_the_local_server_hears_and_speaks(spoken_agent: Path, folder: Path, phone: Phone, site: Path) -> None:
    """A question that is understood and answered, with a caller at 16 kHz."""
    server = RealtimeServer().ready()
    try:
        worker = Worker(
            folder / "spoken-wide",
            OFFHOOK_AGENT=spoken_agent,
            OFFHOOK_REALTIME="gateway",
            OFFHOOK_REALTIME_URL=server.url,
            SHOP_FOLDER=folder,
            PYTHONPATH=path_of(site),
        ).ready()
        try:
            call = phone.dial(worker.uri)
            hears(call, "Hello, this is the order desk. How can I help you?")
            call.play(Resampler(8000, LINE_HZ).process(voice("what can you do")), wait=False)
            hears(call, "I can look up an order, tell you the time, and explain our delivery terms.")
            call.hang_up()
        finally:
            assert worker.stop() == 0, worker.text()
    finally:
        server.stop()


def hears(call: Call, text: str) -> None:
    """Wait until the local server's voice says this."""
    wanted = agent_voice(text)

    def likeness() -> float:
        return sound.find(Resampler(LINE_HZ, 8000).process(bytes(call.listen().heard)), wanted)[0]

    until(lambda: likeness() >= ALIKE, f"{text!r} is heard", 45.0, step_s=0.3)

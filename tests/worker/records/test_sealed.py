from __future__ import annotations

import wave
from pathlib import Path

import pytest

from telephony.bridge import Bridge
from telephony.frame_queue import FrameQueue
from telephony.recording import StereoRecorder
from worker.errors import OperatorError
from worker.records import sealed
from worker.records.sealed import MAGIC, SealedFile, new_keys, open_sealed, public_key, secret_key

PUBLIC, SECRET = new_keys()
SOUND = bytes(range(256)) * 250
MORE = b"\x11\x22\x33\x44" * 4000


def written(path: Path, *pieces: bytes, close: bool = True) -> SealedFile:
    file = SealedFile(path, 8000, public_key(PUBLIC))
    for piece in pieces:
        file.write(piece)
    if close:
        file.close()
    return file


def heard(path: Path, secret: str = SECRET) -> tuple[bytes, bool]:
    target = path.with_suffix(".wav")
    whole = open_sealed(path, secret_key(secret), target)
    with wave.open(str(target), "rb") as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (2, 2, 8000)
        return wav.readframes(wav.getnframes()), whole


def test_who_has_the_secret_key_hears_it(tmp_path: Path) -> None:
    written(tmp_path / "a.sealed", SOUND, MORE)
    assert heard(tmp_path / "a.sealed") == (SOUND + MORE, True)


def test_nothing_of_it_is_on_disk_in_clear(tmp_path: Path) -> None:
    written(tmp_path / "a.sealed", MORE)
    assert MORE[:16] not in (tmp_path / "a.sealed").read_bytes()


def test_a_worker_that_died_leaves_what_was_drained(tmp_path: Path) -> None:
    path = tmp_path / "a.sealed"
    written(path, SOUND, MORE, close=False)._file.close()
    assert heard(path) == (SOUND + MORE, False)
    path.write_bytes(path.read_bytes()[:-7])
    assert heard(path) == (SOUND, False)


def test_it_is_for_nobody_else(tmp_path: Path) -> None:
    written(tmp_path / "a.sealed", SOUND)
    with pytest.raises(OperatorError, match="another key"):
        heard(tmp_path / "a.sealed", new_keys()[1])
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("at", [200, -40])
def test_one_that_was_changed_is_refused(tmp_path: Path, at: int) -> None:
    path = tmp_path / "a.sealed"
    written(path, SOUND, MORE)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(OperatorError, match="changed"):
        heard(path)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sealed").write_bytes(b"RIFF....")
    with pytest.raises(OperatorError, match="no sealed recording"):
        heard(tmp_path / "a.sealed")
    (tmp_path / "a.sealed").write_bytes(MAGIC)
    with pytest.raises(OperatorError, match="nothing in it"):
        heard(tmp_path / "a.sealed")


def test_a_long_piece_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "PIECE_BYTES", 1000)
    written(tmp_path / "a.sealed", SOUND)
    assert heard(tmp_path / "a.sealed") == (SOUND, True)


def test_a_disk_that_was_full_for_a_while_costs_that_piece_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sealed"
    file = written(path, SOUND, close=False)
    disk = file._file

    class Full:
        """Takes half a frame, then nothing."""

        def __init__(self) -> None:
            self.took = 0

        def write(self, data: memoryview) -> int:
            if self.took:
                raise OSError(28, "No space left on device")
            self.took = disk.write(data[:100])
            return self.took

        def __getattr__(self, name: str) -> object:
            return getattr(disk, name)

    file._file = Full()  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space"):
        file.write(MORE)
    file._file = disk
    file.write(MORE * 2)
    file.close()
    assert heard(path) == (SOUND + MORE * 2, True)


def test_keys_are_not_mixed_up() -> None:
    with pytest.raises(ValueError, match="secret key: it opens"):
        public_key(SECRET)
    with pytest.raises(ValueError, match="public key: it takes"):
        secret_key(PUBLIC)
    for wrong in ("", "offhook-public-", "offhook-public-abc", PUBLIC + "x", "offhook-public-" + "!" * 43):
        with pytest.raises(ValueError, match="offhook keys"):
            public_key(wrong)


def test_a_call_is_recorded_into_it(tmp_path: Path) -> None:
    bridge = Bridge(make_queue=FrameQueue)
    key = public_key(PUBLIC)
    recorder = StereoRecorder(tmp_path / "a.sealed", bridge, lambda path, rate_hz: SealedFile(path, rate_hz, key))
    recorder.begin()
    for _ in range(3):
        bridge.pull()
        bridge.push(b"\x07\x00" * 160)
    recorder.close()
    audio, whole = heard(tmp_path / "a.sealed")
    assert whole and audio == b"\x07\x00\x00\x00" * 480

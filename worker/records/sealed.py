"""A recording that only the holder of a secret key can hear: encrypted as it is written, piece by piece.

libsodium does all of it. Each segment of the file has a key of its own, sealed for the public key (`crypto_box_seal`),
and its pieces are one `crypto_secretstream`: a piece that is changed, left out or put elsewhere is found out. What the
worker has is the public key alone. On disk there is never plain audio; in memory there is what was not drained yet.

The file: `MAGIC`, then frames. `S` begins a segment: the sealed key (80 bytes) and the stream's header (24). `C` is a
piece: its length (4 bytes, big endian), then so many encrypted bytes. A segment's first piece is JSON: its number, the
rate (Hz) and the channels; the others are 16-bit samples. The last piece of all has the stream's final mark. A file
without it ends early: the worker died, or writes still.
"""

from __future__ import annotations

import json
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from tools.keys import key_bytes, key_text
from worker.errors import HostError, OperatorError
from worker.installed import remedy

__all__ = [
    "SUFFIX",
    "SealedFile",
    "file_maker",
    "new_keys",
    "open_sealed",
    "public_key",
    "require_sealing",
    "secret_key",
]

MAGIC: Final = b"offhook sealed recording 1\n"
SUFFIX: Final = ".wav.sealed"
PUBLIC: Final = "offhook-public-"
SECRET: Final = "offhook-secret-"
SEALED_BYTES: Final = 80
HEADER_BYTES: Final = 24
PIECE_BYTES: Final = 1 << 20
"""Longer ones are cut."""
CHANNELS: Final = 2


def new_keys() -> tuple[str, str]:
    """Return a new pair as text: the public key for the workers, and the secret one for who may hear."""
    from nacl.public import PrivateKey

    secret = PrivateKey.generate()
    return key_text(PUBLIC, bytes(secret.public_key)), key_text(SECRET, bytes(secret))


def public_key(text: str) -> bytes:
    """Read a public key. Raises ValueError, for the secret one, too: it has no business on a worker."""
    if text.startswith(SECRET):
        raise ValueError("this is the secret key: it opens recordings, so take the public one, and keep this elsewhere")
    return _key(PUBLIC, text)


def secret_key(text: str) -> bytes:
    """Read a secret key. Raises ValueError."""
    if text.startswith(PUBLIC):
        raise ValueError("this is the public key: it takes the secret one to open a recording")
    return _key(SECRET, text)


def _key(prefix: str, text: str) -> bytes:
    found = key_bytes(prefix, text)
    if found is None:
        raise ValueError(f"give a key as `offhook keys` prints it: {prefix} and 43 letters")
    return found


def require_sealing() -> None:
    """Raise HostError where what encrypts is not installed."""
    try:
        import nacl.bindings  # noqa: F401
    except ImportError:
        raise HostError(f"OFFHOOK_RECORDINGS_KEY is set, but PyNaCl is not installed: {remedy('sealed')}") from None


def file_maker(key: str) -> Callable[[Path, int], SealedFile]:
    """Return what creates recordings for this public key, as text."""
    found = public_key(key)
    return lambda path, rate_hz: SealedFile(path, rate_hz, found)


class SealedFile:
    """A recording that is being written: a `telephony.recording.AudioFile`."""

    def __init__(self, path: Path, rate_hz: int, key: bytes) -> None:
        """Create the file. key: the public one. Raises OSError."""
        self._rate_hz = rate_hz
        self._key = key
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._segments = 0
        self._state: Any = None
        """Of the stream; None where the next piece begins a segment."""
        self._good = 0
        """How many bytes of the file are whole frames."""
        self._write(MAGIC)

    def write(self, samples: bytes) -> None:
        """Add 16-bit stereo samples. Raises OSError; then nothing of them is in the file."""
        for at in range(0, len(samples), PIECE_BYTES):
            self._add(samples[at : at + PIECE_BYTES], last=False)

    def close(self) -> None:
        """Mark the end, and close. Raises OSError."""
        try:
            self._add(b"", last=True)
        finally:
            self._file.close()

    def _add(self, plain: bytes, *, last: bool) -> None:
        """Write a piece. Where that fails the stream has moved on and the file has not: a new segment begins then."""
        frames = b"" if self._state is not None else self._begin()
        state, self._state = self._state, None
        self._write(frames + self._piece(state, plain, last=last))
        self._state = state

    def _begin(self) -> bytes:
        from nacl import bindings
        from nacl.public import PublicKey, SealedBox

        key = bindings.crypto_secretstream_xchacha20poly1305_keygen()
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        header = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        about = {"segment": self._segments, "rate_hz": self._rate_hz, "channels": CHANNELS}
        self._segments += 1
        sealed = SealedBox(PublicKey(self._key)).encrypt(key)
        return b"S" + sealed + header + self._piece(self._state, json.dumps(about).encode(), last=False)

    @staticmethod
    def _piece(state: Any, plain: bytes, *, last: bool) -> bytes:
        from nacl import bindings

        final = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
        tag = final if last else bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
        found: bytes = bindings.crypto_secretstream_xchacha20poly1305_push(state, plain, None, tag)
        return b"C" + len(found).to_bytes(4, "big") + found

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            self._file.seek(self._good)
            self._file.truncate()
            raise
        self._good += len(data)


def open_sealed(source: Path, secret: bytes, target: Path) -> bool:
    """Write a sealed recording as a WAV file. False where it ends early: then there is what came until then.

    Raises OperatorError for a file that is none, for another key, and for one that was changed; OSError.
    """
    require_sealing()
    with source.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise OperatorError(f"{source}: is no sealed recording")
        pieces = _Pieces(file, source, secret)
        part = target.with_name(target.name + ".part")
        try:
            rate_hz = pieces.begin()
            with wave.open(str(part), "wb") as wav:
                wav.setnchannels(CHANNELS)
                wav.setsampwidth(2)
                wav.setframerate(rate_hz)
                for plain in pieces:
                    wav.writeframes(plain)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return pieces.whole


class _Pieces:
    """The samples of a file, in order."""

    def __init__(self, file: BinaryIO, source: Path, secret: bytes) -> None:
        self.whole = False
        self._file = file
        self._source = source
        self._secret = secret
        self._state: Any = None
        self._segments = 0
        self._rate_hz = 0

    def begin(self) -> int:
        """Read the first segment's beginning; returns the rate in Hz."""
        if not self._segment():
            raise OperatorError(f"{self._source}: has nothing in it yet")
        return self._rate_hz

    def __iter__(self) -> Iterator[bytes]:
        while not self.whole:
            kind = self._file.read(1)
            if kind == b"C":
                plain = self._piece()
                if plain is None:
                    return
                yield plain
            elif kind == b"S":
                self._file.seek(-1, 1)
                if not self._segment():
                    return
            elif kind:
                raise self._changed()
            else:
                return

    def _segment(self) -> bool:
        from nacl import bindings
        from nacl.exceptions import CryptoError
        from nacl.public import PrivateKey, SealedBox

        head = self._file.read(1 + SEALED_BYTES + HEADER_BYTES)
        if len(head) < 1 + SEALED_BYTES + HEADER_BYTES:
            return False
        if head[:1] != b"S":
            raise self._changed()
        try:
            key = SealedBox(PrivateKey(self._secret)).decrypt(head[1 : 1 + SEALED_BYTES])
        except CryptoError:
            raise OperatorError(f"{self._source}: was sealed for another key, or was changed") from None
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, head[1 + SEALED_BYTES :], key)
        about = self._piece() if self._file.read(1) == b"C" else None
        if about is None:
            return False
        told = json.loads(about)
        if told["segment"] != self._segments:
            raise self._changed()
        self._segments += 1
        self._rate_hz = told["rate_hz"]
        return True

    def _piece(self) -> bytes | None:
        """The next piece; None where the file ends in it."""
        from nacl import bindings
        from nacl.exceptions import CryptoError

        length = int.from_bytes(self._file.read(4), "big")
        if length > 2 * PIECE_BYTES:
            raise self._changed()
        data = self._file.read(length)
        if not length or len(data) < length:
            return None
        try:
            plain, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(self._state, data)
        except (CryptoError, RuntimeError):
            raise self._changed() from None
        self.whole = tag == bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
        return bytes(plain)

    def _changed(self) -> OperatorError:
        return OperatorError(f"{self._source}: is damaged, or was changed: a piece of it is not what was written")

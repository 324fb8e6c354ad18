from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable

import pytest

from telephony import g711

BOTH = [(g711.ulaw_encode, g711.ulaw_decode), (g711.alaw_encode, g711.alaw_decode)]
Convert = Callable[[bytes], bytes]


@pytest.mark.parametrize(("encode", "decode"), BOTH)
def test_every_code_survives_decoding_and_encoding(encode: Convert, decode: Convert) -> None:
    codes = bytes(range(256))
    again = encode(decode(codes))
    # mu-law has two zeros (G.711 table 2): the negative one comes back as the positive.
    assert [code for code, now in zip(codes, again, strict=True) if code != now] in ([], [0x7F])


@pytest.mark.parametrize(("encode", "decode"), BOTH)
def test_the_error_is_small_against_the_sample(encode: Convert, decode: Convert) -> None:
    samples = list(range(-32000, 32001, 7))
    decoded = struct.unpack(f"<{len(samples)}h", decode(encode(struct.pack(f"<{len(samples)}h", *samples))))
    # A step is at most a sixteenth of its segment's beginning; so is the first, of 16 (A-law) at 16 bits.
    assert all(abs(a - b) <= max(16, abs(a) / 16) for a, b in zip(samples, decoded, strict=True))


@pytest.mark.parametrize(("decode", "code", "value"), [(g711.ulaw_decode, 0xFF, 0), (g711.alaw_decode, 0xD5, 8)])
def test_silence_on_the_wire(decode: Convert, code: int, value: int) -> None:
    assert decode(bytes([code])) == struct.pack("<h", value)


@pytest.mark.parametrize(
    ("decode", "code", "value"), [(g711.ulaw_decode, 0x80, 32124), (g711.alaw_decode, 0xAA, 32256)]
)
def test_the_loudest_codes(decode: Convert, code: int, value: int) -> None:
    assert decode(bytes([code])) == struct.pack("<h", value)
    assert decode(bytes([code ^ 0x80])) == struct.pack("<h", -value)


@pytest.mark.parametrize("encode", [g711.ulaw_encode, g711.alaw_encode])
def test_half_a_sample_is_an_error(encode: Convert) -> None:
    with pytest.raises(g711.audioop.error):
        encode(b"abc")


def test_importing_it_warns_of_nothing() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", "import telephony.g711"], check=True, timeout=20)

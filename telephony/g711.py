"""G.711 (ITU-T): mu-law and A-law against 16-bit little-endian mono PCM, one byte a sample.

audioop is the standard library's up to Python 3.12, and the package audioop-lts after that.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the standard library's, in 3.11 and 3.12
    import audioop

__all__ = ["alaw_decode", "alaw_encode", "audioop", "ulaw_decode", "ulaw_encode"]


def ulaw_encode(pcm: bytes) -> bytes:
    """PCM to mu-law (PCMU, RTP payload type 0). Raises audioop.error for half a sample."""
    return bytes(audioop.lin2ulaw(pcm, 2))


def ulaw_decode(data: bytes) -> bytes:
    """Mu-law to PCM."""
    return bytes(audioop.ulaw2lin(data, 2))


def alaw_encode(pcm: bytes) -> bytes:
    """PCM to A-law (PCMA, RTP payload type 8). Raises audioop.error for half a sample."""
    return bytes(audioop.lin2alaw(pcm, 2))


def alaw_decode(data: bytes) -> bytes:
    """A-law to PCM."""
    return bytes(audioop.alaw2lin(data, 2))

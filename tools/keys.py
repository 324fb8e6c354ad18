"""Keys as text that can stand in a variable: what they are for, and 32 bytes in base64 (RFC 4648 section 5). Pure."""

from __future__ import annotations

import base64
import binascii

__all__ = ["KEY_BYTES", "key_bytes", "key_text"]

KEY_BYTES = 32


def key_text(prefix: str, key: bytes) -> str:
    """Return a key as text. prefix: says what it is for."""
    return prefix + base64.urlsafe_b64encode(key).decode().rstrip("=")


def key_bytes(prefix: str, text: str) -> bytes | None:
    """Return the bytes of a key with this prefix; None for what is none."""
    text = text.strip()
    body = text.removeprefix(prefix)
    try:
        found = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return found if text.startswith(prefix) and len(found) == KEY_BYTES else None

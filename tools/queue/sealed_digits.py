"""Digits that a caller typed for a tool alone, on their way to a tool worker: nobody who reads Redis can read them.

Worker and tool workers share one key (OFFHOOK_DIGITS_KEY). libsodium's `crypto_secretbox` encrypts and authenticates;
what is sealed names its job, so that it opens for no other.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tools.errors import ToolDefinitionError
from tools.keys import KEY_BYTES, key_bytes, key_text

__all__ = ["DigitsKey", "NotForUs", "new_key"]

PREFIX: Final = "offhook-digits-"


class NotForUs(Exception):
    """What is sealed was sealed with another key, for another job, or was changed."""


def new_key() -> str:
    """Return a new key as text."""
    from nacl.utils import random

    return key_text(PREFIX, random(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class DigitsKey:
    """The key that worker and tool workers share."""

    key: bytes = field(repr=False)

    @classmethod
    def read(cls, text: str) -> DigitsKey:
        """Read a key. Raises ValueError for what is none, ToolDefinitionError where libsodium is not installed."""
        found = cls(cls.check(text))
        try:
            import nacl.secret  # noqa: F401
        except ImportError:
            raise ToolDefinitionError("OFFHOOK_DIGITS_KEY needs PyNaCl: pip install 'offhook[sealed]'") from None
        return found

    @staticmethod
    def check(text: str) -> bytes:
        """Return a key's bytes. Raises ValueError."""
        key = key_bytes(PREFIX, text)
        if key is None:
            raise ValueError("give a key as `offhook keys digits` prints it")
        return key

    def seal(self, job_id: str, typed: Mapping[str, str]) -> str:
        """Return what the caller typed for each parameter, for this job alone."""
        from nacl.secret import SecretBox

        plain = json.dumps({"job": job_id, "typed": dict(typed)}).encode()
        return base64.b64encode(SecretBox(self.key).encrypt(plain)).decode()

    def open(self, job_id: str, text: object) -> dict[str, str]:
        """Return what was typed. Raises NotForUs."""
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox

        try:
            found: Any = json.loads(SecretBox(self.key).decrypt(base64.b64decode(str(text), validate=True)))
        except (CryptoError, ValueError, TypeError):
            raise NotForUs from None
        if found["job"] != job_id:
            raise NotForUs
        return dict(found["typed"])

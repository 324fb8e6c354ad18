"""The only place that imports pjsua2, and what can be asked of the build without an endpoint.

Others write `from telephony.binding import pj`. Importing this raises ImportError with the way to mend it
where no pjsua2 is installed (the PyPI wheel ends at Python 3.12).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.metadata
import sys
import warnings
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

with warnings.catch_warnings():
    # SWIG's own types lack __module__, which Python 3.12 warns of at their creation.
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        import pjsua2 as pj

        pj.Endpoint  # noqa: B018 - the wheel loads its extension at the first use
    except ImportError as error:
        raise ImportError(
            f"pjsua2 can't be loaded ({error}): Python 3.11 and 3.12 have a wheel (pip install pjsua2-python), "
            "for any other build one with docker/build-pjsua2 and install it"
        ) from error

__all__ = ["build", "capacity", "explain", "guarded", "pj", "silence", "srtp_by_openssl", "tls_library"]

log = structlog.get_logger(__name__)

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")

WHEEL_CALLS = 4
"""PJSUA_MAX_CALLS where it can't be asked: the library's default, and the PyPI wheel's."""


def capacity() -> int:
    """Calls at once that the running library carries. Ask after libInit with an unreachably high maxCalls."""
    ask = _symbol("pjsua_call_get_max_count")
    return int(ask()) if ask else WHEEL_CALLS


def silence() -> None:
    """Stop the library's log on stdout, before it is configured."""
    set_level = _symbol("pj_log_set_level")
    if set_level:
        set_level(0)


def build() -> str:
    """Distribution and version that brought pjsua2, as pip knows it."""
    try:
        return "pjsua2-python " + importlib.metadata.version("pjsua2-python")
    except importlib.metadata.PackageNotFoundError:
        return "pjsua2 of unknown origin"


def tls_library() -> str:
    """The TLS library behind this build, such as "OpenSSL 3.0.17 1 Jul 2025", or "unknown"."""
    for name in ("OpenSSL_version", "SSLeay_version"):
        ask = _symbol(name)
        if ask:
            ask.restype, ask.argtypes = ctypes.c_char_p, [ctypes.c_int]
            return bytes(ask(0)).decode(errors="replace")
    return "unknown"


def srtp_by_openssl() -> bool:
    """Have SRTP's ciphers done by OpenSSL, where the build can (native/srtp_kernel.hpp). After libInit, before a call.

    False: they stay what libsrtp2 brings.
    """
    take = getattr(pj, "srtp_by_openssl", None)
    return take is not None and bool(take())


def explain(error: Any) -> str:
    """A pj.Error as one line: what failed, and the library's reason."""
    return f"{error.title}: {error.reason or error.status}"


def guarded(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R | None]:
    """Keep an exception inside a callback: C++ frames lie below it."""

    @functools.wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return method(self, *args, **kwargs)
        except Exception:
            log.exception("sip_callback_failed", callback=method.__qualname__)
            return None

    return call


def _symbol(name: str) -> Any:
    """A C function of the extension or of what it is linked against; None when it isn't exported."""
    module = sys.modules.get("pjsua2._pjsua2") or sys.modules.get("_pjsua2")
    if module is None or not module.__file__:
        return None
    with contextlib.suppress(OSError, AttributeError):
        return getattr(ctypes.CDLL(module.__file__), name)
    return None

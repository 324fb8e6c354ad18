"""Logging: structlog, as JSON lines on stderr or as columns on a terminal, with secrets and audio taken out.

The standard library's loggers go the same way, so that a library's line has the same shape.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, Literal, TextIO

import structlog

from worker.log_limit import LimitLines

REDACTED = "[redacted]"
SHORTEST = 4
"""A shorter text is no secret, and would take every line to pieces."""

# Keys by their last word: api_key and openai_api_key, but not monkey or key_count.
SECRET_KEY = re.compile(
    r"(?:^|[_\-.])(?:key|password|passwd|secret|token|authorization|cookie|digits?|dtmf|audio|pcm|credentials?)$",
    re.I,
)
SECRET_TEXT = re.compile(
    r"(?P<bearer>\bBearer\s+)[^\s\"',]+|(?P<url>\b[a-z][a-z0-9+.-]*://)[^\s/@\"']*@|\bsk-[A-Za-z0-9_-]{8,}",
    re.I,
)

# Libraries that say much at info, or whose debug lines carry keys or audio.
QUIET = ("openai", "httpx", "httpcore", "websockets", "aiohttp.access", "asyncio", "rq")


class Redaction:
    """Takes secrets, callers' digits and audio out of an event: by key, by type, in texts by their looks and value."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the values that no line may have, however they look: as they are, and as a repr has them."""
        known = {text for secret in secrets if len(secret) >= SHORTEST for text in (secret, repr(secret)[1:-1])}
        longest_first = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if known else None

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Do it, as a processor of structlog's."""
        for key, value in event.items():
            event[key] = REDACTED if SECRET_KEY.search(key) and value is not None else self._clean(value)
        return event

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return SECRET_TEXT.sub(_hide, self._known.sub(REDACTED, value) if self._known else value)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"[{len(value)} bytes]"
        if isinstance(value, dict):
            return {
                key: REDACTED if isinstance(key, str) and SECRET_KEY.search(key) else self._clean(item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._clean(item) for item in value]
        return value


def _hide(match: re.Match[str]) -> str:
    if match["url"]:
        return f"{match['url']}{REDACTED}@"
    return (match["bearer"] or "") + REDACTED


def setup_logging(
    level: str = "info",
    form: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
    *,
    secrets: Iterable[str] = (),
    **fields: str,
) -> None:
    """Send all logs to `stream` (stderr) as JSON lines, or as columns where it is a terminal.

    It may be called again. `secrets` are values that no line may have; `fields` go on every line, such as
    process="tool-worker".
    """
    out = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _method, event: {**fields, **event},
    ]
    pretty = form == "console" or (form == "auto" and out.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            LimitLines(),
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    # Tracebacks become text before the redaction, and never show local variables: those hold keys and audio.
    final = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        Redaction(secrets),
        renderer,
    ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=final,
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        if getattr(old, "offhook", False):
            root.removeHandler(old)
    handler.offhook = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(number)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))

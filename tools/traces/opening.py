"""Opens the way out for spans, where there is one: what is missing is said in the log, and stops nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from tools.traces.otlp import Exporter

__all__ = ["open_exporter"]

log = structlog.get_logger(__name__)

MEND = "install the extra: pip install 'offhook[otel]', in a clone uv sync --group otel"


def open_exporter(service: str) -> Exporter | None:
    """Load the SDK (0.3 s) and return the exporter; None where it can't be had, with a line in the log.

    service: what the process is called in traces, where OTEL_SERVICE_NAME does not say so.
    """
    try:
        from tools.traces.otlp import Exporter
    except ImportError as error:
        log.error("traces_off", missing=error.name, mend=MEND)
        return None
    try:
        exporter = Exporter(service)
    except Exception as error:  # its words may have a header in them
        log.error("traces_off", reason=type(error).__name__, mend="look at the OTEL_* variables")
        return None
    log.info("traces_on", service=service)
    return exporter

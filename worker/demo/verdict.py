"""Whether the demo's caller understood the answer: what its recogniser heard, against what the tool knows. Pure."""

from __future__ import annotations

from tools.builtin.orders import look_up
from worker.records.record import CallRecord

__all__ = ["ORDER", "understood_answer"]

ORDER = "427"
SPOKEN = {"4": "four", "2": "two", "7": "seven"}


def understood_answer(record: CallRecord) -> bool:
    """Tell whether one thing that the caller heard has the order's digits, its status and its day of arrival."""
    order = look_up(ORDER)
    digits = " ".join(SPOKEN[digit] for digit in ORDER)
    wanted = [digits, *(str(order[key]).lower() for key in ("status", "arrives"))]
    return any(all(word in heard for word in wanted) for heard in record.heard_by_caller)

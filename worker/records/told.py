"""What is told of the calls of a worker, as its operator wants it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Told"]


@dataclass(frozen=True, slots=True)
class Told:
    """The same for all calls.

    journal: every edge is kept. words: what is said stands in the record.
    """

    journal: bool = True
    words: bool = True

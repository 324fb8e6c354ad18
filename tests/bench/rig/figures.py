"""Figures as the benches print them: n, p50, p99, and how the machine stood meanwhile."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence

import numpy as np


def quantile(values: Sequence[float], q: float) -> float:
    """A value that was measured, the q-th of them in order."""
    return float(np.quantile(np.asarray(values, float), q, method="inverted_cdf"))


def row(name: str, values: Sequence[float], unit: str = "ms", goal: str = "") -> str:
    """One line with the figures of many values."""
    if not len(values):
        return f"{name:<58} nothing measured"
    p50, p99 = quantile(values, 0.5), quantile(values, 0.99)
    text = f"{name:<58} n {len(values):>5}  p50 {p50:7.1f}  p99 {p99:7.1f}  max {max(values):7.1f} {unit}"
    return f"{text}   goal: {goal}" if goal else text


def machine() -> str:
    """One line on the machine and on what else it does."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {load}"


def again(program: str) -> str:
    """The command that does this once more."""
    return " ".join(["again: uv run python", f"tests/bench/{program}", *sys.argv[1:]])

"""`offhook check`: shows what `worker.service.checks` finds, and ends with 1 where something is wrong."""

from __future__ import annotations

import asyncio

from worker.service.checks.look import find
from worker.settings.settings import Settings

__all__ = ["run_check"]


def run_check(settings: Settings) -> int:
    """Look at everything and print it; return the exit code: 0, or 1 if something is wrong."""
    findings = asyncio.run(find(settings))
    width = max(len(finding.about) for finding in findings)
    for finding in findings:
        print(f"{finding.level:<5}  {finding.about:<{width}}  {finding.text}")
        if finding.mend:
            print(f"{'':<5}  {'':<{width}}  -> {finding.mend}")
    wrong = sum(finding.level == "wrong" for finding in findings)
    print(f"\n{wrong} wrong" if wrong else "\nall is well")
    return 1 if wrong else 0

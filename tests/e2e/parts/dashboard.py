"""`offhook dashboard`, as a browser asks it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from parts.program import BOUND_S, OFFHOOK, Program, environment


class Dashboard(Program):
    """rq-dashboard on a Redis, at a free port."""

    def __init__(self, redis_url: str) -> None:
        super().__init__([*OFFHOOK, "dashboard", "--port", "0"], environment(REDIS_URL=redis_url))
        self.url = ""

    def ready(self) -> Dashboard:
        self.url = self.line(r"^dashboard (http://\S+)", 60.0)[1]
        return self

    def ask(self, path: str, **options: Any) -> tuple[int, str]:
        """Status and body of a page."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, **options), timeout=BOUND_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def shows(self, path: str) -> dict[str, Any]:
        """The data of a page, as its script gets them."""
        status, body = self.ask(f"/0/data/{path}.json")
        assert status == 200, f"{path}: {status}\n{self.text()}"
        found: dict[str, Any] = json.loads(body)
        return found

    def jobs(self, registry: str, call_id: str) -> dict[str, dict[str, Any]]:
        """The jobs of a call in one list of the dashboard, by their id."""
        found = self.shows(f"jobs/tools/{registry}/200/dsc/1")["jobs"]
        return {job["id"]: job for job in found if job["id"].startswith(call_id)}

    def press_delete(self, job_id: str) -> dict[str, Any]:
        """Press a job's button: what its page sends, and what it is told."""
        status, body = self.ask(f"/job/{job_id}/delete", method="POST", data=b"", headers={"Origin": self.url})
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

"""A worker that has had a call, as a real Prometheus sees it: its metrics, the alerts, every query of the dashboard."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from parts.program import BOUND_S, ROOT, Program, until
from parts.provider import ANSWER_HZ
from parts.services import Worker

OBSERVE = ROOT / "docker" / "observe"
pytestmark = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")), reason="no Prometheus: Debian's package prometheus"
)


class Prometheus(Program):
    """Our configuration and rules; the worker is named in place of being found by the engine's DNS."""

    def __init__(self, folder: Path, target: str) -> None:
        settings = yaml.safe_load((OBSERVE / "prometheus.yaml").read_text())
        (scrape,) = settings["scrape_configs"]
        del scrape["dns_sd_configs"]
        scrape["static_configs"] = [{"targets": [target]}]
        settings["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        settings["rule_files"] = [str(OBSERVE / "alerts.yaml")]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
        ]
        super().__init__([*command, f"--web.listen-address={self.url.removeprefix('http://')}"], {})

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; None while it does not answer yet."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=BOUND_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
            assert error.code == 503, f"{path} {parameters}: {text}"  # 503: it has not started up
        except OSError:
            pass
        return None

    def value(self, query: str) -> float | None:
        """The value of the first series that a query finds."""
        found = self.ask("query", query=query)
        return float(found["result"][0]["value"][1]) if found and found["result"] else None


@pytest.fixture
def prometheus(desk: Worker, tmp_path: Path) -> Iterator[Prometheus]:
    started = Prometheus(tmp_path, desk.status_url.removeprefix("http://"))
    yield started
    started.kill()


def queries() -> list[str]:
    board = json.loads((OBSERVE / "grafana" / "dashboards" / "offhook.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return [
        one.replace("$__rate_interval", "1m").replace("$job", "offhook").replace("$instance", ".*") for one in asked
    ]


def test_a_call_as_prometheus_sees_it(desk: Worker, dial_desk: Callable[[], Any], prometheus: Prometheus) -> None:
    until(lambda: prometheus.value('up{job="offhook"}') == 1, lambda: f"a scrape\n{prometheus.text()}")
    before = desk.metric(r'offhook_calls_total\{outcome="completed"\}')
    call, session, call_id = dial_desk()
    time.sleep(0.6)  # the caller waits for the first word
    response = session.begin()
    session.speak(response, ANSWER_HZ, 400, words="One moment.")
    session.call(response, "add", {"left": 1, "right": 2})
    session.end(response)
    desk.wait_log("tool_outcome", call_id=call_id, status="ok")
    call.hang_up()
    desk.record(call_id)

    linted = subprocess.run(
        ["promtool", "check", "metrics"], input=desk.get("/metrics")[1], capture_output=True, text=True, timeout=BOUND_S
    )
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")

    done = f'offhook_calls_total{{outcome="completed"}} == {before + 1}'
    until(lambda: prometheus.value(done), "the call's end is scraped")
    assert (prometheus.value("offhook_silence_seconds_count{waiting_for='agent'}") or 0) >= 1, (
        "the first word was waited for"
    )
    assert prometheus.value("offhook_redis_up") == 1 and prometheus.value("offhook_sip_registration_wanted") == 0
    failed = [one for one in queries() if prometheus.ask("query", query=one) is None]
    assert failed == []
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert [rule["name"] for rule in rules if rule["health"] not in ("ok", "unknown")] == []
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []

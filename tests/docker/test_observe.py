"""docker/observe: the rules by promtool, the dashboard, and both against the metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.records.metrics import Metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "observe"
COMPOSE = ROOT / "docker" / "compose.observe.yaml"
CASES = Path(__file__).parent / "observe" / "alerts_test.yaml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: it comes with Debian's package prometheus")

ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
BOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "dashboards" / "offhook.json").read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
GRID = 24
THEIRS = {"nr_throttled"}
"""Names of the kernel's."""


def promtool(*words: str | Path) -> str:
    """Run promtool; what it said. Fails where it does."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *map(str, words)], capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def plain(expr: str) -> str:
    """An expression of the dashboard as Prometheus gets it."""
    return expr.replace("$__rate_interval", "1m").replace("$job", "offhook").replace("$instance", ".*")


def exprs() -> list[str]:
    return [plain(target["expr"]) for panel in PANELS for target in panel.get("targets", [])]


def collectors() -> list[Any]:
    """Every metric that a worker has, those without a series yet, too."""
    return list(Metrics().registry._collector_to_names)


def labels_by_name() -> dict[str, set[str]]:
    """The labels of every series that a worker can have, by name."""
    found = {}
    for collector in collectors():
        (family,) = collector.describe()
        kinds = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        for kind in kinds:
            found[family.name + kind] = {*collector._labelnames, *(["le"] if kind == "_bucket" else [])}
    return found


def bounds(expr: str) -> set[str]:
    """The upper bounds of the buckets of the histograms that an expression asks for."""
    names = set(re.findall(r"\b(offhook_\w+)_bucket", expr))
    asked = [collector for collector in collectors() if collector.describe()[0].name in names]
    return {str(bound) for collector in asked for bound in collector._upper_bounds}


@needs_promtool
def test_rules_and_configuration_are_what_prometheus_takes() -> None:
    promtool("check", "config", FOLDER / "prometheus.yaml")  # and the rules that it names


@needs_promtool
def test_every_alert_fires_and_keeps_silent_as_it_should() -> None:
    promtool("test", "rules", CASES)


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fires: Counter[tuple[str, bool]] = Counter()
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        fires.update((one["alertname"], bool(one["exp_alerts"])) for one in case["alert_rule_test"])
    assert {name for name, _ in fires} == {alert["alert"] for alert in ALERTS}
    assert [
        alert["alert"] for alert in ALERTS if not (fires[alert["alert"], True] and fires[alert["alert"], False])
    ] == []


def test_every_alert_has_its_first_step() -> None:
    text = (FOLDER / "README.md").read_text()
    steps = dict(re.findall(r"^### (\w+)\n\n(page|ticket)\. \S", text, re.M))
    assert steps == {alert["alert"]: alert["labels"]["severity"] for alert in ALERTS}
    assert [alert["annotations"]["runbook"] for alert in ALERTS] == [
        f"README.md#{alert['alert'].lower()}" for alert in ALERTS
    ]
    assert all(alert["annotations"]["summary"] for alert in ALERTS)


def unknown_names(text: str) -> set[str]:
    """The names with a `_` that stand in back quotes, and are neither a metric's nor anything that our code says."""
    code = "\n".join(path.read_text() for part in ("worker", "tools") for path in (ROOT / part).rglob("*.py"))
    said = set(re.findall(r"(?<![\w.])`([a-z]+(?:_[a-z]+)+)`", text)) - THEIRS
    known = {name.removesuffix(end) for name in labels_by_name() for end in ("", "_count")}
    return {name for name in said if name not in known and not re.search(rf"\b{name}\b", code)}


def test_what_the_first_steps_look_for_is_what_a_worker_says() -> None:
    assert unknown_names((FOLDER / "README.md").read_text()) == set()
    assert unknown_names("`tool_run_seconds`, `provider_owes`, `offhook_load`") == {"tool_run_seconds"}


@needs_promtool
def test_every_query_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    rules = [{"record": f"offhook:query{number}", "expr": expr} for number, expr in enumerate(exprs())]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


@pytest.mark.parametrize("expr", [*(alert["expr"] for alert in ALERTS), *exprs()])
def test_what_is_asked_for_is_what_a_worker_has(expr: str) -> None:
    have = labels_by_name()
    asked = re.findall(r"\b(offhook_\w+)(?:\{([^}]*)\})?", expr)
    assert asked or "up{" in expr or "ALERTS{" in expr
    for name, selector in asked:
        assert name in have, f"{name} is no metric of worker.records.metrics"
        for label in re.findall(r"(\w+)(?:=~|!~|!=|=)", selector):
            assert label in {*have[name], "job", "instance"}, f"{name} has no label {label}"
    for bound in re.findall(r"_bucket\{[^}]*\ble=\"([^\"]+)\"", expr):
        assert bound in bounds(expr), f"no bucket ends at {bound}"
    for words in re.findall(r"\bby \(([^)]*)\)", expr):
        for label in map(str.strip, words.split(",")):
            known = {"job", "instance", "alertname"}.union(*(have[name] for name, _ in asked))
            assert label in known, f"nothing has a label {label}"


@needs_promtool
def test_a_mistake_in_a_query_is_found(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    rule = {"record": "offhook:query", "expr": "sum by job (offhook_calls_active)"}
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": [rule]}]}))
    with pytest.raises(AssertionError, match="parse error"):
        promtool("check", "rules", path)
    with pytest.raises(AssertionError, match="is no metric"):
        test_what_is_asked_for_is_what_a_worker_has("offhook_calls_activ")
    with pytest.raises(AssertionError, match="no bucket ends at 4.0"):
        test_what_is_asked_for_is_what_a_worker_has('offhook_silence_seconds_bucket{le="4.0"}')


class TestDashboard:
    def test_every_panel_is_whole(self) -> None:
        assert BOARD["uid"] and BOARD["schemaVersion"] >= 39 and BOARD["editable"] is False
        ids = [panel["id"] for panel in PANELS]
        assert len(ids) == len(set(ids))
        (source,) = yaml.safe_load(
            (FOLDER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text()
        )["datasources"]
        for panel in PANELS:
            assert panel["type"] in ("row", "stat", "timeseries") and panel["title"]
            if panel["type"] == "row":
                continue
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"] in ("none", "s", "percentunit", "currencyUSD")
            refs = [target["refId"] for target in panel["targets"]]
            assert refs and len(refs) == len(set(refs))
            for part in (panel, *panel["targets"]):
                assert part["datasource"] == {"type": source["type"], "uid": source["uid"]}

    def test_no_panel_lies_on_another(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in PANELS:
            x, y, w, h = (panel["gridPos"][side] for side in "xywh")
            cells = {(column, line) for column in range(x, x + w) for line in range(y, y + h)}
            assert x + w <= GRID and not cells & taken, panel["title"]
            taken |= cells

    def test_it_shows_how_each_thing_ended_that_is_counted_by_its_end(self) -> None:
        ends = {"outcome", "answer", "status"}
        counted = {name for name, labels in labels_by_name().items() if labels & ends}
        assert {name for name in counted if not any(name in expr for expr in exprs())} == set()

    def test_what_it_asks_for_by_name_is_defined(self) -> None:
        names = {variable["name"] for variable in BOARD["templating"]["list"]} | {"__rate_interval"}
        assert set(re.findall(r"\$(\w+)", json.dumps(PANELS))) <= names

    def test_every_alert_that_fires_is_marked_on_it(self) -> None:
        (marks,) = BOARD["annotations"]["list"]
        pattern = re.search(r'alertname=~"([^"]+)"', marks["expr"])
        assert pattern and all(re.fullmatch(pattern[1], alert["alert"]) for alert in ALERTS)


class TestCompose:
    SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    OWN = ("prometheus", "grafana")

    @pytest.mark.parametrize("name", OWN)
    def test_it_is_pinned_limited_and_on_this_machine_alone(self, name: str) -> None:
        service = self.SERVICES[name]
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
        assert service["healthcheck"]["test"][0] == "CMD"

    def test_what_all_services_share_is_what_they_share_in_compose_yaml(self) -> None:
        base = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
        ours = yaml.safe_load(COMPOSE.read_text())
        assert ours["x-common"] == base["x-common"]
        for name in self.OWN:
            assert ours["x-common"].items() <= self.SERVICES[name].items()

    def test_every_file_that_is_mounted_is_there_and_read_only(self) -> None:
        binds = [volume for name in self.OWN for volume in self.SERVICES[name]["volumes"] if isinstance(volume, dict)]
        assert len(binds) == 4
        for bind in binds:
            assert (ROOT / "docker" / bind["source"]).exists() and bind["read_only"] is True, bind

    def test_what_it_joins_is_defined(self) -> None:
        base = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
        own = yaml.safe_load(COMPOSE.read_text())
        networks = {*base["networks"], *own["networks"]}
        assert {network for service in self.SERVICES.values() for network in service["networks"]} <= networks
        assert own["networks"]["observe"] == {"internal": True}
        assert "queue" not in str([self.SERVICES[name]["networks"] for name in self.OWN]), "Redis is not theirs"

    def test_prometheus_finds_the_workers_where_their_http_listens(self) -> None:
        (scrape,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
        (sd,) = scrape["dns_sd_configs"]
        worker = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["worker"]
        assert sd["names"] == ["worker"] and self.SERVICES["worker"] == {"networks": ["observe"]}
        assert worker["environment"]["OFFHOOK_HTTP"] == f"0.0.0.0:{sd['port']}"
        assert scrape["job_name"] == "offhook"

    def test_grafana_is_told_where_its_parts_are(self) -> None:
        grafana = self.SERVICES["grafana"]
        targets = {volume["target"] for volume in grafana["volumes"]}
        (provider,) = yaml.safe_load((FOLDER / "grafana" / "provisioning" / "dashboards" / "offhook.yaml").read_text())[
            "providers"
        ]
        assert provider["options"]["path"] in targets
        assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].startswith(
            provider["options"]["path"]
        )
        assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"

"""The Kubernetes manifests, against the published schemas and against what they speak of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate

from worker.records.metrics import Metrics
from worker.settings.settings import Settings, variable_of

FOLDER = Path(__file__).parents[2] / "docker" / "kubernetes"
VERSION = "1.31"
CUSTOM = {"ScaledObject": "keda.sh/v1alpha1"}
"""Kinds that are not Kubernetes' own, which no published schema here knows."""


def documents() -> list[dict[str, Any]]:
    return [one for path in sorted(FOLDER.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]


DOCUMENTS = documents()
NAMES = [f"{one['kind']}-{one['metadata']['name']}" for one in DOCUMENTS]


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_it_is_what_the_schema_asks_for(document: dict[str, Any]) -> None:
    if document["kind"] in CUSTOM:
        assert document["apiVersion"] == CUSTOM[document["kind"]]
    else:
        validate(document, VERSION, strict=True)


def test_a_mistake_is_found() -> None:
    (worker,) = [one for one in documents() if one["kind"] == "Deployment" and one["metadata"]["name"] == "worker"]
    worker["spec"]["template"]["spec"]["containers"][0]["lifenessProbe"] = {}
    with pytest.raises(Exception, match="lifenessProbe"):
        validate(worker, VERSION, strict=True)


def test_every_variable_is_a_setting() -> None:
    known = {variable_of(field) for field in Settings.model_fields}
    named = {name for path in FOLDER.glob("*.yaml") for name in re.findall(r"\bOFFHOOK_[A-Z_]+", path.read_text())}
    assert named and named - known == set()


def test_scaling_asks_for_metrics_that_there_are() -> None:
    asked = set(re.findall(r"\((offhook_\w+)\{", (FOLDER / "scaling.yaml").read_text()))
    assert len(asked) == 2
    exposed = Metrics().exposition().decode()
    assert [name for name in asked if not re.search(rf"^{name} ", exposed, re.M)] == []


def test_names_lead_somewhere() -> None:
    """Selectors, config maps, scale targets: each has its other end."""
    have = {(one["kind"], one["metadata"]["name"]) for one in DOCUMENTS}
    parts = {one["spec"]["template"]["metadata"]["labels"]["part"] for one in DOCUMENTS if one["kind"] == "Deployment"}
    for one in DOCUMENTS:
        text = yaml.safe_dump(one)
        for name in re.findall(r"(?:configMapRef|configMap):\s+name: (\S+)", text):
            assert ("ConfigMap", name) in have, name
        if one["kind"] == "ScaledObject":
            assert ("Deployment", one["spec"]["scaleTargetRef"]["name"]) in have
        if one["kind"] == "Service":
            assert one["spec"]["selector"]["part"] in parts
        if one["kind"] == "PodDisruptionBudget":
            assert one["spec"]["selector"]["matchLabels"]["part"] in parts


def test_a_worker_has_time_to_drain() -> None:
    (worker,) = [one for one in DOCUMENTS if one["kind"] == "Deployment" and one["metadata"]["name"] == "worker"]
    pod = worker["spec"]["template"]["spec"]
    env = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] >= int(env["OFFHOOK_DRAIN_SECONDS"]) + 25
    assert worker["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}

"""Manifests and compose file name only settings that exist."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.config import GatewayConfig
from settings.declaration import Settings
from tests.promql import parsed
from workers.config import WorkerConfig
from workers.metrics import WorkerMetrics
from workers.models import CARRIED

ROOT = Path(__file__).resolve().parents[3]
KUBERNETES = ROOT / "deploy/kubernetes"
PROMETHEUS = ROOT / "deploy/prometheus"
PRE_STOP_S = 5


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file."""
    return [dict(each) for each in YAML(typ="safe").load_all(path.read_text(encoding="utf-8"))]


def deployments() -> list[dict[str, Any]]:
    """Every Deployment of the base."""
    paths = sorted(KUBERNETES.glob("base/*.yaml"))
    return [each for path in paths for each in documents(path) if each["kind"] == "Deployment"]


def containers(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a Deployment's pods."""
    return list(deployment["spec"]["template"]["spec"]["containers"])


def setting_names(config: type[Settings]) -> set[str]:
    """The environment variables of a process, with those that name the file of a secret."""
    names = {config.env_prefix + field.name.upper() for field in dataclasses.fields(config)}
    secrets = {config.env_prefix + field.name.upper() for field in dataclasses.fields(config) if not field.repr}
    return names | {f"{name}_FILE" for name in secrets}


# The health check of the images reads the last one.
KNOWN = setting_names(GatewayConfig) | setting_names(WorkerConfig) | {"WORKER_HEALTH_NAME"}


@pytest.mark.parametrize("deployment", deployments(), ids=lambda each: str(each["metadata"]["name"]))
def test_a_deployment_sets_only_settings_that_exist(deployment: dict[str, Any]) -> None:
    names = {variable["name"] for container in containers(deployment) for variable in container["env"]}
    assert names <= KNOWN
    assert names


@pytest.mark.parametrize("deployment", deployments(), ids=lambda each: str(each["metadata"]["name"]))
def test_a_pod_is_restricted_and_has_time_to_drain(deployment: dict[str, Any]) -> None:
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in containers(deployment):
        secured = container["securityContext"]
        assert secured["readOnlyRootFilesystem"] is True
        assert secured["allowPrivilegeEscalation"] is False
        assert secured["capabilities"] == {"drop": ["ALL"]}
        values = {variable["name"]: variable.get("value") for variable in container["env"]}
        drain = float(values.get("GATEWAY_DRAIN_S") or values["WORKER_DRAIN_SECONDS"])
        assert pod["terminationGracePeriodSeconds"] > drain + PRE_STOP_S


@pytest.mark.parametrize("deployment", deployments(), ids=lambda each: str(each["metadata"]["name"]))
def test_no_probe_restarts_a_process_that_waits(deployment: dict[str, Any]) -> None:
    """A worker loads its model behind an open port; a gateway lives without workers."""
    for container in containers(deployment):
        alive = container["livenessProbe"]
        assert alive.get("tcpSocket") == {"port": "grpc"} or alive["httpGet"]["path"] == "/healthz"


def test_no_worker_needs_a_model_from_the_hub() -> None:
    """Network policy and compose file let no worker reach it."""
    overlays = [each for path in sorted(KUBERNETES.glob("overlays/*/stt-worker.yaml")) for each in documents(path)]
    environments = [
        {each["name"]: each.get("value") for each in containers(deployment)[0]["env"]}
        for deployment in (*deployments(), *overlays)
    ]
    named = {environment["WORKER_MODEL"] for environment in environments if "WORKER_MODEL" in environment}
    assert named
    assert named <= set(CARRIED)


def test_keda_scales_the_workers_in_place_of_the_base() -> None:
    (overlay,) = documents(KUBERNETES / "overlays/keda/kustomization.yaml")
    deleted = {YAML(typ="safe").load(each["patch"])["metadata"]["name"] for each in overlay["patches"]}
    scaled = documents(KUBERNETES / "overlays/keda/scaled-objects.yaml")
    assert {each["spec"]["scaleTargetRef"]["name"] for each in scaled} == deleted
    assert deleted <= {each["metadata"]["name"] for each in deployments()}
    exposed = {family.name for family in WorkerMetrics().registry.collect()}
    for each in scaled:
        query = parsed("keda", each["spec"]["triggers"][0]["metadata"]["query"])
        assert {selector.metric for selector in query.selectors} <= exposed
        assert all(each["metadata"]["name"] in selector.matchers for selector in query.selectors)


def test_the_compose_file_sets_only_settings_that_exist() -> None:
    services = documents(ROOT / "docker-compose.yml")[0]["services"]
    names = {name for service in services.values() for name in service.get("environment", {})}
    own = {name for name in names if name.startswith(("GATEWAY_", "WORKER_"))}
    assert own <= KNOWN
    assert own


def test_only_the_gateway_shares_a_network_with_redis() -> None:
    services = documents(ROOT / "docker-compose.yml")[0]["services"]
    redis = set(services["redis"]["networks"])
    beside = {name for name, service in services.items() if redis & set(service.get("networks", ()))}
    assert beside == {"redis", "gateway"}


def test_every_alert_says_what_it_means() -> None:
    for group in documents(PROMETHEUS / "alerts.yml")[0]["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]

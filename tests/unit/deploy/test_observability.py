"""Dashboard, alerts and recording rules use only metrics and labels that the processes expose."""

from __future__ import annotations

import json
import re

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from gateway.config import GatewayConfig
from gateway.metrics import Metrics
from gateway.parts import upstream_config
from gateway.upstream.pool import Upstream
from tests.fakes.doc_tables import documented, rows
from tests.promql import (
    DASHBOARD,
    PROMETHEUS,
    Query,
    alert_rules,
    all_queries,
    metrics_used,
    parsed,
    recorded_queries,
)
from workers.metrics import WorkerMetrics

# What Prometheus itself knows about a target, and the bound of a histogram's bucket.
TARGET_LABELS = frozenset({"job", "instance", "le"})
QUERIES = all_queries()


def labels_of(registry: CollectorRegistry) -> dict[str, frozenset[str]]:
    """The names that a registry exposes, each with its labels, also of metrics that have no samples yet."""
    found: dict[str, frozenset[str]] = {}
    for collector, names in registry._collector_to_names.items():
        labels = frozenset(getattr(collector, "_labelnames", ()))
        families = {
            family.name + ("_total" if family.type == "counter" else ""): frozenset(getattr(family, "_labelnames", ()))
            for family in collector.collect()
        }
        for name in {*names, *families}:
            found[name] = families.get(name) or labels
    for family in registry.collect():  # the process's own, which the library does not describe beforehand
        for sample in family.samples:
            found.setdefault(sample.name, frozenset(sample.labels))
    return found


@pytest.fixture(scope="module")
def exposed() -> dict[str, frozenset[str]]:
    metrics = Metrics()
    metrics.watch_upstream(Upstream(upstream_config(GatewayConfig()), metrics=metrics))
    recorded = {name: query.groups for name, query in recorded_queries().items()}
    return {
        **labels_of(WorkerMetrics().registry),
        **labels_of(metrics.registry),
        **recorded,
        "talkup_worker_slots_used_ratio": frozenset(),
        "up": frozenset(),
    }


def test_what_an_expression_uses() -> None:
    query = parsed("here", 'sum by (job, le) (rate(a_bucket{kind!="file", x=~"y.*"}[5m])) / on (job) c:d > 0.5')
    assert [(each.metric, set(each.labels)) for each in query.selectors] == [
        ("a_bucket", {"kind", "x"}),
        ("c:d", set()),
    ]
    assert query.groups == {"job", "le"}
    assert query.selectors[0].text == 'a_bucket{kind!="file", x=~"y.*"}'
    assert parsed("here", "max(a) unless b offset 5m and 3 * vector(1)").selectors == (
        *parsed("here", "a").selectors,
        *parsed("here", "b").selectors,
    )


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_a_query_uses_what_is_exposed(query: Query, exposed: dict[str, frozenset[str]]) -> None:
    assert query.selectors
    for selector in query.selectors:
        assert selector.metric in exposed
        assert selector.labels <= exposed[selector.metric] | TARGET_LABELS
    of_all = frozenset().union(*(exposed[selector.metric] for selector in query.selectors))
    assert query.groups <= of_all | TARGET_LABELS


def test_a_rate_is_taken_of_counters_only() -> None:
    for query in QUERIES:
        for found in re.findall(r"(?:rate|increase)\(([\w:]+)", query.text):
            assert found.endswith(("_total", "_bucket", "_count", "_sum")), query.where


def test_the_dashboard_covers_every_subject() -> None:
    """What an operator asks about; each word is in the name of a metric on the dashboard."""
    used = " ".join(metrics_used())
    for subject in (
        "gateway_sessions", "gateway_streams", "worker_slots_used", "queue_jobs", "step_seconds", "behind_seconds",
        "commit_latency", "final_latency", "retries", "failovers", "replayed_bytes", "dropped", "decoder_deaths",
        "auth_failures", "store_operation", "pending_writes", "process_cpu", "build_info",
    ):  # fmt: skip
        assert subject in used


def test_the_dashboard_is_what_grafana_reads() -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    source = YAML(typ="safe").load(
        (DASHBOARD.parents[1] / "provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    )["datasources"][0]
    assert {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"} == {source["uid"]}
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "two panels lie on each other"


def described(registry: CollectorRegistry) -> list[tuple[str, str, str, str]]:
    """Name, type, labels and meaning of every metric of this project in a registry."""
    labels = labels_of(registry)
    found = []
    for family in registry.collect():
        if family.name.startswith(("gateway_", "talkup_")):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            ends = ("_bucket",) if family.type == "histogram" else ("",)
            own = sorted(labels.get(name + ends[0], frozenset()) - {"le"})
            found.append((f"`{name}`", family.type, ", ".join(own), family.documentation))
    return sorted(found)


def test_the_page_explains_every_metric() -> None:
    metrics = Metrics()
    metrics.watch_upstream(Upstream(upstream_config(GatewayConfig()), metrics=metrics))
    assert documented("monitoring.md", "gateway metrics") == rows(described(metrics.registry))
    worker = WorkerMetrics()
    worker.watch_engine(dict)
    assert documented("monitoring.md", "worker metrics") == rows(described(worker.registry))


def test_the_page_explains_every_alert() -> None:
    alerts = [
        (
            rule["alert"].removeprefix("Talkup"),
            f"`{rule['expr']}`" + (f" for {rule['for']}" if "for" in rule else ""),
            rule["labels"]["severity"],
            rule["annotations"]["description"],
        )
        for rule in alert_rules()
    ]
    assert documented("monitoring.md", "alerts") == rows(alerts)


def test_every_alert_is_tested() -> None:
    read = YAML(typ="safe").load
    rules = read((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    tests = read((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    raised = {each["alertname"] for test in tests for each in test.get("alert_rule_test", []) if each.get("exp_alerts")}
    assert raised == {rule["alert"] for rule in rules}

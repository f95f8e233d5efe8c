"""The metrics of all processes as one text: every series has the label `process`, so none hides or doubles another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from gateway.processes.control import ProcessFact

LABEL: Final = "process"


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def merged(bodies: Mapping[int, bytes], facts: Iterable[ProcessFact]) -> bytes:
    """One exposition from those of the processes, by number, and what the supervisor knows of each."""
    families: dict[str, Metric] = {}
    for index, body in sorted(bodies.items()):
        for found in text_string_to_metric_families(body.decode()):
            family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
            family.samples += [sample._replace(labels={**sample.labels, LABEL: str(index)}) for sample in found.samples]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families([*families.values(), *_of_supervisor(facts, bodies)]))
    return generate_latest(registry)


def _of_supervisor(facts: Iterable[ProcessFact], bodies: Mapping[int, bytes]) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "gateway_process_up", "Whether a process serves and has given its metrics to this text", labels=[LABEL]
    )
    restarts = CounterMetricFamily("gateway_process_restarts", "Starts after a process had ended", labels=[LABEL])
    connections = GaugeMetricFamily(
        "gateway_process_connections", "Open connections handed to a process", labels=[LABEL, "port"]
    )
    for fact in facts:
        up.add_metric([str(fact.index)], fact.is_up and fact.index in bodies)
        restarts.add_metric([str(fact.index)], fact.restarts)
        for door, count in sorted(fact.connections.items()):
            connections.add_metric([str(fact.index), door], count)
    yield from (up, restarts, connections)

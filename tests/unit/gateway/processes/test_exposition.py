"""One text for the metrics of all processes: each series once, with the number of its process."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from talkup.v1 import task_pb2

from gateway.metrics import Metrics
from gateway.processes.control import ProcessFact
from gateway.processes.exposition import merged


def samples(body: bytes) -> dict[tuple[str, str], list[float]]:
    """The values of each name by process."""
    found: dict[tuple[str, str], list[float]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault((sample.name, sample.labels["process"]), []).append(sample.value)
    return found


def test_every_series_of_every_process_is_there_once() -> None:
    first, second = Metrics(), Metrics()
    first.sessions.set(3)
    second.sessions.set(4)
    for _ in range(2):
        second.stream_opened(task_pb2.SERVICE_TYPE_STT)
    first.finals.inc(5)
    second.final_latency.observe(0.2)
    facts = [ProcessFact(0, True, 0, {"ws": 3}), ProcessFact(1, True, 2, {"ws": 4})]
    text = merged({0: first.render(), 1: second.render()}, facts)
    found = samples(text)
    assert (found["gateway_sessions", "0"], found["gateway_sessions", "1"]) == ([3.0], [4.0])
    assert found["gateway_streams", "1"] == [2.0]
    assert (found["gateway_finals_total", "0"], found["gateway_finals_total", "1"]) == ([5.0], [0.0])
    assert found["gateway_final_latency_seconds_count", "1"] == [1.0]
    assert found["gateway_process_restarts_total", "1"] == [2.0]
    assert found["gateway_process_connections", "0"] == [3.0]
    lines = text.decode().splitlines()
    assert lines.count("# TYPE gateway_sessions gauge") == 1
    assert lines.count("# TYPE gateway_finals_total counter") == 1
    names = {family.name for family in text_string_to_metric_families(first.render().decode())}
    assert names <= {family.name for family in text_string_to_metric_families(text.decode())}


def test_a_process_that_did_not_answer_is_not_up() -> None:
    facts = [ProcessFact(0, True, 0, {}), ProcessFact(1, True, 0, {}), ProcessFact(2, False, 1, {})]
    found = samples(merged({0: Metrics().render(), 2: Metrics().render()}, facts))
    assert [found["gateway_process_up", str(index)] for index in range(3)] == [[1.0], [0.0], [0.0]]
    assert ("gateway_sessions", "1") not in found

"""Spans: off they do nothing and load nothing; on they continue a caller's trace and sample steps."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from settings.errors import ConfigError
from tests.unit.architecture.source import ROOT
from tracing.otel import OtelTracer
from tracing.setup import open_tracer
from tracing.spans import NO_SPAN, NO_TRACER, current, current_span, exemplar

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
NOT_SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


def tracer() -> tuple[OtelTracer, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    found = OtelTracer.sending_to(exporter, "test", "1")
    found._provider.add_span_processor(SimpleSpanProcessor(exporter))
    return found, exporter


@pytest.fixture(autouse=True)
def _no_otel_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_is_loaded_while_traces_are_off() -> None:
    code = (
        "import sys, gateway.server, workers.server\n"
        "from tracing.setup import open_tracer\n"
        "from tracing.spans import NO_TRACER\n"
        "assert open_tracer('a', '1', '') is NO_TRACER\n"
        # redis imports the metrics of OpenTelemetry wherever they are installed.
        "loaded = {'tracing.otel', 'opentelemetry.sdk.trace', 'opentelemetry.exporter'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or 0)"
    )
    search = [str(ROOT), str(ROOT / "generated")]
    program = [sys.executable, "-c", f"import sys; sys.path[:0] = {search!r}\n{code}"]
    result = subprocess.run(program, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_a_disabled_sdk_and_credentials_in_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    assert open_tracer("a", "1", "") is NO_TRACER
    monkeypatch.delenv("OTEL_SDK_DISABLED")
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        open_tracer("a", "1", "http://user:secret@127.0.0.1:4317")


async def test_standard_variables_turn_traces_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    found = open_tracer("a", "1", "")
    assert isinstance(found, OtelTracer)
    await found.close()


INVALID = ("", "nonsense", f"ff-{TRACE}-00f067aa0ba902b7-01", f"00-{'0' * 32}-{'0' * 16}-01")


@pytest.mark.parametrize("parent", [None, *INVALID])
def test_an_invalid_context_begins_a_new_trace(parent: str | None) -> None:
    found, exporter = tracer()
    span = found.begin("stream", parent)
    span.end()
    [exported] = exporter.get_finished_spans()
    assert exported.parent is None
    assert span.trace_id not in (None, TRACE)


def test_a_context_is_continued_and_passed_on() -> None:
    found, exporter = tracer()
    span = found.begin("stream", SAMPLED, service="stt")
    child = span.child("call")
    assert span.trace_id == child.trace_id == TRACE
    assert (child.traceparent or "").startswith(f"00-{TRACE}-")
    assert exemplar(child) == {"trace_id": TRACE}
    child.end("no_worker")
    child.end()
    span.event("failover")
    span.end()
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, inner.status.status_code, inner.status.description) == (
        "talkup.call",
        StatusCode.ERROR,
        "no_worker",
    )
    assert (outer.name, dict(outer.attributes or {})) == ("talkup.stream", {"talkup.service": "stt"})
    assert [event.name for event in outer.events] == ["failover"]


def test_a_trace_that_its_caller_does_not_sample_is_not_recorded_but_its_context_continues() -> None:
    found, exporter = tracer()
    span = found.begin("stream", NOT_SAMPLED)
    child = span.child("call")
    assert (child.traceparent or "").endswith("-00")
    assert child.trace_id is None
    assert exemplar(child) is None
    assert child.step("step") is NO_SPAN
    child.end()
    span.end()
    assert exporter.get_finished_spans() == ()


def test_of_many_steps_some_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    found, exporter = tracer()
    now = 100.0
    monkeypatch.setattr("tracing.otel.time.monotonic", lambda: now)
    span = found.begin("stream")
    for _ in range(120):
        span.step("step").end()
        now += 0.1
    assert [each.name for each in exporter.get_finished_spans()] == ["talkup.step"] * 3


def test_the_current_span_ends_with_its_block() -> None:
    found, _ = tracer()
    span = found.begin("stream")
    assert current_span() is NO_SPAN
    with current(span):
        assert current_span() is span
    assert current_span() is NO_SPAN

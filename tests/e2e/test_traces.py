"""One trace from the client's handshake to the steps of two workers, exported to a collector; all over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import grpc.aio
import pytest
import talkup_client
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from gateway.server import running
from tests.contract import worker_harness
from tests.e2e.gateway_rig import KEY, PCM, Client, Rig, eventually, settings
from workers.config import WorkerConfig
from workers.fake.engine import FakeEngine, FakeScript, expected_words
from workers.server import WorkerServer

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
MEDIA = [bytes([number]) * 400 for number in range(40)]


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes what the exporters send; spans by their service's name."""

    spans: list[tuple[str, trace_pb2.Span]] = field(default_factory=list)
    endpoint: str = ""

    async def Export(self, request, context):
        for resource in request.resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name: str) -> list[trace_pb2.Span]:
        return [span for _, span in self.spans if span.name == f"talkup.{name}"]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)


class Worker:
    """A worker with the fake engine; `stop` cuts its streams."""

    def __init__(self, endpoint: str, slots: int) -> None:
        self.server = WorkerServer(WorkerConfig(port=0, otlp_endpoint=endpoint), FakeEngine(FakeScript(slots=slots)))
        self.target = ""

    async def start(self) -> Worker:
        self.target = f"127.0.0.1:{await self.server.start()}"
        await self.server.load()
        return self

    async def stop(self) -> None:
        await self.server.close()


def attributes(span: trace_pb2.Span) -> dict[str, object]:
    return {a.key.removeprefix("talkup."): getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def parents(spans: Iterable[trace_pb2.Span]) -> set[str]:
    return {span.parent_span_id.hex() for span in spans}


def ids(spans: Iterable[trace_pb2.Span]) -> set[str]:
    return {span.span_id.hex() for span in spans}


async def speak(client: Client, payloads: Iterable[bytes]) -> None:
    for payload in payloads:
        await client.socket.send(payload)


async def words_through_a_failover(collector: Collector) -> list[str]:
    """A client with a trace of its own speaks; the worker that it speaks to is stopped in mid-stream."""
    first, second = await Worker(collector.endpoint, 64).start(), await Worker(collector.endpoint, 8).start()
    config = settings([first, second], otlp_endpoint=collector.endpoint)  # type: ignore[list-item]
    async with running(config) as gateway, aiohttp.ClientSession() as http:
        rig = Rig(gateway, first, http)  # type: ignore[arg-type]

        async def serving() -> int:
            return gateway._upstream.room(1)[0] if gateway._upstream.room(1) else 0

        await eventually(serving, lambda slots: slots == 72)
        headers = {"Authorization": f"Bearer {KEY}", "traceparent": TRACEPARENT}
        client = await Client.open(rig.ws_url, additional_headers=headers)
        await client.start()
        await speak(client, MEDIA[:20])
        texts = await client.finals(1)
        await first.stop()
        await speak(client, MEDIA[20:])
        await client.send("stream_end", stream_id="abc")
        ended = await client.get("stream_ended")
        async with http.get(
            rig.url("/metrics"),
            headers={"Authorization": f"Bearer {KEY}", "Accept": "application/openmetrics-text;version=1.0.0"},
        ) as answer:
            assert f'trace_id="{TRACE}"' in await answer.text()
        assert texts
        await client.socket.close()
    await second.stop()
    return ended["data"]["text"].split()


async def test_one_trace_leads_from_the_client_through_a_failover_to_the_steps_of_both_workers() -> None:
    async with collecting() as collector:
        assert await words_through_a_failover(collector) == expected_words(b"".join(MEDIA))
    assert {span.trace_id.hex() for _, span in collector.spans} == {TRACE}
    [stream], [call] = collector.named("stream"), collector.named("call")
    assert stream.parent_span_id.hex() == CALLER
    assert parents([call]) == ids([stream])
    assert [event.name for event in call.events] == ["worker lost", "failover"]
    lost, served = sorted(collector.named("attempt"), key=lambda span: span.start_time_unix_nano)
    assert parents([lost, served]) == ids([call])
    assert (lost.status.code, served.status.code) == (
        trace_pb2.Status.STATUS_CODE_ERROR,
        trace_pb2.Status.STATUS_CODE_UNSET,
    )
    assert [link.span_id for link in served.links] == [lost.span_id]
    at_workers = [span for service, span in collector.spans if service == "talkup-stt-worker"]
    streams = [span for span in at_workers if span.name == "talkup.worker.stream"]
    assert parents(streams) == ids([lost, served])
    steps = [span for span in at_workers if span.name == "talkup.worker.step"]
    assert parents(steps) == ids(streams)
    assert parents(collector.named("store")) == ids([stream])
    assert len(collector.named("admission")) == 2


async def test_spans_hold_no_words_names_of_streams_or_credentials() -> None:
    async with collecting() as collector:
        words = await words_through_a_failover(collector)
    shown = "\n".join(str(span) for _, span in collector.spans)
    assert [secret for secret in (*set(words), "abc", KEY) if secret in shown] == []
    keys = {key for _, span in collector.spans for key in attributes(span)}
    assert keys == {"session_id", "service", "attempt", "worker", "resumed", "rank", "write"}


async def test_the_python_client_continues_the_trace_of_its_program() -> None:
    async with collecting() as collector:
        worker = await Worker(collector.endpoint, 4).start()
        async with running(settings([worker], otlp_endpoint=collector.endpoint)) as gateway:  # type: ignore[list-item]
            url = f"ws://127.0.0.1:{gateway.ws_port}/ws"
            async with (
                talkup_client.Client(url, key=KEY, traceparent=TRACEPARENT) as client,
                client.stream(format=PCM) as stream,
            ):
                await stream.send(MEDIA[0])
                await stream.end()
                assert [event async for event in stream]
        await worker.stop()
    assert {span.trace_id.hex() for _, span in collector.spans} == {TRACE}
    assert parents(collector.named("worker.step")) == ids(collector.named("worker.stream"))


async def test_the_trace_of_a_direct_caller_goes_through() -> None:
    async with collecting() as collector, worker_harness.running(otlp_endpoint=collector.endpoint) as worker:
        call = worker.call(metadata=(("traceparent", TRACEPARENT),))
        await worker_harness.transcribe(call, [b"a" * 400])
        refused = worker.call()
        await refused.start(service_type=2)
        await refused.refusal()
    [stream] = collector.named("worker.stream")
    assert (stream.trace_id.hex(), stream.parent_span_id.hex()) == (TRACE, CALLER)
    assert parents(collector.named("worker.step")) == ids([stream])


async def test_a_collector_that_nobody_runs_delays_no_stream_and_the_end_only_shortly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracing.otel._CLOSE_S", 0.2)
    async with asyncio.timeout(10), worker_harness.running(otlp_endpoint="http://127.0.0.1:1") as at:
        results = await worker_harness.transcribe(at.call(), [b"a" * 400])
        assert results[-1].WhichOneof("result") == "ended"

"""Spans in OpenTelemetry, exported with OTLP over gRPC. The only module that imports the library."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import Any, Final, cast

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tracing.spans import NO_SPAN, TRACEPARENT, Attribute, Span

_STEP_EVERY_S: Final = 5.0
_CLOSE_S: Final = 3.0
# A stream of four hours may lose workers many times; its spans stay small.
_LIMITS: Final = SpanLimits(max_events=64, max_links=8, max_span_attributes=16)
# No proxy of the environment captures the export, as none captures calls to workers.
_CHANNEL_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)
_PREFIX: Final = "talkup."
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class OtelSpan:
    """See `tracing.spans.Span`."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._next_step = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the sampler chose this trace."""
        return self._span.is_recording()

    @property
    def trace_id(self) -> str | None:
        """See `Span.trace_id`."""
        context = self._span.get_span_context()
        return trace.format_trace_id(context.trace_id) if context.trace_flags.sampled else None

    @property
    def traceparent(self) -> str | None:
        """The context, also of a trace that is not sampled: whoever continues it must not sample it either."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(self._span))
        return carrier.get(TRACEPARENT)

    def child(self, name: str, *, follows: Span | None = None, **attributes: Attribute) -> Span:
        """See `Span.child`."""
        links = [trace.Link(follows._span.get_span_context())] if isinstance(follows, OtelSpan) else None
        context = trace.set_span_in_context(self._span)
        span = self._tracer.start_span(_PREFIX + name, context, links=links, attributes=_named(attributes))
        return OtelSpan(self._tracer, span)

    def step(self, name: str, **attributes: Attribute) -> Span:
        """See `Span.step`."""
        now = time.monotonic()
        if now < self._next_step or not self.is_on:
            return NO_SPAN
        self._next_step = now + _STEP_EVERY_S
        return self.child(name, follows=None, **attributes)

    def event(self, name: str, **attributes: Attribute) -> None:
        """See `Span.event`."""
        self._span.add_event(name, _named(attributes))

    def end(self, failure: str | None = None) -> None:
        """See `Span.end`."""
        if not self._span.is_recording():
            return
        if failure is not None:
            self._span.set_status(trace.Status(trace.StatusCode.ERROR, failure))
        self._span.end()


class OtelTracer:
    """See `tracing.spans.Tracer`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("talkup")

    @classmethod
    def exporting(cls, service: str, version: str, endpoint: str) -> OtelTracer:
        """Export in batches, from a thread of the library. What does not fit its queue is dropped and logged there."""
        # One line per batch that is lost, none per retry.
        logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.ERROR)
        options = cast(Any, _CHANNEL_OPTIONS)  # the library declares the values as text
        return cls.sending_to(OTLPSpanExporter(endpoint=endpoint, channel_options=options), service, version)

    @classmethod
    def sending_to(cls, exporter: SpanExporter, service: str, version: str) -> OtelTracer:
        """Export to any exporter, in batches."""
        resource = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False, span_limits=_LIMITS)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider)

    def begin(self, name: str, traceparent: str | None = None, **attributes: Attribute) -> Span:
        """See `Tracer.begin`. A `traceparent` that breaks the format of W3C counts as none."""
        context = None if traceparent is None else _PROPAGATOR.extract({TRACEPARENT: traceparent})
        return OtelSpan(self._tracer, self._tracer.start_span(_PREFIX + name, context, attributes=_named(attributes)))

    async def close(self) -> None:
        """See `Tracer.close`. A collector that does not answer costs three seconds."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()  # for up to 30 s, which nothing shortens: hence a thread that nobody waits for
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="traces-close", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await done.wait()


def _named(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return {_PREFIX + name: value for name, value in attributes.items()}

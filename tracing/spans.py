"""What gateway and workers record of a stream's way, independent of the library that exports it.

One stream is one trace. Its context travels as W3C `traceparent`: from a client's handshake to the gateway, and in gRPC
metadata from the gateway (or from whoever calls a worker directly) to the worker. Attributes are numbers and words from
closed sets, the addresses of workers, and session ids; never names of streams, media, text or credentials.

While traces are off every span is NO_SPAN, whose methods do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

Attribute = str | int | float | bool

TRACEPARENT: Final = "traceparent"
"""The name of the HTTP header and of the gRPC metadata (https://www.w3.org/TR/trace-context/)."""


class Span(Protocol):
    """One piece of work with a beginning and an end. Its methods may be called from any thread and raise nothing."""

    @property
    def is_on(self) -> bool:
        """Whether the span is recorded."""
        ...

    @property
    def trace_id(self) -> str | None:
        """The id of the trace, 32 hexadecimal digits; None: not recorded."""
        ...

    @property
    def traceparent(self) -> str | None:
        """The context for whoever continues the trace; None: there is none."""
        ...

    def child(self, name: str, *, follows: Span | None = None, **attributes: Attribute) -> Span:
        """Begin a part of this work; `follows` links it to an earlier part that it replaces."""
        ...

    def step(self, name: str, **attributes: Attribute) -> Span:
        """Begin one of many alike parts. Only some are recorded: the first, then at most one every five seconds."""
        ...

    def event(self, name: str, **attributes: Attribute) -> None:
        """Record that something happened now."""
        ...

    def end(self, failure: str | None = None) -> None:
        """End the span; `failure` is a short word from a closed set. Calling this again does nothing."""
        ...


class Tracer(Protocol):
    """Begins traces."""

    def begin(self, name: str, traceparent: str | None = None, **attributes: Attribute) -> Span:
        """Begin a span that continues `traceparent`, or a new trace if there is none or it is invalid."""
        ...

    async def close(self) -> None:
        """Export what is left, for a few seconds at most."""
        ...


class NoSpan:
    """Records nothing."""

    is_on = False
    trace_id: str | None = None
    traceparent: str | None = None

    def child(self, name: str, *, follows: Span | None = None, **attributes: Attribute) -> Span:
        """Itself."""
        return self

    def step(self, name: str, **attributes: Attribute) -> Span:
        """Itself."""
        return self

    def event(self, name: str, **attributes: Attribute) -> None:
        """Ignored."""

    def end(self, failure: str | None = None) -> None:
        """Ignored."""


NO_SPAN: Final = NoSpan()


class NoTracer:
    """Traces are off."""

    def begin(self, name: str, traceparent: str | None = None, **attributes: Attribute) -> Span:
        """A span that records nothing."""
        return NO_SPAN

    async def close(self) -> None:
        """There is nothing to export."""


NO_TRACER: Final = NoTracer()

_CURRENT: ContextVar[Span] = ContextVar("span", default=NO_SPAN)


@contextmanager
def current(span: Span) -> Iterator[None]:
    """Make a span the one that `current_span` returns, in this task and in those that it starts."""
    token = _CURRENT.set(span)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_span() -> Span:
    """The span of the stream that this task works for."""
    return _CURRENT.get()


def exemplar(span: Span) -> dict[str, str] | None:
    """What connects one observation of a metric with its trace; None: the trace is not recorded."""
    return None if span.trace_id is None else {"trace_id": span.trace_id}

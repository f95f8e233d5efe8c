"""The traces of one session's streams: one span per stream, from its first call to a worker until its end."""

from __future__ import annotations

from concurrent.futures import Future

from tracing.spans import NO_SPAN, NO_TRACER, Span, Tracer


class StreamTraces:
    """The spans of streams that have not ended. `parent`: the context that the client sent with its handshake."""

    def __init__(self, tracer: Tracer, session_id: str) -> None:
        self.parent: str | None = None
        self._tracer = tracer
        self._session_id = session_id
        self._spans: dict[str, Span] = {}

    def begin(self, stream_id: str) -> Span:
        """The span of a stream; it begins with the stream's first call."""
        if self._tracer is NO_TRACER:
            return NO_SPAN
        span = self._spans.get(stream_id)
        if span is None:
            span = self._tracer.begin("stream", self.parent, session_id=self._session_id)
            self._spans[stream_id] = span
        return span

    def of(self, stream_id: str) -> Span:
        """The span of a stream; NO_SPAN if it has none."""
        return self._spans.get(stream_id, NO_SPAN)

    def end(self, stream_id: str) -> None:
        """A stream has ended."""
        self._spans.pop(stream_id, NO_SPAN).end()

    def end_all(self) -> None:
        """The session is over at this gateway; streams that were left open may be resumed at another one."""
        for span in self._spans.values():
            span.event("session over")
            span.end()
        self._spans.clear()

    def note_write(self, stream_id: str, kind: str, write: Future[None]) -> None:
        """Record a write about a stream until the store has confirmed it."""
        stream = self.of(stream_id)
        if stream is NO_SPAN:
            return
        span = stream.child("store", write=kind)
        write.add_done_callback(lambda done: span.end("store" if done.cancelled() or done.exception() else None))

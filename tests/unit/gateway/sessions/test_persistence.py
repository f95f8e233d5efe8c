"""What a session writes: of an analysis no more than its bound, but always the summary, and what replaces its like."""

from __future__ import annotations

import pytest

from gateway.analyses import StoredAnalysis
from gateway.metrics import Metrics
from gateway.protocol.actions import StoreAnalyses
from gateway.sessions.persistence import SessionPersistence
from gateway.sessions.stream_traces import StreamTraces
from gateway.store.sqlite import SqliteStore
from tracing.spans import NO_TRACER


async def test_what_a_stream_has_too_much_of_is_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sessions.persistence.MAX_PER_STREAM", 2)
    store, metrics = SqliteStore(None), Metrics()
    await store.start()
    session = SessionPersistence("s1", store, metrics, StreamTraces(NO_TRACER, "s1"))
    session.write_session("")
    session.begin_stream("a", 1.0)
    for key, data in (("one", b"1"), ("two", b"2"), ("three", b"3"), ("delivery/summary", b"4"), ("one", b"5")):
        session.write_analyses(StoreAnalyses("a", (StoredAnalysis(key, data),)))
    record = await store.record("s1")
    assert record is not None
    assert {each.key: each.data for each in record.streams[0].analyses} == {
        "one": b"5",
        "two": b"2",
        "delivery/summary": b"4",
    }
    assert b"gateway_store_analyses_dropped_total 1.0" in metrics.render()
    assert b"gateway_store_failures_total 0.0" in metrics.render()
    await store.close()

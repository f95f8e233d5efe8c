"""What was dropped counts once, at the gateway that had the stream then."""

from __future__ import annotations

import msgspec

from gateway.protocol.messages import StreamEndedData
from gateway.protocol.totals import Totals
from gateway.sessions.drop_meter import DropMeter


def ended(missing: int, duplicate: int, orphan: int) -> StreamEndedData:
    names = {field.name: 0 for field in msgspec.structs.fields(StreamEndedData)}
    found = {"missing_chunks": missing, "duplicate_chunks": duplicate, "orphan_chunks": orphan}
    return msgspec.structs.replace(StreamEndedData(**names), **found)


def test_a_stream_that_began_here_counts_in_full() -> None:
    assert DropMeter().ended("a", ended(3, 2, 1)) == {"missing": 3, "duplicate": 2, "orphan": 1}


def test_what_another_gateway_counted_does_not_count_again() -> None:
    meter = DropMeter()
    meter.begin_resumed("a", Totals(missing_chunks=3, duplicate_chunks=5))
    assert meter.ended("a", ended(4, 2, 1)) == {"missing": 1, "duplicate": 0, "orphan": 1}
    assert meter.ended("a", ended(4, 2, 1)) == {"missing": 4, "duplicate": 2, "orphan": 1}

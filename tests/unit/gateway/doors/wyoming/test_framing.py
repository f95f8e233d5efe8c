"""Events on the wire: whatever is written is read, however it is cut; whatever else comes is refused, within bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.doors.wyoming.framing import MAX_LINE_BYTES, Event, FramingError, read_event, write_event
from gateway.protocol.errors import Code

DATA = st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.integers(-9, 9), st.text(max_size=20)), max_size=4)


async def events_of(*pieces: bytes) -> list[Event]:
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    found = []
    while (event := await read_event(reader, idle_s=5, rest_s=5)) is not None:
        found.append(event)
    return found


@settings(max_examples=40)
@given(st.lists(st.tuples(DATA, DATA, st.binary(max_size=40)), max_size=4), st.integers(1, 50))
def test_what_is_written_is_read(written: list[tuple[Any, Any, bytes]], size: int) -> None:
    """Data in the line and behind it are one; the later ones win."""
    stream, expected = b"", []
    for inner, outer, payload in written:
        body = json.dumps(outer).encode() if outer else b""
        header = {"type": "x", "data": inner, "data_length": len(body), "payload_length": len(payload)}
        stream += json.dumps(header).encode() + b"\n" + body + payload
        expected.append(Event("x", {**inner, **outer}, payload))
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert asyncio.run(events_of(*pieces)) == expected


@settings(max_examples=40)
@given(DATA)
def test_what_the_gateway_writes_is_an_event(data: dict[str, Any]) -> None:
    assert asyncio.run(events_of(write_event("info", data))) == [Event("info", data)]


@settings(max_examples=40)
@given(st.binary(max_size=300))
def test_noise_ends_or_is_refused(noise: bytes) -> None:
    found, refused = [], Code.BAD_JSON
    try:
        found = asyncio.run(events_of(noise))
    except FramingError as error:
        refused = error.problem.code
    assert len(found) <= noise.count(b"\n")
    assert refused in (Code.BAD_JSON, Code.PAYLOAD_TOO_LARGE)


@pytest.mark.parametrize(
    ("noise", "code"),
    [
        (b'{"type":"x","data":{"a":[' + b"0," * 5_000 + b"0]}}\n", Code.BAD_MESSAGE),
        (b"[" * 16_000 + b"\n", Code.BAD_JSON),
        (b"{" * (MAX_LINE_BYTES + 1), Code.PAYLOAD_TOO_LARGE),
        (b'{"type":"x","payload_length":1e300}\n', Code.BAD_JSON),
        (b'{"type":"x","data_length":1000000000000}\n', Code.PAYLOAD_TOO_LARGE),
        (b'{"data":{}}\n', Code.BAD_JSON),
        (b"\xff\xfe\n", Code.BAD_JSON),
    ],
)
async def test_bounds(noise: bytes, code: Code) -> None:
    with pytest.raises(FramingError) as refused:
        await events_of(noise)
    assert refused.value.problem.code is code


@pytest.mark.parametrize(
    "part", [b'{"type":"x"', b'{"type":"x","data_length":9}\n{', b'{"type":"x","payload_length":9}\nab']
)
async def test_a_connection_that_breaks_in_an_event_has_ended(part: bytes) -> None:
    assert await events_of(part) == []


@pytest.mark.parametrize("part", [b'{"type"', b'{"type":"x","payload_length":9}\nab'])
async def test_an_event_that_does_not_come_is_late(part: bytes) -> None:
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    reader.feed_data(part)
    with pytest.raises(TimeoutError):
        await read_event(reader, idle_s=0.01, rest_s=0.01)

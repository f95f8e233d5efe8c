"""What a stream makes of errors: some end it, others are notices of something left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from talkup_client.chunks import Chunk
from talkup_client.errors import RefusedError
from talkup_client.events import Acknowledge, AnalysisResult, ErrorReceived, Notice, parse
from talkup_client.messages import StreamOptions
from talkup_client.stream import Stream
from talkup_client.streams import Streams

from bench.harness.schema_check import spoken


class Nowhere:
    """A link that takes everything."""

    async def deliver(self, stream: Stream, message: str | Chunk) -> None:
        del stream, message


def opened() -> Stream:
    stream = Stream("s", StreamOptions("image/png"), Nowhere())
    stream.receive_acknowledge(Acknowledge("s", -1, -1, 0, handle=1, accepted=True))
    return stream


def error(**more: Any) -> ErrorReceived:
    return ErrorReceived("s", {"stream_id": "s", "code": "media_error", "message": "cut short", **more})


async def test_a_refused_picture_is_a_notice_and_the_stream_continues() -> None:
    stream = opened()
    stream.receive_error(error(reason="truncated"))
    assert await anext(stream) == Notice("s", "media_error", "cut short")
    assert not stream.finished


async def test_an_error_without_a_reason_is_raised() -> None:
    stream = opened()
    stream.receive_error(error())
    with pytest.raises(RefusedError, match="cut short"):
        await anext(stream)


def said(number: int) -> AnalysisResult:
    data = {"stream_id": "s", "service_type": "delivery", "frame_seq": number, "delivery": {"summary": None}}
    result = parse(json.dumps(spoken("analysis_result", data)))
    assert isinstance(result, AnalysisResult)
    return result


async def test_what_a_resumption_repeats_of_delivery_comes_once() -> None:
    stream, streams = opened(), Streams()
    streams.add(stream)
    assert streams.points() == [("s", 0, -1)]
    for number in (0, 1, 1, 0, 4):
        stream.receive(said(number))
    assert [(await anext(stream)).data["frame_seq"] for _ in range(3)] == [0, 1, 4]  # type: ignore[union-attr]
    assert streams.points() == [("s", 0, 4)]

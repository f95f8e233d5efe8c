"""Requests in, answers out: the service inside a child, without the process."""

from __future__ import annotations

import numpy as np
import pytest
from talkup.v1 import media_pb2

from tests.unit.workers.media.isolation import delta_decoder
from tests.unit.workers.media.isolation.delta_decoder import DeltaDecoder
from workers.chunk import Chunk
from workers.media.isolation import child, ipc

FORMAT = media_pb2.MediaFormat(mime_type="test/delta").SerializeToString()


@pytest.fixture
def service() -> child.DecoderService:
    return child.DecoderService(DeltaDecoder, child.ServiceLimits(2, 1000, 10, 1000), clock=lambda: 0.0)


def decode_request(stream: int, payload: bytes) -> ipc.Decode:
    return ipc.Decode(stream, Chunk(0, payload))


def test_a_stream_from_open_to_close(service: child.DecoderService) -> None:
    assert service.answer(ipc.Open(1, FORMAT, None)) == ipc.Opened(1, 0)
    expected = np.array([0.001, 0.003], dtype=np.float32).tobytes()
    assert service.answer(decode_request(1, b"\x01\x00\x02\x00\x03")) == ipc.Samples(1, expected)
    saved = service.answer(ipc.Save(1, 1))
    assert isinstance(saved, ipc.Saved)
    assert saved.replay_from_sequence == 0
    assert service.answer(ipc.Open(2, FORMAT, saved.state)) == ipc.Opened(2, 1)
    assert service.answer(ipc.Finish(1)) == ipc.Samples(1, np.array([0.262], dtype=np.float32).tobytes())
    assert service.answer(ipc.Close(1)) is None
    assert service.answer(ipc.Finish(1)) == ipc.Failed(1, "the stream is not open")


def test_opening_again_replaces(service: child.DecoderService) -> None:
    service.answer(ipc.Open(1, FORMAT, None))
    service.answer(decode_request(1, b"\x01\x00"))
    assert service.answer(ipc.Open(1, FORMAT, None)) == ipc.Opened(1, 0)


def test_the_table_is_bounded(service: child.DecoderService) -> None:
    for stream in (1, 2):
        service.answer(ipc.Open(stream, FORMAT, None))
    assert service.answer(ipc.Open(3, FORMAT, None)) == ipc.Failed(3, "too many streams are open")
    service.answer(ipc.Close(1))
    assert service.answer(ipc.Open(3, FORMAT, None)) == ipc.Opened(3, 0)


def test_output_is_bounded(service: child.DecoderService) -> None:
    service.answer(ipc.Open(1, FORMAT, None))
    assert service.answer(decode_request(1, bytes(2002))) == ipc.Failed(1, "one chunk holds too much media")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ipc.Open(1, b"\xff", None), "the media format cannot be read"),
        (ipc.Open(1, FORMAT, b"hostile"), "the state cannot be read"),
        (ipc.Open(1, media_pb2.MediaFormat(mime_type="test/bomb").SerializeToString(), None), None),
        (decode_request(7, b"!bad"), "these media are bad"),
        (decode_request(7, b"!raise"), None),
        (ipc.Save(7, 99), "no such sample"),
    ],
)
def test_failures_are_answers_and_say_nothing_of_the_media(
    service: child.DecoderService, request_: ipc.Request, message: str | None
) -> None:
    service.answer(ipc.Open(7, FORMAT, None))
    assert service.answer(request_) == ipc.Failed(request_.stream, message or "the media cannot be decoded")


def test_warming_up_names_what_stays_cold() -> None:
    assert child.warm_up(DeltaDecoder, delta_decoder.one_clip()) == ("broken", "empty")


@pytest.mark.parametrize("dotted", ["no.such.module:Thing", "workers.media.isolation.child:Nothing"])
def test_a_wrong_dotted_name_is_an_import_or_attribute_error(dotted: str) -> None:
    with pytest.raises((ImportError, AttributeError)):
        child.resolve(dotted)

"""Bytes that resemble headers cost time in proportion to their number, and are read in many small parts."""

from __future__ import annotations

import time

import pytest

from tests.unit.workers.media.storms import VP8, film, storms
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder, MediaError
from workers.media.video import VideoDecoder


def cost(name: str, size: int) -> tuple[float, int]:
    """The CPU seconds and the parts that a storm takes."""
    storm = storms()[name]
    decoder = AudioDecoder(storm.fmt)
    chunk = Chunk(0, storm.data(size))
    began, parts = time.process_time(), 0
    try:
        for _ in decoder.decode_in_parts(chunk):
            parts += 1
    except MediaError:
        pass
    return time.process_time() - began, parts


@pytest.mark.parametrize("name", list(storms()))
def test_the_cost_of_a_storm_grows_with_its_size_and_no_faster(name: str) -> None:
    """Four times the bytes take four times the time, not sixteen; and the decoder pauses many times in between."""
    cost(name, 1 << 10)
    few, _ = cost(name, 32 << 10)
    many, parts = cost(name, 128 << 10)
    assert many < 8 * few + 0.1
    assert parts >= 20 or many < 0.4


def test_every_picture_is_a_part() -> None:
    """Changing sizes cost most: each makes the codec start again."""
    recording = film([(16 + 64 * at, 1024) for at in range(12)])
    assert sum(1 for _ in VideoDecoder(VP8).decode_in_parts(Chunk(0, recording))) >= 12

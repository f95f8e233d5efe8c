"""FFmpeg's decoders read a few bytes behind a packet: what memory holds there must not be heard or seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from talkup.v1 import media_pb2

from tests.unit.workers.media.chunks import cut, decode
from tests.unit.workers.media.material import declared
from workers.media.codec import open_decoder
from workers.media.containers.ogg import OggDemuxer
from workers.media.containers.packet import Packet, Track

CLIP = Path(__file__).parents[3] / "data" / "speech" / "interview.ogg"
PADDING = 64


def packets() -> tuple[Track, list[Packet]]:
    demuxer = OggDemuxer()
    found = [packet for part in demuxer.parts(CLIP.read_bytes()) for packet in part]
    [track] = demuxer.tracks.values()
    return track, found


def followed_by(data: bytes, behind: bytes) -> memoryview:
    """The same bytes, with others behind them in memory."""
    return memoryview(data + behind)[: len(data)]


@pytest.mark.parametrize("behind", [b"\xff", b"\x55"])
def test_what_lies_behind_a_packet_is_not_heard(behind: bytes) -> None:
    track, found = packets()
    plain, other = open_decoder(track), open_decoder(track)
    for packet in found:
        expected = plain.decode(followed_by(packet.data, bytes(PADDING)))  # type: ignore[arg-type]
        heard = other.decode(followed_by(packet.data, behind * PADDING))  # type: ignore[arg-type]
        assert all(np.array_equal(one, two) for one, two in zip(expected, heard, strict=True))


@pytest.mark.parametrize("size", [500, 2_000, 5_000])
def test_samples_do_not_depend_on_where_a_recording_is_cut(size: int) -> None:
    data, fmt = CLIP.read_bytes(), declared("audio/ogg", media_pb2.CONTAINER_OGG)
    assert np.array_equal(decode(fmt, cut(data, [size])), decode(fmt, [data]))

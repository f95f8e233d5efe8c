"""Tags in front of a recording, and streams that begin anywhere: the container is found, however the bytes are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talkup.v1 import media_pb2

from tests.kinds.recordings import APE, ID3V1, id3
from tests.unit.workers.media.chunks import assert_same, cut, decode, decode_killed
from tests.unit.workers.media.material import declared, mux, recordings
from workers.chunk import Chunk
from workers.media.containers.sniff import Sniffer
from workers.media.decoder import AudioDecoder, MediaError

ANY = declared("audio")
KINDS = ["flac", "wav", "mp3", "ogg", "webm", "mp4-aac"]


def whole(name: str):
    recording = recordings()[name]
    return decode(recording.fmt, [recording.data])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("named", [True, False])
@settings(max_examples=5, deadline=None)
@given(
    tags=st.lists(st.integers(0, 3000), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 900), min_size=1, max_size=4),
)
def test_tags_in_front_are_neither_heard_nor_damage(name: str, named: bool, tags: list[int], sizes: list[int]) -> None:
    recording = recordings()[name]
    decoder = AudioDecoder(recording.fmt if named else ANY)
    chunks = cut(b"".join(map(id3, tags)) + recording.data, sizes)
    parts = [decoder.decode(Chunk(number, chunk)) for number, chunk in enumerate(chunks)]
    assert np.array_equal(np.concatenate([*parts, decoder.finish()]), whole(name))
    assert decoder.damaged_bytes == 0


@pytest.mark.parametrize("name", KINDS)
def test_a_restart_behind_a_tag_changes_nothing(name: str) -> None:
    chunks = cut(id3(2500) + recordings()[name].data, [600])
    for kill in (3, 5, len(chunks) // 2, len(chunks) - 1):
        assert_same(decode_killed(ANY, chunks, [kill], 1601), whole(name), aac="aac" in name)


def test_a_tag_of_many_megabytes_is_skipped_without_keeping_it() -> None:
    sniffer = Sniffer(ANY)
    data = id3(20 << 20)
    for number, chunk in enumerate(cut(data, [1 << 20])):
        assert sniffer.push_chunk(Chunk(number, chunk)) == []
        assert len(sniffer._head) + sum(len(kept.payload) for kept in sniffer._chunks) < 1 << 21
    ready = sniffer.push_chunk(Chunk(99, recordings()["flac"].data))
    assert sniffer.container == media_pb2.CONTAINER_FLAC
    assert ready[-1][0].payload[ready[-1][1] :].startswith(b"fLaC")


@pytest.mark.parametrize("tail", [ID3V1, APE, APE + ID3V1, b"LYRICSBEGIN" + bytes(50) + b"LYRICS200" + ID3V1])
def test_tags_behind_a_flac_are_neither_heard_nor_damage(tail: bytes) -> None:
    decoder = AudioDecoder(ANY)
    parts = [decoder.decode(Chunk(n, part)) for n, part in enumerate(cut(recordings()["flac"].data + tail, [300]))]
    assert np.array_equal(np.concatenate([*parts, decoder.finish()]), whole("flac"))
    assert decoder.damaged_bytes == 0


@pytest.mark.parametrize("container", ["mp3", "adts"])
@settings(max_examples=12, deadline=None)
@given(start=st.integers(1, 6000), sizes=st.lists(st.integers(1, 900), min_size=1, max_size=4))
def test_a_stream_that_begins_inside_a_frame_is_heard(container: str, start: int, sizes: list[int]) -> None:
    """Under a name that says nothing, and under that of the other kind of frames."""
    data = mux(container, "libmp3lame" if container == "mp3" else "aac", 1.6, rate=44_100, bit_rate=64_000)[start:]
    heard = decode(ANY, [data])
    assert abs(len(heard) / 16_000 - len(data) / 8000) < 0.25
    assert np.abs(heard).max() > 0.2
    assert np.array_equal(decode(ANY, cut(data, sizes)), heard)
    assert np.array_equal(decode(declared("audio/mpeg", media_pb2.CONTAINER_MP3), cut(data, sizes)), heard)


def test_a_recording_that_ends_before_it_sounds_does_not_take_the_next_one_along() -> None:
    good = recordings()["wav"]
    for begun in (id3(300), id3(300)[:100], b"R", good.data[:30], bytes(100)):
        decoder = AudioDecoder(ANY)
        assert len(decoder.decode(Chunk(0, begun))) == 0
        heard = [decoder.decode(Chunk(1, good.data, new_recording=True)), decoder.finish()]
        assert decoder.damaged_bytes == (30 if begun == good.data[:30] else 0)
        assert np.array_equal(np.concatenate(heard), whole("wav"))


@pytest.mark.parametrize("data", [b"R", b"RIFF", b"ID3", bytes(100), bytes(40_000), b"\xff\xfb", b"FORM\0\0\0\0AIFF"])
def test_what_never_begins_ends_in_an_error(data: bytes) -> None:
    for size in (1, 50_000):
        with pytest.raises(MediaError):
            decode(ANY, cut(data, [size]))

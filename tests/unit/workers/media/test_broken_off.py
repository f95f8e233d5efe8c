"""Recordings that break off: what is there is heard, and the end of the stream counts what is missing."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from tests.unit.workers.media.chunks import cut
from tests.unit.workers.media.material import declared, index_first, mux, pcm16, recordings, wav
from tests.unit.workers.media.video_material import recording as film
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder
from workers.media.video import VideoDecoder

SECONDS = 1.6


def made(name: str) -> tuple[str, bytes]:
    """The MIME type and the bytes of a recording that says what it holds, or whose elements say how long they are."""
    match name:
        case "wav":
            return "audio/wav", wav(pcm16(SECONDS), 1, 1, 16_000, 16)
        case "m4a":
            return "audio/mp4", index_first(mux("mp4", "aac", SECONDS, rate=44_100, bit_rate=64_000))
        case "aiff" | "caf":
            return f"audio/{name}", mux(name, "pcm_s16be", SECONDS, rate=16_000)
        case _:
            recording = recordings()[name]
            return recording.fmt.mime_type, recording.data


NAMES = ["wav", "aiff", "caf", "m4a", "webm", "webm-video", "ogg", "mp4-aac", "mp4-opus"]
HEADED = ["wav", "aiff", "caf"]


def heard(decoder: AudioDecoder, chunks: list[bytes], first: int = 0) -> np.ndarray:
    parts = [decoder.decode(Chunk(number, chunk)) for number, chunk in enumerate(chunks, first)]
    return np.concatenate([*parts, decoder.finish()])


def missing(mime_type: str, data: bytes, size: int = 700) -> int:
    decoder = AudioDecoder(declared(mime_type))
    heard(decoder, cut(data, [size]))
    return decoder.damaged_bytes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.5, 0.6, 0.83])
def test_a_recording_that_breaks_off_is_heard_as_far_as_it_goes_and_what_is_missing_counts(
    name: str, share: float
) -> None:
    mime_type, data = made(name)
    half = data[: round(len(data) * share) | 1]  # inside of a sample
    decoder = AudioDecoder(declared(mime_type))
    samples = heard(decoder, cut(half, [700]))
    assert SECONDS * share - 0.45 < len(samples) / 16_000 < SECONDS * share + 0.45
    assert decoder.damaged_bytes > 0
    assert decoder.damaged_bytes == missing(mime_type, half, 1) == missing(mime_type, half, len(half))


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_recording_misses_nothing(name: str) -> None:
    assert missing(*made(name)) == 0


@pytest.mark.parametrize("name", HEADED)
def test_the_samples_that_a_header_promises_are_counted_to_the_byte(name: str) -> None:
    mime_type, data = made(name)
    assert missing(mime_type, data[:-30_002]) == 30_002


def test_the_packets_that_an_index_promises_are_counted_to_the_byte() -> None:
    mime_type, data = made("m4a")
    with av.open(io.BytesIO(data)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(file.streams.audio[0]) if packet.size]
    for position, size in (packets[0], packets[20], packets[-1]):
        behind = sum(size for at, size in packets if at >= position)
        assert missing(mime_type, data[: position + size - 1]) == behind


@pytest.mark.parametrize("size", [0, 0x7FFF_0000, 0x7FFF_F000, 0x8000_0000, 0xFFFF_FFFF])
def test_a_length_that_a_recorder_writes_before_it_knows_promises_nothing(size: int) -> None:
    assert missing("audio/wav", wav(pcm16(0.5), 1, 1, 16_000, 16, size=size)) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_successor_counts_what_is_missing(name: str) -> None:
    mime_type, data = made(name)
    chunks = cut(data[: round(len(data) * 0.83) | 1], [700])
    first = AudioDecoder(declared(mime_type))
    middle = len(chunks) // 2
    for number, chunk in enumerate(chunks[:middle]):
        first.decode(Chunk(number, chunk))
    point = first.checkpoint(first.position)
    again = point.replay_from_sequence
    successor = AudioDecoder(declared(mime_type), point.state)
    heard(successor, chunks[again:], again)
    assert successor.damaged_bytes == missing(mime_type, b"".join(chunks)) > 0


def test_behind_a_gap_nobody_knows_how_much_a_header_still_promises() -> None:
    mime_type, data = made("wav")
    decoder = AudioDecoder(declared(mime_type))
    decoder.decode(Chunk(0, data[:9_000]))
    decoder.decode(Chunk(2, data[10_000:20_000], missing_before=1))
    decoder.finish()
    assert decoder.damaged_bytes == 0


@pytest.mark.parametrize("container", ["webm", "mp4"])
def test_a_film_that_breaks_off_counts_what_is_missing(container: str) -> None:
    data = film("libvpx" if container == "webm" else "libx264", container, frames=48)
    for whole, part in ((True, data), (False, data[: round(len(data) * 0.6)])):
        decoder = VideoDecoder(declared(f"video/{container}"))
        frames = [*decoder.decode(Chunk(0, part)), *decoder.finish()]
        assert len(frames) > 20
        assert (decoder.damaged_bytes == 0) is whole

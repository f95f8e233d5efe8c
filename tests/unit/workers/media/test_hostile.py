"""Whatever the bytes, MediaError is all that comes out, quickly and with little memory."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talkup.v1 import media_pb2

from tests.unit.workers.media.chunks import chunks_of, cut
from tests.unit.workers.media.material import declared, recordings
from workers.chunk import Chunk
from workers.media.checkpoint import DecoderState
from workers.media.containers.mp4 import Mp4Demuxer
from workers.media.containers.webm import WebmDemuxer
from workers.media.decoder import AudioDecoder, MediaError

_EMIT = DecoderState.__struct_fields__.index("emit")
CONTAINERS = [media_pb2.Container.Value(name) for name in media_pb2.Container.keys()]  # noqa: SIM118 - a protobuf wrapper
MAGICS = [
    b"",
    b"\x1a\x45\xdf\xa3",
    b"OggS\0",
    b"fLaC",
    b"RIFF\0\0\0\0WAVE",
    b"ID3",
    b"\0\0\0\x18ftyp",
    b"\xff\xfb\x90\0",
    b"\xff\xf1\x50\x80\x20\x1f\xfc",
    b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12",
    b".snd\0\0\0\x18\0\0\0\0\0\0\0\x03",
    b"caff\0\1\0\0desc\0\0\0\0\0\0\0\x20",
    b"#!AMR\n\x3c",
    b"#!AMR-WB\n\x44",
    b"\0\0\1\0moov\0\0\0\x6cmvhd",
    b"ID3\4\0\0\0\0\0\0fLaC",
    b"RIFF\0\0\0\0WAVEfmt \x12\0\0\0\x02\0\x01\0\x40\x1f\0\0\0\x10\0\0\0\1\4\0\0\0data\0\0\0\0",
]


def swallow(fmt: media_pb2.MediaFormat, chunks: list[bytes], state: bytes | None = None, gap: int = -1) -> int:
    """Decode until the decoder gives up; returns the samples it gave."""
    try:
        decoder = AudioDecoder(fmt, state)
        for number, chunk in enumerate(chunks):
            decoder.decode(Chunk(number, chunk, missing_before=1 if number == gap else 0))
            decoder.checkpoint(decoder.position)
        decoder.finish()
    except MediaError:
        pass
    return decoder.position


@settings(max_examples=250, deadline=None)
@given(
    container=st.sampled_from(CONTAINERS),
    magic=st.sampled_from(MAGICS),
    body=st.binary(max_size=400),
    size=st.integers(1, 100),
    opus=st.booleans(),
)
def test_arbitrary_bytes(container: int, magic: bytes, body: bytes, size: int, opus: bool) -> None:
    fmt = declared("audio/opus" if opus else "audio/any", container, sample_rate=16_000, channels=1, pcm_encoding=1)
    swallow(fmt, cut(magic + body, [size]))


@pytest.mark.parametrize("name", list(recordings()))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_mutated_recordings(name: str, data: st.DataObject) -> None:
    recording = recordings()[name]
    chunks = chunks_of(recording, [400])
    broken = [bytearray(chunk) for chunk in chunks]
    for _ in range(data.draw(st.integers(1, 8))):
        chunk = broken[data.draw(st.integers(0, len(broken) - 1 if data.draw(st.booleans()) else 1))]
        where = data.draw(st.integers(0, len(chunk) - 1))
        match data.draw(st.sampled_from(["set", "drop", "insert"])):
            case "set":
                chunk[where] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFE, 0xFF]) | st.integers(0, 255))
            case "drop":
                del chunk[where : where + data.draw(st.integers(1, 40))]
                chunk += b"\0"
            case "insert":
                chunk[where:where] = data.draw(st.binary(min_size=1, max_size=8))
    gap = data.draw(st.integers(-1, len(broken)))
    assert swallow(recording.fmt, [bytes(chunk) for chunk in broken], gap=gap) < 16_000 * 300


@settings(max_examples=100, deadline=None)
@given(state=st.binary(max_size=300))
def test_arbitrary_states(state: bytes) -> None:
    with pytest.raises(MediaError):
        AudioDecoder(recordings()["webm"].fmt, state)


@pytest.mark.parametrize("name", list(recordings()))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_mutated_states(name: str, data: st.DataObject) -> None:
    recording = recordings()[name]
    chunks = chunks_of(recording, [400])
    decoder = AudioDecoder(recording.fmt)
    for number, chunk in enumerate(chunks):
        decoder.decode(Chunk(number, chunk))
    fields = msgspec.msgpack.decode(decoder.checkpoint(decoder.position).state)
    odd = st.sampled_from(
        [0, 1, 2, 4, 4001, 16_000, 48_000, 1 << 40, (1 << 53) - 1, -1, 1e300, None, b"", b"\xff" * 20]
    )
    for _ in range(data.draw(st.integers(1, 3))):
        fields[data.draw(st.integers(0, len(fields) - 1))] = data.draw(odd)
    if data.draw(st.booleans()):
        fields[3] = 0
    if not isinstance(fields[_EMIT], int) or not 0 <= fields[_EMIT] < 1 << 53:
        fields[_EMIT] = 0
    try:
        AudioDecoder(recording.fmt, msgspec.msgpack.encode(fields))
    except MediaError:
        return
    swallow(recording.fmt, chunks, msgspec.msgpack.encode(fields))


def opus_block(data: bytes) -> bytes:
    return b"\xa3" + bytes([0x80 | (len(data) + 4)]) + b"\x81\0\0\x80" + data


def test_a_bomb_of_opus_is_defused() -> None:
    webm = recordings()["webm"].data
    header = webm[: webm.index(b"\x1f\x43\xb6\x75")]
    cluster = bytes.fromhex("1F43B67501FFFFFFFFFFFFFFE78100")
    bomb = cluster + opus_block(bytes([0xE3, 48])) * 3000
    decoder = AudioDecoder(recordings()["webm"].fmt, decoded_seconds_limit=20)
    with pytest.raises(MediaError, match="more audio than is allowed"):
        decoder.decode(Chunk(0, header + bomb))


def test_time_stamps_that_jump_are_bounded() -> None:
    webm = recordings()["webm"].data
    header = webm[: webm.index(b"\x1f\x43\xb6\x75")]
    cluster = bytes.fromhex("1F43B67501FFFFFFFFFFFFFF")
    packet = recordings()["packets"].packets[0]
    jumps = b"".join(cluster + b"\xe7\x88" + struct.pack(">Q", n << 40) + opus_block(packet) for n in range(9))
    with pytest.raises(MediaError, match="more audio than is allowed"):
        AudioDecoder(recordings()["webm"].fmt).decode(Chunk(0, header + jumps))


@pytest.mark.parametrize(
    "start",
    [
        b"\x1a\x45\xdf\xa3\x01\x00\x00\x00\xff\xff\xff\xff",
        b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\x7f\xff\xff\xffmoov",
        b"OggS" + bytes(22) + b"\xff" + b"\xff" * 255,
    ],
)
def test_an_endless_element_is_refused_or_bounded(start: bytes) -> None:
    fmt = declared("audio/any")
    assert swallow(fmt, [start + bytes(100_000)] + [bytes(100_000)] * 200) == 0
    decoder = AudioDecoder(fmt)
    with pytest.raises(MediaError):
        decoder.decode(Chunk(0, start + bytes(16 << 20)))


def test_segments_without_end_are_too_large_a_header() -> None:
    ebml, segment = b"\x1a\x45\xdf\xa3\x80", b"\x18\x53\x80\x67\xff"
    with pytest.raises(MediaError):
        WebmDemuxer().push_bytes(ebml + segment * 4_000)


def test_a_fragment_gives_no_more_bytes_than_it_has() -> None:
    """Samples that all name the same bytes would turn 22 KB into 5 MB."""
    recording = next(r for r in recordings().values() if r.data[4:8] == b"ftyp")
    demuxer = Mp4Demuxer()
    demuxer.push_bytes(recording.data)
    mdat = box(b"mdat", bytes(10_000))
    header = box(b"tfhd", struct.pack(">2I", 0x20000, next(iter(demuxer.tracks))))
    run = box(b"trun", struct.pack(">4I", 0x201, 1, 16 + len(header) + 24 * 500 + 8, 10_000))
    moof = box(b"moof", box(b"traf", header + run * 500))
    packets = demuxer.push_bytes(moof + mdat)
    assert sum(len(packet.data) for packet in packets) <= len(moof + mdat)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content

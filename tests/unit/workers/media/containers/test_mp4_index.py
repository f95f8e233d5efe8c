"""MP4 in one piece: read as it comes, restarted anywhere, and bounded whatever its tables say."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talkup.v1 import media_pb2

from tests.unit.workers.media.chunks import assert_same, cut, decode, decode_killed
from tests.unit.workers.media.material import INDEX_FIRST, declared, demuxed, index_first, mux, tone
from tests.unit.workers.media.test_video_decoder import check_restarts
from tests.unit.workers.media.video_material import recording as film
from workers.chunk import Chunk
from workers.media.containers.mp4 import Mp4Demuxer
from workers.media.containers.mp4_index import MAX_INDEX_BYTES, MAX_SAMPLES
from workers.media.containers.packet import MediaError
from workers.media.decoder import AudioDecoder
from workers.media.video import VideoDecoder

FORMAT = declared("audio/mp4", media_pb2.CONTAINER_MP4)
KINDS = {
    "aac": ("mp4", "aac", 44_100),
    "aac-mov": ("mov", "aac", 44_100),
    "opus": ("mp4", "libopus", 48_000),
    "alac": ("ipod", "alac", 44_100),
    "mp3": ("mp4", "libmp3lame", 44_100),
    "flac": ("mp4", "flac", 16_000),
    "s16": ("mov", "pcm_s16le", 16_000),
    "s24": ("mov", "pcm_s24be", 22_050),
    "mulaw": ("mov", "pcm_mulaw", 8_000),
}
SECONDS = 1.5


def one_piece(kind: str) -> bytes:
    container, codec, rate = KINDS[kind]
    return mux(container, codec, SECONDS, rate=rate, options=INDEX_FIRST, bit_rate=64_000)


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def table(kind: bytes, *rows: tuple[int, ...], wide: bool = False) -> bytes:
    return box(
        kind,
        struct.pack(">II", 0, len(rows)),
        *(struct.pack(f">{len(row)}{'Q' if wide else 'I'}", *row) for row in rows),
    )


def movie(tables: bytes, entry: bytes = b"") -> bytes:
    """ftyp and moov with one track of AMR."""
    entry = entry or box(b"samr", struct.pack(">6xH8xHHIHH", 1, 1, 16, 0, 8_000, 0))
    media = box(
        b"mdia",
        box(b"mdhd", struct.pack(">12xII4x", 8_000, 0)),
        box(b"hdlr", struct.pack(">8x4s12xx", b"soun")),
        box(b"minf", box(b"stbl", box(b"stsd", struct.pack(">4xI", 1), entry), tables)),
    )
    track = box(b"trak", box(b"tkhd", struct.pack(">12xI68x", 1)), media)
    return box(b"ftyp", b"isom", bytes(4)) + box(b"moov", box(b"mvhd", struct.pack(">12xI84x", 1000)), track)


def packets_of(data: bytes, sizes: list[int] | None = None) -> list:
    demuxer = Mp4Demuxer()
    return [packet for part in cut(data, sizes or [len(data)]) for packet in demuxer.push_bytes(part)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_recorded_is_heard(kind: str) -> None:
    data = one_piece(kind)
    heard = decode(FORMAT, cut(data, [501]))
    wanted = tone(SECONDS, 16_000)
    assert abs(len(heard) - len(wanted)) < 1200
    assert np.corrcoef(heard[800:16_800], wanted[800:16_800])[0, 1] > 0.9
    assert np.array_equal(decode(FORMAT, [data]), heard)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("s16", "s24", "mulaw")])
def test_the_packets_are_those_that_libavformat_sees(kind: str) -> None:
    data = one_piece(kind)
    assert tuple(packet.data for packet in packets_of(data, [99])) == demuxed(data)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None)
@given(
    sizes=st.lists(st.integers(20, 900), min_size=1, max_size=4),
    kills=st.lists(st.floats(0.02, 1), min_size=1, max_size=4),
    behind=st.sampled_from([0, 1, 1601, 8000]),
)
def test_restarts_change_nothing(kind: str, sizes: list[int], kills: list[float], behind: int) -> None:
    chunks = cut(one_piece(kind), sizes)
    places = [max(1, int(kill * (len(chunks) - 1))) for kill in kills]
    assert_same(decode_killed(FORMAT, chunks, places, behind), decode(FORMAT, chunks), aac="aac" in kind)


def test_every_sample_is_a_restart_point() -> None:
    data = one_piece("aac")
    first = Mp4Demuxer()
    packets = first.push_bytes(data)
    assert len({packet.offset for packet in packets}) == len(packets)
    for number, packet in enumerate(packets):
        successor = Mp4Demuxer(resumed=True)
        assert successor.push_bytes(first.prefix(packet.anchor)) == []
        again = successor.push_bytes(data[packet.offset :])
        assert [(p.data, p.pts, p.key) for p in again] == [(p.data, p.pts, p.key) for p in packets[number:]]


@pytest.mark.parametrize("b_frames", [0, 2])
def test_pictures_are_shown_and_restarted_at_key_frames(b_frames: int) -> None:
    data = index_first(film("libx264", "mp4", b_frames=b_frames))
    fmt = declared("video/mp4", media_pb2.CONTAINER_MP4)
    decoder = VideoDecoder(fmt)
    records = [record for n, part in enumerate(cut(data, [999])) for record in decoder.decode(Chunk(n, part))]
    records += decoder.finish()
    assert [record.index for record in records] == list(range(24))
    assert [record.media_ms for record in records] == pytest.approx([1000 * n / 12 for n in range(24)], abs=1)
    check_restarts(fmt, cut(data, [700]))


def edited(data: bytes, *edits: tuple[int, int]) -> bytes:
    """The recording with another edit list (duration in ms, start in samples), its chunk offsets put right."""
    old = data.index(b"edts") - 4
    size = int.from_bytes(data[old : old + 4], "big")
    new = box(
        b"edts", box(b"elst", struct.pack(">II", 0, len(edits)), *(struct.pack(">IiI", *e, 65536) for e in edits))
    )
    grown = len(new) - size
    for name in (b"moov", b"trak"):
        at = data.index(name) - 4
        data = data[:at] + struct.pack(">I", int.from_bytes(data[at : at + 4], "big") + grown) + data[at + 4 :]
    data = data[:old] + new + data[old + size :]
    at = data.index(b"stco") + 12
    (count,) = struct.unpack_from(">I", data, at - 4)
    offsets = [offset + grown for offset in struct.unpack_from(f">{count}I", data, at)]
    return data[:at] + struct.pack(f">{count}I", *offsets) + data[at + 4 * count :]


@pytest.mark.parametrize(
    ("edits", "start", "end"),
    [
        ([(1500, 1024)], 0, 1.5),
        ([(1000, 1024)], 0, 1.0),
        ([(400, 44_100 + 1024)], 1.0, 1.4),
        ([(0, 1024)], 0, 1.5),
        ([(300, 1024), (400, 30_000)], 0, 1.5),
    ],
)
def test_what_an_edit_list_cuts_out_is_heard_alone(edits: list[tuple[int, int]], start: float, end: float) -> None:
    data = edited(one_piece("aac"), *edits)
    heard = decode(FORMAT, cut(data, [700]))
    whole = decode(FORMAT, [edited(one_piece("aac"), (0, 1024))])
    wanted = whole[round(start * 16_000) : round(end * 16_000)]
    assert -16 <= len(heard) - len(wanted) < 0.03 * 16_000
    assert np.abs(heard[: len(wanted) - 400] - wanted[: len(heard) - 400][: len(wanted) - 400]).max() < 0.02
    chunks = cut(data, [400])
    assert_same(decode_killed(FORMAT, chunks, [len(chunks) - 3], 100), decode(FORMAT, chunks), aac=True)


def test_fragments_may_follow_the_samples_of_the_index() -> None:
    options = {"movflags": "frag_custom"}
    hybrid = mux("mp4", "aac", SECONDS, rate=44_100, options={**options, "frag_duration": "400000"}, bit_rate=64_000)
    assert hybrid.count(b"moof") > 1
    whole = decode(FORMAT, [hybrid])
    assert abs(len(whole) / 16_000 - SECONDS) < 0.08
    chunks = cut(hybrid, [700])
    for kill in range(2, len(chunks), 3):
        assert_same(decode_killed(FORMAT, chunks, [kill], 1601), whole, aac=True)


def test_three_hours_fit_a_restart_point() -> None:
    """A list of sizes as AAC has them; a sample at its end is found where it lies."""
    sizes = np.random.default_rng(0).normal(370, 90, 465_000).astype(int).clip(100, 900)
    chunks = range(0, len(sizes), 43)
    head = movie(b"")
    tables = (
        box(b"stsz", struct.pack(">III", 0, 0, len(sizes)), sizes.astype(">u4").tobytes()),
        table(b"stts", (len(sizes), 160)),
        table(b"stsc", (1, 43, 1)),
    )
    length = len(movie(b"".join((*tables, table(b"stco", *((0,) for _ in chunks))))))
    starts = length + 8 + np.concatenate([[0], np.cumsum(sizes)])
    data = movie(b"".join((*tables, table(b"stco", *((int(starts[at]),) for at in chunks)))))
    assert len(head) < len(data) == length
    demuxer = Mp4Demuxer()
    assert demuxer.push_bytes(data + struct.pack(">I4s", 8, b"mdat")) == []
    media = bytes(range(256)) * 4
    first = demuxer.push_bytes(media)
    assert [packet.data for packet in first[:2]] == [media[: sizes[0]], media[sizes[0] : sizes[0] + sizes[1]]]
    prefix = demuxer.prefix(first[0].anchor)
    assert 100_000 < len(prefix) < MAX_INDEX_BYTES
    last = demuxer.prefix(len(sizes))
    assert len(last) < 8_000
    successor = Mp4Demuxer(resumed=True)
    (packet,) = [*successor.push_bytes(last), *successor.push_bytes(bytes(int(sizes[-1])))]
    assert packet.pts == (len(sizes) - 1) * 20


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        (box(b"stsz", struct.pack(">III", 0, 100, 1 << 31)) + table(b"stsc", (1, 1 << 31, 1)), "too long"),
        (box(b"stsz", struct.pack(">III", 0, 100, MAX_SAMPLES + 1)) + table(b"stsc", (1, 1 << 30, 1)), "too long"),
        (box(b"stsz", struct.pack(">III", 0, 0, 1 << 20)) + table(b"stsc", (1, 1, 1)), "cut short"),
        (box(b"stsz", struct.pack(">III", 0, 5 << 20, 2)) + table(b"stsc", (1, 2, 1)), "too large"),
        (box(b"stsz", struct.pack(">III", 0, 10, 5)) + table(b"stsc", (1, 2, 1)), "do not agree"),
        (box(b"stsz", struct.pack(">III", 0, 10, 2)) + table(b"stsc", (2, 1, 1)), "out of order"),
        (box(b"stsz", struct.pack(">III", 0, 10, 0)) + table(b"stsc"), "no samples"),
        (b"", "ends before its fields"),
    ],
)
def test_tables_that_lie_are_refused(tables: bytes, reason: str) -> None:
    data = movie(tables + table(b"stts", (2, 160)) + table(b"stco", (5000,)))
    with pytest.raises(MediaError, match=reason):
        Mp4Demuxer().push_bytes(data)


def test_samples_that_share_their_bytes_are_refused() -> None:
    tables = box(b"stsz", struct.pack(">III", 0, 1000, 2)) + table(b"stsc", (1, 1, 1)) + table(b"stts", (2, 160))
    with pytest.raises(MediaError, match="overlap"):
        Mp4Demuxer().push_bytes(movie(tables + table(b"stco", (5000,), (5999,))))
    with pytest.raises(MediaError, match="come before it"):
        Mp4Demuxer().push_bytes(movie(tables + table(b"stco", (10,), (5999,))) + bytes(100))


@pytest.mark.parametrize("wide", [False, True])
def test_offsets_and_sizes_of_every_width_are_read(wide: bool) -> None:
    sizes = table(b"stsz") if wide else b""
    sizes = (
        box(b"stz2", struct.pack(">4xIIHH", 16, 2, 3, 4)) if wide else box(b"stsz", struct.pack(">5I", 0, 0, 2, 3, 4))
    )
    offsets = table(b"co64" if wide else b"stco", (2000,), (3000,), wide=wide)
    head = movie(sizes + table(b"stsc", (1, 1, 1)) + table(b"stts", (2, 160)) + offsets)
    data = head.ljust(2000, b"\0") + b"abc" + bytes(997) + b"defg" + b"tail"
    for cut_at in (1, 100, 5000):
        found = packets_of(data, [cut_at])
        assert [(packet.data, packet.offset, packet.pts) for packet in found] == [
            (b"abc", 2000, 0),
            (b"defg", 3000, 20),
        ]


def test_a_lost_chunk_is_an_error_that_says_so() -> None:
    chunks = cut(one_piece("aac"), [700])
    decoder = AudioDecoder(FORMAT)
    for number, chunk in enumerate(chunks[:12]):
        decoder.decode(Chunk(number, chunk))
    with pytest.raises(MediaError, match="without fragments the rest cannot be read"):
        decoder.decode(Chunk(13, chunks[13], missing_before=1))


def test_a_moov_without_end_is_refused() -> None:
    with pytest.raises(MediaError, match="too long"):
        Mp4Demuxer().push_bytes(box(b"ftyp", b"isom") + struct.pack(">I4s", 9 << 20, b"moov"))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_mutated_tables_end_in_an_error_or_go_on(data: st.DataObject) -> None:
    whole = bytearray(one_piece("alac"))
    end = whole.index(b"mdat")
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, end))
        whole[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    try:
        packets = packets_of(bytes(whole), [4096])
    except MediaError:
        return
    assert sum(len(packet.data) for packet in packets) <= len(whole)

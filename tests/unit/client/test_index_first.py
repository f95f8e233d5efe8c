"""MP4 files whose index is at the end are sent with their index first, and nothing else changes."""

from __future__ import annotations

import io
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkup_client import duration
from talkup_client.boxes import MAX_MOOV_BYTES, boxes
from talkup_client.errors import UnsupportedFileError
from talkup_client.index_first import index_first
from talkup_client.media_file import MediaFile, has_sound, identify
from talkup_client.sources import chunks

RATE = 16_000


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def recorded(path: Path, *, seconds: int = 3, pictures: bool = False, flags: str = "") -> Path:
    """A recording as a phone writes it: an AAC track, and an H.264 track if it has `pictures`."""
    with av.open(str(path), "w", format="mp4", options={"movflags": flags} if flags else {}) as file:
        video = file.add_stream("libx264", rate=10) if pictures else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = file.add_stream("aac", rate=RATE, layout="mono")
        for second in range(seconds):
            tone = np.sin(np.arange(second * RATE, (second + 1) * RATE) / 5) * 9_000
            frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
            frame.rate, frame.pts = RATE, second * RATE
            file.mux(audio.encode(frame))
            for number in range(10 if video is not None else 0):
                assert video is not None
                picture = np.full((48, 64, 3), second * 40 + number, np.uint8)
                file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(audio.encode(None))
        if video is not None:
            file.mux(video.encode(None))
    return path


async def sent(media: MediaFile, size: int = 1_000) -> bytes:
    pieces = [chunk async for chunk in chunks(media, size)]
    assert max(map(len, pieces)) <= size
    return b"".join(pieces)


def packets(data: bytes) -> list[tuple[int, int | None, bytes]]:
    """Track, time and bytes of every packet, as FFmpeg reads them."""
    with av.open(io.BytesIO(data)) as file:
        return sorted((each.stream_index, each.dts or 0, bytes(each)) for each in file.demux() if each.size)


def kinds(data: bytes) -> list[bytes]:
    return [each.kind for each in boxes(io.BytesIO(data), 0, len(data))]


def box_of(data: bytes, kind: bytes) -> bytes:
    (found,) = (each for each in boxes(io.BytesIO(data), 0, len(data)) if each.kind == kind)
    return data[found.start : found.end]


@pytest.mark.parametrize("pictures", [False, True], ids=["sound", "sound and pictures"])
@pytest.mark.parametrize("size", [333, 65_536])
async def test_the_index_is_sent_first_and_the_media_as_they_are(tmp_path: Path, pictures: bool, size: int) -> None:
    path = recorded(tmp_path / "memo.m4a", pictures=pictures)
    original = path.read_bytes()
    media = identify(path)
    data = await sent(media, size)
    assert kinds(original).index(b"mdat") < kinds(original).index(b"moov")
    assert kinds(data).index(b"moov") == 1
    assert len(data) == len(original) == media.size_bytes
    assert box_of(data, b"mdat") == box_of(original, b"mdat")
    assert packets(data) == packets(original)
    assert media.format == ("video/mp4" if pictures else "audio/mp4")
    assert has_sound(media)
    assert duration.seconds(media) == pytest.approx(3.0, abs=0.11)


async def test_ffmpeg_orders_a_file_in_the_same_way(tmp_path: Path) -> None:
    """Bit for bit what +faststart writes, but for the padding that FFmpeg leaves before its media."""
    media = identify(recorded(tmp_path / "last.mp4", pictures=True))
    first = recorded(tmp_path / "first.mp4", pictures=True, flags="faststart")
    assert not identify(first).pieces
    data = await sent(media)
    theirs = first.read_bytes()
    assert [kind for kind in kinds(data) if kind != b"free"] == [kind for kind in kinds(theirs) if kind != b"free"]
    assert box_of(data, b"mdat") == box_of(theirs, b"mdat")
    assert packets(data) == packets(theirs)
    assert await sent(identify(first)) == theirs


async def test_fragments_are_sent_as_they_are(tmp_path: Path) -> None:
    path = recorded(tmp_path / "live.mp4", flags="frag_keyframe+empty_moov")
    media = identify(path)
    assert (media.format, media.pieces, await sent(media)) == ("audio/mp4", (), path.read_bytes())


async def test_a_quicktime_file_without_a_file_type_is_known(tmp_path: Path) -> None:
    original = recorded(tmp_path / "new.mov").read_bytes()
    (head,) = (each.end for each in boxes(io.BytesIO(original), 0, len(original)) if each.kind == b"ftyp")
    old = tmp_path / "old.mov"
    old.write_bytes(box(b"wide", bytes(head - 8)) + original[head:])  # the offsets stay
    data = await sent(identify(old))
    assert kinds(data)[0] == b"moov"
    assert packets(data) == packets(original)


def movie(table: bytes, *, version: bytes = bytes(4)) -> bytes:
    """An index with one table of offsets."""
    content = box(table[:4], version + table[4:])
    for kind in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        content = box(kind, content)
    return content


def offsets_of(data: bytes) -> tuple[bytes, list[int]]:
    at = max(data.find(b"stco"), data.find(b"co64"))
    kind = data[at : at + 4]
    (count,) = struct.unpack_from(">I", data, at + 8)
    return kind, list(struct.unpack_from(f">{count}{'I' if kind == b'stco' else 'Q'}", data, at + 12))


def test_offsets_that_outgrow_32_bits_become_wide() -> None:
    """A recording of nearly 4 GiB, most of it a hole: only its boxes are read."""
    media_bytes = (1 << 32) - 20
    index = movie(b"stco" + struct.pack(">3I", 2, 40, media_bytes - 8))
    with tempfile.TemporaryFile() as file:
        file.write(box(b"ftyp", b"isom" + bytes(4)) + struct.pack(">I4sQ", 1, b"mdat", media_bytes - 16))
        file.seek(media_bytes)
        file.write(index)
        pieces = index_first(file, media_bytes + len(index), "long.mp4")
    kind, moved = offsets_of(pieces[1].data)
    shift = len(pieces[1].data)
    assert (kind, moved) == (b"co64", [40 + shift, media_bytes - 8 + shift])
    assert shift == len(index) + 8  # two offsets of 4 bytes more


def test_offsets_behind_the_index_move_by_what_it_grows() -> None:
    """Media on both sides of the index, and an index in 64-bit boxes, which becomes shorter."""
    inner = movie(b"co64" + struct.pack(">I2Q", 2, 24, 0))[8:]
    long_head = struct.pack(">I4sQ", 1, b"moov", 16 + len(inner))
    front = box(b"ftyp", b"qt  " + bytes(4)) + box(b"mdat", bytes(20))
    behind = len(front) + len(long_head) + len(inner)
    inner = inner[:-8] + struct.pack(">Q", behind + 8)
    data = front + long_head + inner + box(b"mdat", b"y" * 30)
    pieces = index_first(io.BytesIO(data), len(data), "odd.mov")
    _, moved = offsets_of(pieces[1].data)
    assert len(pieces[1].data) == 8 + len(inner)
    assert moved == [24 + 8 + len(inner), behind + 8 - 8]
    written = b"".join(piece.data or data[piece.start : piece.end] for piece in pieces)
    assert written[moved[1] : moved[1] + 30] == b"y" * 30


FRONT = box(b"ftyp", b"isom") + box(b"mdat", bytes(100))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (FRONT, "its recorder did not finish"),
        (box(b"ftyp", b"isom") + box(b"free", bytes(9)), "holds no media"),
        (FRONT + movie(b"stco" + struct.pack(">2I", 1, 5_000)), "names media outside of the file"),
        (FRONT + movie(b"co64" + struct.pack(">IQ", 1, (1 << 64) - 1)), "names media outside of the file"),
        (FRONT + movie(b"stco" + struct.pack(">2I", 1 << 31, 20)), "cut short"),
        (FRONT + movie(b"stco" + struct.pack(">2I", 2, 20)), "cut short"),
        (FRONT + movie(b"stco", version=b""), "cut short"),
        (FRONT + movie(b"stsz" + struct.pack(">2I", 1, 20)), "names no media"),
        (FRONT + box(b"moov", b""), "names no media"),
        (FRONT + box(b"moov", box(b"cmov", b"packed")), "compressed"),
        (FRONT + box(b"moov", struct.pack(">I4s", 99, b"trak")), "larger than the box around it"),
        (FRONT + box(b"moov", struct.pack(">I4s", 0, b"trak")), "larger than the box around it"),
        (FRONT + movie(b"stco" + struct.pack(">2I", 1, 20))[:-6], "larger than the box around it"),
        (FRONT + box(b"moov", b"\1\2\3"), "cut short"),
    ],
)
def test_an_index_that_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "bad.m4a"
    path.write_bytes(content)
    with pytest.raises(UnsupportedFileError, match=rf"bad\.m4a.*{complaint}"):
        identify(path)


def test_an_index_larger_than_the_bound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(FRONT + struct.pack(">I4s", MAX_MOOV_BYTES + 1, b"moov"))
        file.truncate(len(FRONT) + MAX_MOOV_BYTES + 1)
    with pytest.raises(UnsupportedFileError, match="larger than 16 MiB"):
        identify(path)


def test_boxes_in_boxes_without_end_are_survived() -> None:
    """Headers of 100,000 nested boxes: only the path to the tables is followed."""
    deep = b""
    for depth in range(100_000, 0, -1):
        deep += struct.pack(">I4s", depth * 8, b"trak")
    data = FRONT + box(b"moov", deep)
    with pytest.raises(UnsupportedFileError, match="names no media"):
        index_first(io.BytesIO(data), len(data), "deep.mp4")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return recorded(tmp_path_factory.mktemp("whole") / "a.mp4", seconds=1).read_bytes()


@given(st.data())
def test_damage_anywhere_gives_a_sentence_or_pieces_within_the_file(whole: bytes, data: st.DataObject) -> None:
    altered = bytearray(whole)
    index = whole.index(b"moov") - 4
    for _ in range(data.draw(st.integers(1, 4))):
        altered[data.draw(st.integers(index, len(altered) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(altered[: data.draw(st.integers(index, len(altered)))])
    with suppress(UnsupportedFileError):
        pieces = index_first(io.BytesIO(cut), len(cut), "x.mp4")
        assert all(0 <= piece.start <= piece.end <= len(cut) for piece in pieces)

"""Video to frames: every key frame is a restart point, and nothing but MediaError comes out."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talkup.v1 import media_pb2

from tests.unit.workers.media.material import INDEX_FIRST, mux
from tests.unit.workers.media.turned import (
    MATRICES,
    QUARTERS,
    quarters_of,
    with_matrix,
    with_movie_matrix,
    with_orientation,
    with_projection,
)
from tests.unit.workers.media.video_material import filmed, recording, timeslices
from workers.chunk import Chunk
from workers.media import frames
from workers.media.errors import MediaError
from workers.media.frames import FrameFlag, FrameRecord
from workers.media.isolation.warmup_video import video_clips
from workers.media.video import MAX_CHUNK_PIXELS, VideoDecoder

KINDS = [("libvpx", "webm"), ("libvpx-vp9", "webm"), ("libx264", "mp4"), ("libx264", "matroska")]


def declared(container: str) -> media_pb2.MediaFormat:
    if container == "mp4":
        return media_pb2.MediaFormat(mime_type="video/mp4", container=media_pb2.CONTAINER_MP4)
    return media_pb2.MediaFormat(mime_type="video/webm", container=media_pb2.CONTAINER_WEBM)


def decoded(decoder: VideoDecoder, chunks: list[bytes], first: int = 0) -> list[FrameRecord]:
    parts = [decoder.decode(Chunk(first + i, chunk)) for i, chunk in enumerate(chunks)]
    return [record for part in [*parts, decoder.finish()] for record in part]


@pytest.mark.parametrize(("codec", "container"), KINDS)
def test_every_frame_comes_out_at_its_time(codec: str, container: str) -> None:
    data = recording(codec, container)
    found = decoded(VideoDecoder(declared(container)), timeslices(data, 12))
    assert [record.index for record in found] == list(range(24))
    assert all((record.width, record.height) == (320, 240) for record in found)
    assert [record.media_ms for record in found] == pytest.approx([i * 1000 / 12 for i in range(24)], abs=2)
    assert [record.index for record in found if record.flags & FrameFlag.KEY] == [0, 8, 16]


@pytest.mark.parametrize(("codec", "container"), KINDS)
def test_another_decoder_continues_at_every_key_frame(codec: str, container: str) -> None:
    check_restarts(declared(container), timeslices(recording(codec, container), 17))


def picture_of(record: FrameRecord) -> np.ndarray:
    planes = np.frombuffer(record.picture, np.uint8).reshape(record.height * 3 // 2, record.width)
    return av.VideoFrame.from_ndarray(planes, "yuv420p").to_ndarray(format="rgb24")


def check_turned(fmt: media_pb2.MediaFormat, data: bytes, corners: str) -> None:
    """Every frame is upright, also with a decoder that continues after a restart point."""
    chunks = timeslices(data, 5)
    found = decoded(VideoDecoder(fmt), chunks)
    assert {quarters_of(picture_of(record)) for record in found} == {corners}
    lying = corners[:2] in ("BR", "GW", "RB", "WG")
    assert {(record.width, record.height) for record in found} == {(240, 320) if lying else (320, 240)}
    check_restarts(fmt, chunks)


@pytest.mark.parametrize(("matrix", "corners"), MATRICES)
def test_an_mp4_is_turned_by_the_matrix_of_its_track(matrix: tuple[int, int, int, int], corners: str) -> None:
    data = filmed([QUARTERS] * 5, fps=2, codec="libx264", container="mp4")
    check_turned(declared("mp4"), with_matrix(data, *matrix), corners)


@pytest.mark.parametrize(("matrix", "corners"), MATRICES)
def test_an_mp4_is_turned_by_the_matrix_of_its_movie(matrix: tuple[int, int, int, int], corners: str) -> None:
    data = filmed([QUARTERS] * 5, fps=2, codec="libx264", container="mp4")
    check_turned(declared("mp4"), with_movie_matrix(data, *matrix), corners)


def test_the_matrix_of_the_movie_comes_after_that_of_the_track() -> None:
    """A quarter clockwise, then mirrored; the other way round it would be WGBR."""
    data = with_matrix(filmed([QUARTERS] * 5, fps=2, codec="libx264", container="mp4"), 0, 1, -1, 0)
    check_turned(declared("mp4"), with_movie_matrix(data, -1, 0, 0, 1), "RBGW")


def test_a_matrix_of_zeros_turns_nothing() -> None:
    data = with_matrix(filmed([QUARTERS] * 5, fps=2, codec="libx264", container="mp4"), 0, 1, -1, 0)
    check_turned(declared("mp4"), with_movie_matrix(data, 0, 0, 0, 0), "BRWG")


@pytest.mark.parametrize(
    ("asked", "corners"),
    [
        ({"quarters": 1}, "GWRB"),
        ({"quarters": 2}, "WBGR"),
        ({"quarters": 3}, "BRWG"),
        ({"mirrored": True}, "GRWB"),
        ({"flipped": True}, "BWRG"),
        ({"quarters": 1, "mirrored": True}, "RBGW"),
        ({"quarters": 0.5}, "RGBW"),
    ],
)
@pytest.mark.parametrize("b_frames", [0, 2])
def test_h264_is_turned_by_its_own_message(asked: dict[str, Any], corners: str, b_frames: int) -> None:
    film = filmed([QUARTERS] * 30, codec="libx264", container="mp4", b_frames=b_frames)
    check_turned(declared("mp4"), with_orientation(film, **asked), corners)


def test_a_message_of_h264_holds_until_the_next_key_frame() -> None:
    """`display_orientation_repetition_period` 1: until a new coded video sequence begins."""
    film = with_orientation(filmed([QUARTERS] * 30, codec="libx264", container="mp4"), quarters=2, times=1)
    found = decoded(VideoDecoder(declared("mp4")), [film])
    assert [quarters_of(picture_of(record)) for record in found] == ["WBGR"] * 12 + ["RGBW"] * 18


def test_the_container_knows_better_than_the_message() -> None:
    """Whoever writes both means one turn; players follow the container."""
    data = with_orientation(filmed([QUARTERS] * 5, fps=2, codec="libx264", container="mp4"), quarters=2)
    check_turned(declared("mp4"), with_matrix(data, 0, 1, -1, 0), "BRWG")


def test_an_mp4_in_one_piece_is_turned_as_well(tmp_path: Path) -> None:
    """As telephones write them: its index names every frame, and the restart points carry it."""
    source = io.BytesIO(filmed([QUARTERS] * 5, fps=2, codec="libx264", container="mp4"))
    indexed = tmp_path / "indexed.mp4"  # FFmpeg moves the index to the front in a file only
    with av.open(source) as read, av.open(str(indexed), "w", format="mp4", options=INDEX_FIRST) as written:
        copy = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                written.mux(packet)
    data = indexed.read_bytes()
    assert b"moof" not in data
    check_turned(declared("mp4"), with_matrix(data, 0, 1, -1, 0), "BRWG")


@pytest.mark.parametrize(
    ("yaw", "roll", "corners"),
    [
        (0, 0, "RGBW"),
        (0, 90, "GWRB"),
        (0, -90, "BRWG"),
        (0, 180, "WBGR"),
        (0, -180, "WBGR"),
        (180, 0, "GRWB"),
        (180, 90, "RBGW"),
        (-180, -90, "WGBR"),
        (180, 180, "BWRG"),
        (0, 45, "RGBW"),
        (0, float("nan"), "RGBW"),
    ],
)
def test_a_matroska_is_turned_by_the_roll_of_its_projection(yaw: float, roll: float, corners: str) -> None:
    """FFmpeg reads the same from the same files, but for the last two, which no camera writes."""
    check_turned(declared("webm"), with_projection(filmed([QUARTERS] * 5, fps=2), yaw=yaw, roll=roll), corners)


def test_a_round_picture_is_not_turned() -> None:
    data = with_projection(filmed([QUARTERS] * 5, fps=2), roll=90, flat=False)
    check_turned(declared("webm"), data, "RGBW")


def check_restarts(fmt: media_pb2.MediaFormat, chunks: list[bytes]) -> None:
    """A successor at any checkpoint gives the rest of what the first decoder gave."""
    decoder, points, parts = VideoDecoder(fmt), [], []
    for sequence, chunk in enumerate(chunks):
        parts.append(decoder.decode(Chunk(sequence, chunk)))
        if decoder.position:
            points.append(decoder.checkpoint(decoder.position))
    whole = [record for part in [*parts, decoder.finish()] for record in part]
    starts = set()
    for point in points:
        successor = VideoDecoder(fmt, point.state)
        start = successor.position
        starts.add(start)
        rest = decoded(successor, chunks[point.replay_from_sequence :], point.replay_from_sequence)
        assert rest == whole[start:]
    assert len(starts) >= 2


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_frames_out_of_order_are_put_in_order(container: str) -> None:
    data = recording("libx264", container, b_frames=3)
    if container == "matroska":
        packets = [packet for packet in av.open(io.BytesIO(data)).demux(video=0) if packet.pts is not None]
        assert [packet.pts for packet in packets] != sorted(packet.pts for packet in packets)
    found = decoded(VideoDecoder(declared(container)), timeslices(data, 12))
    assert [record.index for record in found] == list(range(24))
    assert [record.media_ms for record in found] == pytest.approx([i * 1000 / 12 for i in range(24)], abs=2)
    lefts = [np.frombuffer(record.picture, np.uint8)[70 * 320 : 71 * 320].argmax() for record in found]
    assert lefts == sorted(lefts)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_another_decoder_continues_among_frames_out_of_order(container: str) -> None:
    fmt, chunks = declared(container), timeslices(recording("libx264", container, b_frames=3), 17)
    check_restarts(fmt, chunks)


def test_the_frames_of_a_single_fragment_leave_as_they_come() -> None:
    data = recording("libx264", "mp4", frames=48, key_every=48)
    assert data.count(b"moof") <= 2  # one more in the index at the end of the file
    decoder, chunks = VideoDecoder(declared("mp4")), timeslices(data, 24)
    given = [len(decoder.decode(Chunk(i, chunk))) for i, chunk in enumerate(chunks)]
    assert sum(given) == 48
    assert max(given[:-1]) < 16
    assert sum(given[:12]) >= 6


def test_one_chunk_gives_the_newest_pictures_only() -> None:
    data = recording("libvpx", "webm", frames=30, key_every=30, width=960, height=720)
    found = decoded(VideoDecoder(declared("webm")), [data])
    assert len(found) == 30
    most = MAX_CHUNK_PIXELS // (960 * 720)
    assert [bool(record.picture) for record in found] == [False] * (30 - most) + [True] * most


def test_small_pictures_of_one_chunk_leave_all() -> None:
    """Two seconds of a camera in one slice: more frames than of a large picture, and no more pixels."""
    found = decoded(VideoDecoder(declared("webm")), [recording("libvpx", "webm", frames=60, key_every=40)])
    assert sum(bool(record.picture) for record in found) == 60


def test_after_a_gap_frames_up_to_the_next_key_are_reported_corrupt() -> None:
    chunks = timeslices(recording("libvpx", "webm"), 24)
    decoder = VideoDecoder(declared("webm"))
    parts = [decoder.decode(Chunk(i, chunk)) for i, chunk in enumerate(chunks[:5])]
    parts += [
        decoder.decode(Chunk(i, chunk, missing_before=2 if i == 7 else 0)) for i, chunk in enumerate(chunks) if i >= 7
    ]
    found = [record for part in parts for record in part]
    corrupt = [bool(record.flags & FrameFlag.CORRUPT) for record in found]
    assert any(corrupt)
    after = corrupt.index(True) + corrupt[corrupt.index(True) :].index(False)
    assert found[after].flags & FrameFlag.KEY


def test_a_second_recording_continues_in_time() -> None:
    data = recording("libvpx", "webm")
    decoder = VideoDecoder(declared("webm"))
    first = decoder.decode(Chunk(0, data))
    second = decoder.decode(Chunk(1, data, new_recording=True))
    found = [*first, *second]
    assert [record.index for record in found] == list(range(48))
    times = [record.media_ms for record in found]
    assert times == sorted(times)


@pytest.mark.parametrize(("codec", "container"), [("libvpx", "webm"), ("libx264", "matroska")])
@pytest.mark.parametrize("missing", [0, 600])
def test_after_damage_frames_up_to_the_next_key_are_reported_corrupt(codec: str, container: str, missing: int) -> None:
    """Bytes overwritten in the middle, or cut out there: what follows is found again, and starts at a key frame."""
    data = recording(codec, container, frames=48)
    middle = len(data) * 9 // 16  # among frames that are no key
    damaged = data[:middle] + bytes(600 - missing) + data[middle + 600 :]
    decoder = VideoDecoder(declared(container))
    found = decoded(decoder, timeslices(damaged, 40))
    states = "".join("K" if f.flags & FrameFlag.KEY else "c" if f.flags & FrameFlag.CORRUPT else "." for f in found)
    assert re.fullmatch(r"(K\.{7})*K?\.*c+(K\.{7})+", states)
    assert len(found) > 28
    assert decoder.damaged_bytes > 0
    check_restarts(declared(container), timeslices(damaged, 40))


@pytest.mark.parametrize(("codec", "container"), [("libvpx", "webm"), ("libx264", "mp4")])
def test_recordings_joined_into_one_go_on_in_time(codec: str, container: str) -> None:
    """As `cat` joins them: no chunk says that a new recording begins."""
    data = recording(codec, container) + recording(codec, container)
    chunks = timeslices(data, 23)
    times = [record.media_ms for record in decoded(VideoDecoder(declared(container)), chunks)]
    assert times[:24] == pytest.approx([i * 1000 / 12 for i in range(24)], abs=2)
    assert times[24:] == pytest.approx([times[23] + i * 1000 / 12 for i in range(24)], abs=2)
    check_restarts(declared(container), chunks)


def test_a_large_picture_leaves_smaller_and_even() -> None:
    data = recording("libvpx", "webm", frames=1, width=1_280, height=722)
    (record,) = decoded(VideoDecoder(declared("webm")), [data])
    assert (record.width, record.height) == (960, 540)


def test_the_warm_up_clips_decode() -> None:
    for clip in video_clips():
        assert decoded(VideoDecoder(clip.format), list(clip.chunks)), clip.codec


def test_sound_alone_is_no_video() -> None:
    with pytest.raises(MediaError, match="the recording has no pictures"):
        decoded(VideoDecoder(declared("webm")), [mux("webm", "libopus", 0.3)])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_damaged_bytes_give_frames_or_a_media_error(data: st.DataObject) -> None:
    codec, container = data.draw(st.sampled_from(KINDS[:3]))
    whole = bytearray(recording(codec, container))
    for _ in range(data.draw(st.integers(1, 20))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    decoder = VideoDecoder(declared(container))
    for sequence, chunk in enumerate(timeslices(bytes(whole), 9)):
        try:
            found = decoder.decode(Chunk(sequence, chunk))
        except MediaError:
            return
        assert all(record.width <= frames.MAX_SIDE for record in found)


@given(st.binary(max_size=200))
def test_a_foreign_state_is_refused(state: bytes) -> None:
    with pytest.raises(MediaError):
        VideoDecoder(declared("webm"), state).decode(Chunk(0, b""))


@pytest.mark.parametrize(
    ("codec", "container", "name"),
    [("libsvtav1", "webm", "AV1"), ("libx265", "matroska", r"HEVC \(H\.265\)"), ("mpeg4", "matroska", "MPEG-4 Part 2")],
)
def test_a_codec_that_is_not_decoded_is_named(codec: str, container: str, name: str) -> None:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=10, width=176, height=144, pix_fmt="yuv420p")
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((144, 176, 3), np.uint8), "rgb24")))
        file.mux(stream.encode(None))
    sentence = f"the video track of this recording is {name}, which is not supported: send VP8, VP9 or H.264"
    with pytest.raises(MediaError, match=sentence):
        decoded(VideoDecoder(declared(container)), [out.getvalue()])

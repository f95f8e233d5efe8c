"""Sound and video as a pool gives them out: counted in samples or frames, nothing twice after a child's death."""

from __future__ import annotations

import numpy as np
import pytest
from talkup.v1 import media_pb2

from tests.unit.workers.media.isolation.test_decoder_stream import InProcessChild, InProcessSource
from tests.unit.workers.media.video_material import recording, timeslices
from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.frames import MAX_SIDE, FrameRecord
from workers.media.isolation import child, ipc
from workers.media.isolation.decoder_stream import DecoderStream, StreamLimits, StreamTerms
from workers.media.isolation.outputs import AUDIO, VIDEO, VideoOutput
from workers.media.video import VideoDecoder

WEBM = media_pb2.MediaFormat(mime_type="video/webm", container=media_pb2.CONTAINER_WEBM)


def frame(index: int, width: int = 4, height: int = 2, picture: bytes | None = None) -> FrameRecord:
    return FrameRecord(
        index, 40 * index, width, height, 0, bytes(width * height * 3 // 2) if picture is None else picture
    )


@pytest.mark.parametrize(
    "record",
    [frame(0, picture=bytes(11)), frame(0, MAX_SIDE + 2, 2), frame(0, 2, MAX_SIDE + 2)],
)
def test_a_picture_that_is_not_what_it_claims_is_not_usable(record: FrameRecord) -> None:
    assert VIDEO.read(ipc.Frames(1, (frame(0), record))) is None
    assert VIDEO.read(ipc.Frames(1, (frame(0), frame(1, picture=b"")))) is not None


def test_sound_is_not_taken_for_video_nor_video_for_sound() -> None:
    assert VIDEO.read(ipc.Samples(1, bytes(8))) is None
    assert AUDIO.read(ipc.Frames(1, (frame(0),))) is None
    assert AUDIO.read(ipc.Samples(1, b"odd")) is None


def test_video_is_paced_in_frames_and_pixels() -> None:
    output = VideoOutput(frames_per_second=10.0, pixels_per_second=100.0)
    assert output.seconds(()) == 0.0
    assert output.seconds((frame(0), frame(1))) == pytest.approx(2 / 10 + 16 / 100)
    assert output.seconds((FrameRecord(0, 0, 0, 0, 4),)) == pytest.approx(1 / 10)


def test_sound_is_paced_in_seconds() -> None:
    assert AUDIO.seconds(np.zeros(8_000, np.float32)) == 0.5


@pytest.mark.parametrize("limits", [(1, 10**9), (100, 1_000)])
def test_a_chunk_with_too_many_frames_or_pixels_is_refused(limits: tuple[int, int]) -> None:
    service = child.DecoderService(VideoDecoder, child.ServiceLimits(1, 0, *limits))
    assert isinstance(service.answer(ipc.Open(1, WEBM.SerializeToString(), None)), ipc.Opened)
    answer = service.answer(ipc.Decode(1, Chunk(0, recording("libvpx", "webm"))))
    assert answer == ipc.Failed(1, "one chunk holds too much media")


@pytest.mark.parametrize("dies_at", range(1, 12))
@pytest.mark.parametrize("late", [False, True])
async def test_no_frame_comes_twice_or_is_lost_when_a_child_dies(dies_at: int, late: bool) -> None:
    chunks = timeslices(recording("libvpx", "webm"), 8)
    whole = VideoDecoder(WEBM)
    expected = [each for number, data in enumerate(chunks) for each in whole.decode(Chunk(number, data))]
    expected += whole.finish()

    source = InProcessSource(
        [InProcessChild(dies_at, late=late, decoder=VideoDecoder)], InProcessChild(decoder=VideoDecoder)
    )
    stream = DecoderStream(1, WEBM, None, terms=StreamTerms(VIDEO, StreamLimits()), source=source, clock=lambda: 0.0)
    found: list[FrameRecord] = []
    for number, data in enumerate(chunks):
        found += await stream.decode(Chunk(number, data))
        if number == 3:
            await stream.checkpoint(stream.position - 1)
    found += await stream.finish()
    assert found == expected
    assert stream.position == len(expected)


async def test_a_fast_video_waits_for_its_share() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    source = InProcessSource([], InProcessChild(decoder=VideoDecoder))
    output = VideoOutput(frames_per_second=1.0, pixels_per_second=10.0**9)
    limits = StreamLimits(max_rate=1.0, burst_seconds=4.0)
    stream = DecoderStream(
        1, WEBM, None, terms=StreamTerms(output, limits), source=source, clock=lambda: 0.0, sleep=sleep
    )
    frames = await stream.decode(Chunk(0, recording("libvpx", "webm")))
    await stream.decode(Chunk(1, b""))
    assert slept == [pytest.approx(len(frames) - 4.0, abs=0.01)]


async def test_a_child_that_answers_with_the_wrong_kind_is_disowned() -> None:
    source = InProcessSource()
    stream = DecoderStream(
        1, media_pb2.MediaFormat(), None, terms=StreamTerms(VIDEO, StreamLimits()), source=source, clock=lambda: 0.0
    )
    with pytest.raises(MediaError, match="no usable answer"):
        await stream.decode(Chunk(0, b"aa"))
    assert source.now.disowned

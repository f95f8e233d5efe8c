"""One clock: what is heard and seen at the same moment carries the same time, whatever the container."""

from __future__ import annotations

import numpy as np
import pytest
from talkup.v1 import media_pb2

from tests.unit.workers.media.video_material import filmed, timeslices
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder
from workers.media.video import VideoDecoder

FPS = 25
FLASH_MS = 1_200
SECONDS = 2


def recording(codec: str, container: str, late_ms: int, b_frames: int) -> bytes:
    """Dark and silent, then bright and loud after 1.2 s; the pictures, or below 0 the sound, are late by this much."""
    bright = round((FLASH_MS - max(0, late_ms)) * FPS / 1000)
    pictures = [np.full((96, 128, 3), 230 if i >= bright else 20, np.uint8) for i in range(SECONDS * FPS)]
    sound = 0.5 * np.sin(np.arange(SECONDS * 48_000) * 0.1).astype(np.float32)
    sound[: (FLASH_MS + min(0, late_ms)) * 48] = 0
    return filmed(pictures, fps=FPS, codec=codec, container=container, sound=sound, late_ms=late_ms, b_frames=b_frames)


@pytest.mark.parametrize("late_ms", [0, 400, -400], ids=["together", "pictures late", "sound late"])
@pytest.mark.parametrize(
    ("codec", "container", "b_frames"),
    [("libvpx", "webm", 0), ("libx264", "mp4", 0), ("libx264", "mp4", 3)],
    ids=["webm", "mp4", "mp4 with B-frames"],
)
def test_a_flash_and_a_tone_begin_at_the_same_time(codec: str, container: str, b_frames: int, late_ms: int) -> None:
    data = recording(codec, container, late_ms, b_frames)
    number = media_pb2.CONTAINER_WEBM if container == "webm" else media_pb2.CONTAINER_MP4
    fmt = media_pb2.MediaFormat(mime_type=f"video/{container}", container=number)
    ear, eye = AudioDecoder(fmt), VideoDecoder(fmt)
    heard, seen = [], []
    for sequence, piece in enumerate(timeslices(data, 200)):
        heard.append(ear.decode(Chunk(sequence, piece)))
        seen += eye.decode(Chunk(sequence, piece))
    sound = np.concatenate([*heard, ear.finish()])
    seen += eye.finish()
    loud_ms = int(np.flatnonzero(np.abs(sound) > 0.2)[0]) / 16
    first = next(record for record in seen if record.picture and np.frombuffer(record.picture, np.uint8)[0] > 128)
    assert loud_ms == pytest.approx(FLASH_MS, abs=45)  # AAC keeps its 1024 samples of priming, and smears an onset
    assert first.media_ms == pytest.approx(loud_ms, abs=45)
    assert first.media_ms == pytest.approx(FLASH_MS, abs=1000 / FPS + 5)

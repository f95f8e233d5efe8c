"""Small video recordings made on the spot with PyAV: a bright square that wanders."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np


@cache
def recording(
    codec: str,
    container: str,
    *,
    frames: int = 24,
    key_every: int = 8,
    width: int = 320,
    height: int = 240,
    fps: int = 12,
    b_frames: int = 0,
) -> bytes:
    """A recording of `frames` pictures with a key frame every `key_every`; with B-frames for libx264 only."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"} if container == "mp4" else {"live": "1"}
    speed = {"preset": "ultrafast", "tune": "zerolatency"} if codec == "libx264" else {"deadline": "realtime"}
    if b_frames:
        speed = {"preset": "ultrafast", "bf": str(b_frames), "x264-params": "b-adapt=0:scenecut=0"}
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=fps, options={**speed, "g": str(key_every)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = key_every
        for number in range(frames):
            picture = np.full((height, width, 3), 60, np.uint8)
            picture[40:100, 5 * number : 5 * number + 60] = 220
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return out.getvalue()


def timeslices(data: bytes, pieces: int) -> list[bytes]:
    """Cut anywhere, into about so many chunks."""
    size = max(1, -(-len(data) // pieces))
    return [data[at : at + size] for at in range(0, len(data), size)]

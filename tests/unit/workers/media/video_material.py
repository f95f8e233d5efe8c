"""Small video recordings made on the spot with PyAV: a bright square that moves, or given pictures and sound."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
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
    speed = {"deadline": "realtime", "cpu-used": "-8"}  # above 0 the encoder adapts to the load of the machine
    if codec == "libx264":
        speed = {"preset": "ultrafast", "tune": "zerolatency"}
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


def filmed(
    pictures: Sequence[np.ndarray],
    *,
    fps: int = 12,
    codec: str = "libvpx",
    container: str = "webm",
    sound: np.ndarray | None = None,
    late_ms: int = 0,
    b_frames: int = 0,
) -> bytes:
    """A recording of RGB pictures, begun `late_ms` after its sound (48 kHz mono, float32); below 0 before it."""
    height, width = (side & ~1 for side in pictures[0].shape[:2])
    options = {"movflags": "frag_keyframe+delay_moov+default_base_moof"} if container == "mp4" else {"live": "1"}
    quality = {"bf": str(b_frames)} if codec == "libx264" else {"deadline": "realtime", "crf": "8", "b:v": "2M"}
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options) as file:
        seen = file.add_stream(codec, rate=fps, width=width, height=height, pix_fmt="yuv420p", options=quality)
        seen.bit_rate, seen.codec_context.gop_size = 2_000_000, fps
        seen.codec_context.time_base = Fraction(1, 1000)
        packets = []
        if sound is not None:
            heard = file.add_stream("libopus" if container == "webm" else "aac", rate=48_000, layout="mono")
            packets += _sound_packets(heard, sound, max(0, -late_ms))
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), "rgb24")
            frame.pts, frame.time_base = max(0, late_ms) + round(number * 1000 / fps), Fraction(1, 1000)
            packets += seen.encode(frame)
        packets += seen.encode(None)
        for packet in sorted(packets, key=lambda one: float((one.dts or 0) * one.time_base)):
            file.mux(packet)
    return out.getvalue()


def _sound_packets(stream: av.AudioStream, sound: np.ndarray, late_ms: int) -> list[av.Packet]:
    packets = []
    resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=48_000)
    for at in range(0, len(sound), 4_800):
        frame = av.AudioFrame.from_ndarray(sound[None, at : at + 4_800].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate, frame.pts = 48_000, at + 48 * late_ms
        for ready in resampler.resample(frame):
            packets += stream.encode(ready)
    return packets + stream.encode(None)


def timeslices(data: bytes, pieces: int) -> list[bytes]:
    """Cut into about this many chunks, anywhere."""
    size = max(1, -(-len(data) // pieces))
    return [data[at : at + size] for at in range(0, len(data), size)]

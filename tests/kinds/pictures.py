"""The kinds of pictures and videos that people bring to `talkup analyze`, each with one face."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

from tests.kinds.recordings import faststart
from tests.kinds.sounds import short_tone
from tests.unit.workers.media.material import INDEX_FIRST, LIVE
from tests.unit.workers.media.turned import with_matrix
from tests.unit.workers.vision.encoded import encoded, turned
from tests.unit.workers.vision.faces import portrait
from workers.media.isolation.lockdown import leave_real_time

FRAMES, FPS = 12, 12
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


@dataclass(frozen=True)
class Sight:
    """A kind of picture or video, with the suffix of its files. `shown`: whether it shows the face at all."""

    name: str
    suffix: str
    data: Callable[[], bytes]
    shown: bool = True


def film(container: str, codec: str, options: dict[str, str] | None = None, **more: str) -> Callable[[], bytes]:
    """A video of the portrait, written by FFmpeg; `more`: options of the codec."""

    @cache
    def make() -> bytes:
        with tempfile.NamedTemporaryFile() as out:
            with av.open(out.name, "w", format=container, options=options or {}) as file:
                stream = file.add_stream(codec, rate=FPS, width=320, height=288, options=more)
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                stream.bit_rate = 2_000_000
                for _ in range(FRAMES):
                    file.mux(stream.encode(av.VideoFrame.from_ndarray(portrait(), "rgb24")))
                file.mux(stream.encode(None))
            leave_real_time()  # the encoder of AV1 enters it
            return Path(out.name).read_bytes()

    return make


def still(kind: str, *options: int) -> Callable[[], bytes]:
    return lambda: encoded(portrait(), kind, *options)


def grey() -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(portrait(), cv2.COLOR_RGB2GRAY))[1].tobytes()


def transparent() -> bytes:
    """A PNG with a fourth channel."""
    alpha = np.full((*portrait().shape[:2], 1), 255, np.uint8)
    return cv2.imencode(".png", np.dstack([cv2.cvtColor(portrait(), cv2.COLOR_RGB2BGR), alpha]))[1].tobytes()


def on_its_side(kind: str) -> Callable[[], bytes]:
    """Stored on its side, with the orientation (6) that sets it upright."""
    return lambda: turned(np.rot90(portrait()), kind, 6)


def large() -> bytes:
    """12 megapixels, as a phone takes them."""
    return encoded(cv2.resize(portrait(), (4032, 3024)), "jpeg", cv2.IMWRITE_JPEG_QUALITY, 60)


def heic() -> bytes:
    """The beginning of a picture of an iPhone, which nothing here can write."""
    return struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(4000)


def portrait_video() -> bytes:
    """As a phone held upright writes it: stored on its side, with a matrix that turns it by 90 degrees."""
    with tempfile.NamedTemporaryFile() as out:
        with av.open(out.name, "w", format="mp4", options=INDEX_FIRST) as file:
            stream = file.add_stream("libx264", rate=FPS, width=288, height=320, pix_fmt="yuv420p")
            for _ in range(FRAMES):
                lying = np.ascontiguousarray(np.rot90(portrait()))
                file.mux(stream.encode(av.VideoFrame.from_ndarray(lying, "rgb24")))
            file.mux(stream.encode(None))
        return with_matrix(Path(out.name).read_bytes(), 0, 1, -1, 0)


def half(maker: Callable[[], bytes]) -> Callable[[], bytes]:
    return lambda: maker()[: len(maker()) // 2]


SIGHTS = [
    Sight("JPEG", "jpg", still("jpeg")),
    Sight("JPEG, progressive", "jpg", still("jpeg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    Sight("JPEG, grey", "jpg", grey),
    Sight("JPEG, turned by EXIF", "jpg", on_its_side("jpeg")),
    Sight("JPEG, 12 megapixels", "jpg", large),
    Sight("JPEG, first half", "jpg", half(still("jpeg")), shown=False),
    Sight("PNG", "png", still("png")),
    Sight("PNG, transparent", "png", transparent),
    Sight("PNG, turned by EXIF", "png", on_its_side("png")),
    Sight("WebP", "webp", still("webp")),
    Sight("WebP, turned by EXIF", "webp", on_its_side("webp")),
    Sight("GIF", "gif", still("gif")),
    Sight("BMP", "bmp", still("bmp")),
    Sight("TIFF", "tiff", still("tiff")),
    Sight("AVIF", "avif", still("avif")),
    Sight("HEIC", "heic", heic, shown=False),
    Sight("text named JPEG", "jpg", lambda: b"These are the minutes of the meeting.\n", shown=False),
    Sight("empty file", "jpg", lambda: b"", shown=False),
    Sight("H.264 in MP4", "mp4", film("mp4", "libx264", INDEX_FIRST)),
    Sight("H.264 in MP4, portrait", "mp4", portrait_video),
    Sight("H.264 in MP4, in fragments", "mp4", film("mp4", "libx264", FRAGMENTS)),
    Sight("H.264 in MOV, index at its end", "mov", film("mov", "libx264")),
    Sight("H.264 in MOV, recorder killed", "mov", half(film("mov", "libx264")), shown=False),
    Sight("H.264 in MP4, first half", "mp4", half(film("mp4", "libx264", INDEX_FIRST)), shown=False),
    Sight("H.264 in Matroska", "mkv", film("matroska", "libx264")),
    Sight("VP8 in WebM", "webm", film("webm", "libvpx", LIVE)),
    Sight("VP9 in WebM", "webm", film("webm", "libvpx-vp9", LIVE)),
    Sight("AV1 in WebM", "webm", film("webm", "libsvtav1")),
    Sight("AV1 in MP4", "mp4", film("mp4", "libsvtav1", INDEX_FIRST)),
    Sight("HEVC in MP4", "mp4", film("mp4", "libx265", INDEX_FIRST)),
    Sight("MPEG-4 in AVI", "avi", film("avi", "mpeg4")),
    Sight("MJPEG in AVI", "avi", film("avi", "mjpeg")),
    Sight("WMV", "wmv", film("asf", "wmv2")),
    Sight("H.264 in TS", "ts", film("mpegts", "libx264")),
    Sight("MPEG-4 in 3GP", "3gp", film("3gp", "mpeg4", INDEX_FIRST)),
    Sight("MPEG-4 in Matroska", "mkv", film("matroska", "mpeg4")),
    Sight("M4A, sound alone", "m4a", lambda: faststart(short_tone), shown=False),
]

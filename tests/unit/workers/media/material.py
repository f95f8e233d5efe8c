"""Small recordings made on the spot with PyAV: a speech-like tone in every container that is read."""

from __future__ import annotations

import io
import struct
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from talkup.v1 import media_pb2

from workers.media.isolation.lockdown import leave_real_time

RATE = 48_000


@dataclass(frozen=True)
class Recording:
    """Bytes of one recording and the format it is declared with; `packets` when the chunks are given."""

    name: str
    fmt: media_pb2.MediaFormat
    data: bytes
    seconds: float
    packets: tuple[bytes, ...] = ()


def tone(seconds: float, rate: int = RATE, seed: int = 0) -> NDArray[np.float32]:
    """A gliding, swelling tone over a little noise, peak below 0.8."""
    t = np.arange(round(seconds * rate)) / rate
    pitch = np.cumsum(140 + 60 * np.sin(3 * t)) / rate
    voice = sum(np.sin(2 * np.pi * pitch * k) / k for k in range(1, 9))
    noise = np.random.default_rng(seed).normal(0, 0.01, len(t))
    return (0.25 * voice * (0.6 + 0.4 * np.sin(9 * t)) + noise).astype(np.float32).clip(-0.8, 0.8)


def mux(
    container: str,
    codec: str,
    seconds: float,
    *,
    rate: int = RATE,
    options: dict[str, str] | None = None,
    layout: str = "mono",
    bit_rate: int = 24_000,
    video: str = "",
    codec_options: dict[str, str] | None = None,
    invert: bool = False,
    samples: NDArray[np.float32] | None = None,
) -> bytes:
    """A recording of `tone`, or of `samples`, written by libavformat.

    `video`: the codec of its pictures; `invert`: the right channel is the left one upside down.
    """
    with tempfile.NamedTemporaryFile() as out:  # FFmpeg opens it again to put an index first
        with av.open(out.name, "w", format=container, options=options or {}) as file:
            stream = file.add_stream(codec, rate=rate, layout=layout, options=codec_options or {})
            stream.bit_rate = bit_rate
            pictures = _add_pictures(file, video) if video else None
            samples = tone(seconds, rate) if samples is None else samples
            step = rate // 10
            resampler = av.AudioResampler(format=stream.codec_context.format or "fltp", layout=layout, rate=rate)
            for at in range(0, len(samples), step):
                if pictures:
                    pictures(at / rate)
                piece = samples[None, at : at + step]
                piece = np.stack([piece[0], -piece[0]], axis=1).reshape(1, -1) if invert else piece.copy()
                frame = av.AudioFrame.from_ndarray(piece, format="flt", layout="stereo" if invert else "mono")
                frame.sample_rate, frame.pts = rate, at
                for ready in resampler.resample(frame):
                    file.mux(stream.encode(ready))
            for ready in resampler.resample(None):
                file.mux(stream.encode(ready))
            file.mux(stream.encode(None))
            if pictures:
                pictures(None)
        leave_real_time()  # the encoder of AV1 enters it
        return Path(out.name).read_bytes()


def index_first(recording: bytes, container: str = "mp4") -> bytes:
    """The same packets in an MP4 of one piece, its index in front."""
    with tempfile.NamedTemporaryFile() as out, av.open(io.BytesIO(recording)) as source:
        with av.open(out.name, "w", format=container, options=INDEX_FIRST) as file:
            streams = {stream.index: file.add_stream_from_template(stream) for stream in source.streams}
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.index]
                    file.mux(packet)
        return Path(out.name).read_bytes()


def _add_pictures(file, codec: str):
    stream = file.add_stream(codec, rate=10, width=176, height=144, pix_fmt="yuv420p")
    stream.bit_rate = 50_000

    def add(seconds: float | None) -> None:
        """The picture at a time; None: there are no more."""
        if seconds is None:
            file.mux(stream.encode(None))
            return
        picture = av.VideoFrame.from_ndarray(np.full((144, 176, 3), int(seconds * 40) % 255, np.uint8), format="rgb24")
        picture.pts = round(seconds * 10)
        file.mux(stream.encode(picture))

    return add


def demuxed(data: bytes) -> tuple[bytes, ...]:
    """The audio packets that libavformat sees: the oracle for our demuxers."""
    with av.open(io.BytesIO(data)) as file:
        return tuple(bytes(packet) for packet in file.demux(file.streams.audio[0]) if packet.size)


def wav(
    samples: bytes, kind: int, channels: int, rate: int, bits: int, *, size: int | None = None, tail: bytes = b""
) -> bytes:
    """A WAV file written by hand; `size` overrides what the data chunk says."""
    align = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * align, align, bits)
    length = len(samples) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", length) + samples + tail
    return b"RIFF" + struct.pack("<I", len(body)) + body


def declared(mime_type: str, container: int = media_pb2.CONTAINER_SNIFF, **pcm: int) -> media_pb2.MediaFormat:
    """A negotiated format."""
    return media_pb2.MediaFormat(mime_type=mime_type, container=container, **pcm)


def pcm16(seconds: float, rate: int = 16_000) -> bytes:
    """Headerless 16-bit samples of `tone`."""
    return (tone(seconds, rate) * 32767).astype("<i2").tobytes()


def with_serial(ogg: bytes, serial: int) -> bytes:
    """An Ogg stream under another serial number, its pages without checksums."""
    pages, at = bytearray(ogg), 0
    while at < len(pages):
        pages[at + 14 : at + 18] = struct.pack("<I", serial)
        pages[at + 22 : at + 26] = bytes(4)
        lacing = pages[at + 27 : at + 27 + pages[at + 26]]
        at += 27 + len(lacing) + sum(lacing)
    return bytes(pages)


FRAGMENTED = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}
INDEX_FIRST = {"movflags": "faststart"}
LIVE = {"live": "1", "cluster_time_limit": "200"}


@cache
def recordings(seconds: float = 1.6) -> dict[str, Recording]:
    """One recording for each container and codec."""
    webm = mux("webm", "libopus", seconds, options=LIVE)
    made = [
        Recording("webm", declared("audio/webm;codecs=opus"), webm, seconds),
        Recording(
            "webm-silk",
            declared("audio/webm"),
            mux(
                "webm",
                "libopus",
                seconds,
                options=LIVE,
                bit_rate=12_000,
                codec_options={"application": "voip", "frame_duration": "60"},
            ),
            seconds,
        ),
        Recording(
            "webm-video", declared("video/webm"), mux("webm", "libopus", seconds, options=LIVE, video="libvpx"), seconds
        ),
        Recording(
            "ogg",
            declared("audio/ogg"),
            mux("ogg", "libopus", seconds, options={"page_duration": "260000"}, layout="stereo", bit_rate=64_000),
            seconds,
        ),
        Recording(
            "mp4-aac",
            declared("audio/mp4"),
            mux("mp4", "aac", seconds, rate=44_100, options=FRAGMENTED, bit_rate=64_000),
            seconds,
        ),
        Recording("mp4-opus", declared("audio/mp4"), mux("mp4", "libopus", seconds, options=FRAGMENTED), seconds),
        Recording(
            "mp3", declared("audio/mpeg"), mux("mp3", "libmp3lame", seconds, rate=44_100, bit_rate=64_000), seconds
        ),
        Recording("flac", declared("audio/flac"), mux("flac", "flac", seconds, rate=16_000), seconds),
        Recording(
            "flac-44k", declared("audio/flac"), mux("flac", "flac", seconds, rate=44_100, layout="stereo"), seconds
        ),
        Recording(
            "wav",
            declared("audio/wav"),
            wav(pcm16(seconds, 22_050), 1, 1, 22_050, 16, tail=b"LIST\x04\0\0\0abcd"),
            seconds,
        ),
        Recording(
            "pcm",
            declared(
                "audio/pcm",
                media_pb2.CONTAINER_PCM,
                pcm_encoding=media_pb2.PCM_ENCODING_S16LE,
                sample_rate=16_000,
                channels=1,
            ),
            pcm16(seconds),
            seconds,
        ),
        Recording(
            "pcm-8k",
            declared(
                "audio/pcm",
                media_pb2.CONTAINER_PCM,
                pcm_encoding=media_pb2.PCM_ENCODING_S16LE,
                sample_rate=8_000,
                channels=1,
            ),
            pcm16(seconds, 8_000),
            seconds,
        ),
        Recording("packets", declared("audio/opus"), webm, seconds, demuxed(webm)),
    ]
    return {recording.name: recording for recording in made}

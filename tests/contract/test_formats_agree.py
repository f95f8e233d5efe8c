"""What the gateway accepts under a name, the workers decode: real recordings, declared as recorders declare them."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from talkup.v1 import media_pb2

from gateway.protocol.codecs import Medium
from gateway.protocol.formats import parse_format
from gateway.protocol.pcm import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE
from workers import requests
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder
from workers.media.video import VideoDecoder

RATE, SECONDS = 48_000, 1
_TONE = (0.5 * np.sin(np.arange(RATE * SECONDS) * 2 * np.pi * 440 / RATE)).astype(np.float32)


def recording(container: str, pictures: str, sound: str) -> bytes:
    """A second of a tone and a bright square."""
    options = {"movflags": "frag_keyframe+delay_moov+default_base_moof"} if container == "mp4" else {"live": "1"}
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options) as file:
        seen = file.add_stream(pictures, rate=10, width=64, height=48, pix_fmt="yuv420p")
        heard = file.add_stream(sound, rate=RATE, layout="mono")
        packets = []
        resampler = av.AudioResampler(format=heard.codec_context.format or "fltp", layout="mono", rate=RATE)
        for at in range(0, len(_TONE), RATE // 10):
            picture = np.full((48, 64, 3), 40, np.uint8)
            picture[10:20, 10:20] = 220
            image = av.VideoFrame.from_ndarray(picture, "rgb24")
            image.pts, image.time_base = at // (RATE // 10), Fraction(1, 10)
            packets += seen.encode(image)
            frame = av.AudioFrame.from_ndarray(_TONE[None, at : at + RATE // 10], format="flt", layout="mono")
            frame.sample_rate, frame.pts = RATE, at
            packets += [packet for ready in resampler.resample(frame) for packet in heard.encode(ready)]
        packets += [*seen.encode(None), *heard.encode(None)]
        for packet in sorted(packets, key=lambda one: float((one.dts or 0) * one.time_base)):
            file.mux(packet)
    return out.getvalue()


def declared(mime: str, *wanted: Medium) -> media_pb2.MediaFormat:
    fmt = parse_format(mime, wanted=wanted)
    assert isinstance(fmt, media_pb2.MediaFormat), fmt
    return fmt


def loudness(fmt: media_pb2.MediaFormat, data: bytes) -> tuple[float, float]:
    """Seconds and level of what a speech worker hears."""
    decoder = AudioDecoder(fmt)
    samples = np.concatenate([decoder.decode(Chunk(sequence=0, payload=data, new_recording=True)), decoder.finish()])
    return len(samples) / 16_000, float(np.sqrt(np.mean(samples**2)))


def sound_recording(container: str, codec: str) -> bytes:
    """A second of a tone."""
    options = {"movflags": "frag_keyframe+delay_moov"} if container == "mov" else {}
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options) as file:
        heard = file.add_stream(codec, rate=RATE, layout="mono")
        assert isinstance(heard, av.AudioStream)
        layout = heard.codec_context.layout.name
        resampler = av.AudioResampler(format=heard.codec_context.format or "s16", layout=layout, rate=RATE)
        frame = av.AudioFrame.from_ndarray(_TONE[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for ready in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(heard.encode(ready))
        file.mux(heard.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("mime", "made_as"),
    [
        ("audio/aac", ("adts", "aac")),
        ("audio/aiff", ("aiff", "pcm_s16be")),
        ("audio/x-caf", ("caf", "pcm_s16be")),
        ("audio/ogg;codecs=flac", ("ogg", "flac")),
        ("audio/mp2", ("mp2", "mp2")),
        ("video/quicktime", ("mov", "aac")),
        ("audio/mp4;codecs=alac", ("mov", "alac")),
    ],
)
def test_sound_of_what_is_accepted_is_decoded(mime: str, made_as: tuple[str, str]) -> None:
    seconds, level = loudness(declared(mime, Medium.SOUND), sound_recording(*made_as))
    assert seconds == pytest.approx(SECONDS, abs=0.1)
    assert level == pytest.approx(0.35, abs=0.05)


@pytest.mark.parametrize(
    ("mime", "made_as"),
    [
        ("video/x-matroska;codecs=avc1,opus", ("matroska", "libx264", "libopus")),
        ('video/webm;codecs="h264, opus"', ("matroska", "libx264", "libopus")),
        ("video/x-matroska;codecs=avc1,mp4a.40.2", ("matroska", "libx264", "aac")),
        ("video/webm;codecs=vp09.00.10.08,opus", ("webm", "libvpx-vp9", "libopus")),
        ("video/mp4;codecs=vp9,opus", ("mp4", "libvpx-vp9", "libopus")),
        ("video/mp4;codecs=avc1.42E01E,fLaC", ("mp4", "libx264", "flac")),
    ],
)
def test_pictures_and_sound_of_what_is_accepted_are_decoded(mime: str, made_as: tuple[str, str, str]) -> None:
    data = recording(*made_as)
    fmt = declared(mime, *Medium)
    seconds, level = loudness(fmt, data)
    assert seconds == pytest.approx(SECONDS, abs=0.1)
    assert level == pytest.approx(0.35, abs=0.05)
    decoder = VideoDecoder(fmt)
    frames = decoder.decode(Chunk(sequence=0, payload=data, new_recording=True)) + decoder.finish()
    assert [frame.width for frame in frames if frame.picture] == [64] * 10


@pytest.mark.parametrize(
    ("mime", "made_as"),
    [
        ("video/webm;codecs=av01.0.00M.08,opus", ("matroska", "av1", "libopus")),
        ("video/mp4;codecs=av01.0.00M.08,mp4a.40.2", ("mp4", "av1", "aac")),
        ("video/mp4;codecs=hvc1.1.6.L30.B0,mp4a.40.2", ("mp4", "libx265", "aac")),
        ("video/x-matroska;codecs=hevc,opus", ("matroska", "libx265", "libopus")),
    ],
)
def test_the_sound_is_transcribed_if_the_pictures_are_not_decoded(mime: str, made_as: tuple[str, str, str]) -> None:
    codec = {"av1": "libsvtav1"}.get(made_as[1], made_as[1])
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    seconds, level = loudness(declared(mime, Medium.SOUND), recording(made_as[0], codec, made_as[2]))
    assert seconds == pytest.approx(SECONDS, abs=0.1)
    assert level == pytest.approx(0.35, abs=0.05)


@pytest.mark.parametrize(
    ("mime", "codec", "rate"),
    [
        ("audio/l16;rate=48000", "pcm_s16be", 48_000),
        ("audio/l16;rate=48000;endianness=little-endian", "pcm_s16le", 48_000),
        ("audio/basic", "pcm_mulaw", 8_000),
        ("audio/pcmu;rate=16000", "pcm_mulaw", 16_000),
        ("audio/x-alaw", "pcm_alaw", 8_000),
        ("audio/pcm;rate=96000", "pcm_s16le", 96_000),
        ("audio/pcm;rate=192000;encoding=f32le", "pcm_f32le", 192_000),
    ],
)
def test_headerless_samples_sound_as_they_did(mime: str, codec: str, rate: int) -> None:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout = rate, "mono"
    encoder.format = "flt" if codec == "pcm_f32le" else "s16"
    frame = av.AudioFrame.from_ndarray(_TONE[None], format="flt", layout="mono")
    frame.sample_rate = RATE
    resampler = av.AudioResampler(format=encoder.format, layout="mono", rate=rate)
    data = b"".join(bytes(p) for each in [*resampler.resample(frame), None] for p in encoder.encode(each))
    seconds, level = loudness(declared(mime, Medium.SOUND), data)
    assert seconds == pytest.approx(SECONDS, abs=0.05)
    assert level == pytest.approx(0.35, abs=0.02)


def test_both_sides_have_the_same_bounds_of_pcm() -> None:
    assert (requests.MIN_SAMPLE_RATE, requests.MAX_SAMPLE_RATE) == (MIN_SAMPLE_RATE, MAX_SAMPLE_RATE)
    assert requests.MAX_CHANNELS == MAX_CHANNELS

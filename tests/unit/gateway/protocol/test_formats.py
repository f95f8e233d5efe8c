"""The names of formats that recorders, browsers and telephone gateways give, and what becomes of each."""

from __future__ import annotations

import pytest
from talkup.v1 import media_pb2, task_pb2

from gateway.protocol.errors import Code, Problem
from gateway.protocol.formats import ALIASES, SUPPORTED_FORMATS, parse_format
from gateway.protocol.messages import StreamStart
from gateway.protocol.negotiation import negotiate

STT, VISION = ["stt"], ["vision"]

ACCEPTED = [
    # what MediaRecorder says in Chromium, Firefox and Safari, with and without quotes, spaces and capitals
    ("video/x-matroska;codecs=avc1,opus", [*STT, *VISION], "video/x-matroska;codecs=avc1,opus"),
    ("video/x-matroska;codecs=avc1", VISION, "video/x-matroska;codecs=avc1"),
    ('Video/X-Matroska; Codecs="avc1.42E01E, opus"', VISION, "video/x-matroska;codecs=avc1.42e01e,opus"),
    ("audio/x-matroska", STT, "audio/x-matroska"),
    ("audio/matroska;codecs=opus", STT, "audio/x-matroska;codecs=opus"),
    ("audio/x-matroska;codecs=pcm", STT, "audio/x-matroska;codecs=pcm"),
    ("audio/x-matroska;codecs=avc1,opus", STT, "audio/x-matroska;codecs=avc1,opus"),
    ("video/webm;codecs=h264,opus", [*STT, *VISION], "video/webm;codecs=h264,opus"),
    ("video/webm; codecs=avc1.64003E , opus", VISION, "video/webm;codecs=avc1.64003e,opus"),
    ("video/webm;codecs=vp09.00.10.08,mp4a.40.2", [*STT, *VISION], "video/webm;codecs=vp09.00.10.08,mp4a.40.2"),
    ("video/mp4;codecs=vp9,opus", [*STT, *VISION], "video/mp4;codecs=vp9,opus"),
    ("video/mp4;codecs=vp08.00.41.08", VISION, "video/mp4;codecs=vp08.00.41.08"),
    ("audio/mp4;codecs=fLaC", STT, "audio/mp4;codecs=flac"),
    ("audio/ogg;codecs=flac", STT, "audio/ogg;codecs=flac"),
    ("audio/ogg;codecs=vorbis", STT, "audio/ogg;codecs=vorbis"),
    ("video/webm;codecs=vp8,vorbis", STT, "video/webm;codecs=vp8,vorbis"),
    ("audio/mp4;codecs=alac", STT, "audio/mp4;codecs=alac"),
    ("audio/aacp", STT, "audio/aac"),
    ("audio/AMR-WB", STT, "audio/amr"),
    ("audio/x-aiff", STT, "audio/aiff"),
    ("audio/x-caf", STT, "audio/x-caf"),
    ("audio/3gpp", STT, "audio/3gpp"),
    ("audio/vorbis", STT, "audio/ogg"),
    ("video/quicktime", STT, "video/quicktime"),
    ("video/3gpp2", STT, "video/3gpp"),
    ("audio/mp4;codecs=mp4a.6B", STT, "audio/mp4;codecs=mp4a.6b"),
    ("video/x-m4v", VISION, "video/mp4"),
    ("audio/x-m4a", STT, "audio/mp4"),
    ("audio/vnd.wave;codecs=1", STT, "audio/wav;codecs=1"),
    ("audio/wave;codecs=7", STT, "audio/wav;codecs=7"),
    # a codec that nothing here decodes does not matter where its track is not wanted
    ("video/webm;codecs=av1,opus", STT, "video/webm;codecs=av1,opus"),
    ("video/mp4;codecs=av01.0.19M.08,opus", STT, "video/mp4;codecs=av01.0.19m.08,opus"),
    ("video/mp4;codecs=hvc1.1.6.L186.B0,mp4a.40.2", STT, "video/mp4;codecs=hvc1.1.6.l186.b0,mp4a.40.2"),
    ("video/webm;codecs=vp8,vorbis", VISION, "video/webm;codecs=vp8,vorbis"),
]


@pytest.mark.parametrize(("mime", "services", "normal"), ACCEPTED)
def test_names_of_recordings(mime: str, services: list[str], normal: str) -> None:
    spec = negotiate(StreamStart(format=mime, services=services), "s")
    assert not isinstance(spec, Problem), spec
    assert spec.format.mime_type == normal
    assert len(spec.services) == len(services)


def test_the_sound_of_a_recording_may_be_sent_as_audio_whatever_its_pictures_are() -> None:
    spec = negotiate(StreamStart(format="video/mp4;codecs=hvc1,mp4a.40.2", kind="audio"), "s")
    assert not isinstance(spec, Problem)
    assert spec.services == (task_pb2.SERVICE_TYPE_STT,)


UNDECODED = [
    ("video/webm;codecs=av1,opus", VISION, "AV1", 'services ["stt"]'),
    ("video/mp4;codecs=av01.0.19M.08,opus", [*STT, *VISION], "AV1", "codecs=avc1"),
    ("video/mp4;codecs=hvc1.1.6.L186.B0", VISION, "HEVC", "codecs=avc1"),
    ("video/mp4;codecs=hev1.1.6.L93.B0,mp4a.40.2", VISION, "HEVC", 'services ["stt"]'),
    ("video;codecs=av01.0.05M.08", VISION, "AV1", "codecs=vp8"),
    ("audio/ogg;codecs=speex", STT, "Speex", "codecs=opus"),
    ("audio/mp4;codecs=ac-3", STT, "AC-3", "codecs=opus"),
    ("audio/mp4;codecs=mp4a.a6", STT, "AC-3", "codecs=opus"),
    ("audio/ogg;codecs=alac", STT, "ALAC", "in this format"),
    ("audio/webm;codecs=spoken", STT, "not known", "Opus"),
    ("audio/flac;codecs=vp8", STT, "holds no video", ""),
    ("audio/opus;codecs=aac", STT, "AAC", "codecs=opus"),
]


@pytest.mark.parametrize(("mime", "services", "codec", "instead"), UNDECODED)
def test_codecs_that_are_not_decoded_are_refused_by_name_with_what_to_record(
    mime: str, services: list[str], codec: str, instead: str
) -> None:
    problem = negotiate(StreamStart(format=mime, services=services), "s")
    assert isinstance(problem, Problem)
    assert (problem.code, problem.field) == (Code.UNSUPPORTED_FORMAT, "format")
    assert codec in problem.message
    assert instead in problem.message


def test_a_service_that_would_take_the_recording_is_named_only_if_there_is_one() -> None:
    silent = negotiate(StreamStart(format="video/mp4;codecs=hvc1.1.6.L186.B0", services=VISION), "s")
    assert isinstance(silent, Problem)
    assert "stt" not in silent.message


HEADERLESS = [
    ("audio/l16;rate=16000;channels=1", "S16BE", 16_000, 1),
    ("audio/L16; Rate=44100; Channels=2", "S16BE", 44_100, 2),
    ("audio/L16;rate=16000;endianness=little-endian", "S16LE", 16_000, 1),
    ("audio/l16;rate=8000;ptime=20", "S16BE", 8_000, 1),
    ("audio/x-l16;rate=8000", "S16BE", 8_000, 1),
    ("audio/pcm;rate=16000;encoding=s16be", "S16BE", 16_000, 1),
    ("audio/pcm;rate=16000;endianness=big-endian", "S16BE", 16_000, 1),
    ("audio/pcm;rate=16000;encoding=LINEAR16", "S16LE", 16_000, 1),
    ("audio/pcm;samplerate=22050;bits=16", "S16LE", 22_050, 1),
    ("audio/pcm;rate=96000", "S16LE", 96_000, 1),
    ("audio/pcm;rate=192000", "S16LE", 192_000, 1),
    ("audio/basic", "MULAW", 8_000, 1),
    ("audio/PCMU", "MULAW", 8_000, 1),
    ("audio/pcmu;rate=16000", "MULAW", 16_000, 1),
    ("audio/x-mulaw;rate=8000", "MULAW", 8_000, 1),
    ("audio/mulaw", "MULAW", 8_000, 1),
    ("audio/PCMA;rate=8000;channels=2", "ALAW", 8_000, 2),
    ("audio/x-alaw", "ALAW", 8_000, 1),
]


@pytest.mark.parametrize(("mime", "encoding", "rate", "channels"), HEADERLESS)
def test_names_of_headerless_samples(mime: str, encoding: str, rate: int, channels: int) -> None:
    fmt = parse_format(mime)
    assert isinstance(fmt, media_pb2.MediaFormat), fmt
    assert media_pb2.PcmEncoding.Name(fmt.pcm_encoding) == f"PCM_ENCODING_{encoding}"
    assert (fmt.container, fmt.sample_rate, fmt.channels) == (media_pb2.CONTAINER_PCM, rate, channels)
    assert parse_format(fmt.mime_type) == fmt


def test_the_rate_of_l16_may_stand_in_its_field_but_must_stand_somewhere() -> None:
    fmt = parse_format("audio/l16", sample_rate=16_000)
    assert isinstance(fmt, media_pb2.MediaFormat)
    assert fmt.sample_rate == 16_000
    problem = parse_format("audio/l16")
    assert isinstance(problem, Problem)
    assert "needs its rate" in problem.message


REFUSED = [
    ("audio/mp4a-latm", "audio/aac"),
    ("audio/x-ms-wma", "WAV or M4A"),
    ("video/x-msvideo", "MP4"),
    ("audio/speex", "codecs=opus"),
    ("audio/l24;rate=48000", "audio/l16"),
    ("image/gif", "image/png"),
    ("image/heic", "image/png"),
    ("image/avif", "image/png"),
    ("image/bmp", "image/png"),
    ("image/tiff", "image/png"),
    ("video/h264", "fragmented MP4"),
    ("audio/pcm;rate=16000;bits=24", "16 bits"),
    ("audio/pcm;clock=16000", "not known"),
    ("audio/pcmu;encoding=s16le", "contradicts"),
    ("audio/pcm;encoding=f32le;endianness=big-endian", "16-bit"),
    ("audio/pcm;encoding=s16le;endianness=big-endian", "contradicts"),
    ("audio/pcm;rate=192001", "192000"),
    ("application/octet-stream", "must be one of audio/webm"),
]


@pytest.mark.parametrize(("mime", "advice"), REFUSED)
def test_names_that_are_refused_say_what_to_send(mime: str, advice: str) -> None:
    problem = parse_format(mime)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.field) == (Code.UNSUPPORTED_FORMAT, "format")
    assert advice in problem.message


def test_aliases_name_supported_formats() -> None:
    assert set(ALIASES.values()) <= set(SUPPORTED_FORMATS)
    assert not set(ALIASES) & set(SUPPORTED_FORMATS)

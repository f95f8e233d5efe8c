"""The kinds of recordings that people bring: containers by codecs by oddities, made with FFmpeg from a given sound."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from tests.kinds.sounds import Sound
from tests.unit.workers.media.material import INDEX_FIRST, LIVE, index_first, mux, wav

Maker = Callable[[Sound], bytes]
Part = Literal["whole", "first half", "second half", "nothing"]

VORBIS = {"strict": "experimental"}
NARROW = {"rate": 8_000, "bit_rate": 12_200}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}


@dataclass(frozen=True)
class Recording:
    """A kind of recording, with the suffix of its files.

    `oracle`: what FFmpeg decodes in its place, where it does not read this kind or reads less. `damaged`: bytes that
    are counted as such. `refused`: how the worker's sentence begins, if it does not read this kind. `said`: how much of
    its sound such a recording holds.
    """

    name: str
    suffix: str
    data: Maker
    oracle: Maker | None = None
    damaged: int = 0
    refused: str = ""
    said: Part = "whole"


def made(container: str, codec: str, rate: int = 44_100, **more) -> Maker:
    """Recordings of one codec in one container."""

    @cache
    def make(sound: Sound) -> bytes:
        return mux(container, codec, 0, rate=rate, samples=sound(rate), **{"bit_rate": 64_000, **more})

    return make


def id3(size: int) -> bytes:
    """An ID3v2 tag."""
    return b"ID3\3\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + b"T" * size


APE = b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0)
ID3V1 = b"TAG" + b"Title".ljust(125, b"\0")
INFO = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Encoder 1.2.3\0"

mp3 = made("mp3", "libmp3lame")
adts = made("adts", "aac")
flac = made("flac", "flac", 16_000)
ogg = made("ogg", "libopus", 48_000)
vorbis = made("ogg", "vorbis", codec_options=VORBIS, layout="stereo")
faststart = made("ipod", "aac", options=INDEX_FIRST)


def pcm(sound: Sound) -> bytes:
    return (sound(16_000) * 32_767).astype("<i2").tobytes()


def plain_wav(sound: Sound, **oddities) -> bytes:
    return wav(pcm(sound), 1, 1, 16_000, 16, **oddities)


def odd_wav(**oddities) -> Maker:
    """A WAV with a wrong length, or with something behind its samples."""
    return lambda sound: plain_wav(sound, **oddities)


def before(tags: bytes, maker: Maker) -> Maker:
    return lambda sound: tags + maker(sound)


def behind(maker: Maker, tags: bytes) -> Maker:
    return lambda sound: maker(sound) + tags


def first_half(maker: Maker) -> Maker:
    return lambda sound: maker(sound)[: len(maker(sound)) // 2]


def second_half(maker: Maker) -> Maker:
    return lambda sound: maker(sound)[len(maker(sound)) // 2 :]


def first_bytes(maker: Maker, count: int) -> Maker:
    return lambda sound: maker(sound)[:count]


def _riff(head: bytes, samples: bytes) -> bytes:
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


_GSM = _riff(struct.pack("<HHIIHHHH", 0x31, 1, 8_000, 1_625, 65, 0, 2, 320), np.random.default_rng(0).bytes(65 * 30))
"""Nothing here writes GSM, but any bytes are GSM."""

_SPEEX = (
    struct.pack("<4sBBqIIIBB", b"OggS", 0, 2, 0, 7, 0, 0, 1, 80)
    + b"Speex   1.2".ljust(80, b"\0")
    + struct.pack("<4sBBqIIIBB", b"OggS", 0, 0, 0, 7, 1, 0, 1, 20)
    + bytes(20)
)


_AMR_WB = b"#!AMR-WB\n" + b"".join(b"\x44" + np.random.default_rng(at).bytes(60) for at in range(60))
"""Nothing here writes AMR-WB, but any bytes are AMR-WB."""


def he_aac(signalled: str) -> Maker:
    """AAC in MP4 whose index says that its upper half is spectral band replication (ISO/IEC 14496-3, 1.6.5)."""
    plain = made("ipod", "aac", 22_050, options=INDEX_FIRST)
    return lambda sound: plain(sound).replace(bytes.fromhex("138856e500"), bytes.fromhex(signalled))


def given(data: bytes) -> Maker:
    return lambda _: data


def left(sound: Sound) -> bytes:
    """What is heard where the right channel is the left one upside down."""
    return plain_wav(sound)


INVERTED = {"layout": "stereo", "invert": True}

HEARD = [
    *(
        Recording(f"{codec} {layout} in WAV", "wav", made("wav", codec, layout=layout))
        for codec in ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "adpcm_ms")
        for layout in ("mono", "stereo")
    ),
    *(
        Recording(f"{codec} in WAV", "wav", made("wav", codec, 8_000))
        for codec in ("pcm_alaw", "pcm_mulaw", "adpcm_ima_wav")
    ),
    Recording("GSM in WAV", "wav", given(_GSM), said="nothing"),
    Recording("adpcm_ima_wav stereo in WAV", "wav", made("wav", "adpcm_ima_wav", layout="stereo")),
    Recording("WAV, RF64", "wav", made("wav", "pcm_s16le", options={"rf64": "always"})),
    Recording("WAV, length of the first chunk", "wav", odd_wav(size=8000), plain_wav),
    Recording("WAV, length 0", "wav", odd_wav(size=0), plain_wav),
    Recording("WAV, length unknown", "wav", odd_wav(size=0xFFFFFFFF)),
    Recording("WAV, LIST behind", "wav", odd_wav(tail=INFO)),
    Recording("WAV, ID3v1 behind", "wav", odd_wav(tail=ID3V1)),
    Recording("WAV, damage behind", "wav", odd_wav(tail=INFO + b"\7" * 99), damaged=99),
    Recording("WAV, ID3v2 before", "wav", before(id3(500), plain_wav), plain_wav),
    *(
        Recording(f"{codec} in AIFF", "aiff", made("aiff", codec))
        for codec in ("pcm_s16be", "pcm_s24be", "pcm_s16le", "pcm_f32be")
    ),
    *(Recording(f"{codec} in AU", "au", made("au", codec)) for codec in ("pcm_s16be", "pcm_mulaw", "pcm_f32be")),
    *(
        Recording(f"{codec} in CAF", "caf", made("caf", codec))
        for codec in ("pcm_s16le", "pcm_s24be", "pcm_alaw", "pcm_f32le")
    ),
    Recording("MP3", "mp3", mp3),
    Recording("MP3, first half", "mp3", first_half(mp3), said="first half"),
    Recording("MP3, second half", "mp3", second_half(mp3), said="second half"),
    Recording("MP3, ID3v2 before", "mp3", before(id3(70_000), mp3)),
    Recording("MP3, two tags before", "mp3", before(id3(300) + id3(10), mp3)),
    Recording("MP3, tags behind", "mp3", behind(mp3, APE + ID3V1), mp3),
    Recording("MP2", "mp2", made("mp2", "mp2", layout="stereo")),
    Recording("AAC", "aac", adts),
    Recording("AAC, ID3v2 before", "aac", before(id3(300), adts), adts),
    Recording("AAC, second half", "aac", second_half(adts), said="second half"),
    Recording("AAC, ID3v1 behind", "aac", behind(adts, ID3V1), adts),
    Recording("FLAC", "flac", flac),
    Recording("FLAC, ID3v2 before", "flac", before(id3(110), flac), flac),
    Recording("FLAC, ID3v1 behind", "flac", behind(flac, ID3V1), flac),
    Recording("FLAC, APE behind", "flac", behind(flac, APE), flac),
    Recording("AMR", "amr", made("amr", "libopencore_amrnb", **NARROW)),
    Recording("AMR-WB", "awb", given(_AMR_WB), said="nothing"),
    Recording("AMR-WB in 3GP", "3gp", lambda _: index_first(_AMR_WB, "3gp"), said="nothing"),
    Recording("HE-AAC in M4A, as an extension", "m4a", he_aac("138856e5a0")),
    Recording("HE-AAC in M4A, as an object type", "m4a", he_aac("2b8a080000")),
    Recording("Opus in Ogg", "ogg", ogg),
    Recording("Vorbis in Ogg", "ogg", vorbis),
    Recording("FLAC in Ogg", "ogg", made("ogg", "flac")),
    Recording("Ogg, ID3v2 before", "ogg", before(id3(110), ogg), ogg),
    *(
        Recording(f"{codec} in MP4", "mp4", made("mp4", codec, options=INDEX_FIRST))
        for codec in ("aac", "libmp3lame", "flac", "alac")
    ),
    Recording("Opus in MP4", "mp4", made("mp4", "libopus", 48_000, options=INDEX_FIRST)),
    Recording("M4A", "m4a", faststart),
    Recording("M4B", "m4b", lambda sound: faststart(sound).replace(b"ftypM4A ", b"ftypM4B ")),
    *(
        Recording(f"{codec} in MOV", "mov", made("mov", codec, options=INDEX_FIRST))
        for codec in ("aac", "pcm_s16le", "pcm_s24be", "pcm_f32le", "pcm_mulaw")
    ),
    Recording("3GP", "3gp", made("3gp", "libopencore_amrnb", options=INDEX_FIRST, **NARROW)),
    Recording("MP4 in fragments", "mp4", made("mp4", "aac", options=FRAGMENTS)),
    *(
        Recording(f"{codec} in Matroska", "mkv", made("matroska", codec, 48_000, **more))
        for codec, more in (
            ("libopus", {}),
            ("aac", {}),
            ("flac", {}),
            ("alac", {}),
            ("mp2", {}),
            ("libmp3lame", {}),
            ("pcm_s16le", {}),
            ("vorbis", {"codec_options": VORBIS, "layout": "stereo"}),
        )
    ),
    Recording("WebM, live", "webm", made("webm", "libopus", 48_000, options=LIVE)),
    Recording("WAV, 96 kHz, stereo, one channel inverted", "wav", made("wav", "pcm_s24le", 96_000, **INVERTED), left),
    Recording("Opus in Ogg, one channel inverted", "ogg", made("ogg", "libopus", 48_000, **INVERTED), left),
    Recording("H.264 and AAC in MP4", "mp4", made("mp4", "aac", video="libx264", options=INDEX_FIRST)),
    Recording("HEVC and AAC in MP4", "mp4", made("mp4", "aac", video="libx265", options=INDEX_FIRST)),
    Recording("AV1 and Opus in MP4", "mp4", made("mp4", "libopus", 48_000, video="libsvtav1", options=INDEX_FIRST)),
    Recording(
        "H.263 and AMR in 3GP", "3gp", made("3gp", "libopencore_amrnb", video="h263", options=INDEX_FIRST, **NARROW)
    ),
    Recording("VP8 and Opus in WebM", "webm", made("webm", "libopus", 48_000, video="libvpx", options=LIVE)),
    Recording("AV1 and Opus in WebM", "webm", made("webm", "libopus", 48_000, video="libsvtav1", options=LIVE)),
    Recording("H.264 and AAC in Matroska", "mkv", made("matroska", "aac", video="libx264")),
    Recording("MPEG-4 and MP3 in Matroska", "mkv", made("matroska", "libmp3lame", video="mpeg4")),
]
"""Recordings of which a worker hears all that FFmpeg hears."""

_NO_WMA = "this is a Windows Media recording (WMA, WMV or ASF), which is not supported"
_NO_TS = "this is an MPEG transport stream (TS), which is not supported"
_AT_ITS_END = "the index of this MP4 (its moov box) stands at its end: send it first"
_NO_AVI = "this is an AVI video, which is not supported"
_NO_PS = "this is an MPEG programme stream, which is not supported"
_NO_FLV = "this is a Flash video, which is not supported"
_AC3 = "the audio track of this recording is AC-3"
_UNKNOWN = "the first bytes are of no known container"
_HALF_A_HEADER = "the recording ends before its header does"

REFUSED = [
    Recording("WMA", "wma", made("asf", "wmav2"), refused=_NO_WMA),
    Recording("AVI", "avi", made("avi", "pcm_s16le"), refused=_NO_AVI),
    Recording("TS", "ts", made("mpegts", "aac"), refused=_NO_TS),
    Recording("MP2 in TS", "ts", made("mpegts", "mp2"), refused=_NO_TS),
    Recording("AC-3", "ac3", made("ac3", "ac3", 48_000), refused="this is an AC-3 recording, which is not supported"),
    Recording("FLV", "flv", made("flv", "libmp3lame"), refused=_NO_FLV),
    Recording(
        "W64", "w64", made("w64", "pcm_s16le"), refused="this is a Wave64 recording (W64), which is not supported"
    ),
    Recording("WavPack", "wv", made("wv", "wavpack"), refused="this is a WavPack recording, which is not supported"),
    Recording("MP4, index at its end", "m4a", made("ipod", "aac"), refused=_AT_ITS_END),
    Recording(
        "H.264 and AAC in MOV, index at its end", "mov", made("mov", "aac", video="libx264"), refused=_AT_ITS_END
    ),
    Recording("MPEG-4 and MP3 in AVI", "avi", made("avi", "libmp3lame", video="mpeg4"), refused=_NO_AVI),
    Recording("WMV", "wmv", made("asf", "wmav2", video="wmv2"), refused=_NO_WMA),
    Recording("H.264 and AAC in TS", "ts", made("mpegts", "aac", video="libx264"), refused=_NO_TS),
    Recording("H.264 and AAC in FLV", "flv", made("flv", "aac", video="libx264"), refused=_NO_FLV),
    Recording("MPEG-PS", "mpg", made("mpeg", "mp2", video="mpeg2video"), refused=_NO_PS),
    Recording("H.264 and AC-3 in Matroska", "mkv", made("matroska", "ac3", 48_000, video="libx264"), refused=_AC3),
    Recording(
        "text file", "mp3", given(b"These are the minutes of the meeting. " * 40), refused=_UNKNOWN, said="nothing"
    ),
    Recording(
        "AC-3 in MP4",
        "mp4",
        made("mp4", "ac3", 48_000, options=INDEX_FIRST),
        refused=_AC3,
    ),
    Recording(
        "AC-3 in Matroska",
        "mkv",
        made("matroska", "ac3", 48_000),
        refused=_AC3,
    ),
    Recording("ALAC in CAF", "caf", made("caf", "alac"), refused="the sound in this CAF file is alac"),
    Recording("MP3 in WAV", "wav", made("wav", "libmp3lame"), refused="the sound in this WAV is MP3"),
    Recording("IMA in AIFF", "aiff", made("aiff", "adpcm_ima_qt"), refused="the sound in this AIFF is ima4"),
    Recording("WAV, half a header", "wav", first_bytes(plain_wav, 30), refused=_HALF_A_HEADER, said="nothing"),
    Recording("MP4, half an index", "m4a", first_bytes(faststart, 300), refused=_HALF_A_HEADER, said="nothing"),
    Recording(
        "MP3, half a tag",
        "mp3",
        first_bytes(before(id3(5000), mp3), 3000),
        refused="the recording ends inside the tag in front of it",
        said="nothing",
    ),
    Recording(
        "no MP3",
        "mp3",
        given(id3(50) + bytes(20_000)),
        refused="no MPEG audio frame is found in the recording",
        said="nothing",
    ),
    Recording(
        "PNG",
        "png",
        given(b"\x89PNG\r\n\x1a\n" + bytes(100)),
        refused="this is a PNG picture, which is not supported",
        said="nothing",
    ),
    Recording(
        "web page",
        "html",
        given(b"<!DOCTYPE html><html></html>"),
        refused="this is a web page, which is not supported",
        said="nothing",
    ),
    Recording(
        "zeros",
        "bin",
        given(bytes(20_000)),
        refused=_UNKNOWN,
        said="nothing",
    ),
    Recording(
        "Speex", "spx", given(_SPEEX), refused="this Ogg recording holds Speex, which is not supported", said="nothing"
    ),
]
"""Recordings that a worker refuses by name."""

EMPTY = Recording("empty file", "wav", given(b""), said="nothing")

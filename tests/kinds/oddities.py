"""More recordings that people bring: cut off, damaged, under a wrong name, without sound, or of a rare kind."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np

from tests.kinds.recordings import (
    NARROW,
    Maker,
    Recording,
    adts,
    faststart,
    flac,
    given,
    made,
    mp3,
    ogg,
    pcm,
    plain_wav,
)
from tests.kinds.sounds import Sound
from tests.unit.workers.media.material import INDEX_FIRST, LIVE, wav
from tests.unit.workers.media.video_material import recording

at_its_end = made("ipod", "aac")
webm = made("webm", "libopus", 48_000, options=LIVE)


def first_share(maker: Maker, share: float) -> Maker:
    return lambda sound: maker(sound)[: round(len(maker(sound)) * share)]


def with_zeros(maker: Maker, share: float, size: int) -> Maker:
    """Some bytes of it are zeros, from this share of it on."""

    def make(sound: Sound) -> bytes:
        data = maker(sound)
        at = round(len(data) * share)
        return data[:at] + bytes(size) + data[at + size :]

    return make


def channels(count: int, *, inverted: bool = False) -> Maker:
    """A WAV whose first channel holds the sound, and whose second one is silent or the first one upside down."""

    @cache
    def make(sound: Sound) -> bytes:
        voice = (sound(48_000) * 32_767).astype("<i2")
        samples = np.zeros((len(voice), count), "<i2")
        samples[:, 0] = voice
        if inverted:
            samples[:, 1] = -voice
        return wav(samples.tobytes(), 1, count, 48_000, 16)

    return make


def surround(container: str, codec: str, **more) -> Maker:
    """Six channels, written by FFmpeg."""
    return made(container, codec, 48_000, layout="5.1", bit_rate=192_000, **more)


ODDITIES = [
    Recording("WebM, first half", "webm", first_share(webm, 0.6), said="first half"),
    Recording("WebM, zeros within", "webm", with_zeros(webm, 0.7, 900)),
    Recording("Ogg, first half", "ogg", first_share(ogg, 0.6), said="first half"),
    Recording("Ogg, zeros within", "ogg", with_zeros(ogg, 0.7, 900)),
    Recording("M4A, first half", "m4a", first_share(faststart, 0.6), said="first half"),
    Recording("M4A, zeros within", "m4a", with_zeros(faststart, 0.7, 900)),
    Recording("M4A, recorder killed", "m4a", first_share(at_its_end, 0.8), said="nothing"),
    Recording("FLAC, first half", "flac", first_share(flac, 0.6), said="first half"),
    Recording("FLAC, zeros within", "flac", with_zeros(flac, 0.7, 900)),
    Recording("WAV, first half", "wav", first_share(plain_wav, 0.6), said="first half"),
    Recording("WAV named MP3", "mp3", plain_wav),
    Recording("M4A named WAV", "wav", faststart),
    Recording("MP3 named WAV", "wav", mp3),
    Recording("AAC named M4A", "m4a", adts),
    Recording("raw PCM", "pcm", pcm),
    Recording("WAV, three channels", "wav", channels(3)),
    Recording("WAV, four channels, one inverted", "wav", channels(4, inverted=True)),
    Recording("WAV, eight channels", "wav", channels(8)),
    Recording("AAC 5.1 in MP4", "mp4", surround("mp4", "aac", options=INDEX_FIRST)),
    Recording("AC-3 5.1", "ac3", surround("ac3", "ac3")),
    Recording("Opus 5.1 in Ogg", "ogg", surround("ogg", "libopus")),
    Recording("FLAC 5.1 in Matroska", "mkv", surround("matroska", "flac")),
    Recording("MP3, 8 kHz", "mp3", made("mp3", "libmp3lame", 8_000, bit_rate=16_000)),
    Recording("MP3, 48 kHz, 320 kbit/s", "mp3", made("mp3", "libmp3lame", 48_000, bit_rate=320_000)),
    Recording("Opus in Ogg, 12 kbit/s", "opus", made("ogg", "libopus", 48_000, bit_rate=12_000)),
    Recording("AAC, 8 kHz", "aac", made("adts", "aac", 8_000, bit_rate=24_000)),
    Recording("FLAC, 192 kHz, 24 bits", "flac", made("flac", "flac", 192_000)),
    Recording("AMR in 3G2", "3g2", made("3g2", "libopencore_amrnb", options=INDEX_FIRST, **NARROW)),
    Recording("TTA", "tta", made("tta", "tta")),
    Recording("VOC", "voc", made("voc", "pcm_u8")),
    Recording("H.264 in MP4, no sound", "mp4", given(recording("libx264", "mp4")), said="nothing"),
    Recording("VP8 in WebM, no sound", "webm", given(recording("libvpx", "webm")), said="nothing"),
    Recording("PDF", "pdf", given(b"%PDF-1.7\n" + bytes(2000)), said="nothing"),
    Recording("ZIP", "zip", given(b"PK\x03\x04" + bytes(2000)), said="nothing"),
    Recording("JPEG", "jpg", given(b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + bytes(2000)), said="nothing"),
    Recording("one byte", "mp3", given(b"\xff"), said="nothing"),
    Recording("header alone", "wav", given(wav(b"", 1, 1, 16_000, 16)), said="nothing"),
    Recording("noise", "mp3", given(np.random.default_rng(7).bytes(30_000)), said="nothing"),
    Recording("silence", "wav", given(wav(bytes(64_000), 1, 1, 16_000, 16)), said="nothing"),
    Recording("subtitles", "srt", given(b"1\n00:00:01,000 --> 00:00:02,000\nHello\n"), said="nothing"),
    Recording("playlist", "m3u8", given(b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n"), said="nothing"),
    Recording("MIDI", "mid", given(b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + bytes(400)), said="nothing"),
]
"""Recordings for the doors; the workers' own tests have others."""

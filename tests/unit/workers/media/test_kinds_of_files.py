"""The kinds of files that people bring, containers by codecs by oddities: right samples, or one error that names it.

The oracle for the samples is FFmpeg's own demuxer and decoder. No kind is silent: neither empty without an error, nor
shorter than what FFmpeg hears.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workers.media.chunks import assert_same, cut, decode_killed
from tests.unit.workers.media.material import INDEX_FIRST, LIVE, declared, mux, pcm16, wav, with_serial
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder, MediaError

SECONDS = 0.8
VORBIS = {"strict": "experimental"}
AUDIO = declared("audio")


def made(container: str, codec: str, rate: int = 44_100, **more) -> Callable[[], bytes]:
    def make() -> bytes:
        return mux(container, codec, SECONDS, rate=rate, **{"bit_rate": 64_000, **more})

    return cache(make)


def id3(size: int) -> bytes:
    return b"ID3\3\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + b"T" * size


APE = b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0)
ID3V1 = b"TAG" + b"Title".ljust(125, b"\0")
INFO = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Encoder 1.2.3\0"
PCM = pcm16(SECONDS)

mp3 = made("mp3", "libmp3lame")
adts = made("adts", "aac")
flac = made("flac", "flac", 16_000)
ogg = made("ogg", "libopus", 48_000)
vorbis = made("ogg", "vorbis", codec_options=VORBIS, layout="stereo")
faststart = made("ipod", "aac", options=INDEX_FIRST)


@dataclass(frozen=True)
class Row:
    """A kind of file. `oracle`: what FFmpeg decodes in its place, where it does not read this kind or reads less."""

    name: str
    data: Callable[[], bytes]
    oracle: Callable[[], bytes] | None = None
    damaged: int = 0


def plain_wav() -> bytes:
    return wav(PCM, 1, 1, 16_000, 16)


def riff(head: bytes, samples: bytes) -> bytes:
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


GSM = riff(struct.pack("<HHIIHHHH", 0x31, 1, 8_000, 1_625, 65, 0, 2, 320), np.random.default_rng(0).bytes(65 * 30))
"""Nothing here writes GSM, but any bytes are GSM."""

SPEEX_HEAD = b"Speex   1.2".ljust(80, b"\0")
SPEEX = (
    struct.pack("<4sBBqIIIBB", b"OggS", 0, 2, 0, 7, 0, 0, 1, 80)
    + SPEEX_HEAD
    + struct.pack("<4sBBqIIIBB", b"OggS", 0, 0, 0, 7, 1, 0, 1, 20)
    + bytes(20)
)
HEARD = [
    *(
        Row(f"{codec} {layout} in WAV", made("wav", codec, layout=layout))
        for codec in ("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "adpcm_ms")
        for layout in ("mono", "stereo")
    ),
    *(Row(f"{codec} in WAV", made("wav", codec, 8_000)) for codec in ("pcm_alaw", "pcm_mulaw", "adpcm_ima_wav")),
    Row("GSM in WAV", lambda: GSM),
    Row("adpcm_ima_wav stereo in WAV", made("wav", "adpcm_ima_wav", layout="stereo")),
    Row("WAV, RF64", made("wav", "pcm_s16le", options={"rf64": "always"})),
    Row(
        "WAV, length of the first chunk",
        lambda: wav(PCM, 1, 1, 16_000, 16, size=8000),
        lambda: wav(PCM, 1, 1, 16_000, 16),
    ),
    Row("WAV, length 0", lambda: wav(PCM, 1, 1, 16_000, 16, size=0), lambda: wav(PCM, 1, 1, 16_000, 16)),
    Row("WAV, length unknown", lambda: wav(PCM, 1, 1, 16_000, 16, size=0xFFFFFFFF)),
    Row("WAV, LIST behind", lambda: wav(PCM, 1, 1, 16_000, 16, tail=INFO)),
    Row("WAV, ID3v1 behind", lambda: wav(PCM, 1, 1, 16_000, 16, tail=ID3V1)),
    Row("WAV, damage behind", lambda: wav(PCM, 1, 1, 16_000, 16, tail=INFO + b"\7" * 99), damaged=99),
    Row("WAV, ID3v2 before", lambda: id3(500) + plain_wav(), plain_wav),
    *(Row(f"{codec} in AIFF", made("aiff", codec)) for codec in ("pcm_s16be", "pcm_s24be", "pcm_s16le", "pcm_f32be")),
    *(Row(f"{codec} in AU", made("au", codec)) for codec in ("pcm_s16be", "pcm_mulaw", "pcm_f32be")),
    *(Row(f"{codec} in CAF", made("caf", codec)) for codec in ("pcm_s16le", "pcm_s24be", "pcm_alaw", "pcm_f32le")),
    Row("MP3", mp3),
    Row("MP3, first half", lambda: mp3()[: len(mp3()) // 2]),
    Row("MP3, second half", lambda: mp3()[len(mp3()) // 2 :]),
    Row("MP3, ID3v2 before", lambda: id3(70_000) + mp3()),
    Row("MP3, two tags before", lambda: id3(300) + id3(10) + mp3()),
    Row("MP3, tags behind", lambda: mp3() + APE + ID3V1, mp3),
    Row("MP2", made("mp2", "mp2", layout="stereo")),
    Row("AAC", adts),
    Row("AAC, ID3v2 before", lambda: id3(300) + adts(), adts),
    Row("AAC, second half", lambda: adts()[len(adts()) // 2 :]),
    Row("AAC, ID3v1 behind", lambda: adts() + ID3V1, adts),
    Row("FLAC", flac),
    Row("FLAC, ID3v2 before", lambda: id3(110) + flac(), flac),
    Row("FLAC, ID3v1 behind", lambda: flac() + ID3V1, flac),
    Row("FLAC, APE behind", lambda: flac() + APE, flac),
    Row("AMR", made("amr", "libopencore_amrnb", 8_000, bit_rate=12_200)),
    Row("Opus in Ogg", ogg),
    Row("Vorbis in Ogg", vorbis),
    Row("FLAC in Ogg", made("ogg", "flac")),
    Row("Ogg, ID3v2 before", lambda: id3(110) + ogg(), ogg),
    *(
        Row(f"{codec} in MP4", made("mp4", codec, options=INDEX_FIRST))
        for codec in ("aac", "libmp3lame", "flac", "alac")
    ),
    Row("Opus in MP4", made("mp4", "libopus", 48_000, options=INDEX_FIRST)),
    Row("M4A", faststart),
    Row("M4B", lambda: faststart().replace(b"ftypM4A ", b"ftypM4B ")),
    *(
        Row(f"{codec} in MOV", made("mov", codec, options=INDEX_FIRST))
        for codec in ("aac", "pcm_s16le", "pcm_s24be", "pcm_f32le", "pcm_mulaw")
    ),
    Row("3GP", made("3gp", "libopencore_amrnb", 8_000, bit_rate=12_200, options=INDEX_FIRST)),
    Row(
        "MP4 in fragments",
        made("mp4", "aac", options={"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}),
    ),
    *(
        Row(f"{codec} in Matroska", made("matroska", codec, 48_000, **more))
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
    Row("WebM, live", made("webm", "libopus", 48_000, options=LIVE)),
]
"""Rows whose samples must be those of FFmpeg."""


NAMED: list[tuple[str, Callable[[], bytes], str]] = [
    ("WMA", made("asf", "wmav2"), "this is a Windows Media recording (WMA, WMV or ASF), which is not supported"),
    ("AVI", made("avi", "pcm_s16le"), "this is an AVI video, which is not supported"),
    ("TS", made("mpegts", "aac"), "this is an MPEG transport stream (TS), which is not supported"),
    ("MP2 in TS", made("mpegts", "mp2"), "this is an MPEG transport stream (TS), which is not supported"),
    ("AC-3", made("ac3", "ac3", 48_000), "this is an AC-3 recording, which is not supported"),
    ("FLV", made("flv", "libmp3lame"), "this is a Flash video, which is not supported"),
    ("W64", made("w64", "pcm_s16le"), "this is a Wave64 recording (W64), which is not supported"),
    ("WavPack", made("wv", "wavpack"), "this is a WavPack recording, which is not supported"),
    (
        "MP4, index at its end",
        made("ipod", "aac"),
        "the index of this MP4 (its moov box) stands at its end: send it first",
    ),
    ("AC-3 in MP4", made("mp4", "ac3", 48_000, options=INDEX_FIRST), "the audio track of this recording is AC-3"),
    ("AC-3 in Matroska", made("matroska", "ac3", 48_000), "the audio track of this recording is AC-3"),
    ("ALAC in CAF", made("caf", "alac"), "the sound in this CAF file is alac"),
    ("MP3 in WAV", made("wav", "libmp3lame"), "the sound in this WAV is MP3"),
    ("IMA in AIFF", made("aiff", "adpcm_ima_qt"), "the sound in this AIFF is ima4"),
    ("WAV, half a header", lambda: wav(PCM, 1, 1, 16_000, 16)[:30], "the recording ends before its header does"),
    ("MP4, half an index", lambda: faststart()[:300], "the recording ends before its header does"),
    ("MP3, half a tag", lambda: (id3(5000) + mp3())[:3000], "the recording ends inside the tag in front of it"),
    ("no MP3", lambda: id3(50) + bytes(20_000), "no MPEG audio frame is found in the recording"),
    ("PNG", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "this is a PNG picture, which is not supported"),
    ("web page", lambda: b"<!DOCTYPE html><html></html>", "this is a web page, which is not supported"),
    ("zeros", lambda: bytes(20_000), "the first bytes are of no known container"),
    ("Speex", lambda: SPEEX, "this Ogg recording holds Speex, which is not supported"),
]
"""Rows that end in one error."""


def decoded(data: bytes, size: int):
    """Samples at 16 kHz, and damaged bytes."""
    decoder = AudioDecoder(AUDIO)
    parts = [decoder.decode(Chunk(number, part)) for number, part in enumerate(cut(data, [size]))]
    return np.concatenate([*parts, decoder.finish()]), decoder.damaged_bytes


def oracle(data: bytes):
    """What FFmpeg hears: the mean of the channels at 16 kHz."""
    with av.open(io.BytesIO(data)) as file:
        resampler = av.AudioResampler(format="fltp", layout=file.streams.audio[0].codec_context.layout, rate=16_000)
        frames = [ready for frame in file.decode(audio=0) for ready in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).mean(axis=0)


def best_shift(heard, wanted) -> tuple[int, float]:
    """The shift at which the two correlate best, and how well."""
    size = 1 << (len(heard) + len(wanted)).bit_length()
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size)))
    shift = int(np.argmax(products))
    shift -= size if shift > size // 2 else 0
    return shift, float(products.max() / (np.linalg.norm(heard) * np.linalg.norm(wanted)))


@pytest.mark.parametrize("row", HEARD, ids=lambda row: row.name)
def test_the_samples_are_those_of_ffmpeg(row: Row) -> None:
    data = row.data()
    heard, damaged = decoded(data, 1000)
    wanted = oracle((row.oracle or row.data)())
    shift, correlation = best_shift(heard, wanted)
    assert abs(shift) <= 16  # a millisecond: what the encoder put in front is not heard
    assert abs(len(heard) - len(wanted)) < 0.03 * 16_000
    assert correlation > 0.98
    assert 0.8 < np.linalg.norm(heard) / np.linalg.norm(wanted) < 1.25
    assert damaged == row.damaged
    again, damaged_again = decoded(data, len(data))
    assert np.array_equal(again, heard)
    assert damaged_again == damaged


@pytest.mark.parametrize("row", HEARD, ids=lambda row: row.name)
def test_a_restart_changes_nothing(row: Row) -> None:
    chunks = cut(row.data(), [max(40, len(row.data()) // 30)])
    whole, _ = decoded(row.data(), 1000)
    lossy = any(name in row.name.lower() for name in ("aac", "m4", "mp4 in fragments", "amr", "3gp"))
    for kills in ([5, 11, 20], [len(chunks) - 1]):
        assert_same(decode_killed(AUDIO, chunks, kills, 1601), whole, aac=lossy)


@pytest.mark.parametrize("row", HEARD, ids=lambda row: row.name)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_mutated_files_end_in_an_error_or_go_on(row: Row, data: st.DataObject) -> None:
    broken = bytearray(row.data())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, min(len(broken), data.draw(st.sampled_from([60, 800, len(broken)]))) - 1))
        if data.draw(st.booleans()):
            broken[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
        else:
            del broken[at : at + data.draw(st.integers(1, 40))]
    try:
        heard, _ = decoded(bytes(broken), 4096)
    except MediaError:
        return
    assert len(heard) < 300 * 16_000


@pytest.mark.parametrize(("data", "sentence"), [row[1:] for row in NAMED], ids=[row[0] for row in NAMED])
def test_what_is_not_supported_is_named(data: Callable[[], bytes], sentence: str) -> None:
    for size in (100, 1 << 20):
        with pytest.raises(MediaError) as caught:
            decoded(data(), size)
        assert str(caught.value).startswith(sentence)


def test_a_chain_of_vorbis_is_heard_whole() -> None:
    chain = vorbis() + with_serial(mux("ogg", "vorbis", SECONDS, rate=48_000, layout="stereo", codec_options=VORBIS), 5)
    heard, damaged = decoded(chain, 700)
    assert abs(len(heard) / 16_000 - 2 * SECONDS) < 0.1
    assert np.array_equal(decoded(chain, len(chain))[0], heard)
    assert damaged == 0

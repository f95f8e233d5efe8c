"""WAV whose header does not tell the truth: no sample is lost, no chunk is heard, what is neither counts as damage."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workers.media.chunks import cut, decode, decode_killed
from tests.unit.workers.media.material import declared, mux, pcm16, wav
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder, MediaError

FORMAT = declared("audio/wav")
SAMPLES = pcm16(0.5)
HEARD = np.frombuffer(SAMPLES, "<i2") / np.float32(32768)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) & 1)


INFO = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"Encoder 1.2.3"))
ID3 = chunk(b"id3 ", b"ID3\3\0\0\0\0\0\x0a" + bytes(10))
CUE = chunk(b"cue ", struct.pack("<7I", 1, 1, 0, 0x61746164, 0, 0, 0))
BEXT = chunk(b"bext", bytes(602))
TAILS = [b"", INFO, ID3, CUE, BEXT, chunk(b"LIST", b"INFO"), CUE + INFO + ID3, b"TAG" + bytes(125)]


def plain(size: int | None = None, tail: bytes = b"") -> bytes:
    return wav(SAMPLES, 1, 1, 16_000, 16, size=size, tail=tail)


def stale(size: int, tail: bytes = b"") -> bytes:
    """Both lengths in the header are those of an earlier moment."""
    data = plain(size, tail)
    return data[:4] + struct.pack("<I", 36 + size) + data[8:]


def damage_of(data: bytes, size: int) -> int:
    decoder = AudioDecoder(FORMAT)
    for number, part in enumerate(cut(data, [size])):
        decoder.decode(Chunk(number, part))
    decoder.finish()
    return decoder.damaged_bytes


@pytest.mark.parametrize("size", [0, 1, 2, 320, 4000, 4001, 8000, len(SAMPLES) - 2, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFF000])
@pytest.mark.parametrize("tail", TAILS[:5])
def test_every_sample_is_heard_whatever_length_is_declared(size: int, tail: bytes) -> None:
    data = stale(size & 0x7FFFFFFF, tail) if size < 0xFFFFFFFE else plain(size, tail)
    if size == 0x7FFFF000:
        data = data[: len(data) - len(tail)]  # inside the declared length everything is a sample
    for cut_at in (7, 1000, len(data)):
        assert np.array_equal(decode(FORMAT, cut(data, [cut_at])), HEARD)
    assert damage_of(data, 500) == 0


@pytest.mark.parametrize("tail", TAILS)
def test_chunks_behind_the_samples_are_silent(tail: bytes) -> None:
    data = plain(tail=tail)
    assert np.array_equal(decode(FORMAT, cut(data, [11])), HEARD)
    assert damage_of(data, 11) == 0


def test_an_odd_length_is_padded() -> None:
    samples = bytes(range(64, 191))
    data = wav(samples, 1, 1, 16_000, 8, tail=b"\0" + INFO)
    wanted = (np.frombuffer(samples, np.uint8).astype(np.float32) - 128) / 128
    assert np.array_equal(decode(FORMAT, cut(data, [9])), wanted)
    assert np.array_equal(decode(FORMAT, [wav(samples, 1, 1, 16_000, 8, tail=b"\0")]), wanted)


def test_a_chunk_of_an_unknown_name_is_believed_inside_the_file_only() -> None:
    strange = chunk(b"Abc ", bytes(20))
    assert np.array_equal(decode(FORMAT, [plain(tail=strange)]), HEARD)
    assert len(decode(FORMAT, [stale(len(SAMPLES), strange)])) == len(HEARD) + len(strange) // 2


@pytest.mark.parametrize("cut_at", [13, 600, 20_000])
def test_bytes_behind_the_chunks_are_damage(cut_at: int) -> None:
    data = plain(tail=INFO + b"\7" * 501)
    assert np.array_equal(decode(FORMAT, cut(data, [cut_at])), HEARD)
    assert damage_of(data, cut_at) == 501


def test_samples_after_a_second_data_chunk_are_heard() -> None:
    data = plain(tail=INFO + chunk(b"data", SAMPLES))
    assert np.array_equal(decode(FORMAT, cut(data, [99])), np.concatenate([HEARD, HEARD]))
    assert np.array_equal(decode(FORMAT, [plain() + plain()]), np.concatenate([HEARD, HEARD]))
    assert damage_of(plain() + wav(SAMPLES, 1, 1, 8_000, 16), 1000) > len(SAMPLES)


@pytest.mark.parametrize("name", [b"RF64", b"BW64"])
@pytest.mark.parametrize("counted", [len(SAMPLES), 0, 2000])
def test_the_long_form_says_its_length_in_ds64(name: bytes, counted: int) -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 72 + counted, counted, 0, 0))
    body = plain()[12:36]
    data = name + b"\xff\xff\xff\xffWAVE" + sizes + body + b"data\xff\xff\xff\xff" + SAMPLES + CUE
    for cut_at in (10, 3000):
        assert np.array_equal(decode(FORMAT, cut(data, [cut_at])), HEARD)
    assert damage_of(data, 100) == 0


@pytest.mark.parametrize("bits", [16, 24])
def test_the_extensible_format_is_read(bits: int) -> None:
    width = bits // 8
    values = (HEARD * (1 << bits - 1)).astype("<i4").view("u1").reshape(-1, 4)[:, :width].tobytes()
    guid = struct.pack("<HHIH", 22, bits, 4, 1) + bytes.fromhex("000000001000800000aa00389b71")
    head = struct.pack("<HHIIHH", 0xFFFE, 1, 16_000, 16_000 * width, width, bits) + guid
    body = b"WAVE" + chunk(b"fmt ", head) + b"data" + struct.pack("<I", 500) + values + INFO
    data = b"RIFF" + struct.pack("<I", 568) + body
    assert np.array_equal(decode(FORMAT, cut(data, [99])), HEARD)


@pytest.mark.parametrize("align", [0, 1, 4, 8])
def test_a_wrong_block_size_does_not_change_the_samples(align: int) -> None:
    data = bytearray(plain())
    struct.pack_into("<H", data, 32, align)
    assert np.array_equal(decode(FORMAT, cut(bytes(data), [99])), HEARD)


def test_24_bits_may_stand_in_32() -> None:
    data = bytearray(wav((HEARD * (1 << 31)).astype("<i4").tobytes(), 1, 1, 16_000, 32))
    struct.pack_into("<H", data, 34, 24)
    assert np.array_equal(decode(FORMAT, cut(bytes(data), [99])), HEARD)


@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav"])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_adpcm_is_read(codec: str, layout: str) -> None:
    data = mux("wav", codec, 0.5, rate=16_000, layout=layout)
    heard = decode(FORMAT, cut(data, [77]))
    assert 0 <= len(heard) - len(HEARD) < 2100
    assert np.sqrt(np.mean((heard[: len(HEARD)] - HEARD) ** 2)) < 0.05
    assert damage_of(data, 200) == 0


@pytest.mark.parametrize(("kind", "name"), [(0x55, "MP3"), (0x161, "WMA"), (0x7777, "of an unknown kind")])
def test_other_codecs_are_named(kind: int, name: str) -> None:
    with pytest.raises(MediaError, match=name):
        decode(FORMAT, [wav(bytes(800), kind, 1, 8000, 8)])


@settings(max_examples=40, deadline=None)
@given(
    declared_size=st.sampled_from([0, 2000, 9001, len(SAMPLES), 0xFFFFFFFF]),
    tail=st.sampled_from([b"", INFO, CUE + ID3]),
    sizes=st.lists(st.integers(1, 900), min_size=1, max_size=5),
    kills=st.lists(st.floats(0.05, 1), min_size=1, max_size=4),
    behind=st.sampled_from([0, 1, 1601]),
)
def test_neither_the_cut_nor_a_restart_changes_a_sample(
    declared_size: int, tail: bytes, sizes: list[int], kills: list[float], behind: int
) -> None:
    chunks = cut(plain(declared_size, tail), sizes)
    places = [max(1, int(kill * (len(chunks) - 1))) for kill in kills]
    assert np.array_equal(decode_killed(FORMAT, chunks, places, behind), HEARD)

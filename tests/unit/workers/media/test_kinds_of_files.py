"""The kinds of files that people bring, containers by codecs by oddities: right samples, or one error that names it.

The oracle for the samples is FFmpeg's own demuxer and decoder. No kind is silent: neither empty without an error, nor
shorter than what FFmpeg hears.
"""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kinds.recordings import HEARD, REFUSED, VORBIS, Recording, vorbis
from tests.kinds.sounds import TONE_SECONDS, short_tone
from tests.unit.workers.media.chunks import assert_same, cut, decode_killed
from tests.unit.workers.media.material import declared, mux, with_serial
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder, MediaError

AUDIO = declared("audio")


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
def test_the_samples_are_those_of_ffmpeg(row: Recording) -> None:
    data = row.data(short_tone)
    heard, damaged = decoded(data, 1000)
    wanted = oracle((row.oracle or row.data)(short_tone))
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
def test_a_restart_changes_nothing(row: Recording) -> None:
    chunks = cut(row.data(short_tone), [max(40, len(row.data(short_tone)) // 30)])
    whole, _ = decoded(row.data(short_tone), 1000)
    lossy = any(name in row.name.lower() for name in ("aac", "m4", "mp4 in fragments", "amr", "3gp"))
    for kills in ([5, 11, 20], [len(chunks) - 1]):
        assert_same(decode_killed(AUDIO, chunks, kills, 1601), whole, aac=lossy)


@pytest.mark.parametrize("row", HEARD, ids=lambda row: row.name)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_mutated_files_end_in_an_error_or_go_on(row: Recording, data: st.DataObject) -> None:
    broken = bytearray(row.data(short_tone))
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


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_what_is_not_supported_is_named(row: Recording) -> None:
    for size in (100, 1 << 20):
        with pytest.raises(MediaError) as caught:
            decoded(row.data(short_tone), size)
        assert str(caught.value).startswith(row.refused)


def test_a_chain_of_vorbis_is_heard_whole() -> None:
    chain = vorbis(short_tone) + with_serial(
        mux("ogg", "vorbis", TONE_SECONDS, rate=48_000, layout="stereo", codec_options=VORBIS), 5
    )
    heard, damaged = decoded(chain, 700)
    assert abs(len(heard) / 16_000 - 2 * TONE_SECONDS) < 0.1
    assert np.array_equal(decoded(chain, len(chain))[0], heard)
    assert damaged == 0

"""What comes out of the decoder: the recorded sound, whatever the cut, and the same after a restart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talkup.v1 import media_pb2

from tests.unit.workers.media.chunks import assert_same, chunks_of, cut, decode, decode_killed
from tests.unit.workers.media.material import LIVE, declared, mux, pcm16, recordings, tone, wav, with_serial
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder, MediaError

NAMES = list(recordings())
CUT = [n for n in NAMES if n != "packets"]


def aligned_error(heard, seconds: float) -> float:
    """RMS of the difference from the tone, relative to the tone, at the best shift within 70 ms."""
    wanted = tone(seconds, 16_000)
    errors = []
    for shift in range(1120):
        part = heard[shift : shift + 16_000]
        errors.append(np.sqrt(np.mean((part - wanted[: len(part)]) ** 2)))
    return float(min(errors) / np.sqrt(np.mean(wanted**2)))


@pytest.mark.parametrize("name", NAMES)
def test_what_was_recorded_is_heard(name: str) -> None:
    recording = recordings()[name]
    heard = decode(recording.fmt, chunks_of(recording, [1000]))
    assert abs(len(heard) / 16_000 - recording.seconds) < 0.09
    assert np.abs(heard).max() < 1.1
    assert aligned_error(heard, recording.seconds) < (0.15 if name in ("pcm", "flac") else 0.6)


@pytest.mark.parametrize("name", CUT)
@settings(max_examples=6, deadline=None)
@given(sizes=st.lists(st.integers(1, 900), min_size=1, max_size=6))
def test_the_cut_changes_nothing(name: str, sizes: list[int]) -> None:
    recording = recordings()[name]
    whole = decode(recording.fmt, [recording.data])
    assert np.array_equal(decode(recording.fmt, cut(recording.data, sizes)), whole)


@pytest.mark.parametrize("name", ["webm", "ogg", "mp4-opus", "mp3", "flac"])
def test_single_bytes_change_nothing(name: str) -> None:
    recording = recordings()[name]
    whole = decode(recording.fmt, [recording.data])
    assert np.array_equal(decode(recording.fmt, cut(recording.data, [1])), whole)


@pytest.mark.parametrize("name", ["webm", "ogg", "mp4-opus", "wav", "flac", "mp3"])
@pytest.mark.parametrize("kills", [[], [2], [4, 9]])
def test_empty_slices_change_nothing(name: str, kills: list[int]) -> None:
    recording = recordings()[name]
    parts = cut(recording.data, [1000])
    slices = [b"", b"", *[part for each in parts for part in (each, b"")]]
    heard = decode_killed(recording.fmt, slices, kills, 0, frozenset([2]))
    assert_same(heard, decode(recording.fmt, parts), aac=False)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, deadline=None)
@given(
    sizes=st.lists(st.integers(20, 900), min_size=1, max_size=4),
    kills=st.lists(st.floats(0.02, 1), min_size=1, max_size=4),
    behind=st.sampled_from([0, 1, 1601, 8000]),
)
def test_restarts_change_nothing(name: str, sizes: list[int], kills: list[float], behind: int) -> None:
    recording = recordings()[name]
    chunks = chunks_of(recording, sizes)
    whole = decode(recording.fmt, chunks)
    places = [max(1, int(kill * (len(chunks) - 1))) for kill in kills]
    killed = decode_killed(recording.fmt, chunks, places, behind)
    assert_same(killed, whole, aac="aac" in name)


def two_recordings(first: str, second: str):
    one, two = recordings()[first], recordings()[second]
    chunks = cut(one.data, [700])
    start = len(chunks)
    return declared("audio/any"), chunks + cut(two.data, [500]), start


@pytest.mark.parametrize(
    ("first", "second"), [("webm", "webm"), ("webm", "ogg"), ("flac-44k", "mp3"), ("mp3", "mp4-opus")]
)
def test_a_new_recording_continues_on_the_same_clock(first: str, second: str) -> None:
    fmt, chunks, start = two_recordings(first, second)
    decoder = AudioDecoder(fmt)
    parts = [decoder.decode(Chunk(n, chunk, new_recording=n == start)) for n, chunk in enumerate(chunks)] + [
        decoder.finish()
    ]
    apart = [decode(fmt, chunks[:start]), decode(fmt, chunks[start:])]
    assert np.array_equal(np.concatenate(parts), np.concatenate(apart))
    assert decoder.position == sum(map(len, apart))


@settings(max_examples=12, deadline=None)
@given(kills=st.lists(st.floats(0.02, 1), min_size=1, max_size=5), behind=st.sampled_from([0, 1601, 8000]))
def test_restarts_across_recordings_change_nothing(kills: list[float], behind: int) -> None:
    fmt, chunks, start = two_recordings("webm", "flac-44k")
    starts = frozenset([start])
    whole = decode_killed(fmt, chunks, [], 0, starts)
    places = [max(1, int(kill * (len(chunks) - 1))) for kill in kills]
    killed = decode_killed(fmt, chunks, places, behind, starts)
    assert_same(killed, whole, aac=False)


@settings(max_examples=6, deadline=None)
@given(kills=st.lists(st.floats(0.02, 1), min_size=1, max_size=4), behind=st.sampled_from([0, 1601, 8000]))
def test_a_chain_of_recordings_is_heard_whole_whatever_dies(kills: list[float], behind: int) -> None:
    recording = recordings()["ogg"]
    chunks = cut(recording.data + with_serial(mux("ogg", "libopus", 1.2), 99), [700])
    whole = decode(recording.fmt, chunks)
    assert abs(len(whole) / 16_000 - recording.seconds - 1.2) < 0.15
    again = decode_killed(recording.fmt, chunks, [max(1, int(kill * (len(chunks) - 1))) for kill in kills], behind)
    assert_same(again, whole, aac=False)


@pytest.mark.parametrize("name", ["webm", "ogg", "mp4-opus", "flac", "pcm", "packets", "mp3", "wav"])
def test_a_gap_keeps_the_words_in_time(name: str) -> None:
    recording = recordings()[name]
    chunks = chunks_of(recording, [len(recording.data) // 40])
    first, lost = len(chunks) // 2, len(chunks) // 5
    whole = decode(recording.fmt, chunks)
    decoder = AudioDecoder(recording.fmt)
    parts = [decoder.decode(Chunk(n, chunk)) for n, chunk in enumerate(chunks[:first])]
    after = first + lost
    parts += [
        decoder.decode(Chunk(n, chunk, missing_before=lost if n == after else 0))
        for n, chunk in enumerate(chunks[after:], after)
    ]
    heard = np.concatenate([*parts, decoder.finish()])
    assert abs(len(heard) - len(whole)) < 16_000 * 0.15
    tail = 16_000 // 8
    if name in ("webm", "pcm", "mp4-opus", "packets"):
        assert np.abs(heard[-tail:] - whole[-tail:]).max() < 0.05


def test_a_restart_behind_a_gap_is_exact() -> None:
    recording = recordings()["mp3"]
    chunks = cut(recording.data, [300])
    gap = {10: 3, 20: 1}
    numbers = [n for n in range(len(chunks)) if n not in (7, 8, 9, 19)]

    def run(decoder: AudioDecoder, start: int) -> np.ndarray:
        fed = [decoder.decode(Chunk(n, chunks[n], missing_before=gap.get(n, 0))) for n in numbers if n >= start]
        return np.concatenate([*fed, decoder.finish()])

    whole = run(AudioDecoder(recording.fmt), 0)
    decoder = AudioDecoder(recording.fmt)
    heard = np.concatenate(
        [decoder.decode(Chunk(n, chunks[n], missing_before=gap.get(n, 0))) for n in numbers if n < 25]
    )
    for sample in (1000, 6000, len(heard) - 100, len(heard)):
        checkpoint = decoder.checkpoint(sample)
        again = run(AudioDecoder(recording.fmt, checkpoint.state), checkpoint.replay_from_sequence)
        assert_same(again, whole[sample:], aac=False)


def test_a_replay_whose_first_chunk_is_lost_continues_behind_it() -> None:
    recording = recordings()["webm"]
    chunks = cut(recording.data, [250])
    decoder = AudioDecoder(recording.fmt)
    heard = sum(len(decoder.decode(Chunk(n, chunk))) for n, chunk in enumerate(chunks[:15]))
    checkpoint = decoder.checkpoint(heard)
    successor = AudioDecoder(recording.fmt, checkpoint.state)
    late = checkpoint.replay_from_sequence + 2
    for n, chunk in enumerate(chunks[late:], late):
        successor.decode(Chunk(n, chunk, missing_before=2 if n == late else 0))
    successor.finish()
    assert abs(successor.position / 16_000 - recording.seconds) < 0.1


def test_a_replay_from_the_wrong_chunk_is_refused() -> None:
    recording = recordings()["webm"]
    decoder = AudioDecoder(recording.fmt)
    decoder.decode(Chunk(0, recording.data[:2000]))
    decoder.decode(Chunk(1, recording.data[2000:]))
    successor = AudioDecoder(recording.fmt, decoder.checkpoint(decoder.position).state)
    with pytest.raises(MediaError):
        successor.decode(Chunk(7, recording.data[:10]))


def test_damage_inside_a_recording_costs_little() -> None:
    recording = recordings()["webm"]
    damaged = bytearray(recording.data)
    middle = len(damaged) // 2
    damaged[middle : middle + 300] = bytes(300)
    heard = decode(recording.fmt, [bytes(damaged)])
    assert abs(len(heard) / 16_000 - recording.seconds) < 0.1


def damage_of(fmt: media_pb2.MediaFormat, chunks: list[bytes]) -> int:
    decoder = AudioDecoder(fmt)
    for number, chunk in enumerate(chunks):
        decoder.decode(Chunk(number, chunk))
    decoder.finish()
    return decoder.damaged_bytes


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_recording_has_no_damage(name: str) -> None:
    recording = recordings()[name]
    assert damage_of(recording.fmt, chunks_of(recording, [700])) == 0


@pytest.mark.parametrize(
    "tag", [b"TAG" + bytes(125), b"APETAGEX" + bytes(120), b"LYRICSBEGIN" + bytes(99), bytes(1_000)]
)
def test_tags_at_the_end_are_no_damage(tag: bytes) -> None:
    recording = recordings()["mp3"]
    assert damage_of(recording.fmt, cut(recording.data + tag, [50])) == 0


@pytest.mark.parametrize("name", ["webm", "mp4-opus", "mp3"])
@settings(max_examples=6, deadline=None)
@given(sizes=st.lists(st.integers(1, 900), min_size=1, max_size=4))
def test_damage_is_counted_whatever_the_cut(name: str, sizes: list[int]) -> None:
    """All of the damage, and what is lost with it up to the next restart point."""
    recording = recordings()[name]
    damaged = bytearray(recording.data)
    middle = len(damaged) // 2
    damaged[middle : middle + 300] = bytes(300)
    found = damage_of(recording.fmt, cut(bytes(damaged), sizes))
    assert 150 < found < len(damaged) // 2
    assert found == damage_of(recording.fmt, [bytes(damaged)])


def test_bytes_behind_a_gap_that_was_told_are_no_damage() -> None:
    recording = recordings()["webm"]
    chunks = cut(recording.data, [700])
    decoder = AudioDecoder(recording.fmt)
    for number, chunk in enumerate(chunks):
        if number != len(chunks) // 2:
            decoder.decode(Chunk(number, chunk, missing_before=int(number == len(chunks) // 2 + 1)))
    assert decoder.damaged_bytes == 0


def test_the_state_is_compact() -> None:
    for name, recording in recordings().items():
        decoder = AudioDecoder(recording.fmt)
        for number, chunk in enumerate(chunks_of(recording, [500])):
            decoder.decode(Chunk(number, chunk))
        assert len(decoder.checkpoint(decoder.position).state) < 1000, name


def test_a_checkpoint_needs_audio_that_was_handed_out() -> None:
    decoder = AudioDecoder(recordings()["pcm"].fmt)
    with pytest.raises(ValueError, match="no such sample"):
        decoder.checkpoint(0)
    decoder.decode(Chunk(0, bytes(3200)))
    assert decoder.checkpoint(0).replay_from_sequence == 0
    with pytest.raises(ValueError, match="no such sample"):
        decoder.checkpoint(1601)


def test_after_a_failure_only_a_new_recording_continues() -> None:
    good = recordings()["webm"]
    decoder = AudioDecoder(good.fmt)
    with pytest.raises(MediaError):
        decoder.decode(Chunk(0, b"no container at all"))
    with pytest.raises(MediaError):
        decoder.decode(Chunk(1, good.data))
    assert len(decoder.decode(Chunk(2, good.data, new_recording=True))) > 16_000
    decoder.finish()
    with pytest.raises(MediaError):
        decoder.decode(Chunk(3, good.data))


@pytest.mark.parametrize(
    ("kind", "bits", "dtype", "scale", "middle"),
    [
        (1, 8, "u1", 128, 128),
        (1, 16, "<i2", 32768, 0),
        (1, 32, "<i4", 1 << 31, 0),
        (3, 32, "<f4", 1, 0),
        (3, 64, "<f8", 1, 0),
    ],
)
def test_every_wav_sample_arrives(kind: int, bits: int, dtype: str, scale: int, middle: int) -> None:
    left = tone(0.3, 16_000).astype(np.float64)
    both = np.stack([left, -left / 2], axis=1) * scale * 0.99 + middle
    data = wav(both.astype(dtype).tobytes(), kind, 2, 16_000, bits, size=0xFFFFFFFF)
    heard = decode(declared("audio/wav"), cut(data, [77]))
    assert len(heard) == len(left)
    assert np.abs(heard - left / 4 * 0.99).max() <= 1.01 / min(scale, 1 << 20) + 1e-6


@pytest.mark.parametrize(
    ("encoding", "codec"), [("PCM_ENCODING_MULAW", "pcm_mulaw"), ("PCM_ENCODING_ALAW", "pcm_alaw")]
)
def test_g711_is_what_ffmpeg_hears(encoding: str, codec: str) -> None:
    import av

    codes = bytes(range(256)) * 2
    fmt = declared(
        "audio/basic",
        media_pb2.CONTAINER_PCM,
        pcm_encoding=media_pb2.PcmEncoding.Value(encoding),
        sample_rate=16_000,
        channels=1,
    )
    oracle = av.CodecContext.create(codec, "r")
    oracle.sample_rate, oracle.layout = 16_000, "mono"
    wanted = np.concatenate([frame.to_ndarray()[0] for frame in oracle.decode(av.Packet(codes))]) / 32768
    assert np.array_equal(decode(fmt, [codes]), wanted.astype(np.float32))


def test_a_webm_of_float_pcm_is_read() -> None:
    data = mux("matroska", "pcm_f32le", 0.5, options=LIVE, rate=16_000)
    heard = decode(declared("audio/webm;codecs=pcm"), cut(data, [333]))
    assert np.abs(heard - tone(0.5, 16_000)).max() < 1e-6


def test_pcm_of_every_rate_keeps_its_length() -> None:
    for rate in (8_000, 11_025, 22_050, 32_000, 44_100, 48_000):
        fmt = declared(
            "audio/pcm",
            media_pb2.CONTAINER_PCM,
            pcm_encoding=media_pb2.PCM_ENCODING_S16LE,
            sample_rate=rate,
            channels=1,
        )
        heard = decode(fmt, cut(pcm16(0.5, rate), [501]))
        assert len(heard) == -(-(rate // 2) * 16_000 // rate)


def test_a_page_of_ogg_that_is_damaged_within_is_heard_and_counted() -> None:
    recording = recordings()["ogg"]
    data = bytearray(recording.data)
    data[len(data) // 2] ^= 1  # within a packet, so that nothing but the checksum of its page is wrong
    decoder = AudioDecoder(recording.fmt)
    heard = np.concatenate([decoder.decode(Chunk(0, bytes(data))), decoder.finish()])
    assert abs(len(heard) / 16_000 - recording.seconds) < 0.1
    assert 0 < decoder.damaged_bytes < len(data) // 2

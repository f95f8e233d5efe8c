"""Two channels become one, and no phase between them hides a voice."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talkup.v1 import media_pb2

from tests.unit.workers.media.chunks import assert_same, cut, decode, decode_killed
from tests.unit.workers.media.material import FRAGMENTED, declared, mux, recordings, tone
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder
from workers.media.mixer import StereoMixer

RATE = 16_000
FORMAT = declared(
    "audio/pcm",
    media_pb2.CONTAINER_PCM,
    pcm_encoding=media_pb2.PCM_ENCODING_S16LE,
    sample_rate=RATE,
    channels=2,
)
VOICE = tone(2.0, RATE).astype(np.float64)
OTHER = tone(2.0, RATE, seed=5)[::-1].astype(np.float64)
NOISE = np.random.default_rng(3).normal(0, 0.001, (2, len(VOICE)))


def pcm(left, right) -> bytes:
    return (np.stack([left, right], 1) * 32767).round().astype("<i2").tobytes()


def heard(left, right):
    return decode(FORMAT, cut(pcm(left, right), [4 * 777]))


def level(samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def loudest_step(samples) -> float:
    return float(np.abs(np.diff(samples)).max())


@pytest.mark.parametrize("factor", [-1, -0.99, -0.9, -0.7])
def test_a_channel_upside_down_is_turned(factor: float) -> None:
    samples = heard(VOICE, factor * VOICE)
    assert np.abs(samples - (1 - factor) / 2 * VOICE).max() < 2 / 32767


@pytest.mark.parametrize("factor", [1, 0.5, 0, -0.1, -0.5])
def test_otherwise_the_mean_is_heard(factor: float) -> None:
    samples = heard(VOICE, factor * VOICE)
    assert np.abs(samples - (1 + factor) / 2 * VOICE).max() < 2 / 32767


def test_noise_and_pauses_do_not_hide_what_is_upside_down() -> None:
    gate = (np.arange(len(VOICE)) // 8000) % 2
    samples = heard(gate * VOICE + NOISE[0], -gate * VOICE + NOISE[1])
    assert level(samples - gate * VOICE) < 0.02 * level(VOICE)


def test_both_speakers_of_a_call_are_heard() -> None:
    turn = (np.arange(len(VOICE)) // 4000) % 3
    left, right = VOICE * (turn != 1), OTHER * (turn != 0)
    assert np.abs(heard(left, right) - (left + right) / 2).max() < 2 / 32767


def test_a_speaker_in_the_middle_is_heard_after_sound_upside_down() -> None:
    half = len(VOICE) // 2
    right = np.concatenate([-VOICE[:half], VOICE[half:]])
    samples = heard(VOICE, right)
    assert np.abs(samples[:half] - VOICE[:half]).max() < 2 / 32767
    assert level(samples[half + 400 :] - VOICE[half + 400 :]) < 0.01 * level(VOICE)


@pytest.mark.parametrize("delay", [1, 8, 40, 200])
def test_a_delay_upside_down_hides_nothing(delay: int) -> None:
    samples = heard(VOICE, -np.roll(VOICE, delay))
    assert level(samples) > 0.3 * level(VOICE)


def test_sides_that_cancel_now_and_then_stay_as_they_are() -> None:
    """Two tones a little apart cancel in the mean for some milliseconds at a time."""
    seconds = np.arange(len(VOICE)) / RATE
    left, right = 0.3 * np.sin(2 * np.pi * 440 * seconds), 0.3 * np.sin(2 * np.pi * 442 * seconds)
    samples = heard(left, right)
    assert loudest_step(samples) < 1.2 * max(loudest_step(left), loudest_step(right))


def test_no_step_is_louder_than_the_sound_itself() -> None:
    turn = (np.arange(len(VOICE)) // 3210) % 2
    samples = heard(VOICE, VOICE * np.where(turn, 1, -1))
    assert loudest_step(samples) < 1.5 * loudest_step(VOICE)


def phases() -> bytes:
    """A recording whose channels change their phase again and again, with noise."""
    sign = np.where((np.arange(len(VOICE)) // 5000) % 2, 1, -1)
    return pcm(VOICE + NOISE[0], sign * VOICE + NOISE[1])


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=5),
    kills=st.lists(st.floats(0.05, 1), min_size=1, max_size=4),
    behind=st.sampled_from([0, 1, 321, 1601, 8000]),
)
def test_neither_the_cut_nor_a_restart_changes_a_sample(sizes: list[int], kills: list[float], behind: int) -> None:
    whole = decode(FORMAT, [phases()])
    chunks = cut(phases(), sizes)
    assert np.array_equal(decode(FORMAT, chunks), whole)
    places = [max(1, int(kill * (len(chunks) - 1))) for kill in kills]
    assert np.array_equal(decode_killed(FORMAT, chunks, places, behind), whole)


@settings(max_examples=6, deadline=None)
@given(kills=st.lists(st.floats(0.1, 1), min_size=1, max_size=4), behind=st.sampled_from([0, 1601]))
def test_a_restart_in_a_coded_recording_keeps_the_phase(kills: list[float], behind: int) -> None:
    data = mux("ogg", "libopus", 2.0, layout="stereo", bit_rate=96_000, invert=True)
    chunks = cut(data, [500])
    whole = decode(declared("audio/ogg"), chunks)
    assert level(whole) > 0.8 * level(VOICE)
    places = [max(1, int(kill * (len(chunks) - 1))) for kill in kills]
    assert_same(decode_killed(declared("audio/ogg"), chunks, places, behind), whole, aac=False)


def test_the_state_of_a_mono_recording_is_what_it_was_before_the_mixer() -> None:
    recording = recordings()["pcm"]
    decoder = AudioDecoder(recording.fmt)
    decoder.decode(Chunk(0, recording.data))
    assert len(msgspec.msgpack.decode(decoder.checkpoint(8000).state)) == 12


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_values_that_are_no_sound_do_not_stay_in_the_state(bad: float) -> None:
    fmt = declared(
        "audio/pcm",
        media_pb2.CONTAINER_PCM,
        pcm_encoding=media_pb2.PCM_ENCODING_F32LE,
        sample_rate=RATE,
        channels=2,
    )
    pair = np.stack([VOICE, -VOICE], 1).astype("<f4")
    pair[1000:1010] = bad
    chunks = cut(pair.tobytes(), [4000])
    whole = decode(fmt, chunks)
    assert np.abs(whole[2000:] - VOICE[2000:]).max() < 1e-6
    assert np.array_equal(decode_killed(fmt, chunks, [5, 30], 100), whole)


def test_mono_passes_at_once_and_unchanged() -> None:
    mixer = StereoMixer(RATE, 5)
    samples = np.arange(7, dtype=np.float32)
    assert np.array_equal(mixer.push(samples[None]), samples)
    assert mixer.mixing_before(1 << 30) is None


@pytest.mark.parametrize("channels", [3, 4, 6, 8])
@pytest.mark.parametrize("speaks", [0, 2])
def test_a_voice_on_one_channel_of_many_is_as_loud_as_on_one_of_two(channels: int, speaks: int) -> None:
    many = np.zeros((len(VOICE), channels))
    many[:, speaks] = VOICE
    fmt = media_pb2.MediaFormat()
    fmt.CopyFrom(FORMAT)
    fmt.channels = channels
    samples = decode(fmt, cut((many * 32767).round().astype("<i2").tobytes(), [1000]))
    assert np.array_equal(samples, heard(VOICE, 0 * VOICE))


@pytest.mark.parametrize("channels", [3, 4, 8])
def test_one_of_many_channels_upside_down_hides_nothing(channels: int) -> None:
    """An audio interface offers all its inputs, of which two have a cable with crossed wires."""
    samples = np.zeros((len(VOICE), channels))
    samples[:, 0], samples[:, 1] = VOICE, -VOICE
    fmt = declared(
        "audio/pcm",
        media_pb2.CONTAINER_PCM,
        pcm_encoding=media_pb2.PCM_ENCODING_S16LE,
        sample_rate=RATE,
        channels=channels,
    )
    heard = decode(fmt, cut((samples * 32767).round().astype("<i2").tobytes(), [2 * channels * 777]))
    assert np.abs(heard - VOICE).max() < 2 / 32767


@pytest.mark.parametrize(
    ("container", "codec", "mime", "options"),
    [("mp4", "aac", "audio/mp4", FRAGMENTED), ("flac", "flac", "audio/flac", {})],
)
def test_eight_channels_are_heard_like_six(container: str, codec: str, mime: str, options: dict[str, str]) -> None:
    """PyAV takes the memory behind the pointers of eight planar channels for a ninth one, and crashes."""
    six, eight = (
        mux(container, codec, 1.0, layout=layout, bit_rate=512_000, options=options) for layout in ("5.1", "7.1")
    )
    six_heard, eight_heard = (decode(declared(mime), cut(data, [4000])) for data in (six, eight))
    assert level(eight_heard) > 0.1 * level(VOICE)
    assert level(eight_heard) == pytest.approx(level(six_heard), rel=0.05)

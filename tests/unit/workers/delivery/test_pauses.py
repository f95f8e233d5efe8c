"""Pauses: between true edges, never from clicks or closures, and the same from any saved memory."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.corpus import OWN_CLIPS, read_audio
from tests.unit.workers.delivery.sounds import hops_of, noise
from workers.delivery.pauses import HOPS, SHORTEST_PAUSE_MS, Heard, PauseFinder, PauseMemory, Stretch, block_voices
from workers.stt.vad import SileroVad, VadState

LOUD, QUIET = 1e-3, 1e-8


def listen(speech: list[bool], finder: PauseFinder | None = None) -> tuple[list[Heard], PauseFinder]:
    """Hops that are plainly speech or plainly not, whole blocks of them, to the end."""
    finder = finder or PauseFinder()
    heard = []
    for begin in range(0, len(speech) - HOPS + 1, HOPS):
        part = speech[begin : begin + HOPS]
        powers = np.array([LOUD if spoken else QUIET for spoken in part])
        heard.append(finder.push(powers, [0.95 if spoken else 0.02 for spoken in part]))
    heard.append(finder.finish())
    return heard, finder


def pauses(heard: list[Heard]) -> list[Stretch]:
    return [pause for one in heard for pause in one.pauses]


def stretches(heard: list[Heard]) -> list[Stretch]:
    return [stretch for one in heard for stretch in one.stretches]


def test_speech_pause_speech() -> None:
    heard, _ = listen([False] * 10 + [True] * 50 + [False] * 40 + [True] * 30 + [False] * 20)
    # The level is smoothed over three hops: speech reaches one hop farther to both sides.
    assert stretches(heard) == [Stretch(180, 1220), Stretch(1980, 2620)]
    assert pauses(heard) == [Stretch(1220, 1980)]


@pytest.mark.parametrize("hops", [3, 6, 10, 14])
def test_a_closure_is_no_pause(hops: int) -> None:
    """What is shorter than 250 ms once both edges are smoothed."""
    heard, _ = listen([True] * 50 + [False] * hops + [True] * 30 + [False] * 20)
    assert pauses(heard) == []
    assert len(stretches(heard)) == 1


def test_a_click_ends_no_pause() -> None:
    finder = PauseFinder()
    quiet, click = np.full(HOPS, QUIET), np.full(HOPS, QUIET)
    click[2] = LOUD
    heard = []
    for number in range(60):
        spoken = number < 10 or number >= 50
        powers = np.full(HOPS, LOUD) if spoken else click if number == 30 else quiet
        heard.append(finder.push(powers, [0.95 if spoken else 0.02] * HOPS))
    heard.append(finder.finish())
    assert [(round(pause.t0_ms, -2), round(pause.t1_ms, -2)) for pause in pauses(heard)] == [(1000, 5000)]


def test_silence_before_and_after_is_no_pause() -> None:
    heard, finder = listen([False] * 100)
    assert pauses(heard) == stretches(heard) == []
    assert finder.pause_from_ms is None
    heard, _ = listen([False] * 50 + [True] * 50 + [False] * 100)
    assert pauses(heard) == []


def test_the_pause_that_lasts() -> None:
    finder, lasting, speaking = PauseFinder(), [], []
    for number in range(30):
        spoken = number < 10
        finder.push(np.full(HOPS, LOUD if spoken else QUIET), [0.95 if spoken else 0.02] * HOPS)
        lasting.append(finder.pause_from_ms)
        speaking.append(finder.speech_from_ms)
        assert finder.decided_ms == number * 100
    assert lasting == [None] * 13 + [1020] * 17
    assert speaking == [None, *[0] * 12, *[None] * 17]


def test_a_knock_before_the_first_word_is_not_the_background() -> None:
    """As loud as the voice: all of what follows would be silence until the next clear pause."""
    finder, heard = PauseFinder(), []
    for number in range(60):
        knock, spoken, soft = number < 3, 3 <= number < 30 or number >= 37, number % 2 == 0
        powers = np.full(HOPS, LOUD if knock or (spoken and not soft) else LOUD / 20 if spoken else QUIET)
        # In the pause the detector is not sure that nobody speaks.
        heard.append(finder.push(powers, [0.02 if knock else 0.95 if spoken else 0.2] * HOPS))
    heard.append(finder.finish())
    assert [(round(pause.t0_ms, -2), round(pause.t1_ms, -2)) for pause in pauses(heard)] == [(3000, 3700)]


def test_a_loud_noise_without_a_voice_is_a_pause() -> None:
    finder, heard = PauseFinder(), []
    for number in range(60):
        spoken = number < 20 or number >= 40
        heard.append(finder.push(np.full(HOPS, LOUD), [0.95 if spoken else 0.2] * HOPS))
    found = pauses(heard)
    assert len(found) == 1
    assert found[0].ms == pytest.approx(2000, abs=250)


@pytest.mark.parametrize(
    ("late", "begins_ms"),
    [
        pytest.param(15, 2480, id="speech whose first 300 ms the detector misses"),
        pytest.param(30, 3000, id="600 ms are something else"),
    ],
)
def test_sound_that_runs_into_a_voice_belongs_to_it(late: int, begins_ms: int) -> None:
    """After a silence the detector wakes late, while the sound is as loud as speech. One soft hop is a closure."""
    powers = np.concatenate([np.full(50, LOUD), np.full(75, QUIET), np.full(75, LOUD)])
    powers[130] = QUIET
    voices = [0.95] * 50 + [0.02] * (75 + late) + [0.95] * (75 - late)
    finder, heard = PauseFinder(), []
    for at in range(0, 200, HOPS):
        heard.append(finder.push(powers[at : at + HOPS], voices[at : at + HOPS]))
    heard.append(finder.finish())
    assert pauses(heard) == [Stretch(1020, begins_ms)]
    assert stretches(heard)[-1].t0_ms == pauses(heard)[0].t1_ms


def test_a_knock_before_a_voice_is_no_part_of_it() -> None:
    """100 ms of silence lie between."""
    powers = np.concatenate(
        [np.full(50, LOUD), np.full(50, QUIET), np.full(5, LOUD), np.full(5, QUIET), np.full(50, LOUD)]
    )
    voices = [0.95] * 50 + [0.02] * 60 + [0.95] * 50
    finder, heard = PauseFinder(), []
    for at in range(0, 160, HOPS):
        heard.append(finder.push(powers[at : at + HOPS], voices[at : at + HOPS]))
    assert pauses(heard) == [Stretch(1020, 2180)]


def test_a_pause_that_was_a_late_detector_is_none() -> None:
    """200 ms of silence, and 200 ms of sound that the detector misses."""
    powers = np.concatenate([np.full(50, LOUD), np.full(12, QUIET), np.full(58, LOUD)])
    voices = [0.95] * 50 + [0.02] * 22 + [0.95] * 48
    finder, heard = PauseFinder(), []
    for at in range(0, 120, HOPS):
        heard.append(finder.push(powers[at : at + HOPS], voices[at : at + HOPS]))
    heard.append(finder.finish())
    assert pauses(heard) == []
    assert stretches(heard) == [Stretch(0, 1020), Stretch(1220, 2400)]


def test_every_hop_is_decided_once() -> None:
    speech = [number % 37 < 20 for number in range(300)]
    heard, _ = listen(speech)
    assert [one.first_hop for one in heard] == [max(0, number - 1) * HOPS for number in range(61)]
    assert sum(len(one.speech) for one in heard) == 300


runs = st.lists(st.integers(1, 40), max_size=20)


@given(runs)
def test_stretches_and_pauses_take_turns(lengths: list[int]) -> None:
    """Speech, pause, speech, …: each begins where the other ends, no pause is shorter than 250 ms."""
    speech = [number % 2 == 0 for number, length in enumerate(lengths) for _ in range(length)]
    heard, _ = listen(speech[: len(speech) // HOPS * HOPS])
    spoken, silent = stretches(heard), pauses(heard)
    assert len(silent) == max(0, len(spoken) - 1)
    for before, pause, after in zip(spoken, silent, spoken[1:], strict=False):
        assert before.t1_ms == pause.t0_ms < pause.t1_ms == after.t0_ms
        assert pause.ms >= SHORTEST_PAUSE_MS
    assert all(stretch.ms > 0 for stretch in spoken)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_one_who_continues_from_the_memory_hears_the_same(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    runs = rng.integers(1, 30, 40)
    levels = np.repeat(rng.uniform(-90, 0, 40), runs)[:200] + rng.normal(0, 3, 200)
    chances = np.clip(np.repeat(rng.uniform(-0.3, 1.3, 40), runs)[:200] + rng.normal(0, 0.1, 200), 0, 1)
    blocks = list(zip(levels.reshape(-1, HOPS), chances.reshape(-1, HOPS), strict=True))
    first, second = PauseFinder(), PauseFinder()
    for number, (level, voices) in enumerate(blocks):
        if number == cut:
            state = msgspec.msgpack.encode(second.memory)
            assert len(state) < 550
            second = PauseFinder(msgspec.msgpack.decode(state, type=PauseMemory))
        powers = 10 ** (level / 10)
        assert first.push(powers, voices.tolist()) == second.push(powers, voices.tolist())
        assert first.pause_from_ms == second.pause_from_ms
    assert first.finish() == second.finish()


def test_a_block_takes_the_voices_at_the_middles_of_its_hops() -> None:
    frames = np.arange(10, dtype=np.float32) / 10
    # Middles of block 0: samples 160, 480, 800, 1120, 1440; a frame has 512.
    assert block_voices(0, frames, 0) == pytest.approx((0.0, 0.0, 0.1, 0.2, 0.2))
    # Block 1: samples 1760, 2080, 2400, 2720, 3040; two frames are known from frame 3 on.
    assert block_voices(1, frames[:2], 3) == pytest.approx((0.0, 0.1, 0.1, 0.1, 0.1))
    for known, first in ((frames[:0], 0), (frames, 1)):
        with pytest.raises(ValueError, match="voice probabilities"):
            block_voices(0, known, first)


def longest_silence(sound: np.ndarray) -> tuple[float, float]:
    """The longest run of pieces of 10 ms under -50 dB of full scale, ms."""
    power = (sound[: len(sound) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1)
    loud = np.flatnonzero(power >= 1e-5)
    before = int(np.argmax(np.diff(loud)))
    return float(loud[before] + 1) * 10, float(loud[before + 1]) * 10


@pytest.mark.parametrize("gain_db", [-12, 0, 6])
@pytest.mark.parametrize("hiss", [0.0, 0.003])
def test_the_pause_of_the_own_clip(gain_db: float, hiss: float) -> None:
    """It has digital silence of 1.5 s and more before its last sentence (tests/data/speech/README.md)."""
    clean = read_audio(OWN_CLIPS / "interview.ogg")
    begin, end = longest_silence(clean)
    sound = ((clean + noise(len(clean) / 16_000, hiss)) * 10 ** (gain_db / 20)).astype(np.float32)
    voices, _ = SileroVad()(sound[: len(sound) // 512 * 512], VadState.fresh())
    powers, finder, heard = hops_of(sound).power, PauseFinder(), []
    for block in range(len(powers) // HOPS):
        heard.append(finder.push(powers[block * HOPS : (block + 1) * HOPS], block_voices(block, voices, 0)))
    longest = max(pauses(heard), key=lambda pause: pause.ms)
    assert longest.t0_ms == pytest.approx(begin, abs=80)
    assert longest.t1_ms == pytest.approx(end, abs=80)

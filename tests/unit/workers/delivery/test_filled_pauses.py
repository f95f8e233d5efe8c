"""Filled pauses by their sound: what is held and level is one, what moves, is sung or belongs to a word is none."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from workers.delivery.acoustics import AT_REST, BLOCK, CONTEXT, SAMPLE_RATE, Hops, analyse
from workers.delivery.filled_pauses import FilledPause, FilledPauseFinder, FilledPauseMemory
from workers.delivery.steadiness import changes
from workers.delivery.words import SpokenWord

Audio = NDArray[np.float64]
Block = tuple[Hops, NDArray[np.float64]]

UH = (600.0, 1200.0, 2500.0)
MM = (250.0, 1000.0, 2200.0)
VOWELS = ((300.0, 2200.0, 2900.0), (700.0, 1100.0, 2500.0), (350.0, 800.0, 2300.0), (500.0, 1800.0, 2500.0))


def vowel(ms: int, formants: tuple[float, ...] = UH, pitch: float = 120.0, slide: float = 0.0) -> Audio:
    """Harmonics of a pitch (Hz) that rises by `slide` semitones a second, under formants."""
    count = ms * SAMPLE_RATE // 1000
    f0 = pitch * 2 ** (slide * np.arange(count) / SAMPLE_RATE / 12)
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    sound = np.zeros(count)
    for harmonic in range(1, int(4000 / pitch)):
        gain = sum(np.exp(-(((harmonic * pitch - formant) / 120) ** 2)) for formant in formants)
        sound += (gain + 0.02) / harmonic * np.sin(harmonic * phase)
    return np.asarray(0.1 * sound / np.sqrt(np.mean(sound**2)), dtype=np.float64)


def silence(ms: int) -> Audio:
    return np.random.default_rng(1).normal(0, 1e-4, ms * SAMPLE_RATE // 1000)


def babble(ms: int) -> Audio:
    """Other vowels every 70 ms: nothing in it is held."""
    return np.concatenate([vowel(70, VOWELS[number % len(VOWELS)]) for number in range(ms // 70)])


def blocks(*pieces: Audio) -> list[Block]:
    sound = np.concatenate([np.zeros(CONTEXT), *pieces, silence(100)]).astype(np.float32)
    state: tuple[float, ...] = AT_REST
    made = []
    for begin in range(0, (len(sound) - CONTEXT) // BLOCK * BLOCK, BLOCK):
        samples = sound[begin : begin + CONTEXT + BLOCK]
        hops, state = analyse(samples, state)
        made.append((hops, changes(samples)))
    return made


def found(
    heard: Sequence[Block], words: Sequence[SpokenWord] = (), language: str = "en", every: int = 10
) -> list[FilledPause]:
    """The findings of a finder that decides every `every` blocks."""
    finder, waiting, result = FilledPauseFinder(), list(words), []
    for number, block in enumerate(heard, 1):
        finder.push(*block)
        last = number == len(heard)
        if last or number % every == 0:
            ready = [word for word in waiting if last or word.start_ms < 100 * number]
            waiting = waiting[len(ready) :]
            result += finder.decide(ready, 100 * number, language, last=last)
    return result


def test_a_held_vowel_between_words_is_found_where_it_is() -> None:
    [sound] = found(blocks(babble(700), silence(300), vowel(400), silence(600), babble(700)))
    assert abs(sound.t0_ms - 1000) <= 60
    assert abs(sound.t1_ms - 1400) <= 60


def test_a_vowel_that_ends_in_a_murmur_is_one_filled_pause() -> None:
    [sound] = found(blocks(silence(500), vowel(350), vowel(350, MM), silence(500)))
    assert sound.t1_ms - sound.t0_ms >= 600


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("speech", babble(2100)),
        ("a short vowel", vowel(150)),
        ("a slide", vowel(600, slide=40)),
        ("a held note", vowel(3000)),
        ("noise", np.random.default_rng(2).normal(0, 0.1, SAMPLE_RATE)),
        ("silence", silence(2000)),
        ("mains hum", 0.1 * np.sin(2 * np.pi * 50 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)),
    ],
)
def test_a_sound_that_is_not_held_is_no_filled_pause(name: str, sound: Audio) -> None:
    assert not found(blocks(silence(500), sound, silence(500))), name


def test_sound_far_softer_than_the_speech_before_it_is_not_speech() -> None:
    assert found(blocks(babble(700), silence(300), 0.1 * vowel(400), silence(500)))
    assert not found(blocks(babble(700), silence(300), 0.01 * vowel(400), silence(500)))


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        (SpokenWord(" the", 700, 1400), True),
        (SpokenWord(" the", 1000, 1400), False),
        (SpokenWord(" extraordinarily", 500, 1500), False),
        (SpokenWord(" so", 0, 500), True),
    ],
)
def test_the_words_that_cover_a_held_sound_must_be_too_long_with_it(word: SpokenWord, *, kept: bool) -> None:
    heard = blocks(silence(1000), vowel(400), silence(600))
    assert bool(found(heard, [word])) == kept


def test_without_a_rule_for_syllables_the_letters_decide() -> None:
    heard = blocks(silence(1000), vowel(400), silence(600))
    assert found(heard, [SpokenWord(" eta", 700, 1400)], "eu")
    assert not found(heard, [SpokenWord(" arratsaldeon", 700, 1400)], "eu")


def test_a_word_of_an_earlier_second_counts() -> None:
    heard = blocks(silence(1900), vowel(300), silence(900))
    assert found(heard) != []
    assert found(heard, [SpokenWord(" drawn", 1880, 2200)]) == []


HEARD = blocks(
    babble(700), vowel(350), vowel(60, VOWELS[0]), vowel(400, MM), silence(500), vowel(3000), babble(770), vowel(420)
)
WORDS = [SpokenWord(" ich", 0, 600), SpokenWord(" the", 650, 1900), SpokenWord(" go", 5100, 5900)]


@pytest.mark.parametrize("every", [1, 3, 7, 1000])
def test_it_does_not_matter_how_often_it_decides(every: int) -> None:
    assert found(HEARD, WORDS, every=every) == found(HEARD, WORDS)
    assert found(HEARD, WORDS)


@pytest.mark.parametrize("cut", range(1, len(HEARD)))
def test_another_finder_continues_from_the_memory(cut: int) -> None:
    finder, waiting, result = FilledPauseFinder(), list(WORDS), []
    for number, block in enumerate(HEARD, 1):
        finder.push(*block)
        ready = [word for word in waiting if word.start_ms < 100 * number]
        waiting = waiting[len(ready) :]
        result += finder.decide(ready, 100 * number, "en", last=number == len(HEARD))
        if number == cut:
            kept = msgspec.msgpack.encode(finder.memory)
            finder = FilledPauseFinder(msgspec.msgpack.decode(kept, type=FilledPauseMemory))
    assert result == found(HEARD, WORDS)


def test_the_memory_stays_small_whatever_is_said_and_held() -> None:
    finder = FilledPauseFinder()
    tone, um = blocks(vowel(1000))[5], blocks(silence(200), vowel(400), silence(200))
    largest = 0
    for second in range(300):
        for block in um if second > 150 else [tone] * 10:
            finder.push(*block)
        now = finder.memory.hop * 20
        finder.decide([SpokenWord(" word", now - 200 + at, now - 150 + at) for at in range(0, 200, 50)], now, "en")
        largest = max(largest, len(msgspec.msgpack.encode(finder.memory)))
    assert largest < 2_000

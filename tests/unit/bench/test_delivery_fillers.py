"""The labelled set for filled pauses is what its labels say, and its shares have the right intervals."""

from __future__ import annotations

import numpy as np
import pytest

from bench.corpus import SAMPLE_RATE, Clip
from bench.delivery import hidden
from bench.delivery.filler_clips import Labelled, Spot, pauses, speaker, with_decoys, with_fillers
from bench.delivery.fillers import Make
from bench.delivery.finding import Share, hit, right, wilson
from bench.delivery.hearing import Heard
from bench.delivery.stretching import stretched
from workers.delivery.filled_pauses import FilledPause


def clip() -> Clip:
    """Ten seconds of noise with pauses at 3 and 7 s, 0.3 s each."""
    audio = np.random.default_rng(0).normal(0, 0.1, 10 * SAMPLE_RATE)
    for second in (3, 7):
        audio[second * SAMPLE_RATE : int((second + 0.3) * SAMPLE_RATE)] *= 0.001
    return Clip("speech/en/made_001.flac", "speech", "en", audio.astype(np.float32), "")


def heard(*words: tuple[str, float, float]) -> list[Heard]:
    return [
        Heard(text, int(start * SAMPLE_RATE), int(end * SAMPLE_RATE), int(end * SAMPLE_RATE))
        for text, start, end in words
    ]


WORDS = heard((" one", 0.5, 1.5), (" two", 4.5, 5.5), (" three", 8.2, 9.0))


def test_pauses_are_where_the_sound_is_soft() -> None:
    assert [round(start / SAMPLE_RATE, 1) for start, _ in pauses(clip().audio)] == [3.0, 7.0]


@pytest.mark.parametrize("make", [with_fillers, with_decoys])
def test_without_what_was_put_in_the_clip_is_the_clip(make: Make) -> None:
    whole = clip()
    made = make(whole, WORDS)
    assert len(made.spots) == 3
    assert [spot.filler for spot in made.spots] == [make is with_fillers] * 3
    added = sum(spot.end - spot.start for spot in made.spots)
    gaps = len(made.clip.audio) - len(whole.audio) - added
    assert 0 <= gaps <= 2 * 0.3 * SAMPLE_RATE * len(made.spots)
    first = made.spots[0].start
    same = np.isclose(made.clip.audio[: first - SAMPLE_RATE], whole.audio[: first - SAMPLE_RATE])
    assert same.all()
    tail = len(made.clip.audio) - made.spots[-1].end - SAMPLE_RATE
    assert np.array_equal(made.clip.audio[-tail:], whole.audio[-tail:])


def test_the_set_is_the_same_in_every_run() -> None:
    first, second = with_fillers(clip(), WORDS), with_fillers(clip(), WORDS)
    assert first.spots == second.spots
    assert np.array_equal(first.clip.audio, second.clip.audio)


def test_speakers_are_told_by_file_names() -> None:
    names = ["speech/en/vctk_p225_003.flac", "speech/en/ls_1688-142285-0000.flac", "speech/fr/fleurs_fr_001.flac"]
    assert [speaker(name) for name in names] == ["vctk_p225", "ls_1688", "fleurs_fr"]


def test_stretched_sound_is_longer_at_the_same_pitch() -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    longer = stretched(tone, 1.5)
    assert len(longer) == 1.5 * SAMPLE_RATE
    spectrum = np.abs(np.fft.rfft(longer))
    assert abs(np.argmax(spectrum) / 1.5 - 200) < 2


def test_a_sound_is_right_if_it_shares_more_than_half_with_a_filled_pause() -> None:
    spots = [Spot("um", True, "words", 16_000, 24_000), Spot("word", False, "words", 48_000, 56_000)]
    found = [FilledPause(1100, 1500), FilledPause(3000, 3500), FilledPause(1450, 2000)]
    assert right(found, spots) == Share(1, 3)
    assert [hit(found, spot).hits for spot in spots] == [1, 1]


def test_wilsons_interval() -> None:
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=0.001)
    assert wilson(0, 10) == pytest.approx((0.0, 0.278), abs=0.001)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_filled_pause_is_written_down_if_one_is_near_it() -> None:
    labelled = Labelled(clip(), (Spot("um", True, "words", 16_000, 24_000), Spot("um", True, "words", 80_000, 88_000)))
    plain = heard((" I", 0.2, 0.5), (" mean", 2.0, 2.5))
    words = heard((" I", 0.2, 0.5), (" um,", 1.0, 1.4), (" means", 2.0, 2.5))
    found = hidden.count([(labelled, words, plain)])
    assert (found.sounds, found.written, found.changed, found.invented) == (2, 1, 1, 0)

"""The material of `bench.delivery --only truth`: what it says about itself is true."""

from __future__ import annotations

import numpy as np
import pytest

from bench.corpus import OWN_CLIPS, SAMPLE_RATE, Clip, read_audio
from bench.delivery.truth_material import in_noise, levels, paused, shifted, speech_of, speech_span, sung


def clip(name: str) -> Clip:
    return Clip(name, "speech", "en", read_audio(OWN_CLIPS / "interview.ogg"), "")


def test_inserted_pauses_are_silent_and_lie_between_speech() -> None:
    [made] = paused([clip("a_1.flac"), clip("a_2.flac")], np.random.default_rng(0))
    [(begin, end)] = made.inserted
    assert 0.25 <= end - begin <= 3.0
    level = levels(made.audio)
    inside = level[round(begin * 100) + 1 : round(end * 100) - 1]
    assert inside.max() < level.max() - 50
    assert level[round(begin * 100) - 6 : round(begin * 100)].max() > level.max() - 30
    assert level[round(end * 100) + 1 : round(end * 100) + 7].max() > level.max() - 30
    assert all(end - begin >= 0.4 for begin, end in made.own)


def test_a_click_is_not_where_speech_begins() -> None:
    audio = np.zeros(2 * SAMPLE_RATE, np.float32)
    audio[1000:1100] = 0.5
    audio[SAMPLE_RATE : SAMPLE_RATE + 8000] = np.sin(np.arange(8000) / 5).astype(np.float32)
    assert speech_span(audio) == (SAMPLE_RATE, SAMPLE_RATE + 8000)


def test_puffs_at_both_ends_are_not_where_speech_begins_and_ends() -> None:
    rng = np.random.default_rng(0)
    puff = rng.normal(0, 0.1, SAMPLE_RATE // 5).astype(np.float32)
    silence = np.zeros(SAMPLE_RATE // 2, np.float32)
    vowel = np.sign(np.sin(2 * np.pi * 120 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32) * np.float32(0.1)
    begin, end = speech_of(np.concatenate([puff, silence, vowel, silence, puff, silence, puff]))
    assert (round(begin, 1), round(end, 1)) == (0.7, 1.7)
    assert speech_of(np.concatenate([vowel, silence, vowel])) == (0.0, 2.5)


def test_a_pause_behind_a_puff_begins_where_the_speech_ends() -> None:
    spoken = clip("a_1.flac")
    puff = np.random.default_rng(0).normal(0, 0.05, 3200).astype(np.float32)
    puffed = Clip("a_2.flac", "speech", "en", np.concatenate([spoken.audio, np.zeros(4800, np.float32), puff]), "")
    [alone] = paused([spoken, spoken], np.random.default_rng(0))
    [made] = paused([puffed, spoken], np.random.default_rng(0))
    assert made.inserted[0][0] == pytest.approx(alone.inserted[0][0], abs=0.05)
    assert made.inserted[0][1] > alone.inserted[0][1] + 0.3
    assert np.abs(made.audio).max() <= 0.5


def test_noise_and_shifts_are_as_large_as_asked() -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    noise = in_noise(tone, 20, np.random.default_rng(0)) - tone
    assert abs(20 * np.log10(np.std(tone) / np.std(noise)) - 20) < 0.2
    moved = shifted(tone, 12)
    peak = np.abs(np.fft.rfft(moved)).argmax() * SAMPLE_RATE / len(moved)
    assert abs(peak - 400) < 3


def test_sung_vowels_have_the_pitch_that_they_claim() -> None:
    audio, f0 = sung(120, 2, np.random.default_rng(0))
    assert len(audio) == len(f0) == 2 * SAMPLE_RATE
    assert f0[f0 > 0].min() >= 120 * 2 ** (-5 / 12)
    assert f0.max() <= 120 * 2 ** (5 / 12)
    assert np.abs(audio[f0 == 0]).max() == 0

"""Constructed truth is what it says: pauses lie where they were put, and sound played faster is higher and shorter."""

from __future__ import annotations

import numpy as np
import pytest

from bench.corpus import OWN_CLIPS, SAMPLE_RATE, load
from bench.delivery.pause_truth import matched, paused
from bench.delivery.sound import interval, played
from workers.delivery.pauses import Stretch
from workers.stt.vad import SileroVad


def test_pauses_lie_where_they_were_put() -> None:
    """In each there is only background, faint against the speech beside it."""
    (clip,) = load(OWN_CLIPS, "speech")
    made = paused(clip, SileroVad())
    assert made is not None
    speech = float(np.sqrt(np.mean(clip.audio**2)))
    for pause in made.pauses:
        assert pause.ms >= 300
        inside = made.audio[pause.t0_ms * 16 + 16 : pause.t1_ms * 16 - 16]
        assert np.sqrt(np.mean(inside**2)) < speech / 20
    assert made.pauses[0].t0_ms > 500
    assert made.pauses[-1].t1_ms < len(made.audio) / 16 - 500


def test_a_pause_is_matched_once() -> None:
    truth = [Stretch(1_000, 2_000), Stretch(5_000, 5_400)]
    assert matched(truth, [Stretch(1_050, 2_100), Stretch(1_000, 2_000)]) == [(truth[0], Stretch(1_050, 2_100))]
    assert matched(truth, [Stretch(1_000, 1_400), Stretch(3_000, 9_000)]) == []


@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_played_faster_is_higher_and_shorter(ratio: float) -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    made = played(tone, ratio)
    assert len(made) == int(SAMPLE_RATE / ratio)
    peak = int(np.argmax(np.abs(np.fft.rfft(made)))) * SAMPLE_RATE / len(made)
    assert peak == pytest.approx(200 * ratio, abs=2)
    assert float(np.abs(made).max()) == pytest.approx(1, abs=0.05)


def test_an_interval_holds_the_mean() -> None:
    low, high = map(float, interval(np.arange(100.0), lambda rows: float(rows.mean())).strip("[]").split(","))
    assert low < 49.5 < high
    assert high - low == pytest.approx(2 * 1.96 * np.arange(100.0).std() / 10, rel=0.15)

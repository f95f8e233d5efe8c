"""Copies of clips for the benchmark: they keep what is said, and a cut one keeps what is left of it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.corpus import SAMPLE_RATE, Clip
from bench.stt import perturbed
from bench.stt.offline import TimedWord
from bench.stt.replay import Played

AUDIO = np.sin(np.arange(5 * SAMPLE_RATE) / 20).astype(np.float32) / 4
CLIP = Clip("talk", "speech", "en", AUDIO, "apple bread candle drum engine")
WORDS = [TimedWord(f" {word}", second, second + 0.9) for second, word in enumerate(CLIP.text.split())]


class KnownOffline:
    """Offline's word times of the one clip."""

    def words(self, clips: list[Clip]) -> list[list[TimedWord]]:
        return [WORDS for _ in clips]


def made() -> dict[str, Clip]:
    return {copy.name: copy for copy in perturbed.copies(CLIP, KnownOffline())}  # type: ignore[arg-type]


def test_copies_differ_in_sound_and_keep_the_text() -> None:
    copies = made()
    assert len(copies) == 35
    slow, soft = copies["talk speed 0.9"], copies["talk gain -20 dB"]
    assert len(slow.audio) == round(len(AUDIO) / 0.9)
    assert np.abs(slow.audio).max() == pytest.approx(np.abs(AUDIO).max(), rel=0.1)
    assert np.abs(soft.audio).max() == pytest.approx(np.abs(AUDIO).max() / 10)
    assert {copy.text for copy in copies.values() if copy.kind in ("speed", "gain", "noise")} == {CLIP.text}


def test_a_cut_copy_has_the_words_that_are_whole_in_it() -> None:
    copies = made()
    assert copies["talk start 1.0"].text == "bread candle drum engine"
    assert copies["talk start 1.1"].text == "candle drum engine"
    assert copies["talk end 0.1"].text == CLIP.text
    assert copies["talk end 1.2"].text == "apple bread candle"
    assert len(copies["talk end 1.2"].audio) == len(AUDIO) - round(1.2 * SAMPLE_RATE)


def test_words_lost_in_a_row_are_counted_if_offline_hears_them_rightly() -> None:
    run = Played(CLIP, finals=["apple engine"])
    assert perturbed.longest_loss(run, CLIP.text) == 3
    assert perturbed.longest_loss(run, "apple blue green pink engine") == 0
    assert perturbed.longest_loss(Played(CLIP, finals=[CLIP.text]), "apple engine") == 0

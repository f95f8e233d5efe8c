"""How much the spectrum changes: nothing in a held sound, much in one that moves, whatever the level."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.delivery.acoustics import BLOCK, CONTEXT, SAMPLE_RATE
from workers.delivery.steadiness import changes

TIMES = np.arange(CONTEXT + BLOCK) / SAMPLE_RATE


def buzz(pitch: float, strongest: float) -> NDArray[np.float32]:
    """Harmonics of a pitch, the strongest of them near a frequency, Hz."""
    sound = np.zeros(len(TIMES))
    for harmonic in range(1, int(4000 / pitch)):
        gain = np.exp(-(((harmonic * pitch - strongest) / 300) ** 2)) + 0.05
        sound += gain * np.sin(2 * np.pi * harmonic * pitch * TIMES)
    return (0.05 * sound).astype(np.float32)


def test_a_held_sound_does_not_change() -> None:
    assert changes(buzz(125, 600)).max() < 1


def test_a_sound_that_takes_another_colour_changes_there_and_only_there() -> None:
    middle = CONTEXT + BLOCK // 2
    sound = np.concatenate([buzz(125, 600)[:middle], buzz(125, 2000)[middle:]])
    found = changes(sound)
    assert found.shape == (5,)
    assert found[:2].max() < 1
    assert found[2:4].min() > 4


def test_the_level_does_not_count() -> None:
    sound = buzz(125, 600) + np.random.default_rng(0).normal(0, 0.01, len(TIMES)).astype(np.float32)
    assert changes(0.1 * sound) == pytest.approx(changes(sound), abs=0.01)


def test_silence_does_not_change() -> None:
    assert changes(np.zeros(CONTEXT + BLOCK, np.float32)).tolist() == [0.0] * 5


@pytest.mark.parametrize("count", [0, BLOCK, CONTEXT + BLOCK + 1])
def test_only_a_block_with_its_context_is_taken(count: int) -> None:
    with pytest.raises(ValueError, match="2304 samples"):
        changes(np.zeros(count, np.float32))

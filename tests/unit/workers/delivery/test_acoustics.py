"""A block's numbers depend on its samples, its context and the filter's state, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.workers.delivery.sounds import contour, hops_of, noise, voice
from workers.delivery import acoustics
from workers.delivery.acoustics import AT_REST, BLOCK, CONTEXT, HOPS, analyse


def test_a_block_gives_five_hops() -> None:
    hops, state = analyse(noise(0.2, 0.1)[: CONTEXT + BLOCK], AT_REST)
    assert hops.power.shape == hops.f0.shape == hops.periodicity.shape == (HOPS,)
    assert (hops.power.dtype, hops.f0.dtype, hops.periodicity.dtype) == (np.float64, np.float32, np.float32)
    assert len(state) == len(AT_REST)


def test_one_who_continues_from_the_state_finds_the_same_bits() -> None:
    sound = np.concatenate([np.zeros(CONTEXT, np.float32), voice(contour(120, 2)) + noise(2, 0.001)])
    states, blocks = [AT_REST], []
    for begin in range(0, len(sound) - CONTEXT, BLOCK):
        hops, state = analyse(sound[begin : begin + CONTEXT + BLOCK], states[-1])
        states.append(state)
        blocks.append(hops)
    for number in reversed(range(len(blocks))):
        begin = number * BLOCK
        again, state = analyse(sound[begin : begin + CONTEXT + BLOCK].copy(), states[number])
        assert state == states[number + 1]
        assert again.power.tobytes() == blocks[number].power.tobytes()
        assert again.f0.tobytes() == blocks[number].f0.tobytes()
        assert again.periodicity.tobytes() == blocks[number].periodicity.tobytes()


@pytest.mark.parametrize("sound", [np.zeros(16_000, np.float32), np.full(16_000, 0.5, np.float32)])
def test_nothing_sounds(sound: np.ndarray) -> None:
    """Neither silence nor a constant has a pitch; the high pass takes the constant away."""
    hops = hops_of(sound)
    assert np.isnan(hops.f0[acoustics.HOPS :]).all()
    assert (hops.power[-HOPS:] < 1e-6).all()


@pytest.mark.parametrize("count", [0, BLOCK, CONTEXT + BLOCK - 1, CONTEXT + BLOCK + 1])
def test_any_other_number_of_samples_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{CONTEXT + BLOCK} samples"):
        analyse(np.zeros(count, np.float32), AT_REST)

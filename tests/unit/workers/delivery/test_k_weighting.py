"""The weighting of BS.1770: the standard's coefficients, and the same samples as a filter that goes one by one."""

from __future__ import annotations

import numpy as np
import pytest

from workers.delivery.k_weighting import AT_REST, Floats, KWeighting, biquads


def one_by_one(sound: Floats, rate: int) -> Floats:
    """Both biquads in direct form I."""
    for (b0, b1, b2), (_, a1, a2) in biquads(rate):
        result = np.zeros_like(sound)
        for n in range(len(sound)):
            x1, x2 = (sound[n - 1] if n > 0 else 0.0), (sound[n - 2] if n > 1 else 0.0)
            y1, y2 = (result[n - 1] if n > 0 else 0.0), (result[n - 2] if n > 1 else 0.0)
            result[n] = b0 * sound[n] + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
        sound = result
    return sound


def test_the_coefficients_are_those_of_the_standard() -> None:
    """Tables 1 and 2 of ITU-R BS.1770."""
    shelf, high_pass = biquads(48_000)
    assert shelf[0] == pytest.approx((1.53512485958697, -2.69169618940638, 1.19839281085285), abs=1e-9)
    assert shelf[1] == pytest.approx((1, -1.69065929318241, 0.73248077421585), abs=1e-9)
    assert high_pass[0] == (1, -2, 1)
    assert high_pass[1] == pytest.approx((1, -1.99004745483398, 0.99007225036621), abs=1e-9)


def test_blocks_give_what_the_filter_gives_sample_by_sample() -> None:
    sound = np.random.default_rng(1).normal(0, 0.1, 4800)
    weighting, state = KWeighting(16_000, 1600), AT_REST
    found = []
    for begin in range(0, 4800, 1600):
        block, state = weighting(sound[begin : begin + 1600], state)
        found.append(block)
    np.testing.assert_allclose(np.concatenate(found), one_by_one(sound, 16_000), atol=1e-12)


@pytest.mark.parametrize("block", [0, -40, 39, 1601])
def test_a_block_is_whole_rows(block: int) -> None:
    with pytest.raises(ValueError, match="40 samples"):
        KWeighting(16_000, block)

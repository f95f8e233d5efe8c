"""Mutated recordings and storms of headers, sent to a gateway with the real model, end their own streams at most."""

from __future__ import annotations

import pytest

from bench.gateway.hostile_media import attack
from bench.harness.stack import Stack


@pytest.mark.model
@pytest.mark.timeout(240)
async def test_hostile_media_disturb_nobody(model_stack: Stack) -> None:
    """The long form, with 10,000 inputs, is `python -m bench.gateway --only hostile_media`."""
    figures = await attack(model_stack, 60, attackers=3, seconds=5.0)
    assert figures["inputs"] == 60
    assert figures["inputs_without_an_answer"] == 0
    assert figures["outcomes"]["ended"]
    assert set(figures["outcomes"]) <= {"ended", "dropped", "media_error", "unsupported_format"}
    assert figures["decoder_children_replaced"] == 0
    assert figures["worker_growth_mib"] < 200
    assert figures["gateway_growth_mib"] < 100
    assert figures["honest_words"] > 5
    assert figures["honest_words_that_differ"] <= figures["honest_words"] / 5

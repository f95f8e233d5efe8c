"""No word is lost in any dialect when the worker that serves a stream is killed."""

from __future__ import annotations

from bench.gateway.doors import kills
from bench.harness.dialects import SPEAKERS
from bench.harness.stack import running_stack


async def test_no_dialect_loses_a_word_when_workers_are_killed() -> None:
    """The long form, with 20 kills for each dialect, is `python -m bench.gateway --only doors`."""
    with running_stack(workers=2) as stack:
        figures = await kills(stack, list(SPEAKERS), 2, seed=5)
    assert figures["failovers"] >= 2
    assert figures["words"] > 50
    assert (figures["words_lost"], figures["words_doubled"]) == (0, 0), figures
    assert figures["close_codes"] == [1000]

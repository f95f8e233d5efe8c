"""Delivery against constructed truth, on speakers whom nobody used to make its rules: the bounds of the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.delivery.truth import cut
from bench.stt.bench import Bench

pytestmark = [pytest.mark.corpus, pytest.mark.model, pytest.mark.timeout(600)]


def test_pauses_level_pitch_and_overlaps_are_as_constructed(corpus: Path) -> None:
    """`python -m bench.delivery --only truth` says more, and about the other speakers, too."""
    checks = cut(Bench(corpus, 10, lambda line: None)).checks
    assert len(checks) >= 12
    assert [check.row() for check in checks if check.verdict != "pass"] == []

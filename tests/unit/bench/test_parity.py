"""What the part `parity` of the speech benchmark relies on: the count of late steps, streams with their own options."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import generate_latest

from bench.corpus import SAMPLE_RATE, Clip
from bench.stt.exact import at_a_time
from bench.stt.replay import Model, replay
from bench.stt.worker import late_steps
from workers.metrics import WorkerMetrics
from workers.stt.decode_job import StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.pace import STRETCH_FROM
from workers.stt.vad import VadState
from workers.stt.words import Word


class Network:
    """Says in which language it was asked."""

    def run(self, requests: list[DecodeRequest]) -> list[Hypothesis]:
        return [self._hear(request) for request in requests]

    def _hear(self, request: DecodeRequest) -> Hypothesis:
        language = request.language or "??"
        return Hypothesis((Word(f" {language}", 0, len(request.audio), 0.9),), -0.1, 0.0, False, language)


def hear_voice(audio: np.ndarray, memory: VadState) -> tuple[np.ndarray, VadState]:
    return np.ones(len(audio) // 512, np.float32), memory


def test_steps_are_late_from_where_the_next_one_grows() -> None:
    metrics = WorkerMetrics()
    for seconds in (-1.0, 0.0, STRETCH_FROM - 0.01, STRETCH_FROM + 0.01, 40.0):
        metrics.late(seconds)
    assert late_steps(generate_latest(metrics.registry).decode()) == 2


@pytest.mark.parametrize(("slots", "expected"), [(1, 2), (5, 2), (6, 3), (9, 4), (40, 8)])
def test_half_of_the_slots_are_filled_and_two_at_least(slots: int, expected: int) -> None:
    assert at_a_time(slots, streams=8) == expected


def test_streams_are_replayed_with_their_own_options() -> None:
    clips = [Clip(str(n), "speech", "", np.full((n + 1) * SAMPLE_RATE, 0.5, np.float32), "") for n in range(3)]
    options = [StreamOptions(language, interims=False) for language in ("en", "fr", "de")]
    model = Model(Network(), hear_voice)  # type: ignore[arg-type]
    for played in (replay(model, clips, options), replay(replace(model, threads=1, batch=1), clips, options)):
        assert [run.text for run in played] == ["en", "fr", "de"]
    with pytest.raises(ValueError, match="shorter"):
        replay(model, clips, options[:2])

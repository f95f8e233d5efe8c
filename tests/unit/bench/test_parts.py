"""The benchmark's own arithmetic: bounds, tables, files, scores, joined clips."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path

import numpy as np
import pytest

from bench.checks import Check, flattened, table, write
from bench.corpus import OWN_CLIPS, SAMPLE_RATE, Clip, joined, load
from bench.page.__main__ import Run, summarize
from bench.scoring import area_under_curve, matched, percentiles, total, word_errors
from bench.stt.replay import Player
from bench.vision import chain
from workers.stt.decode_job import StreamOptions
from workers.stt.hypothesis import Hypothesis
from workers.stt.tuning import Tuning
from workers.stt.vad import VadState
from workers.stt.words import Word


@pytest.mark.parametrize(
    ("value", "comparison", "bound", "verdict"),
    [
        (1.0, "<=", 1.0, "pass"),
        (1.0, "<", 1.0, "FAIL"),
        (0.5, ">=", 0.78, "FAIL"),
        (0, "==", 0, "pass"),
        (math.nan, "<=", 1, "not measured"),
        (math.inf, "<=", 1, "FAIL"),
    ],
)
def test_a_check_keeps_its_bound(value: float, comparison: str, bound: float, verdict: str) -> None:
    assert Check("a", value, comparison, bound).verdict == verdict


def test_results_are_valid_json_whatever_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "stt.json"
    write(path, {"part": {"worst": math.nan, "mean": 0.123456}}, [Check("late", math.inf, "<=", 1)])
    found = json.loads(path.read_text())
    assert found["part"] == {"worst": None, "mean": 0.1235}
    assert found["checks"] == [{"name": "late", "value": None, "comparison": "<=", "bound": 1, "verdict": "FAIL"}]


def test_a_table_is_aligned() -> None:
    assert table(flattened({"a": {"bcd": 1.0}, "e": 2})) == "a.bcd  1\ne      2"


def test_word_errors_add_up() -> None:
    both = [word_errors("Mr. Smith has twenty two dogs", "mister smith has 22 dogs", "en")]
    both.append(word_errors("one two three", "one three", "en"))
    assert total(both).errors == 1
    assert matched(["a", "b", "c"], ["a", "c"]) == [(0, 0), (2, 1)]
    assert percentiles([1, 2, 3], 50) == (2.0,)
    assert area_under_curve([0.9, 0.8, 0.1], [True, True, False]) == 1.0


def test_joined_clips_know_where_each_begins() -> None:
    clips = [Clip(str(n), "speech", "en", np.full(SAMPLE_RATE, n / 10, np.float32), f"w{n}") for n in range(1, 4)]
    [whole] = joined(clips, group=3)
    assert whole.text == "w1 w2 w3"
    for clip, (name, start) in zip(clips, whole.parts, strict=True):
        assert name == clip.name
        assert whole.audio[round(start * SAMPLE_RATE)] == clip.audio[0]


def test_without_a_manifest_the_corpus_is_the_projects_own() -> None:
    assert [clip.language for clip in load(OWN_CLIPS, "speech")] == ["en"]
    assert load(OWN_CLIPS, "noisy-speech") == []


def test_a_replayed_stream_keeps_what_was_said_and_when() -> None:
    def hear(audio: np.ndarray, memory: VadState) -> tuple[np.ndarray, VadState]:
        return (np.abs(audio.reshape(-1, 512)).max(axis=1) > 0).astype(np.float32), memory

    audio = np.repeat(np.float32([0.5, 0, 0.5, 0]), [19_200, 108_800, 32_000, 32_000])
    player = Player(Clip("toy", "speech", "en", audio, "hello hello"), hear, Tuning(), StreamOptions("en"))
    hello = Hypothesis((Word(" hello", 0, 2 * SAMPLE_RATE, 0.5),), -0.1, 0.0, False, "en")
    while player.request() is not None:
        player.answer(hello)
    assert player.played.text == "hello hello"
    assert player.played.retractions == player.played.out_of_order == 0
    first, second = player.played.committed_at
    assert first == pytest.approx(2.0, abs=0.1), "with the end of its segment, not with the next request"
    assert second == pytest.approx(10.25, abs=0.1), "agreed on by the step that the pause brings forward"


def test_the_page_is_held_to_its_worst_times_and_to_offline() -> None:
    clip = Clip("a", "speech", "en", np.zeros(SAMPLE_RATE, np.float32), "so it was said")
    times = {"clicked": 0.0, "opened": 100.0, "sent": 200.0, "speechBegan": 300.0, "speechEnded": 1300.0}
    runs = [
        Run(clip, {**times, "firstInterim": 1300.0, "lastFinal": 2300.0}, "so it was said", 0.1),
        Run(clip, {**times, "firstInterim": 2400.0, "lastFinal": 3000.0}, "so it was", 0.2),
    ]
    figures, kept = summarize(runs, ["so it was said"] * 2)
    assert figures["first_interim_ms"] == {"p50": 1550.0, "max": 2100.0}
    assert [(check.value, check.verdict) for check in kept] == [(2100, "FAIL"), (1700, "pass"), (12.5, "FAIL")]


def test_the_child_of_the_vision_benchmark_knows_every_peer() -> None:
    module = ast.parse(chain.CHILD.read_text(encoding="utf-8"))
    [peers] = [
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PEERS" and isinstance(node.value, ast.Dict)
    ]
    assert [ast.literal_eval(key) for key in peers.keys if key is not None] == list(chain.PEERS)

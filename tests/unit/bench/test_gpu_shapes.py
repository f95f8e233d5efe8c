"""Networks that are made on the spot for the GPU benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.gpu.shapes import Shape, make
from bench.stt.bench import ENGLISH, resolved
from workers.stt.hypothesis import DecodeRequest
from workers.stt.transcriber import Transcriber

SMALLEST = Shape("smallest", width=64, heads=1, encoder_layers=1, decoder_layers=1, mels=128, vocabulary=51_866)


def test_a_network_with_random_weights_runs_through_every_part_of_the_benchmark(tmp_path: Path) -> None:
    path = make(SMALLEST, resolved(ENGLISH).path, tmp_path / "network", "int8")
    transcriber = Transcriber(path, threads=1)
    window = DecodeRequest(np.zeros(16_000, np.float32), 200, 1, "en")
    encoded = transcriber.benchmark_encode(window, 2)
    assert encoded.shape == (2, 100, SMALLEST.width)
    tokens = transcriber.benchmark_decode(window, encoded, 6)
    assert 0 < len(tokens) <= 6, "the length is forced; special tokens among them are left out"
    transcriber.benchmark_align(window, encoded[:1], tokens)

"""Whisper networks with random weights, made on the spot: they cost what the real ones cost, and hear nothing.

Time and memory of a network depend on its shape, not on its weights, as long as the number of tokens is forced. So a
machine without the weights of a large model can be measured with them all the same.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import WhisperSpec
from numpy.typing import NDArray

_CONTEXT = 1500
_TEXT_CONTEXT = 448
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a Whisper network."""

    name: str
    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    mels: int
    vocabulary: int


LARGE_V3_TURBO = Shape("shape of large-v3-turbo", 1280, 20, 32, 4, 128, 51_866)
SMALL = Shape("shape of small", 768, 12, 12, 12, 80, 51_865)
SMOKE = Shape("shape of large-v3-turbo, two layers", 1280, 20, 2, 1, 128, 51_866)


class _Random:
    """Repeats one block of noise: drawing hundreds of millions of numbers would take longer than the benchmark."""

    def __init__(self) -> None:
        self._noise = np.random.default_rng(0).normal(0, 0.02, _BLOCK).astype(np.float32)

    def __call__(self, *shape: int) -> NDArray[np.float32]:
        return np.resize(self._noise, shape)


def make(shape: Shape, like: Path, folder: Path, quantization: str) -> Path:
    """Write a network into `folder`, with the tokenizer and vocabulary of the model in `like`."""
    random, width = _Random(), shape.width
    spec = WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    _set_ends(spec, shape, random)
    for layer in spec.encoder.layer:
        _set_norm(layer.self_attention.layer_norm, width)
        _set_self_attention(layer.self_attention, width, random)
        _set_feed_forward(layer.ffn, width, random)
    for layer in spec.decoder.layer:
        _set_norm(layer.self_attention.layer_norm, width)
        _set_self_attention(layer.self_attention, width, random)
        _set_norm(layer.attention.layer_norm, width)
        _set_linear(layer.attention.linear[0], width, width, random)
        _set_linear(layer.attention.linear[1], 2 * width, width, random)
        _set_linear(layer.attention.linear[2], width, width, random)
        _set_feed_forward(layer.ffn, width, random)
    tokens = (like / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    tokens += [f"<|more{number}|>" for number in range(shape.vocabulary - len(tokens))]
    spec.register_vocabulary(tokens)
    config = json.loads((like / "config.json").read_text(encoding="utf-8"))
    for name in ("suppress_ids", "suppress_ids_begin", "lang_ids"):
        setattr(spec.config, name, config[name])
    spec.config.alignment_heads = [(shape.decoder_layers - 1, head) for head in range(min(6, shape.heads))]
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(parents=True)
    spec.save(str(folder))
    shutil.copy(like / "tokenizer.json", folder / "tokenizer.json")
    return folder


def _set_ends(spec: Any, shape: Shape, random: _Random) -> None:
    """What lies before and behind the layers."""
    width, encoder, decoder = shape.width, spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = random(width, shape.mels, 3), random(width)
    encoder.conv2.weight, encoder.conv2.bias = random(width, width, 3), random(width)
    encoder.position_encodings.encodings = random(_CONTEXT, width)
    decoder.position_encodings.encodings = random(_TEXT_CONTEXT, width)
    decoder.embeddings.weight = random(shape.vocabulary, width)
    decoder.projection.weight = decoder.embeddings.weight
    _set_norm(encoder.layer_norm, width)
    _set_norm(decoder.layer_norm, width)


def _set_self_attention(attention: Any, width: int, random: _Random) -> None:
    _set_linear(attention.linear[0], 3 * width, width, random)
    _set_linear(attention.linear[1], width, width, random)


def _set_feed_forward(network: Any, width: int, random: _Random) -> None:
    _set_norm(network.layer_norm, width)
    _set_linear(network.linear_0, 4 * width, width, random)
    _set_linear(network.linear_1, width, 4 * width, random)


def _set_linear(linear: Any, outputs: int, inputs: int, random: _Random) -> None:
    linear.weight, linear.bias = random(outputs, inputs), random(outputs)


def _set_norm(norm: Any, width: int) -> None:
    norm.gamma, norm.beta = np.ones(width, np.float32), np.zeros(width, np.float32)

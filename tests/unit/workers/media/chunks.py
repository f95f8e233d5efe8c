"""Ways to decode a recording: whole, cut anywhere, killed and resumed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from tests.unit.workers.media.material import Recording
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder
from workers.media.pcm import Samples

LSB16 = 1 / 32768
AAC_ERROR = 0.05
"""RMS of the difference relative to the sound. AAC with perceptual noise substitution never becomes identical again:
-32 to -90 dB were measured, the same with ten times the pre-roll; one sample of misalignment is above -20 dB."""


def assert_same(again: Samples, whole: Samples, *, aac: bool) -> None:
    """The same samples, to less than one step of 16 bits; AAC to -26 dB."""
    assert len(again) == len(whole)
    if aac:
        assert np.sqrt(np.mean((again - whole) ** 2)) < AAC_ERROR * np.sqrt(np.mean(whole**2))
    else:
        assert np.abs(again - whole).max() < LSB16


def cut(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """`data` in chunks of these sizes, over and over."""
    chunks, at = [], 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            return chunks
        chunks.append(data[at : at + size])
        at += size
    return chunks


def chunks_of(recording: Recording, sizes: Iterable[int]) -> list[bytes]:
    """The chunks of a recording: its packets if it has any, else its bytes cut."""
    return list(recording.packets) or cut(recording.data, sizes)


def decode(fmt, chunks: Sequence[bytes]):
    """All samples of one recording."""
    decoder = AudioDecoder(fmt)
    parts = [decoder.decode(Chunk(number, chunk)) for number, chunk in enumerate(chunks)]
    parts.append(decoder.finish())
    samples = np.concatenate(parts)
    assert decoder.position == len(samples)
    return samples


def decode_killed(
    fmt, chunks: Sequence[bytes], kills: Iterable[int], behind: int, starts: frozenset[int] = frozenset()
):
    """All samples when the decoder is lost before each chunk in `kills`, `behind` samples after its last commit.

    `starts`: the chunks that begin a new recording.
    """
    decoder, kept, base, number = AudioDecoder(fmt), [], 0, 0
    fresh: list[np.ndarray] = []
    for kill in [*sorted(set(kills)), len(chunks)]:
        while number < kill:
            fresh.append(decoder.decode(Chunk(number, chunks[number], new_recording=number in starts)))
            number += 1
        if kill == len(chunks):
            break
        heard = np.concatenate([*fresh, np.zeros(0, np.float32)])
        committed = max(0, len(heard) - behind)
        kept.append(heard[:committed])
        base += committed
        checkpoint = decoder.checkpoint(base)
        decoder, number, fresh = AudioDecoder(fmt, checkpoint.state), checkpoint.replay_from_sequence, []
        assert decoder.position == base
    return np.concatenate([*kept, *fresh, decoder.finish()])

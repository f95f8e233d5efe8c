"""FLAC whose frame headers are damaged: what is behind them is heard, and the loss is counted."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.workers.media.chunks import assert_same, cut, decode, decode_killed
from tests.unit.workers.media.material import declared, mux, tone
from workers.chunk import Chunk
from workers.media.decoder import AudioDecoder

AUDIO = declared("audio/flac")
SECONDS = 4.0
RATE = 16_000


def damaged(share: float, size: int) -> bytes:
    """Zeros from this share of the file on."""
    data = mux("flac", "flac", SECONDS, rate=RATE)
    at = round(len(data) * share)
    return data[:at] + bytes(size) + data[at + size :]


def decoded(data: bytes, size: int) -> tuple[np.ndarray, int]:
    decoder = AudioDecoder(AUDIO)
    parts = [decoder.decode(Chunk(number, part)) for number, part in enumerate(cut(data, [size]))]
    return np.concatenate([*parts, decoder.finish()]), decoder.damaged_bytes


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6])
def test_what_is_behind_damaged_frames_is_heard(share: float) -> None:
    data = damaged(share, 6_000)  # a frame has about 5,000 bytes
    heard, lost = decoded(data, 1_000)
    assert abs(len(heard) - SECONDS * RATE) < 0.05 * RATE
    behind = slice(round((share + 0.25) * SECONDS * RATE), round(0.95 * SECONDS * RATE))
    assert np.abs(heard[behind] - tone(SECONDS, RATE)[behind]).max() < 2 / 32_767
    assert 3_000 < lost < 30_000
    again, lost_again = decoded(data, len(data))
    assert np.array_equal(again, heard)
    assert lost_again == lost


def test_a_restart_near_the_damage_changes_nothing() -> None:
    chunks = cut(damaged(0.5, 6_000), [3_000])
    for kills in ([len(chunks) // 2 - 1], [len(chunks) // 2 + 1, len(chunks) - 2]):
        assert_same(decode_killed(AUDIO, chunks, kills, 1_601), decode(AUDIO, chunks), aac=False)

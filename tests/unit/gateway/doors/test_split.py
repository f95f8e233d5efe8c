"""Channels come apart sample by sample, wherever the bytes are cut."""

from __future__ import annotations

import random

import pytest

from gateway.doors.split import ChannelSplitter


@pytest.mark.parametrize("sample_bytes", [1, 2, 4])
@pytest.mark.parametrize("channels", [2, 3, 8])
def test_every_sample_goes_to_its_channel(channels: int, sample_bytes: int) -> None:
    rng = random.Random(channels * 10 + sample_bytes)
    tracks = [rng.randbytes(sample_bytes * 50) for _ in range(channels)]
    frames = b"".join(
        track[at : at + sample_bytes] for at in range(0, sample_bytes * 50, sample_bytes) for track in tracks
    )
    splitter = ChannelSplitter(channels, sample_bytes)
    heard = [b""] * channels
    while frames:
        cut = rng.randint(0, 7)
        heard = [before + part for before, part in zip(heard, splitter.split(frames[:cut]), strict=True)]
        frames = frames[cut:]
    assert heard == tracks

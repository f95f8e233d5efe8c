"""Invariant: the memory holds the state and exactly the chunks from its restart point on, within its bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.chunk import Chunk
from workers.media.isolation.replay_memory import CHUNK_OVERHEAD_BYTES, ReplayMemory


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 40), st.booleans()), max_size=40))
def test_it_holds_what_came_since_the_restart_point(steps: list[tuple[int, int, bool]]) -> None:
    memory = ReplayMemory(b"first", 1500)
    model: list[Chunk] = []
    sequence = 0
    for rise, size, restart in steps:
        sequence += rise
        chunk = Chunk(sequence, bytes(size))
        if memory.has_room_for(chunk):
            memory.add(chunk)
            model.append(chunk)
        if restart:
            memory.restart_from(sequence - size, b"newer")
            model = [kept for kept in model if kept.sequence >= sequence - size]
        assert list(memory.chunks()) == model
        assert memory.size == sum(len(kept.payload) + CHUNK_OVERHEAD_BYTES for kept in model) <= 1500


def test_no_chunk_beyond_the_bound() -> None:
    memory = ReplayMemory(None, CHUNK_OVERHEAD_BYTES + 10)
    memory.add(Chunk(0, bytes(10)))
    with pytest.raises(ValueError, match="no room"):
        memory.add(Chunk(1, b""))
    memory.clear()
    memory.add(Chunk(1, bytes(10)))


def test_sequences_rise() -> None:
    memory = ReplayMemory(None, 1000)
    memory.add(Chunk(4, b""))
    with pytest.raises(ValueError, match="rise"):
        memory.add(Chunk(4, b""))

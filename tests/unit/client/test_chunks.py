"""Bookkeeping of chunks: whatever is acknowledged in whatever order, what the gateway may ask for is still there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from talkup_client import backoff
from talkup_client.chunks import UncommittedChunks

STEPS = st.lists(
    st.one_of(
        st.integers(1, 40).map(lambda size: ("append", size, 0)),
        st.tuples(st.just("acknowledge"), st.integers(-1, 60), st.integers(-1, 60)),
        st.integers(0, 60).map(lambda sequence: ("rewind", sequence, 0)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(0, 200))
def test_chunks_in_flight_are_kept_consecutive_and_counted(steps: list[tuple[str, int, int]], bound: int) -> None:
    chunks = UncommittedChunks(0, keep_bytes=bound)
    sizes: list[int] = []
    received = -1
    for step, first, second in steps:
        match step:
            case "append":
                assert chunks.append(b"x" * first).sequence == len(sizes)
                sizes.append(first)
            case "acknowledge":
                received = max(received, min(first, len(sizes) - 1))
                chunks.acknowledge(first, second)
            case "rewind":
                # A gateway never asks for what it has said to have done with: only for what came after.
                target = max(first, received + 1)
                again = list(chunks.rewind(target))
                received = min(target - 1, len(sizes) - 1)
                assert [chunk.sequence for chunk in again] == list(range(received + 1, len(sizes)))
        assert chunks.in_flight_bytes == sum(sizes[received + 1 :])
        assert chunks.in_flight_bytes <= chunks.kept_bytes <= max(bound, chunks.in_flight_bytes)
        assert chunks.kept_bytes + chunks.forgotten_bytes == sum(sizes)


def test_what_is_received_but_not_committed_can_be_asked_for_again() -> None:
    chunks = UncommittedChunks(5, keep_bytes=100)
    for payload in (b"a", b"b", b"c"):
        chunks.append(payload)
    chunks.acknowledge(received=6, committed=5)
    assert [(chunk.sequence, chunk.payload) for chunk in chunks.rewind(6)] == [(6, b"b"), (7, b"c")]


def test_received_chunks_beyond_the_bound_are_forgotten() -> None:
    chunks = UncommittedChunks(0, keep_bytes=10)
    for _ in range(5):
        chunks.append(b"12345")
    assert chunks.kept_bytes == 25
    chunks.acknowledge(received=4, committed=-1)
    assert chunks.kept_bytes == 10


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_longer_than_the_cap(attempt: int, chance: float) -> None:
    assert 0 <= backoff.delay_s(attempt, lambda: chance) <= backoff.CAP_S

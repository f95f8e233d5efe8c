"""Invariants of the sequencer: chunks come out in order and once, and every hole is reported once."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.chunk import Chunk
from gateway.protocol.limits import Limits
from gateway.protocol.magic import HeaderMatch, match_header, match_media
from gateway.protocol.sequence import Duplicate, Gap, SequenceEvent, Sequencer, Stale
from tests.unit.gateway.protocol.helpers import BODY, EBML

WINDOW = 16
LIMITS = Limits(window_chunks=WINDOW, gap_seconds=2.0)


def sequencer(*, packets: bool = False, headers: bool = True, limits: Limits = LIMITS) -> Sequencer:
    return Sequencer(limits, packets=packets, headers=headers)


def offer(order: Sequencer, sequence: int | None, payload: bytes, now: float) -> list[SequenceEvent]:
    return order.offer(Chunk(order.next_unused if sequence is None else sequence, payload, None, now))


def pieces(events: list[SequenceEvent]) -> list[tuple[int, bytes]]:
    return [(event.sequence, event.payload) for event in events if isinstance(event, Chunk)]


def body(number: int) -> bytes:
    return number.to_bytes(4, "big") * 8


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A number of chunks, and their sequences shuffled within the window, some of them twice."""
    total = draw(st.integers(1, 60))
    seed = draw(st.integers(0, 2**32))
    rng = random.Random(seed)
    numbers = sorted(range(total), key=lambda number: number + rng.random() * WINDOW)
    for number in draw(st.lists(st.integers(0, total - 1), max_size=12)):
        numbers.insert(rng.randint(numbers.index(number) + 1, len(numbers)), number)
    return total, numbers


@settings(max_examples=300, deadline=None)
@given(deliveries(), st.booleans())
def test_any_order_within_the_window_gives_the_same_bytes_once(delivery: tuple[int, list[int]], packets: bool) -> None:
    total, numbers = delivery
    order = sequencer(packets=packets, headers=False)
    events: list[SequenceEvent] = []
    for number in numbers:
        events += offer(order, number, body(number), 0.0)
    assert pieces(events) == [(number, body(number)) for number in range(total)]
    assert sum(isinstance(event, Duplicate) for event in events) == len(numbers) - total
    assert not [event for event in events if isinstance(event, Gap | Stale)]
    assert order.deadline() is None


@settings(max_examples=300, deadline=None)
@given(st.integers(2, 60), st.sets(st.integers(1, 59), max_size=20), st.integers(0, 2**32))
def test_every_hole_is_reported_once(total: int, lost: set[int], seed: int) -> None:
    rng = random.Random(seed)
    kept = [number for number in range(total) if number not in lost]
    order, events, now = sequencer(), [], 0.0
    for number in sorted(kept, key=lambda number: number + rng.random() * 4):
        events += offer(order, number, body(number), now)
        now += 0.01
    events += order.poll(now + 10)
    events += order.drain()
    assert [number for number, _ in pieces(events)] == kept
    reported = [n for event in events if isinstance(event, Gap) for n in range(event.first, event.last + 1)]
    assert reported == sorted(number for number in lost if number < kept[-1])
    behind = [after for gap, after in pairwise(events) if isinstance(gap, Gap)]
    assert [chunk.sequence for chunk in behind if isinstance(chunk, Chunk)] == [
        event.last + 1 for event in events if isinstance(event, Gap)
    ]


@settings(max_examples=300, deadline=None)
@given(
    st.booleans(),
    st.booleans(),
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 40) | st.just(2**32 - 1),
            st.sampled_from([b"", b"\x1a", EBML, BODY]),
            st.floats(0, 1),
        ),
        max_size=80,
    ),
)
def test_the_window_stays_bounded_whatever_arrives(
    packets: bool, headers: bool, offers: list[tuple[int | None, bytes, float]]
) -> None:
    order, now, forwarded = sequencer(packets=packets, headers=headers), 0.0, 0
    for number, payload, step in offers:
        now += step
        forwarded += len(pieces(offer(order, number, payload, now)))
        forwarded += len(pieces(order.poll(now)))
        assert len(order._held) <= WINDOW
        due = order.deadline()
        assert due is None or due > now
    forwarded += len(pieces(order.drain()))
    assert forwarded <= len(offers)
    assert order._held_bytes == 0


def test_a_hole_is_given_up_after_its_time_and_reported_once() -> None:
    order = sequencer()
    assert pieces(offer(order, 0, EBML, 0.0)) == [(0, EBML)]
    assert offer(order, 3, body(3), 1.0) == []
    assert order.deadline() == 3.0
    assert order.poll(2.9) == []
    assert order.poll(3.0) == [Gap(1, 2), Chunk(3, body(3), arrived=1.0)]
    assert offer(order, 1, body(1), 3.1) == [Duplicate(1)]
    assert order.next_sequence == 4


def test_a_full_window_gives_up_at_once() -> None:
    order = sequencer()
    offer(order, 0, EBML, 0.0)
    events = [event for number in range(2, 2 + WINDOW + 1) for event in offer(order, number, b"x", 0.0)]
    assert events[0] == Gap(1, 1)
    assert len(pieces(events)) == WINDOW + 1


def test_the_window_is_bounded_in_bytes() -> None:
    order = sequencer(limits=Limits(window_bytes=100))
    offer(order, 0, EBML, 0.0)
    assert offer(order, 2, bytes(60), 0.0) == []
    assert offer(order, 3, bytes(60), 0.0)[0] == Gap(1, 1)


def test_a_stream_may_begin_at_any_number() -> None:
    order = sequencer(headers=False)
    assert offer(order, 12, body(12), 0.0) == []
    assert offer(order, 13, body(13), 0.1) == []
    assert order.poll(2.0) == [Chunk(12, body(12)), Chunk(13, body(13), arrived=0.1)]


def test_a_header_fixes_the_first_number_at_once() -> None:
    assert pieces(offer(sequencer(), 1, EBML, 0.0)) == [(1, EBML)]


def test_chunks_without_numbers_continue_the_numbering() -> None:
    order = sequencer()
    numbers = [number for _ in range(3) for number, _ in pieces(offer(order, None, BODY, 0.0))]
    assert numbers == [0, 1, 2]
    offer(order, 5, BODY, 0.0)
    offer(order, None, BODY, 0.0)
    assert [number for number, _ in pieces(order.drain())] == [5, 6]


def test_a_pause_stops_the_clock() -> None:
    order = sequencer()
    offer(order, 0, EBML, 0.0)
    offer(order, 2, body(2), 0.0)
    order.pause()
    assert order.poll(100.0) == []
    order.proceed(100.0)
    assert order.deadline() == 102.0
    assert [number for number, _ in pieces(offer(order, 1, body(1), 101.0))] == [1, 2]


def test_a_restarted_recorder_begins_a_new_numbering() -> None:
    order = sequencer(packets=True)
    for number, payload in enumerate([EBML, body(1), body(2)]):
        offer(order, number, payload, 0.0)
    again = EBML[:-1] + b"!"
    assert pieces(offer(order, 0, again, 1.0)) == [(0, again)]
    assert pieces(offer(order, 1, body(11), 1.0)) == [(1, body(11))]


def test_a_late_blob_with_the_new_number_0_passes_and_number_1_follows() -> None:
    order = sequencer(packets=True)
    for number, payload in enumerate([EBML, body(1), body(2)]):
        offer(order, number, payload, 0.0)
    assert pieces(offer(order, 0, body(3), 1.0)) == [(0, body(3))]
    assert pieces(offer(order, 1, EBML, 1.0)) == [(1, EBML)]


def test_a_queued_chunk_that_arrives_first_is_stale() -> None:
    order = sequencer(packets=True)
    assert offer(order, 37, body(37), 0.0) == []
    assert offer(order, 0, EBML, 0.5) == [Stale(37), Chunk(0, EBML, arrived=0.5)]
    assert pieces(offer(order, 1, body(1), 0.6)) == [(1, body(1))]


def test_a_started_stream_treats_old_numbers_as_duplicates_unless_a_header_differs() -> None:
    order = sequencer()
    offer(order, 0, EBML, 0.0)
    offer(order, 1, body(1), 0.0)
    assert offer(order, 0, EBML, 0.0) == [Duplicate(0)]
    assert offer(order, 1, body(9), 0.0) == [Duplicate(1)]
    other = EBML + b"more"
    assert pieces(offer(order, 0, other, 0.0)) == [(0, other)]


MAGICS = [
    (EBML, HeaderMatch.FULL),
    (b"OggS\x00\x02" + bytes(20), HeaderMatch.FULL),
    (b"OggS\x00\x00" + bytes(20), HeaderMatch.NO),
    (b"\x00\x00\x00\x20ftypiso5", HeaderMatch.FULL),
    (b"\x00\x00\x00\x20moof", HeaderMatch.NO),
    (b"RIFF\x10\x00\x00\x00WAVEfmt ", HeaderMatch.FULL),
    (b"RIFF\x10\x00\x00\x00WEBPVP8 ", HeaderMatch.NO),
    (b"\x43\xb6\x75", HeaderMatch.NO),
]


@pytest.mark.parametrize(("data", "match"), MAGICS)
def test_magics(data: bytes, match: HeaderMatch) -> None:
    assert match_header(data) is match
    if match is HeaderMatch.FULL:
        for length in range(1, 12):
            assert match_header(data[:length]) is not HeaderMatch.NO


@pytest.mark.parametrize(
    "data", [b"fLaC\x00", b"ID3\x04", b"\xff\xfb\x90", b"\xff\xd8\xff\xe0", b"RIFF\x10\x00\x00\x00WEBP"]
)
def test_magics_that_only_sniffing_recognises(data: bytes) -> None:
    assert match_header(data) is HeaderMatch.NO
    assert match_media(data) is HeaderMatch.FULL
    assert match_media(data[:1]) is HeaderMatch.PARTIAL

"""Invariant: free + admitted = total, whatever the order of admissions, takeovers and releases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import error_pb2

from workers.admission import Admission, Lease, StreamKey
from workers.errors import RefusedError

STEPS = st.lists(st.tuples(st.sampled_from(["admit", "release"]), st.integers(0, 5), st.integers(1, 3)))


@given(STEPS, st.integers(0, 4))
def test_slots_always_add_up(steps: list[tuple[str, int, int]], total: int) -> None:
    admission = Admission(total, retry_after_ms=1)
    running: dict[StreamKey, Lease] = {}
    given: list[Lease] = []
    for step, number, attempt in steps:
        key = StreamKey("s", str(number))
        if step == "release" and given:
            lease = given[number % len(given)]
            admission.release(lease)
            if running.get(lease.key) is lease:
                del running[lease.key]
            continue
        calls: list[bool] = []
        older = running.get(key)
        superseded = older is not None and older.attempt >= attempt
        if superseded or (older is None and len(running) == total):
            with pytest.raises(RefusedError) as refused:
                admission.admit(key, attempt, lambda calls=calls: calls.append(True))
            wanted = error_pb2.ERROR_CODE_SUPERSEDED if superseded else error_pb2.ERROR_CODE_BUSY
            assert refused.value.code == wanted
            continue
        lease = admission.admit(key, attempt, lambda calls=calls: calls.append(True))
        running[key] = lease
        given.append(lease)
        slots = admission.slots()
        assert (slots.total, slots.free) == (total, total - len(running))
        assert 0 <= slots.free <= total


def test_the_older_attempt_is_notified_once_and_its_release_changes_nothing() -> None:
    admission = Admission(1, retry_after_ms=5)
    calls: list[str] = []
    old = admission.admit(StreamKey("s", "a"), 1, lambda: calls.append("old"))
    new = admission.admit(StreamKey("s", "a"), 2, lambda: calls.append("new"))
    admission.release(old)
    assert (calls, admission.active) == (["old"], 1)
    with pytest.raises(RefusedError) as refused:
        admission.admit(StreamKey("s", "b"), 1, lambda: None)
    assert refused.value.retry_after_ms == 5
    admission.release(new)
    admission.release(new)
    assert admission.slots().free == 1


@given(st.lists(st.integers(0, 6), max_size=20), st.integers(0, 6))
def test_fewer_slots_take_none_from_a_stream(totals: list[int], streams: int) -> None:
    admission = Admission(streams, retry_after_ms=1)
    leases = [admission.admit(StreamKey("s", str(number)), 1, lambda: None) for number in range(streams)]
    for total in totals:
        admission.resize(total)
        slots = admission.slots()
        assert (slots.total, slots.free, admission.active) == (total, max(0, total - streams), streams)
        if total <= streams:
            with pytest.raises(RefusedError):
                admission.admit(StreamKey("s", "one more"), 1, lambda: None)
    for lease in leases:
        admission.release(lease)
    assert admission.slots().free == admission.slots().total

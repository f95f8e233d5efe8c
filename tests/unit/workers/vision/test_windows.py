"""Windows: a fold over frames; recomputed from the same frames they are equal, and what is not known is absent."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.vision.gestures import BlinkFinder, NodFinder, RateMeter, fast_enough
from workers.vision.windows import (
    EVERY_MS,
    WINDOW_MS,
    Sample,
    Totals,
    Windows,
    WindowsState,
    pack_samples,
    summarise,
    unpack_samples,
)

numbers = st.floats(0, 1, width=32)


@st.composite
def streams(draw: st.DrawFn) -> list[Sample]:
    steps = draw(st.lists(st.integers(20, 1_500), max_size=60))
    samples, now = [], 0
    for step in steps:
        now += step
        samples.append(
            Sample(
                now,
                draw(st.booleans()),
                draw(st.floats(0, 255, width=32)),
                draw(st.none() | numbers),
                draw(st.none() | numbers),
                draw(st.none() | numbers),
                draw(st.none() | st.floats(-60, 60, width=32)),
                draw(st.integers(0, 1)),
                draw(st.integers(0, 1)),
                draw(st.integers(0, 2_000)),
                draw(st.integers(0, 2_000)),
                draw(numbers),
            )
        )
    return samples


@given(streams())
def test_windows_recomputed_from_frames_are_equal(samples: list[Sample]) -> None:
    windows, seen = Windows(), []
    for sample in samples:
        seen.append(sample)
        window = windows.add(sample)
        if window is not None:
            inside = [s for s in seen if sample.media_ms - s.media_ms <= WINDOW_MS]
            assert window == summarise(inside, window.t0_ms, window.t1_ms)
            assert window.t1_ms - window.t0_ms <= WINDOW_MS
    if samples:
        whole = windows.whole()
        assert whole == summarise(samples, whole.t0_ms, whole.t1_ms, whole=True)
        assert whole.frames == len(samples)


@given(streams(), st.integers(0, 60))
def test_a_successor_gives_the_windows_that_its_predecessor_would_have(samples: list[Sample], cut: int) -> None:
    """Through the bytes of a state, taken after any frame."""
    one, first = Windows(), Windows()
    expected = [one.add(sample) for sample in samples]
    found = [first.add(sample) for sample in samples[:cut]]
    carried = msgspec.msgpack.encode(first.state)
    second = Windows(msgspec.msgpack.decode(carried, type=WindowsState))
    found += [second.add(sample) for sample in samples[cut:]]
    assert found == expected
    assert second.whole() == one.whole()


@given(streams())
def test_packed_frames_are_the_same_frames(samples: list[Sample]) -> None:
    packed = pack_samples(samples)
    assert unpack_samples(packed) == samples
    assert len(packed) == 35 * len(samples)


@pytest.mark.parametrize("data", [b"x", bytes(35 * 1_201)])
def test_bytes_that_are_no_frames_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="window"):
        unpack_samples(data)


def test_a_window_comes_every_two_seconds() -> None:
    windows = Windows()
    due = [at for at in range(0, 20_001, 100) if windows.add(Sample(at, True, 100.0)) is not None]
    assert due == list(range(EVERY_MS, 20_001, EVERY_MS))


def test_what_was_never_measured_is_absent_and_not_zero() -> None:
    window = summarise([Sample(i * 200, True, 90.0) for i in range(40)], 0, 8_000)
    for name in ("facing_camera_ratio", "blinks_per_minute", "smile_ratio", "nods", "motion", "yaw_spread_degrees"):
        assert not window.HasField(name)
    assert window.presence_ratio.value == 1
    assert window.fps.value == 5


def test_no_frames_give_no_numbers() -> None:
    assert not Totals().signals(0, 0, whole=True).HasField("presence_ratio")


def test_a_nod_is_down_and_up_again() -> None:
    finder = NodFinder()
    pitches = [0, 0, -3, -7, -8, -5, -2, 0, 0, 0]
    nods = [nod for i, pitch in enumerate(pitches) if (nod := finder.add(i * 70, pitch)) is not None]
    assert len(nods) == 1
    assert nods[0].t0_ms <= 140
    slow = NodFinder()
    assert not [1 for i in range(40) if slow.add(i * 70, -i * 0.4) is not None]


def test_a_blink_is_short_and_needs_eyes_that_are_seen() -> None:
    finder = BlinkFinder()
    assert [finder.add(i * 60, shut) for i, shut in enumerate([False, True, True, False, False])].count(True) == 1
    sleeping = BlinkFinder()
    assert not any(sleeping.add(i * 60, shut) for i, shut in enumerate([True] * 20 + [False]))
    unseen = BlinkFinder()
    assert not any(unseen.add(i * 60, shut) for i, shut in enumerate([True, None, False]))


def test_the_rate_is_known_after_a_few_frames() -> None:
    meter = RateMeter()
    rates = [meter.add(i * 66) for i in range(12)]
    assert rates[:3] == [0, 0, 0]
    assert fast_enough(rates[-1], 15)
    assert not fast_enough(rates[-1], 20)

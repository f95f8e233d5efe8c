"""Events: they begin at the first frame that showed them, and neither flicker nor blindness ends them early."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import analysis_pb2

from workers.vision.events import CONDITIONS, COUNT_MS, EventFinder

STEP = 100


def faces(count: int) -> analysis_pb2.FrameSignals:
    return analysis_pb2.FrameSignals(face_count=count)


def facing(value: float | None) -> analysis_pb2.FrameSignals:
    frame = faces(1)
    if value is not None:
        frame.gaze.facing_camera.CopyFrom(analysis_pb2.Measure(value=value, confidence=0.7))
    return frame


def events_of(frames: list[analysis_pb2.FrameSignals], *, finish: bool = False) -> list[tuple[str, int, int | None]]:
    finder = EventFinder()
    events = [event for i, frame in enumerate(frames) for event in finder.observe(frame, i * STEP)]
    if finish:
        events += finder.finish((len(frames) - 1) * STEP)
    return [(e.type, e.t0_ms, e.t1_ms if e.HasField("t1_ms") else None) for e in events]


def test_a_lost_face_is_reported_when_it_lasts_and_dated_back() -> None:
    frames = [faces(1)] * 10 + [faces(0)] * 10 + [faces(1)] * 10
    assert events_of(frames) == [("face_lost", 1_000, None), ("face_lost", 1_000, 2_000), ("face_back", 2_000, 2_000)]


def test_a_short_loss_is_no_event() -> None:
    assert events_of([faces(1)] * 5 + [faces(0)] * 3 + [faces(1)] * 9) == []


def test_a_flicker_does_not_end_an_event() -> None:
    frames = [faces(0)] * 8 + [faces(1)] * 2 + [faces(0)] * 8
    assert events_of(frames, finish=True) == [("face_lost", 0, None), ("face_lost", 0, 1_700)]


def test_looking_away_takes_two_seconds() -> None:
    assert events_of([facing(1.0)] * 5 + [facing(0.1)] * 19 + [facing(1.0)] * 9) == []
    away = events_of([facing(1.0)] * 5 + [facing(0.1)] * 25 + [facing(1.0)] * 9)
    assert away == [("looking_away", 500, None), ("looking_away", 500, 3_000)]


def test_what_cannot_be_measured_changes_nothing_at_first() -> None:
    frames = [facing(0.1)] * 25 + [facing(None)] * 5 + [facing(0.1)] * 5
    assert events_of(frames) == [("looking_away", 0, None)]
    assert events_of([facing(0.1)] * 25 + [facing(None)] * 30)[-1] == ("looking_away", 0, 2_400)


def counted(counts: list[int], every: int, step_ms: int = STEP) -> list[tuple[int, int | None]]:
    """The events of several faces that are counted on every n-th frame, and assumed unchanged between."""
    finder, known, events = EventFinder(), 0, []
    for i, count in enumerate(counts):
        looked = i % every == 0
        known = count if looked else known
        events += finder.observe(faces(known), i * step_ms, counted=looked)
    return [(e.t0_ms, e.t1_ms if e.HasField("t1_ms") else None) for e in events if e.type == "multiple_faces"]


def test_what_changes_between_two_counts_is_dated_half_way() -> None:
    assert counted([1] * 10 + [2] * 15 + [1] * 12, 4) == [(1_000, None), (1_000, 2_600)]
    assert counted([2] * 9, 4) == [(0, None)]


def test_how_long_several_faces_last_is_known_from_counts_that_showed_them() -> None:
    """600 ms, and no dating back counts for them."""
    assert counted([1] * 9 + [2] * 7 + [1] * 12, 4) == []
    assert counted([1] * 9 + [2] * 12 + [1] * 12, 4)[0] == (1_000, None)


def test_what_changes_over_a_hole_is_dated_at_its_end() -> None:
    finder = EventFinder()
    finder.observe(faces(1), 0)
    sent = [event for at in (20_000, 20_400, 20_800) for event in finder.observe(faces(2), at)]
    sent += [event for at in (40_000, 40_400, 40_800) for event in finder.observe(faces(1), at)]
    found = [(event.t0_ms, event.t1_ms if event.HasField("t1_ms") else None) for event in sent]
    assert found == [(20_000, None), (20_000, 40_000)]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(33, 320), st.integers(1, 10))
def test_edges_of_several_faces_lie_within_half_of_the_time_between_counts(
    before: int, longer: int, step_ms: int, every: int
) -> None:
    """Of the change itself, which lies up to a frame before the first that shows it."""
    every = 1 + (every - 1) % (COUNT_MS // step_ms)
    lasting = longer + 600 // step_ms + 2 * every
    sent = counted([1] * before + [2] * lasting + [1] * 60, every, step_ms)
    start, end = sent[-1]
    assert end is not None
    assert abs(start - (before - 0.5) * step_ms) <= every * step_ms / 2
    assert abs(end - (before + lasting - 0.5) * step_ms) <= every * step_ms / 2


@given(st.lists(st.integers(0, 2), max_size=60))
def test_every_event_begins_once_and_ends_once_in_order(counts: list[int]) -> None:
    running: dict[str, int] = {}
    for name, start, end in events_of([faces(count) for count in counts], finish=True):
        if name == "face_back":
            continue
        if end is None:
            assert name not in running
            running[name] = start
        else:
            assert running.pop(name) == start <= end
    assert not running


def test_the_table_names_each_event_once() -> None:
    names = [condition.type for condition in CONDITIONS]
    assert len(names) == len(set(names))

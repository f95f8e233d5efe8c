"""Where a report's lines, bars and marks lie."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.report.build import build
from gateway.report.charts import Bar, Dot, line, share, time_ticks, timeline
from tests.fakes.interview import interview


def test_a_line_breaks_where_nothing_was_measured() -> None:
    drawn = line([(10, 100.0), (20, 120.0), (30, None), (40, 110.0)], 100, least_span=60)
    assert drawn is not None
    assert [tick.value for tick in drawn.values] == [80, 100, 120, 140]
    assert drawn.path == "M10,66.67L20,33.33"
    assert drawn.dots == (Dot(10, 66.67), Dot(20, 33.33), Dot(40, 50.0))
    assert (drawn.low, drawn.high) == (100, 120)


def test_a_long_line_has_dots_only_where_no_line_reaches() -> None:
    points: list[tuple[int, float | None]] = [(place, float(place)) for place in range(100)]
    drawn = line([*points, (100, None), (101, 5.0)], 200, least_span=10)
    assert drawn is not None
    assert [dot.x for dot in drawn.dots] == [50.5]


def test_fewer_than_two_values_draw_nothing() -> None:
    assert line([(0, None), (10, 5.0)], 100, least_span=10) is None
    assert line([], 100, least_span=10) is None


@given(
    values=st.lists(st.none() | st.floats(-90, 600), min_size=1, max_size=80),
    least_span=st.sampled_from([12.0, 60.0]),
)
def test_all_that_is_drawn_lies_within_the_chart(values: list[float | None], least_span: float) -> None:
    drawn = line(list(enumerate(values)), max(1, len(values)), least_span)
    if sum(value is not None for value in values) < 2:
        assert drawn is None
        return
    assert drawn is not None
    assert drawn.values[-1].value - drawn.values[0].value >= least_span
    assert 2 <= len(drawn.values) <= 8
    assert all(0 <= dot.x <= 100 and 0 <= dot.y <= 100 for dot in drawn.dots)


@given(duration_ms=st.integers(0, 30 * 86_400_000))
def test_times_are_few_and_within_the_session(duration_ms: int) -> None:
    ticks = time_ticks(duration_ms)
    assert 1 <= len(ticks) <= 7
    assert all(0 <= tick.value <= duration_ms and 0 <= tick.at <= 100 for tick in ticks)


def test_the_timeline_has_a_row_for_speech_and_for_each_type_of_event() -> None:
    drawn = timeline(build(*interview()))
    rows = [(lane.stream, lane.type, lane.is_first) for lane in drawn.lanes]
    assert rows == [
        (0, "", True),
        (0, "talking_over", False),
        (1, "", True),
        *((1, type_, False) for type_ in ("long_pause", "speaking_fast", "trailing_off")),
        *((1, type_, False) for type_ in ("face_lost", "looking_away", "nod", "smile")),
    ]
    lost = next(lane for lane in drawn.lanes if lane.type == "face_lost")
    assert lost.bars[0].x + lost.bars[0].width == 100


def test_marks_close_to_one_another_stand_above_one_another() -> None:
    drawn = timeline(build(*interview()))
    levels = {mark.number: mark.level for mark in drawn.marks}
    assert levels == {1: 0, 2: 0, 3: 0, 4: 1, 5: 0, 6: 0}
    assert drawn.levels == 2


def test_shares_stand_side_by_side() -> None:
    assert share([0.25, 0.75]) == (Bar(0, 25), Bar(25, 75))

"""Options: the first row that fits decides, and nothing is passed over in silence."""

from __future__ import annotations

import pytest

from gateway.doors.options import Option, Treatment, cells, sort_options
from gateway.doors.steps import RefusedError

TABLE = (
    Option("speed", Treatment.SUPPORTED, "as given", ("1", "2")),
    Option("speed", Treatment.REFUSED, "must be 1 or 2"),
    Option("colour", Treatment.IGNORED, "there is no colour"),
    Option("word", Treatment.SUPPORTED, "a word"),
)


def test_supported_options_keep_their_values_in_order() -> None:
    given = sort_options(TABLE, [("word", "b"), ("speed", "2"), ("word", "a")])
    assert given.values == {"word": ["b", "a"], "speed": ["2"]}
    assert given.ignored == []


def test_ignored_and_unknown_options_are_named_once() -> None:
    given = sort_options(TABLE, [("colour", "red"), ("colour", "blue"), ("taste", "x" * 1000)])
    assert given.ignored == [("colour", "there is no colour"), ("taste", "the gateway does not know this option")]


def test_a_refused_value_is_refused_with_its_reason() -> None:
    with pytest.raises(RefusedError) as refused:
        sort_options(TABLE, [("speed", "3")])
    assert refused.value.problem.message == "speed: must be 1 or 2"
    assert refused.value.problem.field == "speed"


def test_a_long_list_of_unknown_options_is_counted() -> None:
    given = sort_options(TABLE, [(f"x{number}", "1") for number in range(100)])
    assert len(given.ignored) == 41
    assert given.ignored[-1] == ("and more", "60 further options are ignored")


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "101", "٣", "9" * 20])
def test_a_number_must_be_one(text: str) -> None:
    given = sort_options(TABLE, [("word", text)])
    with pytest.raises(RefusedError):
        given.whole("word", 0, 100)


def test_the_table_shows_which_values_a_row_is_about() -> None:
    assert cells(TABLE)[0] == ("`speed` `1`, `2`", "supported", "as given")
    assert cells(TABLE)[2] == ("`colour`", "ignored", "there is no colour")

"""Options: the first row that fits decides, and nothing is passed over in silence."""

from __future__ import annotations

import pytest

from gateway.doors.options import Option, Treatment, as_header, cells, merged, sort_options
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


@pytest.mark.parametrize(
    ("text", "is_on"), [("true", True), ("True", True), ("1", True), ("false", False), ("0", False)]
)
def test_a_switch_is_on_or_off(text: str, is_on: bool) -> None:
    assert sort_options(TABLE, [("word", text)]).is_true("word") is is_on


def test_a_switch_is_nothing_else() -> None:
    with pytest.raises(RefusedError, match="word: must be true or false"):
        sort_options(TABLE, [("word", "yes")]).is_true("word")
    assert not sort_options(TABLE, []).is_true("word")


def test_the_header_names_every_ignored_option() -> None:
    names = ["colour", "my-option", "a b,c\r\nX: y", "größe"]
    given = sort_options(TABLE, [(name, "1") for name in names])
    assert as_header(given.ignored) == {"talkup-ignored-options": "colour, my-option, a b?c??X: y, gr??e"}
    assert as_header([]) == {}


def test_ignored_options_of_many_requests_are_bounded() -> None:
    ignored = merged({"colour": "there is no colour"}, [(f"x{number}", "why") for number in range(39)])
    assert len(ignored) == 40
    assert merged(ignored, [("colour", "again")]) == {**ignored, "colour": "again"}
    more = merged(ignored, [("taste", "why")])
    assert more == {**ignored, "and more": "further options are ignored"}
    assert merged(more, [("smell", "why")]) == more


def test_the_table_shows_which_values_a_row_is_about() -> None:
    assert cells(TABLE)[0] == ("`speed` `1`, `2`", "supported", "as given")
    assert cells(TABLE)[2] == ("`colour`", "ignored", "there is no colour")

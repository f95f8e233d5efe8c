"""docs/delivery.md names every number and every event of delivery, with the thresholds of the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from talkup.v1 import analysis_pb2

from workers.delivery import events, moments, options, pauses, syllables

PAGE = (Path(__file__).parents[4] / "docs" / "delivery.md").read_text(encoding="utf-8")
PLACES = {"t0_ms", "t1_ms", "whole_session"}


@pytest.mark.parametrize(
    "field", [field.name for field in analysis_pb2.DeliveryWindow.DESCRIPTOR.fields if field.name not in PLACES]
)
def test_every_number_is_explained(field: str) -> None:
    assert f"`{field}`" in PAGE


@pytest.mark.parametrize(
    "name",
    [
        *(events.LONG_PAUSE, events.SPEAKING_FAST, events.SPEAKING_SLOWLY, events.TRAILING_OFF, events.MONOTONE),
        *(moments.FASTEST, moments.SLOWEST, moments.LONGEST_PAUSE, moments.SOFTEST_ENDING, moments.LIVELIEST_PITCH),
        *("talking_over", options.FILLED_PAUSES),
    ],
)
def test_every_event_and_moment_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_thresholds_are_those_of_the_code() -> None:
    assert f"articulation rate of {events.FAST_SYLLABLES:.0f} syllables a minute or more, and {events.FAST_OWN}" in PAGE
    assert f"{events.SLOW_SYLLABLES:.0f} syllables a minute or less, and {events.SLOW_OWN}" in PAGE
    assert f"at most {events.MONOTONE_SEMITONES} semitones, and {events.MONOTONE_OWN} times" in PAGE
    assert f"pause of {events.LONG_PAUSE_MS // 1000} s" in PAGE
    assert f"{events.TURN_MS // 1000} s of silence end the turn" in PAGE
    assert f"silences of {pauses.SHORTEST_PAUSE_MS} ms and longer" in PAGE


def test_every_language_with_a_syllable_rule_is_named() -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith("| `syllables`")]
    named = row.split("rules for ")[1].split(" |")[0]
    assert set(named.split(", ")) == syllables.LANGUAGES

"""The catalogues of the languages, and how numbers read in them."""

from __future__ import annotations

import re
import string

import pytest

from gateway.report.document import Measure, PauseBucket
from gateway.report.measures import FACE, SPEECH
from gateway.report.texts import LANGUAGES, TEXTS
from gateway.report.wording import Wording, clock
from workers.delivery import events as delivery_events
from workers.delivery import moments
from workers.vision import events as vision_events

ENGLISH, FRENCH = Wording("en"), Wording("fr")
JUDGEMENT = {
    "en": r"\b(good|bad|better|worse|too (fast|slow|many|much|long|quiet)|should|poor|weak|nervous|confident|score)\b",
    "fr": r"\b(bon|bonne|mauvais|mieux|pire|trop|faible|nerveux|sûr de|devrait|score)\b",
}


def places(text: str) -> set[str]:
    """The names of the open places of a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_with_the_same_places(language: str) -> None:
    assert set(TEXTS[language]) == set(TEXTS["en"])
    assert {key: places(text) for key, text in TEXTS[language].items()} == {
        key: places(text) for key, text in TEXTS["en"].items()
    }
    assert not [key for key, text in TEXTS[language].items() if not text.strip() and key != "number.group"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_measure_has_a_name_and_a_meaning(language: str) -> None:
    for name in ("talk_ms", "talk_ratio", *SPEECH, *FACE):
        assert TEXTS[language][f"measure.{name}"]
        assert TEXTS[language][f"about.{name}"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_judges_anybody(language: str) -> None:
    assert not [text for text in TEXTS[language].values() if re.search(JUDGEMENT[language], text, re.IGNORECASE)]


def test_french_signs_stand_behind_a_narrow_space() -> None:
    assert not [text for text in TEXTS["fr"].values() if re.search(r"[^\u202f][:;?!»]|«[^\u202f]|'", text)]


@pytest.mark.parametrize(
    ("measure", "name", "english", "french"),
    [
        (Measure(151.2, "words/min", 1), "words_per_minute", "151 words a minute", "151 mots par minute"),
        (Measure(12_345, "count", 1), "words", "12,345", "12\u202f345"),
        (Measure(480, "ms", 1), "pause_median_ms", "0.48 s", "0,48 s"),
        (Measure(3_200, "ms", 1), "pause_longest_ms", "3.2 s", "3,2 s"),
        (Measure(59_960, "ms", 1), "talk_ms", "1 min 00 s", "1 min 00 s"),
        (Measure(125_000, "ms", 1), "talk_ms", "2 min 05 s", "2 min 05 s"),
        (Measure(3_599_600, "ms", 1), "talk_ms", "1 h 00 min", "1 h 00 min"),
        (Measure(0.71, "ratio", 1), "speech_ratio", "71%", "71\u202f%"),
        (Measure(1.1, "ratio", 1), "pitch_spread_relative", "1.1 times", "1,1 fois"),
        (Measure(-23.4, "LUFS", 1), "loudness_lufs", "−23.4 LUFS", "−23,4 LUFS"),
        (Measure(0.64, "LU", 1), "loudness_relative", "+0.6 LU", "+0,6 LU"),
        (Measure(-0.04, "LU", 1), "loudness_relative", "0.0 LU", "0,0 LU"),
        (Measure(9.4, "semitones", 1), "pitch_range_semitones", "9.4 semitones", "9,4 demi-tons"),
        (None, "filled_pauses", "not measured", "non mesuré"),
    ],
)
def test_numbers_read_as_their_language_asks(measure: Measure | None, name: str, english: str, french: str) -> None:
    assert ENGLISH.measure(measure, name) == english
    assert FRENCH.measure(measure, name) == french


def test_dates_name_their_month_and_their_zone() -> None:
    assert ENGLISH.date(1_796_000_000_000) == "30 November 2026, 00:53 UTC"
    assert FRENCH.date(1_796_000_000_000) == "30 novembre 2026, 00:53 UTC"


def test_buckets_of_pauses_say_their_lengths() -> None:
    assert ENGLISH.pause(PauseBucket(250, 500, 0, 0)) == "0.25 s to 0.5 s"
    assert FRENCH.pause(PauseBucket(2_000, None, 0, 0)) == "2 s et plus"


def types_of_events() -> set[str]:
    """The types of events and moments that workers and gateway send."""
    lasting = {condition.type for condition in vision_events.CONDITIONS}
    sent = {value for name, value in vars(delivery_events).items() if name.isupper() and isinstance(value, str)}
    return {*lasting, "face_back", "nod", *sent, *moments.TYPES, "talking_over"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_event_and_every_moment_has_a_name(language: str) -> None:
    named = {key.removeprefix("event.") for key in TEXTS[language] if key.startswith("event.")}
    assert named == types_of_events()


def test_an_unknown_type_keeps_its_own_name() -> None:
    assert ENGLISH.event("hand_raised") == "hand raised"


@pytest.mark.parametrize(("language", "spoken"), [("fr-CA", "fr"), ("EN", "en"), ("de", "en"), ("", "en")])
def test_a_language_without_a_catalogue_gets_english(language: str, spoken: str) -> None:
    assert Wording(language).language == spoken


@pytest.mark.parametrize(("ms", "text"), [(0, "0:00"), (61_999, "1:01"), (3_661_000, "1:01:01"), (-5, "0:00")])
def test_a_time_reads_as_minutes_and_seconds(ms: int, text: str) -> None:
    assert clock(ms) == text

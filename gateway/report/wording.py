"""Numbers, times and names of a report in the words of one language. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from gateway.report.document import Measure, PauseBucket, Unit
from gateway.report.texts import DEFAULT_LANGUAGE, TEXTS

_DECIMALS: Mapping[str, int] = {"1/min": 1, "semitones": 1, "LUFS": 1, "LU": 1}
_TIMES = frozenset({"pitch_spread_relative"})
"""Ratios that are no share of anything."""


class Wording:
    """Words in one language; a language that has no catalogue gets English.

    Numbers are rounded for reading: what a report holds is exact.
    """

    def __init__(self, language: str = DEFAULT_LANGUAGE) -> None:
        primary = language.partition("-")[0].lower()
        self.language = primary if primary in TEXTS else DEFAULT_LANGUAGE
        self._texts = TEXTS[self.language]

    def __call__(self, key: str, **values: str) -> str:
        """A text of the catalogue. Raises KeyError for a key that it lacks."""
        return self.template(key).format(**values)

    def template(self, key: str) -> str:
        """The same with its places still open, as `{name}`."""
        return self._texts[key]

    def number(self, value: float, decimals: int = 0, *, signed: bool = False) -> str:
        """A number in digits."""
        text = f"{value:{'+' if signed else ''},.{decimals}f}"
        if not any(digit in text for digit in "123456789"):
            text = text.lstrip("+-")
        marks = {",": self("number.group"), ".": self("number.decimal"), "-": "−"}
        return "".join(marks.get(character, character) for character in text)

    def percent(self, ratio: float) -> str:
        """A fraction of 1 as a percentage."""
        return self("number.percent", value=self.number(ratio * 100))

    def duration(self, ms: float) -> str:
        """A length of time: seconds with decimals below a minute, then minutes and seconds, then hours and minutes."""
        if round(ms / 100) < 600:
            return self("seconds", value=self.number(ms / 1000, 1 if ms >= 1000 else 2))
        minutes, seconds = divmod(round(ms / 1000), 60)
        if minutes < 60:
            return self("minutes", minutes=str(minutes), seconds=f"{seconds:02d}")
        hours, minutes = divmod(round(ms / 60_000), 60)
        return self("hours", hours=self.number(hours), minutes=f"{minutes:02d}")

    def date(self, unix_ms: float) -> str:
        """A date and time of day, in UTC."""
        at = dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)
        month = self("months").split()[at.month - 1]
        return self("date", day=str(at.day), month=month, year=str(at.year), time=f"{at:%H:%M}")

    def measure(self, measure: Measure | None, name: str = "") -> str:
        """A measure with its unit. `name`: which one it is."""
        if measure is None:
            return self("not_measured")
        if name in _TIMES:
            return self("unit.times", value=self.number(measure.value, 1))
        return self.value(measure.value, measure.unit)

    def value(self, value: float, unit: Unit) -> str:
        """A value with its unit."""
        number, template = self.number_and_unit(value, unit)
        return template.format(value=number)

    def number_and_unit(self, value: float, unit: Unit) -> tuple[str, str]:
        """The number, and a text with the unit in which the number's place is `{value}`."""
        if unit == "ms":
            return self.duration(value), "{value}"
        if unit == "ratio":
            return self.number(value * 100), self.template("number.percent")
        return self.number(value, _DECIMALS.get(unit, 0), signed=unit == "LU"), self.template(f"unit.{unit}")

    def pause(self, bucket: PauseBucket) -> str:
        """The lengths of the pauses that a bucket counts."""
        low = self._short(bucket.from_ms)
        if bucket.to_ms is None:
            return self("pauses.above", low=low)
        return self("pauses.range", low=low, high=self._short(bucket.to_ms))

    def _short(self, ms: int) -> str:
        """Seconds with as many decimals as they need."""
        decimals = next((count for count in (0, 1, 2) if ms % 10 ** (3 - count) == 0), 3)
        return self("seconds", value=self.number(ms / 1000, decimals))

    def confidence(self, measure: Measure | None) -> str:
        """The confidence of a measure; empty if it was not measured."""
        return "" if measure is None else self.percent(measure.confidence)

    def event(self, type_: str) -> str:
        """What an event or a moment is called; a type that the catalogue lacks keeps its own name."""
        return self._texts.get(f"event.{type_}") or type_.replace("_", " ")

    def service(self, name: str) -> str:
        """What a service is called."""
        return self._texts.get(f"service.{name}") or name


def clock(ms: int) -> str:
    """A time on the report's clock: minutes and seconds, with hours once there are any. 61 000: `1:01`."""
    minutes, seconds = divmod(max(0, ms) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

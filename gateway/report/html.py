"""The report as a page that needs nothing else: no script, no request, light and dark, on paper too.

Jinja2 escapes everything that comes from a session. The page's policy allows one style sheet, by its hash, and nothing
more: even text that were not escaped could run no code and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from gateway.report import charts, measures
from gateway.report.document import Compared, Event, Measure, Point, Report, Speaker
from gateway.report.texts import DEFAULT_LANGUAGE
from gateway.report.wording import Wording, clock

_TEMPLATES: Final = Path(__file__).parent / "templates"
_STYLE: Final = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
STYLE_SOURCE: Final = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
"""What a Content-Security-Policy needs in `style-src` for the page to have its style."""

POLICY: Final = f"default-src 'none'; style-src {STYLE_SOURCE}; base-uri 'none'; form-action 'none'"
"""The page's own Content-Security-Policy. A server adds `frame-ancestors`, which a page cannot state itself."""

_HIGHLIGHTS: Final = ("words_per_minute", "pauses", "pause_median_ms", "pitch_hz", "loudness_relative")
_COURSES: Final = (
    ("pace", "words_per_minute", "words/min", 60.0),
    ("pitch", "pitch_hz", "Hz", 60.0),
    ("level", "loudness_lufs", "LUFS", 12.0),
)
"""Charts of a speaker: key, measure, unit, and the least span of the axis."""


def render(report: Report, language: str = DEFAULT_LANGUAGE) -> str:
    """The report as HTML; a language without a catalogue gets English."""
    wording = Wording(language)
    return _environment.get_template("report.html").render(
        report=report,
        wording=wording,
        t=wording,
        named=_named(wording, alone=report.is_of_one),
        alone=report.is_of_one,
        style=Markup(_STYLE),  # noqa: S704  # a file of this package
        policy=POLICY,
        timeline=charts.timeline(report),
        highlights=_HIGHLIGHTS,
        courses=lambda speaker: _courses(speaker, report.duration_ms),
        talk_bars=charts.share([0.0 if each.talk_ratio is None else each.talk_ratio.value for each in report.speakers]),
        figure_of=lambda measure: _figure(measure, wording),
        event_length=lambda event: _event_length(event, wording),
        compared=lambda each: _compared(each, wording),
    )


def _named(wording: Wording, *, alone: bool) -> Callable[..., Markup]:
    """Texts with names in them: each name is set apart, so that its writing direction does not reach its neighbours.

    `alone`: the texts that need no name of a person, because there is one person only.
    """

    def text(key: str, **names: str) -> Markup:
        isolated = {place: Markup("<bdi>{}</bdi>").format(name) for place, name in names.items()}
        chosen = f"{key}.alone" if alone and "name" in names else key
        return escape(wording.template(chosen)).format(**isolated)

    return text


def _figure(measure: Measure, wording: Wording) -> Markup:
    """A measure with its number set off from its unit."""
    number, unit = wording.number_and_unit(measure.value, measure.unit)
    return escape(unit).format(value=Markup("<b>{}</b>").format(number))


def _courses(speaker: Speaker, duration_ms: int) -> list[dict[str, Any]]:
    """The charts of a speaker for which there are points."""
    found = []
    for key, name, unit, least_span in _COURSES:
        points = [(_middle(point), _value(point, name)) for point in speaker.course]
        if (line := charts.line(points, duration_ms, least_span)) is not None:
            found.append({"key": key, "name": name, "unit": unit, "line": line})
    return found


def _middle(point: Point) -> int:
    return (point.t0_ms + point.t1_ms) // 2


def _value(point: Point, name: str) -> float | None:
    measure = getattr(point, name)
    return None if measure is None else measure.value


def _event_length(event: Event, wording: Wording) -> str:
    if event.t1_ms is None:
        return wording("ongoing")
    return wording.duration(event.t1_ms - event.t0_ms) if event.t1_ms > event.t0_ms else "–"


def _compared(each: Compared, wording: Wording) -> Mapping[str, str]:
    return {
        "label": wording(f"measure.{each.name}"),
        "earlier": wording.measure(each.earlier, each.name),
        "now": wording.measure(each.now, each.name),
        "earlier_confidence": wording.confidence(each.earlier),
        "now_confidence": wording.confidence(each.now),
    }


_environment = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["pause_total"] = lambda bucket: bucket.within_sentences + bucket.between_sentences
_environment.globals.update(SPEECH=measures.SPEECH, FACE=measures.FACE, clock=clock)

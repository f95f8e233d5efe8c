"""The report as plain text for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from gateway.report.document import Face, Measure, Report, Speaker, Turns
from gateway.report.texts import DEFAULT_LANGUAGE
from gateway.report.wording import Wording, clock

_INDENT = "  "


def render(report: Report, language: str = DEFAULT_LANGUAGE) -> str:
    """The report as text; a language without a catalogue gets English. Control characters of names are left out."""
    wording = Wording(language)
    sections = [
        _head(report, wording),
        *(_speaker(speaker, wording, alone=report.is_of_one) for speaker in report.speakers),
        _turns(report, report.turns, wording) if report.turns is not None else [],
        *(_face(face, wording, alone=report.is_of_one) for face in report.faces),
        *_comparison(report, wording),
        _moments(report, wording),
        _events(report, wording),
    ]
    lines = chain.from_iterable([*section, ""] for section in map(list, sections) if section)
    return "".join(f"{_plain(line)}\n" for line in list(lines)[:-1])


def _head(report: Report, wording: Wording) -> Iterator[str]:
    began, length = wording.date(report.origin_unix_ms), wording.duration(report.duration_ms)
    yield f"{wording('title')} {report.session_id}"
    yield f"{began}, {length}"
    if not report.complete:
        yield wording("incomplete")
    if not report.speakers and not report.faces:
        yield wording("empty")


def _speaker(speaker: Speaker, wording: Wording, *, alone: bool) -> Iterator[str]:
    yield wording("speaker.alone") if alone else wording("speaker", name=speaker.name)
    if not speaker.whole and speaker.course:
        yield _INDENT + wording("so_far")
    rows = {"talk_ms": speaker.talk_ms, "talk_ratio": speaker.talk_ratio, **speaker.measures}
    yield from _rows(((wording(f"measure.{name}"), _value(value, name, wording)) for name, value in rows.items()))
    if speaker.pauses:
        yield ""
        yield f"{_INDENT}{wording('pauses')}: {wording('pauses.within')} / {wording('pauses.between')}"
        counts = ((each, f"{each.within_sentences} / {each.between_sentences}") for each in speaker.pauses)
        yield from _rows(((wording.pause(each), count) for each, count in counts))


def _turns(report: Report, turns: Turns, wording: Wording) -> Iterator[str]:
    yield wording("turns")
    for each in turns.speakers:
        yield f"{_INDENT}{report.streams[each.stream].stream_id}"
        values = (
            ("turns.responses", each.responses),
            ("turns.response", each.response_ms),
            ("turns.interruptions", each.interruptions),
        )
        yield from _rows(((_INDENT + wording(key), _value(value, "", wording)) for key, value in values))
    trust = wording("confidence_of", value=wording.confidence(turns.overlap_ms))
    yield _INDENT + wording("turns.overlap", value=wording.measure(turns.overlap_ms), confidence=trust)


def _face(face: Face, wording: Wording, *, alone: bool) -> Iterator[str]:
    yield wording("face.alone") if alone else wording("face", name=face.name)
    yield from _rows(
        ((wording(f"measure.{name}"), _value(value, name, wording)) for name, value in face.measures.items())
    )


def _comparison(report: Report, wording: Wording) -> Iterator[Iterable[str]]:
    if report.comparison is None:
        return
    found = report.comparison
    yield [
        wording("comparison"),
        _INDENT + wording("comparison.session", session=found.session_id, date=wording.date(found.origin_unix_ms)),
        *([] if found.speakers else [_INDENT + wording("comparison.none")]),
    ]
    for speaker in found.speakers:
        head = ("", f"{wording('comparison.earlier')} → {wording('comparison.now')}")
        rows = (
            (
                wording(f"measure.{each.name}"),
                f"{wording.measure(each.earlier, each.name)} → {wording.measure(each.now, each.name)}",
            )
            for each in speaker.measures
        )
        yield [*_who(report, speaker.stream), *_rows([head, *rows])]


def _moments(report: Report, wording: Wording) -> Iterator[str]:
    if report.moments:
        yield wording("moments")
    for moment in report.moments:
        facts = ", ".join([*_who(report, moment.stream), wording.duration(moment.t1_ms - moment.t0_ms)])
        yield f"{_INDENT}{clock(moment.t0_ms):>8}  {wording.event(moment.type)} ({facts})"
        if moment.words:
            yield f"{_INDENT}{'':>8}  {moment.words}"


def _events(report: Report, wording: Wording) -> Iterator[str]:
    if report.events:
        yield wording("events")
    for event in report.events:
        length = wording("ongoing") if event.t1_ms is None else wording.duration(event.t1_ms - event.t0_ms)
        trust = wording("confidence_of", value=wording.percent(event.confidence))
        facts = ", ".join([*_who(report, event.stream), length, trust])
        yield f"{_INDENT}{clock(event.t0_ms):>8}  {wording.event(event.type)} ({facts})"


def _who(report: Report, stream: int) -> list[str]:
    """Whose stream it is; nothing where there is one person only."""
    return [] if report.is_of_one else [report.streams[stream].stream_id]


def _value(measure: Measure | None, name: str, wording: Wording) -> str:
    text = wording.measure(measure, name)
    return text if measure is None else f"{text} ({wording('confidence_of', value=wording.confidence(measure))})"


def _rows(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Two columns; the first one is as wide as its widest cell."""
    cells = list(rows)
    width = max((len(label) for label, _ in cells), default=0)
    return (f"{_INDENT}{label:<{width}}  {value}" for label, value in cells)


def _plain(line: str) -> str:
    """The line without characters that would move a terminal's cursor or turn its writing direction."""
    return "".join(character for character in line if character.isprintable() or character in "\u202f\u00a0")

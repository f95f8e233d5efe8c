"""Compares a session with an earlier one of the same people: the same measures, and no verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.report.document import Compared, ComparedSpeaker, Comparison, Measure, Report, Speaker


def compare(now: Report, earlier: Report) -> Comparison:
    """The speakers whose stream has the same id in both sessions, or the only speaker of each session."""
    return Comparison(
        earlier.session_id,
        earlier.origin_unix_ms,
        tuple(
            ComparedSpeaker(speaker.stream, other.name, tuple(_measures(_all(other, earlier), _all(speaker, now))))
            for speaker, other in _pairs(now, earlier)
        ),
    )


def _pairs(now: Report, earlier: Report) -> Iterator[tuple[Speaker, Speaker]]:
    """The speakers that belong together. Where a session uses one id for several streams, the first one counts."""
    if len(now.speakers) == len(earlier.speakers) == 1:
        yield now.speakers[0], earlier.speakers[0]
        return
    others = {speaker.name: speaker for speaker in reversed(earlier.speakers)}
    for speaker in now.speakers:
        if (other := others.pop(speaker.name, None)) is not None:
            yield speaker, other


def _all(speaker: Speaker, report: Report) -> Mapping[str, Measure | None]:
    """The measures that may be compared: of somebody who speaks alone, a share of the talk says nothing."""
    ratio = speaker.talk_ratio if report.turns is not None else None
    return {"talk_ms": speaker.talk_ms, "talk_ratio": ratio, **speaker.measures}


def _measures(earlier: Mapping[str, Measure | None], now: Mapping[str, Measure | None]) -> Iterator[Compared]:
    """What at least one of the sessions has measured; the share of the talk only if both have."""
    for name in now:
        both = now[name] is not None and earlier.get(name) is not None
        either = now[name] is not None or earlier.get(name) is not None
        if both or (either and name != "talk_ratio"):
            yield Compared(name, earlier.get(name), now[name])

"""Final segments as text, JSON, SubRip and WebVTT. Pure functions of the transcript."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from talkup_client.cues import Cue, cues, joined, shown
from talkup_client.events import TranscriptUpdate
from talkup_client.layout import laid_out
from talkup_client.lines import LineWriter

Segments = Sequence[TranscriptUpdate]


@dataclass(frozen=True, slots=True)
class Part:
    """The finals of one of several recordings; `offset_ms` is the playing time of those before it."""

    name: str
    segments: Segments
    offset_ms: int = 0


def as_txt(segments: Segments) -> str:
    """One line per sentence, an empty line between paragraphs."""
    writer = LineWriter()
    return "".join(writer.add(segment) for segment in segments) + writer.end()


def as_json(segments: Segments) -> str:
    """An object with `text`, `language` and `segments` (with words)."""
    return _json(_object(segments))


def as_srt(segments: Segments) -> str:
    """SubRip."""
    return _srt([Part("", segments)])


def as_vtt(segments: Segments) -> str:
    """WebVTT, W3C Candidate Recommendation 4 April 2019."""
    return _vtt([Part("", segments)])


FORMATS: Mapping[str, Callable[[Segments], str]] = {
    "txt": as_txt,
    "json": as_json,
    "srt": as_srt,
    "vtt": as_vtt,
}


def as_one(format_: str, parts: Sequence[Part]) -> str:
    """Several recordings as one document; cues continue as if the recordings were played one after the other."""
    match format_:
        case "json":
            return _json([{"file": part.name, **_object(part.segments)} for part in parts])
        case "srt":
            return _srt(parts)
        case "vtt":
            return _vtt(parts)
    return "\n".join(as_txt(part.segments) for part in parts)


def _srt(parts: Sequence[Part]) -> str:
    laid = (cue for part in parts for cue in _cues(part))
    return _lines(
        f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n{cue.text.replace('-->', '->')}\n"
        for number, cue in enumerate(laid, start=1)
    )


def _vtt(parts: Sequence[Part]) -> str:
    written = ["WEBVTT\n"]
    for part in parts:
        if len(parts) > 1:
            written.append(f"NOTE {' '.join(part.name.replace('-->', '->').split())}\n")
        written += (
            f"{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n{_escape(cue.text)}\n" for cue in _cues(part)
        )
    return _lines(written)


def _cues(part: Part) -> Iterator[Cue]:
    laid = [piece for cue in cues(part.segments) for piece in laid_out(cue)]
    for start_ms, end_ms, text in shown(laid):
        yield Cue(start_ms + part.offset_ms, end_ms + part.offset_ms, text)


def _object(segments: Segments) -> dict[str, object]:
    return {
        "text": joined(segments),
        "language": segments[0].language if segments else None,
        "segments": [_segment(segment) for segment in segments],
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _lines(parts: Iterable[str]) -> str:
    return "".join(part + "\n" for part in parts)


def _segment(segment: TranscriptUpdate) -> dict[str, object]:
    kept = ("segment_id", "text", "confidence", "language", "start_ms", "end_ms", "words")
    return {name: value for name, value in asdict(segment).items() if name in kept}


def _escape(text: str) -> str:
    """Escape WebVTT markup in a cue's text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(milliseconds: int, point: str) -> str:
    whole, part = divmod(max(0, milliseconds), 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{point}{part:03}"

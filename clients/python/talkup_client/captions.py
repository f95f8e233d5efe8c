"""Final segments as text, JSON, SubRip and WebVTT. Pure functions of the transcript."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict

from talkup_client.events import TranscriptUpdate

Segments = Sequence[TranscriptUpdate]

UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Written without spaces between words; ISO 639-1, `yue` as Whisper names it."""


def as_txt(segments: Segments) -> str:
    """One line a segment."""
    return _lines(text for text in map(_one_line, segments) if text)


def as_json(segments: Segments) -> str:
    """An object with `text`, `language` and `segments` (with words)."""
    value = {
        "text": joined(segments),
        "language": segments[0].language if segments else None,
        "segments": [_segment(segment) for segment in segments],
    }
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def joined(segments: Segments) -> str:
    """The whole text: no space between two finals of languages that write none, one everywhere else."""
    text, before_unspaced = "", False
    for segment in segments:
        if not (stripped := segment.text.strip()):
            continue
        unspaced = segment.language.partition("-")[0].lower() in UNSPACED_LANGUAGES
        text += stripped if not text or (before_unspaced and unspaced) else f" {stripped}"
        before_unspaced = unspaced
    return text


def as_srt(segments: Segments) -> str:
    """SubRip."""
    cues = (
        (number, _time(segment.start_ms, ","), _time(segment.end_ms, ","), _one_line(segment).replace("-->", "->"))
        for number, segment in enumerate(segments, start=1)
    )
    return _lines(f"{number}\n{start} --> {end}\n{text}\n" for number, start, end, text in cues)


def as_vtt(segments: Segments) -> str:
    """WebVTT, W3C Candidate Recommendation 4 April 2019."""
    cues = (
        f"{_time(segment.start_ms, '.')} --> {_time(segment.end_ms, '.')}\n{_escape(_one_line(segment))}\n"
        for segment in segments
    )
    return _lines(["WEBVTT\n", *cues])


FORMATS: Mapping[str, Callable[[Segments], str]] = {
    "txt": as_txt,
    "json": as_json,
    "srt": as_srt,
    "vtt": as_vtt,
}


def _lines(parts: Iterable[str]) -> str:
    return "".join(part + "\n" for part in parts)


def _one_line(segment: TranscriptUpdate) -> str:
    """A segment's text without line breaks: a blank line would end its cue."""
    return " ".join(segment.text.split())


def _segment(segment: TranscriptUpdate) -> dict[str, object]:
    kept = ("segment_id", "text", "confidence", "language", "start_ms", "end_ms", "words")
    return {name: value for name, value in asdict(segment).items() if name in kept}


def _escape(text: str) -> str:
    """A cue's text holds no markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(milliseconds: int, point: str) -> str:
    whole, part = divmod(max(0, milliseconds), 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{point}{part:03}"

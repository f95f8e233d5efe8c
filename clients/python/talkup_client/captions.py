"""Final segments as text, JSON, SubRip and WebVTT. Pure functions of the transcript."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict

from talkup_client.cues import cues, joined, sentences
from talkup_client.events import TranscriptUpdate

Segments = Sequence[TranscriptUpdate]


def as_txt(segments: Segments) -> str:
    """One line per sentence."""
    return _lines(sentence.text for sentence in sentences(segments))


def as_json(segments: Segments) -> str:
    """An object with `text`, `language` and `segments` (with words)."""
    value = {
        "text": joined(segments),
        "language": segments[0].language if segments else None,
        "segments": [_segment(segment) for segment in segments],
    }
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def as_srt(segments: Segments) -> str:
    """SubRip."""
    return _lines(
        f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n{cue.text.replace('-->', '->')}\n"
        for number, cue in enumerate(cues(segments), start=1)
    )


def as_vtt(segments: Segments) -> str:
    """WebVTT, W3C Candidate Recommendation 4 April 2019."""
    written = (
        f"{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n{_escape(cue.text)}\n" for cue in cues(segments)
    )
    return _lines(["WEBVTT\n", *written])


FORMATS: Mapping[str, Callable[[Segments], str]] = {
    "txt": as_txt,
    "json": as_json,
    "srt": as_srt,
    "vtt": as_vtt,
}


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

"""Finals grouped into sentences, and into caption cues of at most two lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from talkup_client.events import TranscriptUpdate

UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Written without spaces between words; ISO 639-1, `yue` as Whisper names it."""

CUE_CHARS = 84
CUE_MS = 7_000
PAUSE_MS = 1_200
LENT_MS = 1_000
"""What a cue without a duration gets at most."""

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")


class Cue(NamedTuple):
    """A text and its times, ms on the stream's media clock."""

    start_ms: int
    end_ms: int
    text: str


def joined(segments: Iterable[TranscriptUpdate]) -> str:
    """The whole text, with a space between finals unless both languages write none."""
    text, before_unspaced = "", False
    for segment in segments:
        if not (stripped := " ".join(segment.text.split())):
            continue
        unspaced = segment.language.partition("-")[0].lower() in UNSPACED_LANGUAGES
        text += stripped if not text or (before_unspaced and unspaced) else f" {stripped}"
        before_unspaced = unspaced
    return text


def sentences(segments: Iterable[TranscriptUpdate]) -> list[Cue]:
    """One cue per sentence; a pause also ends a sentence."""
    return [_cue(group) for group in _groups(segments, captions=False)]


def cues(segments: Iterable[TranscriptUpdate]) -> list[Cue]:
    """The same, each at most CUE_CHARS and CUE_MS long; a longer single segment stays whole."""
    return [_cue(group) for group in _groups(segments, captions=True)]


def shown(ordered: Sequence[Cue]) -> Iterator[Cue]:
    """The same cues, each with its end behind its start, as WebVTT requires and players need."""
    for cue, following in zip_longest(ordered, ordered[1:]):
        limit = LENT_MS if following is None else following.start_ms - cue.start_ms
        lent = max(1, min(limit, LENT_MS)) if cue.end_ms <= cue.start_ms else 0
        yield cue._replace(end_ms=cue.start_ms + lent) if lent else cue


def _groups(segments: Iterable[TranscriptUpdate], *, captions: bool) -> Iterator[list[TranscriptUpdate]]:
    group: list[TranscriptUpdate] = []
    for segment in segments:
        if not segment.text.strip():
            continue
        if group and (_sentence_over(group[-1], segment) or (captions and _too_long([*group, segment]))):
            yield group
            group = []
        group.append(segment)
    if group:
        yield group


def ends_sentence(text: str) -> bool:
    """Whether a text ends with the end of a sentence."""
    return text.rstrip().endswith(_SENTENCE_ENDS)


def _sentence_over(before: TranscriptUpdate, after: TranscriptUpdate) -> bool:
    return ends_sentence(before.text) or after.start_ms - before.end_ms > PAUSE_MS


def _too_long(group: Sequence[TranscriptUpdate]) -> bool:
    return len(joined(group)) > CUE_CHARS or group[-1].end_ms - group[0].start_ms > CUE_MS


def _cue(group: Sequence[TranscriptUpdate]) -> Cue:
    return Cue(group[0].start_ms, group[-1].end_ms, joined(group))

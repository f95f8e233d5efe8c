"""What the recogniser reports about a stream, positions in samples on the media clock."""

from __future__ import annotations

from dataclasses import dataclass

from workers.stt.state import RecognizerState
from workers.stt.words import Word


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    position: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    position: int


@dataclass(frozen=True, slots=True)
class Interim:
    """The words after the last final as they seem now, heard between two positions.

    `score` is the hypothesis's mean log probability of a token.
    """

    words: tuple[Word, ...]
    start: int
    end: int
    score: float
    language: str


@dataclass(frozen=True, slots=True)
class Final:
    """Words that will not change."""

    words: tuple[Word, ...]
    language: str


@dataclass(frozen=True, slots=True)
class Committed:
    """Media before `position` are covered by finals or silent; belongs to the final right before it, if there is one.

    `state` is what another worker needs to continue exactly from here.
    """

    position: int
    state: RecognizerState


@dataclass(frozen=True, slots=True)
class Flushed:
    flush_id: int


@dataclass(frozen=True, slots=True)
class Paused:
    """No more audio came for a while: everything received until then is final, and speech has ended."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Everything is final."""


Event = SpeechStarted | SpeechEnded | Interim | Final | Committed | Flushed | Paused | Ended

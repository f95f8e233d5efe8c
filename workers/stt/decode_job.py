"""The options of a stream, the jobs for the model, and what the recogniser counts: plain values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields

from workers.stt.hypothesis import DecodeRequest


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The options of one stream. `language`: ISO 639-1, or None to detect it; `endpointing`: samples of silence.

    `languages`: those expected, two or more, of which each segment may have another; none: any, decided once.
    """

    language: str | None = None
    languages: tuple[str, ...] = ()
    interims: bool = True
    endpointing: int | None = None
    hotwords: tuple[int, ...] = ()
    initial_prompt: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work the machine has room for: seconds between steps, beam, and whether extra interims are allowed.

    `strain`: of the machine, 0 to 1; under strain, fewer pauses bring a step forward.
    """

    step: float
    beam: int
    extra_interims: bool
    strain: float = 0.0


class Purpose(enum.Enum):
    """Why a hypothesis is wanted."""

    INTERIM = enum.auto()
    STEP = enum.auto()
    SEGMENT_END = enum.auto()
    FLUSH = enum.auto()
    CUT = enum.auto()


class Attempt(enum.Enum):
    """What of a window is decoded when it closes, and how: see `workers.stt.closing`."""

    WINDOW = enum.auto()
    FULL_LENGTH = enum.auto()
    REST = enum.auto()


_CLOSING = frozenset({Purpose.SEGMENT_END, Purpose.FLUSH, Purpose.CUT})


@dataclass(frozen=True, slots=True, eq=False)
class DecodeJob:
    """A request for a hypothesis of the audio from `start` to `end`.

    `epoch` identifies an interim that comes too late. `attempt` counts for a job that closes a window.
    `ends_in_silence`: the audio ends in silence, in a place quiet enough to trust the voice detector.
    """

    purpose: Purpose
    start: int
    end: int
    request: DecodeRequest
    epoch: int
    attempt: Attempt = Attempt.WINDOW
    ends_in_silence: bool = False

    @property
    def closing(self) -> bool:
        return self.purpose in _CLOSING


@dataclass(slots=True)
class Counters:
    """What a stream did on this worker; `empty_segments`: speech in which two attempts found no word."""

    steps: int = 0
    interims: int = 0
    closings: int = 0
    closed_by_step: int = 0
    """Windows closed with their last step's hypothesis."""
    rejected: int = 0
    fallbacks: int = 0
    empty_retries: int = 0
    empty_segments: int = 0
    unheard_retries: int = 0
    """Windows decoded again as they closed, because speech lay behind the last word or words had no audio."""
    rests: int = 0
    """Of those, windows whose rest was decoded by itself."""
    unspoken_words: int = 0
    """Words without audio that were cut from hypotheses."""
    trims: int = 0
    cuts: int = 0

    def add(self, other: Counters) -> None:
        """Add another stream's numbers."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))

"""The options of a stream, the jobs for the model, and what the recogniser counts: plain values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields

from workers.stt.hypothesis import DecodeRequest


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The options of one stream. `language`: ISO 639-1, or None to detect it; `endpointing`: samples of silence."""

    language: str | None = None
    interims: bool = True
    endpointing: int | None = None
    hotwords: tuple[int, ...] = ()
    initial_prompt: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work the machine has room for: seconds between steps, beam, and whether extra interims are welcome."""

    step: float
    beam: int
    extra_interims: bool


class Purpose(enum.Enum):
    """Why a hypothesis is wanted."""

    INTERIM = enum.auto()
    STEP = enum.auto()
    SEGMENT_END = enum.auto()
    FLUSH = enum.auto()
    CUT = enum.auto()


_CLOSING = frozenset({Purpose.SEGMENT_END, Purpose.FLUSH, Purpose.CUT})


@dataclass(frozen=True, slots=True, eq=False)
class DecodeJob:
    """A request for a hypothesis of the audio from `start` to `end`.

    `epoch` tells an interim that came too late; `retry`: the window seemed empty once, now at full encoder length;
    `ends_in_silence`: the audio ends in a silence in which the voice detector can be believed.
    """

    purpose: Purpose
    start: int
    end: int
    request: DecodeRequest
    epoch: int
    retry: bool = False
    ends_in_silence: bool = False

    @property
    def closing(self) -> bool:
        return self.purpose in _CLOSING


@dataclass(slots=True)
class Counters:
    """Facts about a stream's life on this worker; `empty_segments`: speech in which two attempts found no word."""

    steps: int = 0
    interims: int = 0
    closings: int = 0
    closed_by_step: int = 0
    """Windows closed with their last step's hypothesis."""
    rejected: int = 0
    fallbacks: int = 0
    empty_retries: int = 0
    empty_segments: int = 0
    trims: int = 0
    cuts: int = 0

    def add(self, other: Counters) -> None:
        """Add another stream's numbers."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))

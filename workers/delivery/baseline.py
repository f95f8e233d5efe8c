"""A speaker's own first minute of speech, against which the rest is held. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from workers.delivery.loudness import lufs
from workers.delivery.pitch_statistics import PitchCounts
from workers.delivery.sums import Sums

SPEECH_MS: Final = 60_000
_LEAST_PITCH_MS: Final = 10_000
_LEAST_SPOKEN_MS: Final = 20_000
_HOP_MS: Final = 20


class Spread(msgspec.Struct, frozen=True, array_like=True):
    """How much the pitch moves within ten seconds: hops with pitch, and their standard deviation in semitones."""

    hops: int
    semitones: float


def joint_spread(spreads: Sequence[Spread]) -> Spread:
    """That of several windows: the root of the mean square. Of none: no hops."""
    hops = sum(each.hops for each in spreads)
    squares = sum(each.hops * each.semitones**2 for each in spreads)
    return Spread(hops, math.sqrt(squares / hops) if hops else 0.0)


class Baseline(msgspec.Struct, array_like=True):
    """Sums of the first windows, up to the one in which the minute is full. What they say is None before that."""

    speech_hops: int = 0
    power: float = 0.0
    pitch: PitchCounts = msgspec.field(default_factory=PitchCounts)
    pitch_spread: float | None = None
    """Standard deviation of the pitch, semitones; None with less than 10 s of voiced speech, too."""
    spread: Spread = Spread(0, 0.0)
    """The same within ten seconds, as far as it is known."""
    syllables: int | None = 0
    spoken_ms: int = 0
    """Time of the words without the pauses."""

    def is_full(self) -> bool:
        """Whether the minute is over."""
        return self.speech_hops * _HOP_MS >= SPEECH_MS

    @property
    def loudness_lufs(self) -> float | None:
        """Loudness of speech."""
        return lufs(self.power / self.speech_hops) if self.is_full() else None

    @property
    def window_spread(self) -> float | None:
        """Standard deviation of the pitch within ten seconds, semitones."""
        return self.spread.semitones if self.pitch_spread is not None else None

    @property
    def articulation_rate(self) -> float | None:
        """Syllables a minute without pauses; None with less than 20 s of words, too."""
        if not self.is_full() or self.syllables is None or self.spoken_ms < _LEAST_SPOKEN_MS:
            return None
        return self.syllables * 60_000 / self.spoken_ms

    def add(self, window: Sums, spread: Spread | None) -> None:
        """Take the next window; nothing once the minute is full."""
        if self.is_full():
            return
        self.speech_hops += window.speech_hops
        self.power += window.loudness.power
        self.pitch.join(window.pitch)
        if spread is not None:
            self.spread = joint_spread([self.spread, spread])
        speaking = window.speaking
        if speaking.words:
            known = self.syllables is not None and speaking.syllables is not None
            self.syllables = (self.syllables or 0) + (speaking.syllables or 0) if known else None
            self.spoken_ms += speaking.span_ms - speaking.paused_ms
        if self.is_full():
            pitch = self.pitch.pitch(_LEAST_PITCH_MS // _HOP_MS)
            self.pitch_spread = pitch.spread if pitch is not None else None
            self.pitch = PitchCounts()

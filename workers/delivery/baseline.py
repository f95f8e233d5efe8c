"""A speaker's own first minute of speech, against which the rest is held. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from workers.delivery.loudness import lufs
from workers.delivery.sums import Sums

SPEECH_MS: Final = 60_000
_HOP_MS: Final = 20


class Baseline(msgspec.Struct, array_like=True):
    """Sums of the first windows, up to the one in which the minute is full. What they say is None before that."""

    speech_hops: int = 0
    power: float = 0.0
    pitch_hops: int = 0
    pitch_total: float = 0.0
    pitch_squares: float = 0.0
    syllables: int | None = 0
    spoken_ms: int = 0
    """Time of the words without the pauses."""

    @property
    def full(self) -> bool:
        """Whether the minute is over."""
        return self.speech_hops * _HOP_MS >= SPEECH_MS

    @property
    def loudness_lufs(self) -> float | None:
        """Loudness of speech."""
        return lufs(self.power / self.speech_hops) if self.full else None

    @property
    def pitch_spread_semitones(self) -> float | None:
        """Standard deviation of the pitch; None with less than 10 s of voiced speech, too."""
        if not self.full or self.pitch_hops * _HOP_MS < SPEECH_MS // 6:
            return None
        mean = self.pitch_total / self.pitch_hops
        return float(max(0.0, self.pitch_squares / self.pitch_hops - mean * mean) ** 0.5)

    @property
    def articulation_rate(self) -> float | None:
        """Syllables a minute without pauses."""
        if not self.full or self.syllables is None or self.spoken_ms < SPEECH_MS // 3:
            return None
        return self.syllables * 60_000 / self.spoken_ms

    def add(self, window: Sums) -> None:
        """Take the next window; nothing once the minute is full."""
        if self.full:
            return
        self.speech_hops += window.speech_hops
        self.power += window.loudness.power
        self.pitch_hops += window.pitch.hops
        self.pitch_total += window.pitch.total
        self.pitch_squares += window.pitch.squares
        speaking = window.speaking
        if speaking.words:
            known = self.syllables is not None and speaking.syllables is not None
            self.syllables = (self.syllables or 0) + (speaking.syllables or 0) if known else None
            self.spoken_ms += speaking.span_ms - speaking.paused_ms

"""The media clock of one recording: where a sample stands on the stream's 16 kHz clock, and how much silence is due.

Samples are counted at the codec's rate, from the first decoded one. A recording begins with its first packet of any
track, pictures included. The container's timestamps (pts) can only add to it: where they run more than 40 ms ahead of
the samples, audio is lost, and silence takes its place so that words keep their time (measured: 70 ms in 12 s of a real
recording). A jump of more than two minutes becomes two minutes of silence. Pts that fall back by more than a second
start a new origin.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.media.codec import OUTPUT_RATE

_TOLERANCE_MS = 40
FALL_BACK_MS = 1_000
"""Timestamps that fall back further than this start a new recording."""

MAX_SILENCE_SECONDS = 120
"""The most silence that takes the place of one loss."""


@dataclass(slots=True)
class MediaClock:
    """Plain values, so that a restart point is a copy.

    `rate`: samples per second of the codec, 0 before its first frame. `base`: the 16 kHz sample of the stream where
    sample `trim` of this recording stands; samples before it are dropped. `position`: the next sample. `pts_base`: pts
    of sample 0 in ms, None before the first.
    """

    base: int = 0
    rate: int = 0
    trim: int = 0
    position: int = 0
    pts_base: float | None = None

    def to_output(self, position: int) -> int:
        """The stream's 16 kHz sample at or after a position of this recording."""
        if not self.rate or position <= self.trim:
            return self.base
        return self.base - (self.trim - position) * OUTPUT_RATE // self.rate

    def silence_before(self, pts: float | None) -> int:
        """Samples of silence that are due before a packet with this pts; sets the origin with the first."""
        if pts is None:
            return 0
        elapsed = self.position * 1000 / self.rate if self.rate else 0.0
        if self.pts_base is None:
            self.pts_base = pts - elapsed
        ahead = pts - self.pts_base - elapsed
        if ahead < -FALL_BACK_MS or not self.rate:
            self.pts_base = pts - elapsed
            return 0
        if ahead <= _TOLERANCE_MS:
            return 0
        longest = MAX_SILENCE_SECONDS * 1000
        if ahead > longest:
            self.pts_base += ahead - longest
            ahead = float(longest)
        return round(ahead * self.rate / 1000)

    def begin_after(self, origin: float | None) -> int:
        """Delay this track, whose first pts is known, to where it begins after `origin`; returns the 16 kHz samples.

        Sound then has the time of the pictures. A delay within the tolerance, or longer than one loss may be, is
        ignored.
        """
        if origin is None or self.pts_base is None:
            return 0
        ahead = self.pts_base - origin
        if not _TOLERANCE_MS < ahead <= MAX_SILENCE_SECONDS * 1000:
            return 0
        samples = round(ahead * OUTPUT_RATE / 1000)
        self.base += samples
        return samples

    def silence_for(self, chunks: int, of: int) -> int:
        """Samples of silence for `chunks` lost chunks, each as long as the mean of the `of` chunks before them."""
        if not of:
            return 0
        return min(max(0, self.position - self.trim) * chunks // of, MAX_SILENCE_SECONDS * self.rate)

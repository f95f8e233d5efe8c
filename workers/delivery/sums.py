"""What a stretch of media adds up to: the seconds make the windows, the windows the whole stream. Pure."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from workers.delivery.loudness import SpeechLoudness
from workers.delivery.pace import Speaking
from workers.delivery.pause_histogram import PauseHistogram
from workers.delivery.pitch_statistics import PitchCounts


class Sums(msgspec.Struct, array_like=True):
    """Hops of 20 ms, those with speech, how loud and how high; words; pauses; what was said again; how sentences end.

    `monologue_ms`: the longest stretch without a pause of two seconds. `trailing` of `sentences` trail off.
    """

    hops: int = 0
    speech_hops: int = 0
    loudness: SpeechLoudness = msgspec.field(default_factory=SpeechLoudness)
    pitch: PitchCounts = msgspec.field(default_factory=PitchCounts)
    speaking: Speaking = msgspec.field(default_factory=Speaking)
    pauses: PauseHistogram = msgspec.field(default_factory=PauseHistogram)
    monologue_ms: int = 0
    repeated: int = 0
    restarts: int = 0
    filled: int = 0
    sentences: int = 0
    trailing: int = 0

    def hear(self, powers: NDArray[np.float64], pitches: NDArray[np.float32], speech: NDArray[np.bool_]) -> None:
        """Take a block's hops: their powers, fundamental frequencies, and which of them are speech."""
        self.hops += len(powers)
        self.speech_hops += int(speech.sum())
        self.loudness.add(powers, speech)
        self.pitch.add(pitches, speech)

    def merge(self, other: Sums) -> None:
        """Take another stretch's."""
        self.hops += other.hops
        self.speech_hops += other.speech_hops
        self.loudness.power += other.loudness.power
        self.loudness.hops += other.loudness.hops
        self.pitch.join(other.pitch)
        self.speaking.merge(other.speaking)
        self.pauses.merge(other.pauses)
        self.monologue_ms = max(self.monologue_ms, other.monologue_ms)
        self.repeated += other.repeated
        self.restarts += other.restarts
        self.filled += other.filled
        self.sentences += other.sentences
        self.trailing += other.trailing

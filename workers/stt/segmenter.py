"""Where speech begins and ends: hysteresis over voice probabilities, one frame at a time."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from workers.stt.tuning import FRAME


class Edge(enum.Enum):
    """What a frame changed."""

    NONE = enum.auto()
    SPEECH_STARTED = enum.auto()
    SPEECH_ENDED = enum.auto()


@dataclass(slots=True)
class Segmenter:
    """Speech begins with a frame of at least `voice_on` and ends after `endpointing` samples of silence.

    Silence is a frame under `voice_off`; frames between the two thresholds neither add to the silence nor end it.
    """

    voice_on: float
    voice_off: float
    endpointing: int
    speaking: bool = False
    silence: int = 0
    """Samples of silence since speech was last heard, while speaking."""
    spoken: int = 0
    """Samples of frames of at least `voice_on` since speech began."""

    def push(self, probability: float) -> Edge:
        """Take the next frame's voice probability."""
        if probability >= self.voice_on:
            self.silence = 0
            if self.speaking:
                self.spoken += FRAME
                return Edge.NONE
            self.speaking, self.spoken = True, FRAME
            return Edge.SPEECH_STARTED
        if probability < self.voice_off and self.speaking:
            self.silence += FRAME
            if self.silence >= self.endpointing:
                self.speaking = False
                return Edge.SPEECH_ENDED
        return Edge.NONE

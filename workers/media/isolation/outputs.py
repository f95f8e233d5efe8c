"""What a pool's decoders give out: samples of sound, or frames of video, each counted and paced in its own units.

A stream counts what it gave out, in samples or in frames, so that nothing comes twice after a child's death.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from workers.media.frames import FrameRecord, is_usable
from workers.media.isolation import ipc

SAMPLE_RATE: Final = 16_000

FRAMES_PER_SECOND: Final = 2_000.0
"""A stream's share of frames: far above any camera, and a bound for a file of tiny or empty frames."""

PIXELS_PER_SECOND: Final = 64_000_000.0
"""A stream's share of pixels: 60 pictures per second of the largest size that leaves a child (960 x 960), and more.

What a picture costs to decode, to copy and to keep grows with its pixels.
"""

T = TypeVar("T")
Samples = NDArray[np.float32]
Frames = tuple[FrameRecord, ...]


class Output(Protocol[T]):
    """One kind of output."""

    def read(self, answer: ipc.Answer) -> T | None:
        """The output in a child's answer; None: the answer is not usable."""
        ...

    def count(self, output: T) -> int:
        """How many samples or frames."""
        ...

    def after(self, output: T, known: int) -> T:
        """The output without its first `known` samples or frames."""
        ...

    def joined(self, parts: Sequence[T]) -> T:
        """The parts as one output."""
        ...

    def seconds(self, output: T) -> float:
        """How much of a stream's pace the output takes."""
        ...


@dataclass(frozen=True, slots=True)
class AudioOutput:
    """Samples: 16 kHz mono float32, shape (n,). Its pace is in seconds of sound."""

    def read(self, answer: ipc.Answer) -> Samples | None:
        """See `Output`."""
        if not isinstance(answer, ipc.Samples) or len(answer.data) % 4:
            return None
        return np.frombuffer(answer.data, dtype=np.float32)

    def count(self, output: Samples) -> int:
        """See `Output`."""
        return int(output.size)

    def after(self, output: Samples, known: int) -> Samples:
        """See `Output`."""
        return output[known:]

    def joined(self, parts: Sequence[Samples]) -> Samples:
        """See `Output`."""
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)

    def seconds(self, output: Samples) -> float:
        """See `Output`."""
        return float(output.size) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class VideoOutput:
    """Frames. A stream's share is a number of frames and a number of pixels per second; both count."""

    frames_per_second: float = FRAMES_PER_SECOND
    pixels_per_second: float = PIXELS_PER_SECOND

    def read(self, answer: ipc.Answer) -> Frames | None:
        """See `Output`."""
        if not isinstance(answer, ipc.Frames) or not all(map(is_usable, answer.frames)):
            return None
        return answer.frames

    def count(self, output: Frames) -> int:
        """See `Output`."""
        return len(output)

    def after(self, output: Frames, known: int) -> Frames:
        """See `Output`."""
        return output[known:]

    def joined(self, parts: Sequence[Frames]) -> Frames:
        """See `Output`."""
        return tuple(frame for part in parts for frame in part)

    def seconds(self, output: Frames) -> float:
        """See `Output`."""
        pixels = sum(frame.width * frame.height for frame in output)
        return len(output) / self.frames_per_second + pixels / self.pixels_per_second


AUDIO: Final = AudioOutput()
VIDEO: Final = VideoOutput()

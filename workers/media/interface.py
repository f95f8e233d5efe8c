"""What a decoder is to the process that runs it: chunks in, samples out, restartable at any committed sample.

The parent process needs these names without the codecs behind them, so nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.chunk import Chunk


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where decoding can start again.

    A new decoder made from `state` that gets every chunk from `replay_from_sequence` on gives exactly the samples from
    the asked one on.
    """

    replay_from_sequence: int
    state: bytes


class RestartPoint(Protocol):
    """What a decoder's `checkpoint` returns; `Checkpoint` fits."""

    @property
    def replay_from_sequence(self) -> int: ...

    @property
    def state(self) -> bytes: ...


class Decoder(Protocol):
    """A stream's decoder, made by calling a class with `(MediaFormat, state | None)`.

    Every method raises MediaError for media that cannot go on.
    """

    @property
    def media_samples(self) -> int:
        """16 kHz samples given out so far on the stream's media clock, those before a resume included."""
        ...

    @property
    def damaged_bytes(self) -> int:
        """Bytes that made no sense and were passed over since the start or the resume."""
        ...

    def decode(self, chunk: Chunk) -> NDArray[np.float32]:
        """The samples that this chunk completes, shape (n,), 16 kHz mono."""
        ...

    def finish(self) -> NDArray[np.float32]:
        """The samples that only the end of the stream completes, shape (n,), 16 kHz mono."""
        ...

    def checkpoint(self, sample: int) -> RestartPoint:
        """The restart point for `sample` on the media clock; samples only rise from call to call."""
        ...

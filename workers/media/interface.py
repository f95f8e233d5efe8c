"""What a decoder is to the process that runs it: chunks in, samples or frames out, restartable.

The parent process needs these names without the codecs behind them, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from workers.chunk import Chunk

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Parts = Generator[None, None, T]
"""Work in parts of a few milliseconds: it pauses at each `yield`, and its result comes with its end."""


def run_through(parts: Parts[T]) -> T:
    """Do all parts at once."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: T = end.value
            return result


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where decoding can start again.

    A new decoder made from `state` that gets every chunk from `replay_from_sequence` on gives exactly what
    follows the requested position.
    """

    replay_from_sequence: int
    state: bytes


class RestartPoint(Protocol):
    """What a decoder's `checkpoint` returns; `Checkpoint` fits."""

    @property
    def replay_from_sequence(self) -> int: ...

    @property
    def state(self) -> bytes: ...


class Decoder(Protocol[T_co]):
    """A stream's decoder, made by calling a class with `(MediaFormat, state | None)`.

    It gives samples of sound or frames of video. Every method raises MediaError for media that it cannot decode.
    """

    @property
    def position(self) -> int:
        """Samples or frames given out so far, those before a resume included."""
        ...

    @property
    def damaged_bytes(self) -> int:
        """Bytes that could not be decoded and were skipped, since the start or the resume."""
        ...

    def decode(self, chunk: Chunk) -> T_co:
        """The samples (shape (n,), 16 kHz mono) or frames that this chunk completes."""
        ...

    def decode_in_parts(self, chunk: Chunk) -> Parts[T_co]:
        """As `decode`, in parts; no other method may be called before the last one."""
        ...

    def finish(self) -> T_co:
        """The samples or frames that only the end of the stream completes."""
        ...

    def checkpoint(self, position: int) -> RestartPoint:
        """The restart point for a position given out before; positions never fall from call to call."""
        ...

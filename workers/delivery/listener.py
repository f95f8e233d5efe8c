"""The sound of one stream in blocks of 100 ms, measured as the voice detector hears it, and kept until it is committed.

Blocks begin at the stream's start, whatever the chunks. Measuring runs ahead of what is committed; each block keeps the
filter's state behind it, so that another worker can begin at any block with the audio from `CONTEXT` samples before it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.delivery.acoustics import AT_REST, BLOCK, CONTEXT, Hops, analyse
from workers.delivery.pauses import block_voices
from workers.delivery.steadiness import changes

VOICE_FRAME = 512
"""Samples of one voice probability."""


class Sound(Protocol):
    """The samples of a stream, by absolute position."""

    def slice(self, start: int, end: int) -> NDArray[np.float32]:
        """The samples from `start` to `end`."""
        ...


class Voices(Protocol):
    """The voice probabilities of a stream, by absolute frame of 512 samples."""

    def between(self, first: int, end: int) -> NDArray[np.float32]:
        """Those of the frames from `first` to `end`, as far as they are known."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block's five hops, the voice probability of each, and the filter's state behind it.

    `changes`: how much the spectrum changes, if it is wanted.
    """

    hops: Hops
    voices: tuple[float, ...]
    filter_state: tuple[float, ...]
    changes: NDArray[np.float64] | None = None


class SoundListener:
    """Blocks of one stream from block number `first` on, whose sound begins with the filter in `filter_state`.

    `steadiness`: whether changes of the spectrum are measured, too, for filled pauses.
    """

    def __init__(self, first: int = 0, filter_state: tuple[float, ...] = AT_REST, *, steadiness: bool = False) -> None:
        self._steadiness = steadiness
        self._next = first
        self._filter_state = filter_state
        self._kept: deque[Block] = deque()

    @property
    def next_block(self) -> int:
        """The first block that was not heard yet."""
        return self._next

    @property
    def needs_from(self) -> int:
        """The first sample that the next block needs."""
        return needed_for(self._next)

    def listen(self, sound: Sound, voices: Voices, heard_to: int) -> None:
        """Measure the blocks that end at sample `heard_to` or before; voices are known up to there."""
        while (self._next + 1) * BLOCK <= heard_to:
            begin = self._next * BLOCK
            samples = sound.slice(max(0, begin - CONTEXT), begin + BLOCK)
            if len(samples) < CONTEXT + BLOCK:
                samples = np.concatenate([np.zeros(CONTEXT + BLOCK - len(samples), np.float32), samples])
            first_frame = begin // VOICE_FRAME
            heard = voices.between(first_frame, -(-(begin + BLOCK) // VOICE_FRAME))
            hops, self._filter_state = analyse(samples, self._filter_state)
            self._kept.append(
                Block(
                    hops,
                    block_voices(self._next, heard, first_frame),
                    self._filter_state,
                    changes(samples) if self._steadiness else None,
                )
            )
            self._next += 1

    def take_until(self, sample: int) -> list[Block]:
        """The blocks that end at a sample or before and were not taken yet, in order."""
        count = len(self._kept) - max(0, self._next - sample // BLOCK)
        return [self._kept.popleft() for _ in range(max(0, count))]


def needed_for(block: int) -> int:
    """The first sample that a block needs."""
    return max(0, block * BLOCK - CONTEXT)


def first_block_after(sample: int) -> int:
    """The first block for which the audio from a sample on is enough."""
    return 0 if sample <= 0 else -(-(sample + CONTEXT) // BLOCK)

"""Delivery within a speech session: measures the sound ahead, and makes the messages for what is committed.

A message goes out with the report that covers its media, and what was measured up to there is in this report's state:
another worker goes on from it, so every message is given exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from talkup.v1 import analysis_pb2

from workers.chunk import Chunk
from workers.delivery.acoustics import BLOCK, SAMPLE_RATE
from workers.delivery.analyzer import DeliveryAnalyzer
from workers.delivery.listener import SoundListener, first_block_after, needed_for
from workers.delivery.options import FILLED_PAUSES, wanted_signals
from workers.delivery.origin import origin_unix_ms
from workers.delivery.state import DeliveryState
from workers.delivery.windows import Wanted
from workers.delivery.words import SpokenWord

_BLOCKS_A_SECOND: Final = SAMPLE_RATE // BLOCK


class DeliveryStream:
    """One stream. `listener` hears the sound; positions are samples of the stream's media clock, 16 kHz."""

    def __init__(self, wanted: Wanted, state: DeliveryState | None = None, *, heard_from: int = 0) -> None:
        """`heard_from`: where the sound begins, of a stream that another worker began without measuring delivery."""
        self._new = state is None and heard_from == 0
        if state is None:
            seconds = -(-first_block_after(heard_from) // _BLOCKS_A_SECOND)
            state = DeliveryState(block=seconds * _BLOCKS_A_SECOND, base_ms=seconds * 1_000)
        self._analyzer = DeliveryAnalyzer(wanted, state)
        self.listener = SoundListener(state.block, state.filter_state, steadiness=wanted.has(FILLED_PAUSES))

    @property
    def state(self) -> DeliveryState:
        """A view of the current state; encode it at once."""
        return self._analyzer.state

    def accept(self, chunk: Chunk, end: int) -> None:
        """Note a chunk whose sound ends at a position; a stream's first one says when its clock began."""
        if self._new:
            self._new = False
            self.state.origin_unix_ms = origin_unix_ms(chunk, _milliseconds(end))

    def say(self, words: Sequence[SpokenWord], language: str) -> None:
        """Take final words, before the position that covers them."""
        self._analyzer.say(words, language)

    def needs_from(self, position: int) -> int:
        """The first sample that another worker needs to go on from the state at a position."""
        heard = min(position // BLOCK, self.listener.next_block)
        return needed_for(max(self.state.block, heard))

    def advance(self, position: int) -> list[analysis_pb2.Analysis]:
        """The messages of the media before a position, which are committed."""
        blocks = self.listener.take_until(position)
        return [message for block in blocks for message in self._analyzer.hear(block)]

    def finish(self, end: int) -> list[analysis_pb2.Analysis]:
        """The last messages of a stream that ends at a position: all of its media are committed."""
        return [*self.advance(end), *self._analyzer.finish(_milliseconds(end))]


def open_delivery(
    asked: analysis_pb2.DeliveryOptions, state: DeliveryState | None, *, words: bool, heard_from: int = 0
) -> DeliveryStream:
    """A stream as a client asked for it; `words`: final words come. Its sound begins at sample `heard_from`.

    Raises EngineError for unknown signals, ValueError for a state that needs other sound.
    """
    if state is not None and not (state.block >= 0 and needed_for(state.block) >= heard_from):
        raise ValueError("a state of delivery that needs sound from before")
    return DeliveryStream(Wanted(wanted_signals(asked), words), state, heard_from=heard_from)


def _milliseconds(position: int) -> int:
    return position * 1_000 // SAMPLE_RATE

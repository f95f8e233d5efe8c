"""Delivery of a speech session: final words as `workers.delivery` takes them, and what a successor must hear."""

from __future__ import annotations

from collections.abc import Sequence

from talkup.v1 import task_pb2

from workers.delivery.state import DeliveryState
from workers.delivery.stream import DeliveryStream, open_delivery
from workers.delivery.words import SpokenWord
from workers.stt.tuning import milliseconds
from workers.stt.words import Word


def open_beside(start: task_pb2.StreamStart, state: DeliveryState | None, heard_from: int) -> DeliveryStream | None:
    """The delivery of a speech stream whose sound begins at a sample; None: it is not wanted.

    Raises EngineError for unknown signals, ValueError for a state that needs other sound.
    """
    if not start.HasField("delivery"):
        return None
    return open_delivery(start.delivery, state, words=True, heard_from=heard_from)


def spoken(words: Sequence[Word]) -> list[SpokenWord]:
    """Final words, timed as the transcript times them."""
    return [SpokenWord(word.text.strip(), milliseconds(word.start), milliseconds(word.end)) for word in words]


def replayed_from(delivery: DeliveryStream | None, needed: int, position: int) -> int:
    """The first sample that another worker needs: `needed` by the recogniser, or earlier for delivery at a commit."""
    return needed if delivery is None else min(needed, delivery.needs_from(position))

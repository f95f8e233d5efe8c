"""Which messages must reach the client, and which ones it has missed.

A message either may be replaced while it waits for the socket, or must arrive even if the socket breaks, or neither. A
client that returns gets again what must arrive. If it reported the last finals it holds, that decides; otherwise it
gets what earlier sockets left unsent and what came while it had no socket.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

from msgspec import UNSET

from gateway.protocol.actions import Action, SendMessage
from gateway.protocol.delivery import lasts
from gateway.protocol.messages import (
    Acknowledge,
    AnalysisResult,
    ErrorMessage,
    ServerMessage,
    StreamEnded,
    TranscriptUpdate,
)
from gateway.protocol.stream import Stream


class Slot(NamedTuple):
    """The place of a message in the queue to a socket: a newer message with the same slot replaces it.

    `is_last`: the message replaces the one waiting in the slot but does not occupy the slot, so nothing replaces it.
    """

    key: Hashable
    is_last: bool = False


def slot_of(message: ServerMessage) -> Slot | None:
    """The slot of an interim, a final or a bare acknowledgement; None for a message that is never replaced."""
    match message:
        case TranscriptUpdate(data=data):
            return Slot(("transcript", data.stream_id, data.segment_id), is_last=data.is_final)
        case Acknowledge(data=data) if data.accepted is UNSET and data.flush_id is UNSET:
            return Slot(("acknowledge", data.stream_id))
        case _:
            return None


def must_arrive(message: ServerMessage) -> bool:
    """Whether a client that lost its socket must get the message on its next socket."""
    match message:
        case TranscriptUpdate():
            return message.data.is_final
        case StreamEnded() | ErrorMessage():
            return True
        case AnalysisResult():
            return lasts(message)
        case _:
            return False


class Backlog:
    """Messages that must arrive but have not yet; at most `bound` of those that came while there was no socket."""

    def __init__(self, bound: int) -> None:
        self._unsent: list[ServerMessage] = []
        self._undelivered: list[ServerMessage] = []
        self._bound = bound

    def keep_unsent(self, messages: Iterable[ServerMessage]) -> None:
        """Keep, in order, the unsent messages of a lost socket that must arrive."""
        self._unsent += filter(must_arrive, messages)

    def withhold(self, actions: Iterable[Action], *, is_kept: bool) -> list[Action]:
        """Remove the messages from actions because there is no socket; `is_kept`: keep those that must arrive."""
        performed: list[Action] = []
        for action in actions:
            if not isinstance(action, SendMessage):
                performed.append(action)
            elif is_kept and must_arrive(action.message):
                self._undelivered.append(action.message)
                del self._undelivered[: max(0, len(self._undelivered) - self._bound)]
        return performed

    def pop_missed(
        self, streams: Mapping[str, Stream], last_segment_ids: Mapping[str, int], last_deliveries: Mapping[str, int]
    ) -> list[ServerMessage]:
        """What to send to a client that returned, in order; this empties the backlog.

        `last_segment_ids` maps a stream to the highest final that the client says it holds. For these streams it gets
        every later final and the end, whatever the backlog holds of them. `last_deliveries` does the same for what it
        must not miss of delivery.
        """

        def is_covered(message: ServerMessage) -> bool:
            if isinstance(message, AnalysisResult):
                return message.stream_id in last_deliveries
            return isinstance(message, TranscriptUpdate | StreamEnded) and message.stream_id in last_segment_ids

        reported = [(streams[stream_id], last) for stream_id, last in last_segment_ids.items() if stream_id in streams]
        finals = [final for stream, last in reported for final in stream.segments.after(last)]
        deliveries = [
            result
            for stream_id, last in last_deliveries.items()
            if stream_id in streams and (delivery := streams[stream_id].delivery) is not None
            for result in delivery.after(last)
        ]
        ends = [stream.ended_message for stream, _ in reported if stream.ended_message is not None]
        unsent, self._unsent = self._unsent, []
        undelivered, self._undelivered = self._undelivered, []
        return [
            *(message for message in unsent if not is_covered(message)),
            *finals,
            *deliveries,
            *(message for message in undelivered if not is_covered(message)),
            *ends,
        ]

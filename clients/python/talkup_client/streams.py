"""The streams of a session: which of them a message is for, and what all of them say again after a resumption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from talkup_client import messages
from talkup_client.chunks import Chunk
from talkup_client.errors import SessionLostError, TalkupError
from talkup_client.events import Acknowledge, ErrorReceived, StreamEvent, StreamState
from talkup_client.stream import Stream


class Streams:
    """The books of a client. A stream that the program left stays in them until it has ended."""

    def __init__(self) -> None:
        self._by_id: dict[str, Stream] = {}

    def add(self, stream: Stream) -> None:
        """A stream that is about to begin."""
        self._by_id[stream.stream_id] = stream

    def forget(self, stream: Stream) -> None:
        """A stream that nothing more is to be said about."""
        self._by_id.pop(stream.stream_id, None)

    def receive(self, message: StreamEvent | Acknowledge) -> None:
        """Hand a message to its stream; one of a stream that is not known is passed over."""
        if (stream := self._by_id.get(message.stream_id)) is None:
            return
        if isinstance(message, Acknowledge):
            stream.receive_acknowledge(message)
        else:
            stream.receive(message)
            self._forget_if_over(stream)

    def receive_error(self, error: ErrorReceived) -> None:
        """An error of one stream; one that names none is for those that wait for the answer to their start."""
        if error.stream_id is None:
            for waiting in self._by_id.values():
                if not waiting.accepted:
                    waiting.receive_error(error)
        elif stream := self._by_id.get(error.stream_id):
            stream.receive_error(error)
            self._forget_if_over(stream)

    def points(self) -> list[tuple[str, int]]:
        """Of each stream, the highest final segment that has come."""
        return [(stream.stream_id, stream.last_segment_id) for stream in self._by_id.values()]

    def resumed(self, states: Mapping[str, StreamState]) -> Iterator[str | bytes]:
        """What is to be sent, in this order, to a gateway that knows the streams like this."""
        for stream in list(self._by_id.values()):
            if (state := states.get(stream.stream_id)) is not None:
                yield from (on_the_wire(stream, message) for message in stream.resumed(state))
            elif stream.accepted:
                stream.fail(SessionLostError("the gateway no longer knows this stream", stream_id=stream.stream_id))
                self._forget_if_over(stream)
            elif stream.left:
                self.forget(stream)
            else:
                yield stream.started_again()  # it was lost with its start

    def fail(self, error: TalkupError) -> None:
        """The session is over: whoever waits for a stream hears of it."""
        for stream in self._by_id.values():
            stream.fail(error)

    def _forget_if_over(self, stream: Stream) -> None:
        if stream.left and stream.finished:
            self.forget(stream)


def on_the_wire(stream: Stream, message: str | Chunk) -> str | bytes:
    """A message of a stream as it is sent."""
    if isinstance(message, Chunk):
        return messages.tagged_frame(stream.handle, message.sequence, message.payload)
    return message

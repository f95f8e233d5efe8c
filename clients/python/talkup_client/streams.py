"""The streams of a session: routes messages to them, and collects what they resend after a resumption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from talkup_client import messages
from talkup_client.chunks import Chunk
from talkup_client.errors import SessionLostError, TalkupError
from talkup_client.events import Acknowledge, ErrorReceived, StreamEvent, StreamState
from talkup_client.stream import Stream


class Streams:
    """The registered streams of a client. A stream that the program left stays registered until it has ended."""

    def __init__(self) -> None:
        self._by_id: dict[str, Stream] = {}

    def add(self, stream: Stream) -> None:
        """Register a stream that is about to start."""
        self._by_id[stream.stream_id] = stream

    def forget(self, stream: Stream) -> None:
        """Remove a stream for which no more messages will come."""
        self._by_id.pop(stream.stream_id, None)

    def receive(self, message: StreamEvent | Acknowledge) -> None:
        """Pass a message to its stream; ignore it if the stream is unknown."""
        if (stream := self._by_id.get(message.stream_id)) is None:
            return
        if isinstance(message, Acknowledge):
            stream.receive_acknowledge(message)
        else:
            stream.receive(message)
            self._forget_if_over(stream)

    def receive_error(self, error: ErrorReceived) -> None:
        """Pass an error to its stream. Without a stream id, it goes to all streams that are not accepted yet."""
        if error.stream_id is None:
            for waiting in self._by_id.values():
                if not waiting.accepted:
                    waiting.receive_error(error)
        elif stream := self._by_id.get(error.stream_id):
            stream.receive_error(error)
            self._forget_if_over(stream)

    def points(self) -> list[tuple[str, int, int]]:
        """The highest final segment and the highest result about delivery that have arrived, for each stream."""
        return [(stream.stream_id, stream.last_segment_id, stream.last_delivery) for stream in self._by_id.values()]

    def resumed(self, states: Mapping[str, StreamState]) -> Iterator[str | bytes]:
        """What to send after a resumption, in order, given the states that the gateway reported."""
        for stream in list(self._by_id.values()):
            if (state := states.get(stream.stream_id)) is not None:
                yield from (on_the_wire(stream, message) for message in stream.resumed(state))
            elif stream.accepted:
                stream.fail(SessionLostError("the gateway no longer knows this stream", stream_id=stream.stream_id))
                self._forget_if_over(stream)
            elif stream.left:
                self.forget(stream)
            else:
                yield stream.started_again()  # its start was lost with the connection

    def fail(self, error: TalkupError) -> None:
        """The session is over: end all streams with `error`."""
        for stream in self._by_id.values():
            stream.fail(error)

    def _forget_if_over(self, stream: Stream) -> None:
        if stream.left and stream.finished:
            self.forget(stream)


def on_the_wire(stream: Stream, message: str | Chunk) -> str | bytes:
    """A stream's message as sent over the WebSocket."""
    if isinstance(message, Chunk):
        return messages.tagged_frame(stream.handle, message.sequence, message.payload)
    return message

"""One chunk of a client's media, as it travels through a worker from the gRPC door to the decoder."""

from __future__ import annotations

from dataclasses import dataclass

from talkup.v1 import media_pb2


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk, made once from the message and passed on as it is.

    `sequence` is the gateway's number of the chunk, rising over the whole stream. `missing_before` chunks were lost
    directly before it. `new_recording`: the payload begins with a container header of its own. `capture_ms` is the
    client's clock, `received_ms` the gateway's, both UNIX milliseconds; None: unknown.
    """

    sequence: int
    payload: bytes
    new_recording: bool = False
    missing_before: int = 0
    capture_ms: int | None = None
    received_ms: int | None = None


def chunk_of(message: media_pb2.Chunk) -> Chunk:
    """The chunk that a message carries."""
    return Chunk(
        sequence=message.sequence,
        payload=message.payload,
        new_recording=message.new_recording,
        missing_before=message.missing_before,
        capture_ms=message.capture_time_unix_ms if message.HasField("capture_time_unix_ms") else None,
        received_ms=message.received_unix_ms if message.HasField("received_unix_ms") else None,
    )

"""What a gateway remembers of a session that it owns, so that it can enter it again if Redis loses its data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from gateway.store.base import StoredSession
from gateway.store.redis_records import StreamRecord


@dataclass(slots=True)
class OwnedStream:
    """A stream: its record, and its last state and end that Redis confirmed.

    Only what Redis confirmed counts: a later state must not be in Redis before the finals that belong to it.
    """

    record: bytes
    state: bytes = b""
    has_ended: bool = False


@dataclass(slots=True)
class Ownership:
    """The time from the moment a gateway begins or claims a session until it loses or releases it.

    `created_at` is UNIX seconds, `finals` the number of finals that Redis confirmed, `tenant` whose API key opened the
    session.
    """

    created_at: float
    streams: dict[str, OwnedStream] = field(default_factory=dict)
    finals: int = 0
    tenant: str = ""
    # Redis confirmed the session, and has not lost it since.
    is_stored: bool = False
    # How often Redis confirmed the session; an answer from before the latest time says nothing.
    entries: int = 0
    # A write that enters the session again is queued.
    is_entering: bool = False
    # The session was claimed by another gateway, or deleted.
    is_lost: bool = False

    def confirm_session(self) -> None:
        """Redis has the session."""
        self.is_stored = True
        self.entries += 1

    def confirm_state(self, stream_key: str, state: bytes, *, has_ended: bool = False) -> None:
        """Redis has this state of a stream. The state of a stream that has ended is its last."""
        stream = self.streams.get(stream_key)
        if stream is not None and (has_ended or not stream.has_ended):
            stream.state = state
            stream.has_ended = has_ended

    def confirm_final(self, stream_key: str, state: bytes | None) -> None:
        """Redis has another final, and the state that came with it."""
        self.finals += 1
        if state is not None:
            self.confirm_state(stream_key, state)

    def entry(self) -> Iterator[str | bytes | float]:
        """The values of the write `enter`."""
        yield self.created_at
        yield self.tenant
        for stream_key, stream in self.streams.items():
            yield from (stream_key, stream.record, stream.state, "1" if stream.has_ended else "0")


def ownership_of(claimed: StoredSession) -> Ownership:
    """The ownership of a session that was read from Redis."""
    streams = {
        each.stream_key: OwnedStream(
            msgspec.msgpack.encode(StreamRecord(each.stream_key, each.stream_id, each.started_at)),
            each.state,
            each.ended,
        )
        for each in claimed.streams
    }
    finals = sum(len(each.segments) for each in claimed.streams)
    return Ownership(claimed.created_at, streams, finals, claimed.owner, is_stored=True)

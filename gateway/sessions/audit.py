"""The audit line of a session: whose key opened it, when, how long, how much, and how it ended. No content."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

import structlog

from gateway.protocol.messages import ClientMessage, StreamChunk, StreamEndedData

log = structlog.get_logger()


class Ending(StrEnum):
    """How a session ended at this gateway."""

    # The client closed its socket.
    CLIENT_CLOSED = "client_closed"
    # The client lost its socket and did not come back.
    CLIENT_LOST = "client_lost"
    DELETED = "deleted"
    # Another gateway continues it.
    TAKEN_OVER = "taken_over"
    # This gateway shut down; the session may be resumed.
    DRAINED = "drained"


class SessionAudit:
    """Counts what happens in a session until `write`."""

    def __init__(self, session_id: str, owner: str) -> None:
        self.ending = Ending.CLIENT_LOST
        self._session_id = session_id
        self._owner = owner
        self._began_at: float | None = None
        self._sockets = 0
        self._received_bytes = 0
        self._streams = 0
        self._media_ms = 0.0
        self._segments = 0

    def attached(self, now: float) -> None:
        """A socket of an authenticated client joined the session; `now` in UNIX seconds."""
        if self._began_at is None:
            self._began_at = now
        self._sockets += 1

    def detached(self, *, is_clean: bool) -> None:
        """The socket closed."""
        self.ending = Ending.CLIENT_CLOSED if is_clean else Ending.CLIENT_LOST

    def received(self, message: str | bytes | ClientMessage) -> None:
        """A message arrived; of one in its normal form, its media count."""
        match message:
            case str() | bytes():
                self._received_bytes += len(message)
            case StreamChunk(payload=payload):
                self._received_bytes += len(payload)

    def stream_ended(self, totals: StreamEndedData) -> None:
        """A stream is complete."""
        self._streams += 1
        self._media_ms += 1000 * totals.media_seconds
        self._segments += totals.segments

    def write(self, now: float, *, open_streams: int) -> None:
        """Write the line, unless no authenticated client ever joined. `open_streams`: cut off, so not counted."""
        if self._began_at is None:
            return
        log.info(
            "session ended",
            session_id=self._session_id,
            owner=self._owner,
            began_at=dt.datetime.fromtimestamp(self._began_at, dt.UTC).isoformat(timespec="milliseconds"),
            seconds=round(now - self._began_at, 3),
            sockets=self._sockets,
            received_bytes=self._received_bytes,
            streams=self._streams,
            open_streams=open_streams,
            media_seconds=round(self._media_ms / 1000, 3),
            segments=self._segments,
            ending=self.ending.value,
        )


def log_stream_end(session_id: str, stream_id: str, totals: StreamEndedData) -> None:
    """Log what a stream brought and what it lost."""
    log.info(
        "stream ended",
        session_id=session_id,
        stream_id=stream_id,
        chunks=totals.chunks,
        bytes=totals.bytes,
        media_seconds=totals.media_seconds,
        segments=totals.segments,
        gaps=totals.gaps,
        missing_chunks=totals.missing_chunks,
        damaged_bytes=totals.damaged_bytes,
        speech_without_words_ms=totals.speech_without_words_ms,
        failovers=totals.failovers,
    )

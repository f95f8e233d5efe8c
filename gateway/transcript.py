"""A stored transcript: words, segments and a session's streams. Values only; `transcript_formats` renders them."""

from __future__ import annotations

import msgspec


class Word(msgspec.Struct, frozen=True):
    """A word and its times in ms on the stream's media clock."""

    word: str
    start_ms: int
    end_ms: int
    confidence: float


class Segment(msgspec.Struct, frozen=True):
    """A final segment; times in ms on the stream's media clock, `confidence` 0 to 1, `revision` as it was sent."""

    segment_id: int
    text: str
    language: str
    confidence: float
    start_ms: int
    end_ms: int
    words: tuple[Word, ...] = ()
    revision: int = 0


class StreamTranscript(msgspec.Struct, frozen=True):
    """The finals of one media stream. `started_at` is UNIX seconds; `ended`: no more finals will come."""

    stream_id: str
    started_at: float
    ended: bool
    segments: tuple[Segment, ...] = ()


class Transcript(msgspec.Struct, frozen=True):
    """Everything stored of a session, its streams in the order in which they began."""

    session_id: str
    created_at: float
    streams: tuple[StreamTranscript, ...] = ()

    def for_stream(self, stream_id: str) -> Transcript:
        """The same transcript with the streams of one name only."""
        chosen = tuple(stream for stream in self.streams if stream.stream_id == stream_id)
        return Transcript(self.session_id, self.created_at, chosen)

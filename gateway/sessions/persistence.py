"""What a session writes to the store, in order, and how it reads what another process wrote.

Writes keep their order, so a message that must not be sent before the preceding text is stored waits for the latest
write.
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Iterable
from concurrent.futures import Future

import structlog
from talkup.v1 import task_pb2, transcript_pb2

from gateway.analyses import MAX_PER_STREAM, StoredAnalysis
from gateway.metrics import Metrics
from gateway.protocol.actions import StoreAnalyses, StoreSegment, StoreSnapshot
from gateway.protocol.snapshot import RestoredStream, SnapshotError, StreamSnapshot, decode_snapshot
from gateway.protocol.states import StoreRelease
from gateway.sessions.stream_traces import StreamTraces
from gateway.store.base import Store, StoredSession, StreamStart
from gateway.transcript import Segment, Word

log = structlog.get_logger()


class SessionPersistence:
    """One session's writes. None of them blocks; a failed write is counted."""

    def __init__(self, session_id: str, store: Store, metrics: Metrics, traces: StreamTraces) -> None:
        self._traces = traces
        self._session_id = session_id
        self._store = store
        self._metrics = metrics
        self._stream_keys: dict[str, str] = {}
        self._analysis_keys: dict[str, set[str]] = {}
        # Whoever will complete the write holds it; once it is done, nothing has to keep it.
        self._latest: weakref.ref[Future[None]] | None = None

    @property
    def unconfirmed(self) -> Future[None] | None:
        """The latest write, if it is not done yet; once it is, all earlier ones are done, too."""
        return None if self._latest is None else self._latest()

    def restored_streams(self, stored: StoredSession) -> list[RestoredStream]:
        """The streams that can be continued; writes about them, and about blank ones, go to their existing records."""
        streams: list[RestoredStream] = []
        for each in stored.streams:
            if each.is_blank:
                self._stream_keys[each.stream_id] = each.stream_key
                continue
            try:
                snapshot = decode_snapshot(each.state)
            except SnapshotError:
                log.warning("stream cannot be restored", session_id=self._session_id, stream_id=each.stream_id)
                continue
            finals = [_transcript(segment) for segment in each.segments]
            streams.append(RestoredStream(snapshot, finals, each.analyses))
            if not snapshot.ended:
                self._stream_keys[each.stream_id] = each.stream_key
                self._analysis_keys[each.stream_id] = {analysis.key for analysis in each.analyses}
        return streams

    def write_session(self, owner: str) -> None:
        """Write that the session is live at this gateway; `owner`: whose API key opened it."""
        self._submit(self._store.begin_session(self._session_id, owner))

    def begin_stream(self, stream_id: str, started_at: float) -> None:
        """Write that a stream begins, unless it is already known; `started_at` in UNIX seconds."""
        if stream_id not in self._stream_keys:
            stream_key = self._stream_keys[stream_id] = uuid.uuid4().hex
            start = StreamStart(self._session_id, stream_key, stream_id, started_at=started_at)
            self._submit(self._store.begin_stream(start))

    def write_segment(self, store: StoreSegment) -> None:
        """Write a final and, in the same write, the stream's state and what lasts of its analysis."""
        stream_id = store.stream_id
        if (stream_key := self._stream_keys.get(stream_id)) is not None:
            state = None if store.snapshot is None else store.snapshot.encode()
            kept = self._within_bound(stream_id, store.analyses)
            write = self._store.add_segment(self._session_id, stream_key, _segment(store.transcript), state, kept)
            self._traces.note_write(stream_id, "segment", write)
            self._submit(write)

    def write_snapshot(self, store: StoreSnapshot) -> None:
        """Write a stream's state and, in the same write, what lasts of its analysis."""
        stream_id = store.snapshot.stream_id
        if (stream_key := self._stream_keys.get(stream_id)) is not None:
            kept = self._within_bound(stream_id, store.analyses)
            self._submit(self._store.save_state(self._session_id, stream_key, store.snapshot.encode(), kept))

    def write_analyses(self, store: StoreAnalyses) -> None:
        """Write what lasts of a stream's analysis."""
        kept = self._within_bound(store.stream_id, store.analyses)
        if kept and (stream_key := self._stream_keys.get(store.stream_id)) is not None:
            self._submit(self._store.add_analyses(self._session_id, stream_key, kept))

    def end_stream(self, stream_id: str, snapshot: StreamSnapshot) -> None:
        """Write that a stream is complete."""
        self._analysis_keys.pop(stream_id, None)
        if (stream_key := self._stream_keys.pop(stream_id, None)) is not None:
            self._submit(self._store.end_stream(self._session_id, stream_key, snapshot.encode()))

    def release(self, release: StoreRelease) -> None:
        """Write that the session is over at this gateway."""
        if release is not StoreRelease.UNTOUCHED:
            self._submit(self._store.release(self._session_id, closed=release is StoreRelease.CLOSED))

    def _within_bound(self, stream_id: str, analyses: Iterable[StoredAnalysis]) -> list[StoredAnalysis]:
        """Those that the store still takes of a stream; the others are counted."""
        kept: list[StoredAnalysis] = []
        for each in analyses:
            keys = self._analysis_keys.setdefault(stream_id, set())
            if each.key in keys or each.is_summary or len(keys) < MAX_PER_STREAM:
                keys.add(each.key)
                kept.append(each)
            else:
                self._metrics.store.analyses_dropped.inc()
        return kept

    def _submit(self, write: Future[None]) -> None:
        self._latest = None if write.done() and write.exception() is None else weakref.ref(write)
        write.add_done_callback(self._count_failure)

    def _count_failure(self, write: Future[None]) -> None:
        if write.exception() is not None:
            self._metrics.store.failures.inc()


def _segment(result: task_pb2.TaskResult) -> Segment:
    spoken = result.transcript
    return Segment(
        segment_id=spoken.segment_id,
        text=spoken.text,
        language=spoken.language,
        confidence=round(spoken.confidence, 4),
        start_ms=spoken.start_ms,
        end_ms=spoken.end_ms,
        words=tuple(Word(w.text, w.start_ms, w.end_ms, round(w.confidence, 4)) for w in spoken.words),
        revision=spoken.revision,
    )


def _transcript(segment: Segment) -> transcript_pb2.Transcript:
    words = [
        transcript_pb2.Word(text=w.word, start_ms=w.start_ms, end_ms=w.end_ms, confidence=w.confidence)
        for w in segment.words
    ]
    return transcript_pb2.Transcript(
        segment_id=segment.segment_id,
        revision=segment.revision,
        is_final=True,
        text=segment.text,
        stable_chars=len(segment.text),
        language=segment.language,
        confidence=segment.confidence,
        start_ms=segment.start_ms,
        end_ms=segment.end_ms,
        words=words,
    )

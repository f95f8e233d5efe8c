"""The transcript of one stream as its client gets it: rising revisions, each final once, the complete text."""

from __future__ import annotations

from talkup.v1 import transcript_pb2

from gateway.protocol.joining import join_finals
from gateway.protocol.messages import TranscriptUpdate
from gateway.protocol.translate import transcript_message

# More than a segment ever has at one gateway.
_REVISIONS_PER_GENERATION = 10_000


class Segments:
    """Tracks the segments of a stream across all its workers.

    Invariant: each final is returned once, in rising order; nothing of its segment or of an earlier one follows it.
    """

    def __init__(self, stream_id: str, *, words: bool, kept: int) -> None:
        """`kept`: how many of the latest finals can be resent on resume."""
        self._stream_id = stream_id
        self._words = words
        self._finals: list[TranscriptUpdate] = []
        self._kept = kept
        self._texts: list[tuple[str, str]] = []
        self._segment_id = 0
        self._revision = 0
        self.last_final_id = 0

    @property
    def count(self) -> int:
        """Number of finals so far."""
        return len(self._texts)

    @property
    def text(self) -> str:
        """The text of all finals, in order."""
        return join_finals(self._texts)

    def accept(self, transcript: transcript_pb2.Transcript) -> TranscriptUpdate | None:
        """The message for a worker's segment; None for a segment that comes too late."""
        if transcript.segment_id <= self.last_final_id:
            return None
        if transcript.segment_id != self._segment_id:
            self._segment_id, self._revision = transcript.segment_id, 0
        self._revision = max(self._revision + 1, transcript.revision)
        message = transcript_message(self._stream_id, transcript, revision=self._revision, words=self._words)
        if transcript.is_final:
            self.last_final_id = transcript.segment_id
            self._finals.append(message)
            del self._finals[: max(0, len(self._finals) - self._kept)]
            self._texts.append((transcript.text, transcript.language))
        return message

    def begin_generation(self, generation: int) -> None:
        """Another gateway continues: revisions of the current segment rise above those of all earlier generations."""
        self._segment_id, self._revision = self.last_final_id + 1, generation * _REVISIONS_PER_GENERATION

    def after(self, segment_id: int) -> list[TranscriptUpdate]:
        """The finals above this id that are still kept."""
        return [final for final in self._finals if final.data.segment_id > segment_id]

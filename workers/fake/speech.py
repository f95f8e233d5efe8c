"""One speech stream of the fake engine: words, finals with their progress, and a resume_state that is exact.

Bookkeeping is in stream offsets (bytes since the stream began). A final that ends at offset B covers every chunk that
ends at or before B; the state sent with it counts what lies before the first replayed chunk, and how many bytes of the
replay (`skip`) are final already.

With `StreamStart.delivery`, the message with a progress carries the scripted delivery of the media that it covers. A
stream of delivery alone commits as speech does and sends nothing else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated, Final, NamedTuple

import msgspec
from talkup.v1 import error_pb2, media_pb2, task_pb2, transcript_pb2

from tracing.spans import current_span
from workers.chunk import Chunk
from workers.delivery.options import wanted_signals
from workers.delivery.origin import origin_unix_ms
from workers.engine import EngineError
from workers.fake.delivery import DeliveryState, FakeDelivery
from workers.fake.script import FakeScript, Faults
from workers.fake.words import PlacedWord, WordCutter
from workers.observer import NO_OBSERVER, EngineObserver

_CODED_BYTES_PER_SECOND: Final = 4000  # about Opus at 32 kbit/s: the media clock of coded formats
_SAMPLE_BYTES: Final = {
    media_pb2.PCM_ENCODING_S16LE: 2,
    media_pb2.PCM_ENCODING_S16BE: 2,
    media_pb2.PCM_ENCODING_F32LE: 4,
    media_pb2.PCM_ENCODING_MULAW: 1,
    media_pb2.PCM_ENCODING_ALAW: 1,
}
_OUTBOX_BOUND: Final = 256
_STATE_VERSION: Final = 1
_CONFIDENCE: Final = 0.9

_Count = Annotated[int, msgspec.Meta(ge=0)]


class SpeechState(msgspec.Struct, frozen=True, array_like=True):
    """`resume_state` of a speech stream. Counters hold what lies before chunk `replay_from`."""

    version: int = _STATE_VERSION
    replay_from: _Count | None = None
    committed: _Count | None = None
    skip: _Count = 0
    chunks: _Count = 0
    bytes: _Count = 0
    missing: _Count = 0
    next_segment: _Count = 1
    speaking: bool = False
    delivery: DeliveryState | None = None


class _SeenChunk(NamedTuple):
    """A chunk that may be replayed: its stream offsets, and what was counted before it."""

    sequence: int
    begin: int
    end: int
    chunks: int
    missing: int


class Outbox:
    """Results on their way out: bounded, ended by `finish` after what is in it, by `close` at once."""

    def __init__(self) -> None:
        self._results: deque[task_pb2.TaskResult] = deque()
        self._changed = asyncio.Condition()
        self._finished = False
        self._closed = False

    async def put(self, result: task_pb2.TaskResult) -> None:
        """Add a result, waiting for room; dropped when closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or len(self._results) < _OUTBOX_BOUND)
            if not self._closed:
                self._results.append(result)
                self._changed.notify_all()

    async def finish(self) -> None:
        """End the results after what is in the outbox now."""
        async with self._changed:
            self._finished = True
            self._changed.notify_all()

    async def close(self) -> None:
        """Drop everything and release whoever waits."""
        async with self._changed:
            self._closed = True
            self._results.clear()
            self._changed.notify_all()

    async def drain(self) -> AsyncIterator[task_pb2.TaskResult]:
        """The results in order."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._results or self._finished or self._closed)
                if not self._results:
                    return
                result = self._results.popleft()
                self._changed.notify_all()
            yield result


class SpeechSession:
    """EngineSession over bytes. See the module's first lines for the bookkeeping."""

    def __init__(
        self,
        start: task_pb2.StreamStart,
        script: FakeScript,
        faults: Faults,
        observer: EngineObserver = NO_OBSERVER,
        *,
        alone: bool = False,
    ) -> None:
        """`alone`: nothing but delivery. Raises EngineError for unknown signals and for a state of another engine."""
        wanted_signals(start.delivery)
        self._state = decode_state(start.resume_state) if start.HasField("resume_state") else SpeechState()
        self._script = script
        self._faults = faults
        self._observer = observer
        self._options = start.speech
        self._bytes_per_second = bytes_per_second(start.format)
        self._outbox = Outbox()
        self._cutter = WordCutter(script.word_bytes, edge=self._state.bytes + self._state.skip)
        self._pending: list[PlacedWord] = []
        self._seen: deque[_SeenChunk] = deque()
        self._offset = self._state.bytes
        self._chunks = self._state.chunks
        self._missing = self._state.missing
        self._committed = self._state.committed
        self._segment = self._state.next_segment
        self._revision = 0
        self._speaking = self._state.speaking
        self._alone = alone
        self._delivery: FakeDelivery | None = None
        if alone or start.HasField("delivery"):
            self._delivery = FakeDelivery(self._state.delivery, with_words=not alone)

    async def accept(self, chunk: Chunk) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        span = current_span().step("worker.step", rank="chunk")
        try:
            await self._accept(chunk)
        finally:
            span.end()
        self._observer.waited("step", 0.0)
        self._observer.worked("step", clock() - began)
        self._observer.late(clock() - began)

    async def _accept(self, chunk: Chunk) -> None:
        await self._faults.on_chunk(chunk)
        await self._faults.pace(self._ms(len(chunk.payload)))
        fresh = self._note(chunk)
        if (chunk.new_recording or chunk.missing_before) and self._offset - len(chunk.payload) >= self._cutter.edge:
            self._pending += self._cutter.seal()
        if not fresh:
            return
        if not self._speaking:
            self._speaking = True
            await self._say_event(transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_STARTED, self._offset - len(fresh))
        words = self._cutter.push_bytes(fresh)
        self._pending += words
        while len(self._pending) >= self._script.words_per_final:
            await self._say_final(self._script.words_per_final)
        if words and self._pending and self._wants("interim_results") and not self._alone:
            self._revision += 1
            await self._say(task_pb2.TaskResult(transcript=self._transcript(self._pending, is_final=False)))

    async def flush(self, flush_id: int) -> None:
        await self._finalise()
        await self._say_covered(self._cutter.edge, task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=flush_id)))

    async def end(self) -> None:
        await self._finalise()
        if self._speaking:
            await self._say_event(transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_ENDED, self._cutter.edge)
        ended = task_pb2.Ended(
            chunks=self._chunks,
            bytes=self._offset,
            media_ms=self._ms(self._offset),
            missing_chunks=self._missing,
            segments=0 if self._alone else self._segment - 1,
        )
        await self._say_covered(self._cutter.edge, task_pb2.TaskResult(ended=ended), last=True)
        if not self._faults.muted:
            await self._outbox.finish()

    def results(self) -> AsyncIterator[task_pb2.TaskResult]:
        return self._outbox.drain()

    async def close(self) -> None:
        await self._outbox.close()

    def _note(self, chunk: Chunk) -> bytes:
        """Record a chunk; returns the part of it that no final covers yet."""
        if not self._seen and chunk.sequence != self._state.replay_from:
            self._offset = max(self._offset, self._cutter.edge)  # the replay starts later: nothing of it is covered
        begin, end = self._offset, self._offset + len(chunk.payload)
        self._seen.append(_SeenChunk(chunk.sequence, begin, end, self._chunks, self._missing))
        self._offset = end
        self._chunks += 1
        self._missing += chunk.missing_before
        delivery = self._delivery.state if self._delivery is not None else None
        if delivery is not None and self._chunks == 1 and delivery.origin_unix_ms is None:
            delivery.origin_unix_ms = origin_unix_ms(chunk, self._ms(end))
        covered = self._state.bytes + self._state.skip
        return chunk.payload[max(0, covered - begin) :]

    async def _finalise(self) -> None:
        self._pending += self._cutter.seal()
        while self._pending:
            await self._say_final(min(len(self._pending), self._script.words_per_final))

    async def _say_final(self, count: int) -> None:
        words, self._pending = self._pending[:count], self._pending[count:]
        self._revision += 1
        transcript = self._transcript(words, is_final=True)
        self._segment += 1
        self._revision = 0
        if self._delivery is not None:
            self._delivery.add((word.text, self._ms(word.begin)) for word in words)
        result = task_pb2.TaskResult() if self._alone else task_pb2.TaskResult(transcript=transcript)
        await self._say_covered(words[-1].end, result)

    async def _say_covered(self, covered: int, result: task_pb2.TaskResult, *, last: bool = False) -> None:
        """Say a result with the delivery of the media up to offset `covered`, and with the progress."""
        if self._delivery is not None:
            result.delivery.extend(self._delivery.advance(self._ms(covered)))
            if last:
                result.delivery.append(self._delivery.finish(self._ms(covered)))
        result.progress.CopyFrom(self._progress(covered))
        await self._say(result)

    async def _say_event(self, kind: transcript_pb2.SpeechEventType, offset: int) -> None:
        if self._alone:
            return
        event = transcript_pb2.SpeechEvent(type=kind, media_time_ms=self._ms(offset))
        await self._say(task_pb2.TaskResult(speech_event=event))

    async def _say(self, result: task_pb2.TaskResult) -> None:
        if not self._faults.muted:
            await self._outbox.put(result)

    def _transcript(self, words: list[PlacedWord], *, is_final: bool) -> transcript_pb2.Transcript:
        text = " ".join(word.text for word in words)
        language = self._options.language.split("-")[0].lower()
        transcript = transcript_pb2.Transcript(
            segment_id=self._segment,
            revision=self._revision,
            is_final=is_final,
            text=text,
            stable_chars=len(text),
            confidence=_CONFIDENCE,
            language="en" if language in ("", "auto") else language,
            start_ms=self._ms(words[0].begin),
            end_ms=self._ms(words[-1].end),
        )
        if self._wants("word_timestamps"):
            transcript.words.extend(
                transcript_pb2.Word(
                    text=word.text, start_ms=self._ms(word.begin), end_ms=self._ms(word.end), confidence=_CONFIDENCE
                )
                for word in words
            )
        return transcript

    def _progress(self, covered: int) -> task_pb2.Progress:
        """Progress of finals that end at offset `covered`; forgets the chunks that no replay needs."""
        uncovered = next((i for i, chunk in enumerate(self._seen) if chunk.end > covered), len(self._seen))
        if uncovered:
            self._committed = self._seen[uncovered - 1].sequence
        for _ in range(uncovered - self._script.replay_behind):
            if len(self._seen) > 1:
                self._seen.popleft()
        state = self._state_at(covered)
        return task_pb2.Progress(
            committed_sequence=self._committed,
            committed_media_ms=self._ms(covered),
            replay_from_sequence=state.replay_from or 0,
            resume_state=msgspec.msgpack.encode(state),
        )

    def _state_at(self, covered: int) -> SpeechState:
        delivery = self._delivery.state if self._delivery is not None else None
        if not self._seen:
            return msgspec.structs.replace(
                self._state, next_segment=self._segment, speaking=self._speaking, delivery=delivery
            )
        first = self._seen[0]
        if self._script.replay_behind == 0 and first.end <= covered:  # the last chunk, covered and not wanted again
            first = _SeenChunk(first.sequence + 1, first.end, first.end, self._chunks, self._missing)
        return SpeechState(
            replay_from=first.sequence,
            committed=self._committed,
            skip=covered - first.begin,
            chunks=first.chunks,
            bytes=first.begin,
            missing=first.missing,
            next_segment=self._segment,
            speaking=self._speaking,
            delivery=delivery,
        )

    def _ms(self, offset: int) -> int:
        return offset * 1000 // self._bytes_per_second

    def _wants(self, option: str) -> bool:
        """Interims and word times are given unless they are switched off."""
        return not self._options.HasField(option) or bool(getattr(self._options, option))


def bytes_per_second(audio: media_pb2.MediaFormat) -> int:
    """The fake media clock: exact for PCM, a fixed rate for coded formats."""
    if audio.container != media_pb2.CONTAINER_PCM:
        return _CODED_BYTES_PER_SECOND
    size = _SAMPLE_BYTES.get(audio.pcm_encoding, 1) * audio.sample_rate * audio.channels
    return size or _CODED_BYTES_PER_SECOND


def decode_state(encoded: bytes) -> SpeechState:
    """Raises EngineError for bytes that no fake engine made."""
    try:
        state = msgspec.msgpack.decode(encoded, type=SpeechState)
    except msgspec.DecodeError:
        state = None
    if state is None or state.version != _STATE_VERSION:
        raise EngineError(error_pb2.ERROR_CODE_BAD_MESSAGE, "not a state of this engine", field="start.resume_state")
    return state

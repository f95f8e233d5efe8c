"""The media of one session: chunks decoded in order and entered in the ledger, and the decoder's restart points."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from talkup.v1 import error_pb2, task_pb2

from workers.chunk import Chunk
from workers.engine import EngineError
from workers.stt.audio import AudioSource, RestartPoint
from workers.stt.ledger import ChunkLedger
from workers.stt.tuning import milliseconds

Samples = NDArray[np.float32]


class MediaInput:
    """`failure`: why media could not be decoded, for the wire. `ending`: the last chunk has come."""

    def __init__(
        self, source: AudioSource, ledger: ChunkLedger, media_error: type[Exception], *, skip: int, first: int
    ) -> None:
        """`skip`: samples of the source that are already known after a resume. `first`: position of the next one."""
        self.ledger = ledger
        self.failure: EngineError | None = None
        self.ending = False
        self._source = source
        self._media_error = media_error
        self._skip = skip
        self._first = first
        self._decoding = asyncio.Lock()
        self._restart: tuple[int, RestartPoint] | None = None
        self._damaged = 0
        self._finished = False

    async def decode(self, chunk: Chunk) -> Samples | None:
        """All samples of a chunk; None if it cannot be decoded (`failure`)."""
        try:
            async with self._decoding:
                return await self._source.decode(chunk)
        except self._media_error as error:
            self._fail(error)
            return None

    def enter(self, chunk: Chunk, audio: Samples, received: int) -> Samples:
        """Note a decoded chunk behind `received` samples; returns those of its samples that are not known yet."""
        audio = self._without_known(audio)
        damaged, self._damaged = self._source.damaged_bytes - self._damaged, self._source.damaged_bytes
        self.ledger.add(chunk.sequence, len(chunk.payload), chunk.missing_before, received + len(audio), damaged)
        return audio

    async def finish(self, queue: Callable[[Samples], Awaitable[None]]) -> None:
        """No more chunks: queue the last samples, by which the rest of the chunks is then covered.

        Media that cannot be decoded are a `failure`.
        """
        rest = await self._finish()
        if rest is not None:
            await queue(rest)
            self.ledger.close(self._source.damaged_bytes - self._damaged)

    async def _finish(self) -> Samples | None:
        self.ending = True
        try:
            async with self._decoding:
                if self._restart is None:
                    await self._save(self._first)
                self._finished = True
                return self._without_known(await self._source.finish())
        except self._media_error as error:
            self._fail(error)
            return None

    async def restart_at(self, sample: int) -> tuple[int, RestartPoint] | None:
        """The decoder's restart point for a sample; after the decoder's end or failure, the last one before it."""
        async with self._decoding:
            if not self._finished or self._restart is None:
                await self._save(sample)
            return self._restart

    async def close(self) -> None:
        """Give the decoder up."""
        await self._source.close()

    def ended(self, received: int, segments: int, wordless: int = 0) -> task_pb2.TaskResult:
        """The last result: totals after `received` samples. `wordless`: samples of speech without words."""
        totals = self.ledger.totals
        return task_pb2.TaskResult(
            ended=task_pb2.Ended(
                chunks=totals.chunks,
                bytes=totals.size,
                media_ms=milliseconds(received),
                missing_chunks=totals.missing,
                damaged_bytes=totals.damaged,
                segments=segments,
                speech_without_words_ms=milliseconds(wordless),
            )
        )

    def progress(self, position: int, restart: RestartPoint) -> task_pb2.Progress:
        """How far the stream is committed at a position, without the resume state."""
        progress = task_pb2.Progress(
            committed_media_ms=milliseconds(position), replay_from_sequence=restart.replay_from_sequence
        )
        covered = self.ledger.covered(position, restart.replay_from_sequence)
        if covered is not None:
            progress.committed_sequence = covered
        return progress

    def _without_known(self, audio: Samples) -> Samples:
        known = min(self._skip, len(audio))
        self._skip -= known
        return audio[known:]

    def _fail(self, error: Exception) -> None:
        """The message of a media error is safe for the wire."""
        self.failure = EngineError(error_pb2.ERROR_CODE_MEDIA_ERROR, str(error) or "media that cannot be decoded")
        self._finished = True

    async def _save(self, sample: int) -> None:
        """Ask the decoder for a restart point; it has none before its first chunk or after it was given up."""
        with suppress(self._media_error):
            self._restart = sample, await self._source.checkpoint(sample)


def chunk_after_end() -> EngineError:
    """The error of a chunk that comes after the end."""
    return EngineError(error_pb2.ERROR_CODE_BAD_MESSAGE, "a chunk after the end of the stream", field="chunk")

"""A world small enough to be exact: words are steps in the signal, so what was said can be read off the samples.

A word is 6,400 samples (0.4 s) of a constant that is its number; silence is zeros. A window that begins or ends inside
a word hears another word there, as a real model would. Everything here obeys the same interfaces as the real parts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray
from talkup.v1 import media_pb2, task_pb2, transcript_pb2

from workers.chunk import Chunk, chunk_of
from workers.scheduler import Scheduler
from workers.stt import state
from workers.stt.captions import Captions
from workers.stt.decode_job import StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.ledger import ChunkLedger
from workers.stt.pace import Pace
from workers.stt.recognizer import Recognizer
from workers.stt.session import SessionParts, SttSession
from workers.stt.tuning import FRAME, Tuning
from workers.stt.vad import VadState
from workers.stt.words import Word

WORD = 6_400
LEAST = 2_000

Floats = NDArray[np.float32]


def word(number: int) -> str:
    """The text of a word, all letters."""
    return "w" + "".join("abcdefghij"[int(digit)] for digit in str(number))


def text_of(numbers: Sequence[int]) -> str:
    return " ".join(word(number) for number in numbers)


def speak(*numbers: int) -> Floats:
    """Words one after the other; 0 is a word's length of silence."""
    return np.repeat(np.asarray(numbers, np.float32) / 1000, WORD)


def hear_voice(audio: Floats, memory: VadState) -> tuple[Floats, VadState]:
    """A voice where the frame is louder than nothing; keeps the last samples as Silero does."""
    frames = audio.reshape(-1, FRAME)
    voices = (np.abs(frames).max(axis=1) > 0).astype(np.float32)
    return voices, VadState(memory.h + len(frames), memory.c, frames[-1, -64:].copy())


def transcribe(request: DecodeRequest) -> Hypothesis:
    """The words in the signal; a piece of a word shorter than 2,000 samples is not heard, a longer one misheard."""
    words = []
    audio = np.round(request.audio * 1000).astype(int)
    edges = [0, *(np.flatnonzero(np.diff(audio)) + 1).tolist(), len(audio)]
    for first, end in pairwise(edges):
        if audio[first] == 0 or end - first < LEAST:
            continue
        whole = end - first >= WORD - LEAST
        text = word(int(audio[first])) if whole else f"part{end - first}"
        words.append(Word(" " + text, first, end, 0.9))
    return Hypothesis(tuple(words), -0.1, 0.0, False, request.language or "en")


@dataclass(frozen=True)
class Restart:
    replay_from_sequence: int
    state: bytes


class ToyMediaError(Exception):
    pass


JUNK = b"no sample at all"


class PcmSource:
    """Float32 samples in chunks cut at any sample; `state` is the number of samples before the replayed chunk.

    A chunk of `JUNK` is damage.
    """

    def __init__(self, fmt: media_pb2.MediaFormat, saved: bytes | None = None) -> None:
        del fmt
        self._position, self._skip = msgspec.msgpack.decode(saved, type=tuple[int, int]) if saved else (0, 0)
        self._starts: list[tuple[int, int]] = []
        self._asked = 0
        self.damaged_bytes = 0
        self.closed = False

    async def decode(self, chunk: Chunk) -> Floats:
        payload, sequence = chunk.payload, chunk.sequence
        if payload == b"poison":
            raise ToyMediaError("poison")
        if payload == JUNK:
            self.damaged_bytes += len(payload)
            payload = b""
        self._starts.append((sequence, self._position))
        audio = np.frombuffer(payload, "<f4").astype(np.float32)
        self._position += len(audio)
        skipped = min(self._skip, len(audio))
        self._skip -= skipped
        return audio[skipped:]

    async def finish(self) -> Floats:
        return np.empty(0, np.float32)

    async def checkpoint(self, sample: int) -> Restart:
        assert sample >= self._asked, "restart points only rise"
        self._asked = sample
        at = [(sequence, start) for sequence, start in self._starts if start <= sample]
        if not self._starts:
            raise ToyMediaError("nothing was decoded yet")
        if not at:
            return Restart(0, msgspec.msgpack.encode((0, 0)))
        sequence, start = at[-1]
        return Restart(sequence, msgspec.msgpack.encode((start, sample - start)))

    async def close(self) -> None:
        self.closed = True


class PcmDecoders:
    def open(self, fmt: media_pb2.MediaFormat, state: bytes | None = None) -> PcmSource:
        return PcmSource(fmt, state)


class ToyEngine:
    """Sessions over the toy world, on a real scheduler. Use as a context manager."""

    def __init__(
        self,
        tuning: Tuning | None = None,
        run: Callable[[DecodeRequest], Hypothesis] = transcribe,
        clock: Callable[[], float] = time.monotonic,
        threads: int = 2,
    ) -> None:
        self.tuning = tuning or Tuning()
        self.scheduler: Scheduler[DecodeRequest, Hypothesis] = Scheduler(
            lambda batch: [run(request) for request in batch],
            lambda request: request.batch_key,
            threads=threads,
            batch=4,
            clock=clock,
        )

    def __enter__(self) -> ToyEngine:
        self.scheduler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.scheduler.close()

    def open(
        self,
        options: StreamOptions | None = None,
        resume: bytes | None = None,
        attempt: int = 1,
        backlog: int = 160_000,
        deadline: float | None = None,
        pause: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> SttSession:
        saved = state.unpack(resume) if resume is not None else None
        options = options or StreamOptions(language="en", interims=False)
        return SttSession(
            SessionParts(
                source=PcmSource(media_pb2.MediaFormat(), saved.decoder if saved else None),
                recognizer=Recognizer(hear_voice, self.tuning, options, saved.recognizer if saved else None),
                captions=Captions(word_timestamps=True, segment_id=saved.segment_id if saved else 1, attempt=attempt),
                ledger=ChunkLedger(saved.totals if saved else None),
                scheduler=self.scheduler,
                pace=Pace(self.tuning, resumed=saved is not None),
                media_error=ToyMediaError,
                skip=saved.recognizer.replay_from - saved.audio_from if saved else 0,
                max_backlog=backlog,
                deadline=deadline,
                pause=pause,
                clock=clock,
            )
        )


def chunks(audio: Floats, size: int, first: int = 0) -> list[media_pb2.Chunk]:
    return [
        media_pb2.Chunk(sequence=first + index, payload=audio[start : start + size].astype("<f4").tobytes())
        for index, start in enumerate(range(0, len(audio), size))
    ]


async def run_stream(
    session: SttSession, pieces: Sequence[media_pb2.Chunk], *, flush_after: int | None = None
) -> list[task_pb2.TaskResult]:
    """Send everything, end, and return every result."""
    results: list[task_pb2.TaskResult] = []

    async def read() -> None:
        async for result in session.results():
            results.append(result)

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        for index, piece in enumerate(pieces):
            await session.accept(chunk_of(piece))
            if index == flush_after:
                await session.flush(7)
        await session.end()
    await session.close()
    return results


def finals(results: Sequence[task_pb2.TaskResult]) -> list[transcript_pb2.Transcript]:
    return [
        result.transcript
        for result in results
        if result.WhichOneof("result") == "transcript" and result.transcript.is_final
    ]


def transcript(results: Sequence[task_pb2.TaskResult]) -> str:
    return " ".join(final.text for final in finals(results))

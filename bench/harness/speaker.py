"""A client that sends known bytes and keeps the results: the words show every byte that is lost or doubled.

Speakers use the Python client as any program does. `Heard.check` states what holds in every scenario: each word once
and in order, segment ids without gaps, and consistent totals.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from talkup_client import Client
from talkup_client.errors import RefusedError, TalkupError
from talkup_client.events import Flow, Notice, StreamEnded, StreamEvent, TranscriptUpdate

from bench.harness.grid import moment
from bench.harness.stack import KEY
from workers.fake.engine import expected_words

FORMAT = "audio/pcm;rate=16000"


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of a speaker: bytes per chunk, seconds between chunks.

    With a `phase` of 0 to 1 the chunks are due at that part of each interval of the clock (`grid`). Without one, each
    is due an interval after the one before it.
    """

    chunk_bytes: int = 1600
    interval_s: float = 0.02
    phase: float | None = None

    async def wait(self) -> None:
        """Until the next chunk is due."""
        if self.phase is None:
            await asyncio.sleep(self.interval_s)
        else:
            await moment(self.interval_s, self.phase)


# 32,000 bytes per second: real time for 16 kHz, 16 bits.
REAL_TIME = Pace(3200, 0.1)


@dataclass
class Heard:
    """The results of one stream. Times are seconds of `time.monotonic`."""

    payload: bytearray = field(default_factory=bytearray)
    chunks: int = 0
    finals: list[tuple[float, TranscriptUpdate]] = field(default_factory=list)
    failovers: list[float] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    errors: list[TalkupError] = field(default_factory=list)
    ended: StreamEnded | None = None
    # Seconds from the chunk that completes a final's last word to that final.
    latencies: list[float] = field(default_factory=list)
    sent_at: list[tuple[int, float]] = field(default_factory=list)
    # Seconds from a chunk to the first text, final or not, with a word that the chunk completes. One for each chunk.
    text_latencies: list[float] = field(default_factory=list)
    without_text: list[tuple[int, float]] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        return [word for _, final in self.finals for word in final.text.split()]

    def losses(self) -> tuple[int, int]:
        """Words lost and words doubled; words out of order count as both."""
        said, heard = Counter(expected_words(bytes(self.payload))), Counter(self.words)
        lost, doubled = (said - heard).total(), (heard - said).total()
        if not lost and not doubled and self.words != expected_words(bytes(self.payload)):
            return len(self.words), len(self.words)
        return lost, doubled

    def first_final_after(self, moment: float) -> float | None:
        """When the first final after a moment arrived."""
        return next((at for at, _ in self.finals if at > moment), None)

    def check(self, expected: list[str] | None = None) -> None:
        """Check that no word is lost, doubled or out of order, and that the totals agree. Raises AssertionError."""
        assert [(error.code, error.message) for error in self.errors] == []
        assert self.words == (expected_words(bytes(self.payload)) if expected is None else expected)
        assert [final.segment_id for _, final in self.finals] == list(range(1, len(self.finals) + 1))
        assert self.ended is not None
        assert self.ended.text.split() == self.words
        totals = self.ended.totals
        assert totals["chunks"] == self.chunks
        # A `flow` that is lost with the socket is not repeated.
        assert totals["failovers"] >= len(self.failovers)
        if expected is None:
            assert self.notices == []
            assert totals["missing_chunks"] == 0
            assert totals["gaps"] == 0


class Speaker:
    """One session with one stream, from `speak` to its end."""

    def __init__(self, url: str | Sequence[str], seed: int, *, pace: Pace | None = None, key: str = KEY) -> None:
        self.heard = Heard()
        self.enough = asyncio.Event()
        self.speaking = asyncio.Event()
        self.client = Client(url, key=key, rng=random.Random(seed).random)
        self._pace = pace or Pace()
        self._bytes = random.Random(seed)
        self._changed = asyncio.Event()

    async def speak(self, chunks: int | None = None) -> Heard:
        """Speak `chunks` chunks, or until `enough` is set; then end and wait for the last words.

        If the stream is refused, return with the error in `heard`.
        """
        try:
            return await self._speak(chunks)
        except RefusedError as refused:
            if self.speaking.is_set():
                raise
            self.heard.errors.append(refused)
            return self.heard

    async def _speak(self, chunks: int | None) -> Heard:
        async with self.client, self.client.stream(format=FORMAT) as stream:
            self.speaking.set()
            listener = asyncio.create_task(self._listen(stream))
            try:
                while self.heard.chunks != chunks and not self.enough.is_set() and not stream.finished:
                    payload = self._bytes.randbytes(self._pace.chunk_bytes)
                    self.heard.payload += payload
                    self.heard.chunks += 1
                    self.heard.sent_at.append((len(self.heard.payload), time.monotonic()))
                    self.heard.without_text.append(self.heard.sent_at[-1])
                    await stream.send(payload)
                    await self._pace.wait()
                await stream.end()
                await listener
            finally:
                listener.cancel()
        return self.heard

    async def until_final_after(self, moment: float) -> float:
        """Wait for a final after a moment; return when it arrived."""
        while (at := self.heard.first_final_after(moment)) is None:
            assert self.heard.ended is None, self.heard.errors
            self._changed.clear()
            await self._changed.wait()
        return at

    async def until_notice(self, code: str) -> Notice:
        """Wait for a notice."""
        while True:
            for notice in self.heard.notices:
                if notice.code == code:
                    return notice
            self._changed.clear()
            await self._changed.wait()

    async def until_flow(self) -> Flow:
        """Wait for a `flow` that says how far behind the stream is."""
        while True:
            for flow in self.heard.flows:
                if flow.behind_ms:
                    return flow
            self._changed.clear()
            await self._changed.wait()

    async def _listen(self, stream: object) -> None:
        assert hasattr(stream, "__anext__")
        while True:
            try:
                event = await stream.__anext__()
            except StopAsyncIteration:
                return
            except TalkupError as error:
                self.heard.errors.append(error)
            else:
                self._record(event, time.monotonic())
            self._changed.set()

    def _record(self, event: StreamEvent, now: float) -> None:
        if isinstance(event, TranscriptUpdate):
            self._note_text(event, now)
        match event:
            case TranscriptUpdate(is_final=True):
                self.heard.finals.append((now, event))
                self._note_latency(event, now)
            case Flow(data=data) if data.get("failover"):
                self.heard.failovers.append(now)
            case Flow():
                self.heard.flows.append(event)
            case Notice():
                self.heard.notices.append(event)
            case StreamEnded():
                self.heard.ended = event

    def _note_text(self, text: TranscriptUpdate, now: float) -> None:
        waiting = self.heard.without_text
        while waiting and waiting[0][0] < text.end_ms * 32:
            waiting.pop(0)
        # A later text may repeat words of a chunk that has been noted, which is no longer the first one here.
        if waiting and waiting[0][0] - self._pace.chunk_bytes < text.end_ms * 32:
            self.heard.text_latencies.append(now - waiting.pop(0)[1])

    def _note_latency(self, final: TranscriptUpdate, now: float) -> None:
        """The fake engine can make a final once the chunk with its last byte has been sent."""
        covered = final.end_ms * 32
        sent = self.heard.sent_at
        while sent and sent[0][0] < covered:
            sent.pop(0)
        if sent:
            self.heard.latencies.append(now - sent[0][1])

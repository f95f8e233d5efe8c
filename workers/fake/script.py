"""The script of the fake engine: its shape, its delays, and the failures it produces on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from talkup.v1 import error_pb2, task_pb2

from workers.chunk import Chunk
from workers.engine import EngineError
from workers.fake.words import WORD_BYTES

CRASH_STATUS: Final = 70
WORDS_PER_FINAL: Final = 8

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class FakeScript:
    """A script. The `*_after` numbers count the chunks that one attempt accepts before the failure; None: no failure.

    `replay_behind`: a replay begins this many chunks before the first uncommitted one, as with a container's restart
    points. `delay_ms` and `slow_factor` (of the chunk's duration) are the delay per chunk. After `mute_after`
    chunks, a session accepts chunks but sends no more results. `poison`: a chunk that contains these bytes crashes the
    process that receives it.
    """

    service_type: task_pb2.ServiceType = task_pb2.SERVICE_TYPE_STT
    word_bytes: int = WORD_BYTES
    words_per_final: int = WORDS_PER_FINAL
    replay_behind: int = 2
    delay_ms: int = 0
    slow_factor: float = 0.0
    fail_after: int | None = None
    hang_after: int | None = None
    crash_after: int | None = None
    mute_after: int | None = None
    poison: bytes = b""
    reject: bool = False
    slots: int = 64


class Faults:
    """Carries out a script's delays and failures for one session."""

    def __init__(self, script: FakeScript, sleep: Sleep, crash: Callable[[], None]) -> None:
        self._script = script
        self._sleep = sleep
        self._crash = crash
        self._chunks = 0

    @property
    def muted(self) -> bool:
        """Whether results are dropped from now on."""
        return self._due(self._script.mute_after)

    async def on_chunk(self, chunk: Chunk) -> None:
        """Apply the script to an arriving chunk: raises EngineError, crashes or never returns."""
        script = self._script
        if self._due(script.crash_after) or (script.poison and script.poison in chunk.payload):
            self._crash()
        if self._due(script.hang_after):
            await asyncio.get_running_loop().create_future()
        if self._due(script.fail_after):
            raise EngineError(error_pb2.ERROR_CODE_MEDIA_ERROR, "scripted failure", field="chunk.payload")
        self._chunks += 1

    async def pace(self, media_ms: int) -> None:
        """Wait the scripted time for a chunk of that duration."""
        wait = (self._script.delay_ms + self._script.slow_factor * media_ms) / 1000
        if wait > 0:
            await self._sleep(wait)

    def _due(self, after: int | None) -> bool:
        return after is not None and self._chunks >= after

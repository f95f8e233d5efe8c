"""Settings of the scripted engine, in addition to those that every worker has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from talkup.v1 import task_pb2

from settings.declaration import Setting
from workers.config import WorkerConfig
from workers.fake.script import WORDS_PER_FINAL, FakeScript
from workers.fake.words import WORD_BYTES

_SERVICE_TYPES: Final = {"stt": task_pb2.SERVICE_TYPE_STT, "vision": task_pb2.SERVICE_TYPE_VISION}


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSettings(WorkerConfig):
    """Settings of `python -m workers fake`."""

    service: Annotated[Literal["stt", "vision"], Setting("service to imitate")] = "stt"
    word_bytes: Annotated[int, Setting("bytes per word", 1)] = WORD_BYTES
    words_per_final: Annotated[int, Setting("words per final segment", 1)] = WORDS_PER_FINAL
    replay_behind: Annotated[int, Setting("committed chunks that a replay begins with", 0)] = 2
    delay_ms: Annotated[int, Setting("delay per chunk, ms", 0)] = 0
    slow_factor: Annotated[float, Setting("delay per chunk, as a multiple of its duration", 0)] = 0.0
    fail_after: Annotated[int | None, Setting("chunks before a stream fails", 0)] = None
    hang_after: Annotated[int | None, Setting("chunks before a stream hangs", 0)] = None
    crash_after: Annotated[int | None, Setting("chunks of a stream before the process crashes", 0)] = None
    mute_after: Annotated[int | None, Setting("chunks before a stream's results are dropped", 0)] = None
    poison: Annotated[str, Setting("a chunk that contains this text crashes the process")] = ""
    reject: Annotated[bool, Setting("refuse every stream as busy")] = False

    @property
    def script(self) -> FakeScript:
        """What the engine carries out."""
        return FakeScript(
            service_type=_SERVICE_TYPES[self.service],
            word_bytes=self.word_bytes,
            words_per_final=self.words_per_final,
            replay_behind=self.replay_behind,
            delay_ms=self.delay_ms,
            slow_factor=self.slow_factor,
            fail_after=self.fail_after,
            hang_after=self.hang_after,
            crash_after=self.crash_after,
            mute_after=self.mute_after,
            poison=self.poison.encode(),
            reject=self.reject,
        )

"""Configuration of the speech engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from workers.stt.tuning import Tuning


@dataclass(frozen=True, slots=True)
class SttConfig:
    """Model and machine.

    `threads` is the number of model calls at once, one core each; `cores` is the CPU time per second that the machine
    grants them, less if a quota throttles them. `slots` is the most streams admitted. `slots`, `encode_batch` and
    `decode_batch` are measured at load where they are 0. `max_backlog_s` is the audio queued per stream, in seconds,
    before its sender has to wait. `formats`: MIME types served.
    """

    model: str
    path: Path
    sha256: str = ""
    device: str = "cpu"
    compute_type: str = "int8"
    threads: int = 2
    cores: float = math.inf
    encode_batch: int = 0
    decode_batch: int = 0
    slots: int = 0
    max_backlog_s: float = 10.0
    formats: tuple[str, ...] = ()
    tuning: Tuning = field(default_factory=Tuning)

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError("threads must be at least 1")
        if self.cores <= 0:
            raise ValueError("cores must be positive")
        if min(self.encode_batch, self.decode_batch, self.slots) < 0:
            raise ValueError("batch sizes and slots cannot be negative")
        if self.max_backlog_s <= 0:
            raise ValueError("max_backlog_s must be positive")

"""Voice activity by Silero, as a stream: the network's memory is carried from call to call by its owner.

faster-whisper's own wrapper starts the network afresh in every call; carrying `h`, `c` and the last 64 samples over
gives the same output as one call for the whole stream. Cost: 2.5 ms of CPU per second of audio.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from workers.stt.tuning import FRAME

_CONTEXT = 64
_UNITS = 128
_STATE_BYTES = 4 * (2 * _UNITS + _CONTEXT)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VadState:
    """The network's memory between two frames: `h` and `c` of shape (1, 1, 128), the last 64 samples."""

    h: Floats
    c: Floats
    context: Floats

    @classmethod
    def fresh(cls) -> VadState:
        """At the start of a stream."""
        unit = np.zeros((1, 1, _UNITS), np.float32)
        return cls(unit, unit, np.zeros(_CONTEXT, np.float32))

    def pack(self) -> bytes:
        """1,280 bytes of little-endian float32: h, c, context."""
        joined = np.concatenate([self.h.ravel(), self.c.ravel(), self.context])
        return joined.astype("<f4").tobytes()

    @classmethod
    def unpack(cls, data: bytes) -> VadState:
        """Inverse of `pack`; raises ValueError for another length."""
        if len(data) != _STATE_BYTES:
            raise ValueError("voice activity state has the wrong length")
        joined = np.frombuffer(data, "<f4").astype(np.float32)
        h, c, context = np.split(joined, [_UNITS, 2 * _UNITS])
        return cls(h.reshape(1, 1, _UNITS), c.reshape(1, 1, _UNITS), context)


class VoiceDetector(Protocol):
    """Gives frames of a stream their voice probabilities."""

    def __call__(self, audio: Floats, state: VadState) -> tuple[Floats, VadState]:
        """Whole frames (a multiple of 512 samples) in; one probability per frame and the memory after them out."""
        ...


class SileroVad:
    """The network that comes with faster-whisper. Shared by all streams: it keeps no state of any stream."""

    def __init__(self, path: Path | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self._session: Any = onnxruntime.InferenceSession(
            str(path or bundled_network()), providers=["CPUExecutionProvider"], sess_options=options
        )

    def __call__(self, audio: Floats, state: VadState) -> tuple[Floats, VadState]:
        frames = audio.reshape(-1, FRAME)
        tails = np.concatenate([state.context[None], frames[:-1, -_CONTEXT:]])
        inputs = np.concatenate([tails, frames], axis=1)
        output, h, c = self._session.run(None, {"input": inputs, "h": state.h, "c": state.c})
        return output.ravel(), VadState(h, c, frames[-1, -_CONTEXT:].copy())


def bundled_network() -> Path:
    """The path of Silero's file in faster-whisper; raises FileNotFoundError if it is not installed."""
    spec = importlib.util.find_spec("faster_whisper")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("faster-whisper, which brings the voice activity network, is not installed")
    found = sorted((Path(spec.origin).parent / "assets").glob("silero_vad*.onnx"))
    if not found:
        raise FileNotFoundError("the installed faster-whisper has no voice activity network")
    return found[-1]

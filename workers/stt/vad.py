"""Voice activity by Silero, as a stream: the network's memory is carried from call to call by its owner.

faster-whisper's own wrapper starts the network afresh in every call; carrying `h`, `c` and the last 64 samples over
gives the same output as one call for the whole stream. Cost: 2.5 ms of CPU per second of audio.

In long silence the network's memory drifts until it takes a voice for silence, in zeros as in faint noise: after 60 s
of zeros a speaker at -40 dB loses the first second, one at -50 dB half of the words; after ten minutes of noise at
-40 dB it hears neither. So the memory starts afresh after every 4.1 s of silence in a row, at a frame that the audio
alone decides. Speech after 5 s to 30 minutes of zeros or noise (-60 to -40 dB) is then heard as in a new stream.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from workers.stt.tuning import FRAME

_CONTEXT = 64
_UNITS = 128
_STATE_BYTES = 4 * (2 * _UNITS + _CONTEXT)
_RENEWED_AFTER = 128
"""Frames of silence in a row after which the memory starts afresh.

2 and 8 s find the same voices; after 2 s, clattering dishes become words.
"""
_SILENT = 0.35
"""Voice probability under which a frame is silence."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VadState:
    """The network's memory between two frames: `h` and `c` of shape (1, 1, 128), the last 64 samples.

    `silent`: frames of silence in a row since the memory was fresh; fewer than 128.
    """

    h: Floats
    c: Floats
    context: Floats
    silent: int = 0

    @classmethod
    def fresh(cls) -> VadState:
        """At the start of a stream."""
        unit = np.zeros((1, 1, _UNITS), np.float32)
        return cls(unit, unit, np.zeros(_CONTEXT, np.float32))

    def pack(self) -> bytes:
        """1,280 bytes of little-endian float32: h, c, context; `silent` is stored with them."""
        joined = np.concatenate([self.h.ravel(), self.c.ravel(), self.context])
        return joined.astype("<f4").tobytes()

    @classmethod
    def unpack(cls, data: bytes, silent: int = 0) -> VadState:
        """Inverse of `pack`; raises ValueError for another length or an impossible number of silent frames."""
        if len(data) != _STATE_BYTES:
            raise ValueError("voice activity state has the wrong length")
        if not 0 <= silent < _RENEWED_AFTER:
            raise ValueError("more silence than the memory is kept for")
        joined = np.frombuffer(data, "<f4").astype(np.float32)
        h, c, context = np.split(joined, [_UNITS, 2 * _UNITS])
        return cls(h.reshape(1, 1, _UNITS), c.reshape(1, 1, _UNITS), context, silent)

    def after(self, voices: Floats) -> VadState:
        """With the silence of the last frames counted, whose voice probabilities these are; renewed if it is long."""
        heard = np.flatnonzero(voices >= _SILENT)
        silent = len(voices) - 1 - int(heard[-1]) if len(heard) else self.silent + len(voices)
        if silent < _RENEWED_AFTER:
            return replace(self, silent=silent)
        return replace(VadState.fresh(), context=self.context)


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
        voices: list[Floats] = []
        done = 0
        while done < len(frames):
            # No further than the frame at which the memory may have to be renewed.
            part = frames[done : done + _RENEWED_AFTER - state.silent]
            heard, state = self._hear(part, state)
            voices.append(heard)
            done += len(part)
        return np.concatenate(voices) if voices else np.empty(0, np.float32), state

    def _hear(self, frames: Floats, state: VadState) -> tuple[Floats, VadState]:
        tails = np.concatenate([state.context[None], frames[:-1, -_CONTEXT:]])
        inputs = np.concatenate([tails, frames], axis=1)
        output, h, c = self._session.run(None, {"input": inputs, "h": state.h, "c": state.c})
        voices = output.ravel()
        return voices, VadState(h, c, frames[-1, -_CONTEXT:].copy(), state.silent).after(voices)


def bundled_network() -> Path:
    """The path of Silero's file in faster-whisper; raises FileNotFoundError if it is not installed."""
    spec = importlib.util.find_spec("faster_whisper")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("faster-whisper, which brings the voice activity network, is not installed")
    found = sorted((Path(spec.origin).parent / "assets").glob("silero_vad*.onnx"))
    if not found:
        raise FileNotFoundError("the installed faster-whisper has no voice activity network")
    return found[-1]

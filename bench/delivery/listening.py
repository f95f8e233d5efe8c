"""A whole clip through the measures of sound, block by block, as a worker drives them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.delivery.acoustics import AT_REST, BLOCK, CONTEXT, HOPS, analyse
from workers.delivery.loudness import SpeechLoudness
from workers.delivery.pauses import PauseFinder, Stretch, block_voices
from workers.delivery.pitch_statistics import PitchCounts
from workers.stt.vad import SileroVad, VadState


@dataclass(frozen=True, slots=True, eq=False)
class Sounded:
    """What a clip sounds like: its hops, which of them are speech, stretches and pauses, sums, CPU seconds."""

    power: NDArray[np.float64]
    f0: NDArray[np.float32]
    speech: NDArray[np.bool_]
    stretches: tuple[Stretch, ...]
    pauses: tuple[Stretch, ...]
    loudness: SpeechLoudness
    pitch: PitchCounts
    cpu: float


def sounded(audio: NDArray[np.float32], vad: SileroVad) -> Sounded:
    """Listen to 16 kHz mono audio of at least 100 ms. The voice detector's own CPU is not counted."""
    voices, _ = vad(audio[: len(audio) // 512 * 512], VadState.fresh())
    began = time.process_time()
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio])
    finder, blocks, heard = PauseFinder(), [], []
    state: tuple[float, ...] = AT_REST
    for block in range(len(audio) // BLOCK):
        hops, state = analyse(padded[block * BLOCK : block * BLOCK + CONTEXT + BLOCK], state)
        blocks.append(hops)
        heard.append(finder.push(hops.power, block_voices(block, voices, 0)))
    heard.append(finder.finish())
    speech = np.array([spoken for part in heard for spoken in part.speech])
    loudness, pitch = SpeechLoudness(), PitchCounts()
    for number, hops in enumerate(blocks):
        spoken = speech[number * HOPS : (number + 1) * HOPS]
        loudness.add(hops.power, spoken)
        pitch.add(hops.f0, spoken)
    return Sounded(
        np.concatenate([hops.power for hops in blocks]),
        np.concatenate([hops.f0 for hops in blocks]),
        speech,
        tuple(stretch for part in heard for stretch in part.stretches),
        tuple(pause for part in heard for pause in part.pauses),
        loudness,
        pitch,
        time.process_time() - began,
    )

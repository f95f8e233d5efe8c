"""What this machine can handle, measured at start-up: batch sizes of the model's two halves, streams in real time.

The benchmark decodes a fixed number of tokens of a fixed window, so that only machine and weights decide the cost.
On a CPU it counts CPU seconds and takes the lowest of several rounds, so that a busy machine does not look slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from workers.stt.config import SttConfig
from workers.stt.step_cost import StepCosts
from workers.stt.transcriber import DRILL_TOKENS, Transcriber

_ROUNDS = 3
_ROUNDS_SECONDS = 0.5
"""Seconds after which no new round starts: a slow machine is measured once, since streams wait for the worker.

An idle worker measures itself again (`step_meter`).
"""
_WORTH_IT = 0.9
_GPU_SIZES = (1, 4, 8, 16, 32)
_ENCODE_SIZES = {"cpu": (1,)}
"""On a CPU a batch never made the encoder cheaper: it is as fast (AVX2), or half as slow again (VNNI)."""
_DECODE_SIZES = {"cpu": (1, 2, 4)}
"""Of 8, a stream's share costs 4 % less than of 4 (AVX2, beam 5), and seven streams wait for the longest text."""
OVERHEAD = 1.3
"""Decodes at segments' ends, voice detection, media and transport, as a multiple of the steps alone."""
_USABLE_LOAD = 1.0
"""Of the time there is. All of it, since a worker that falls behind stretches its steps before words are late."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The batch sizes in use, one step's cost in seconds of one thread, streams in real time, and the step's parts."""

    encode_batch: int
    decode_batch: int
    step_cost: float
    slots: int
    costs: StepCosts


def calibrate(transcriber: Transcriber, config: SttConfig) -> Calibration:
    """Measure what `config` leaves open, and set the chosen batch sizes on the transcriber."""
    clock = time.process_time if config.device == "cpu" else time.perf_counter
    benchmark = transcriber.benchmark(config.tuning)
    benchmark.warm_up()
    encoding = _costs(benchmark.encode, _sizes(config.encode_batch, _ENCODE_SIZES, config.device), clock)
    decoding = _costs(benchmark.decode, _sizes(config.decode_batch, _DECODE_SIZES, config.device), clock)
    aligning = _costs(benchmark.align, (1,), clock)[1]
    encode, decode = _best_size(encoding), _best_size(decoding)
    transcriber.set_batches(encode, decode)
    cost = encoding[encode] + decoding[decode] + aligning
    slots = max(1, int(streams_in_real_time(cost, min(config.threads, config.cores), config.tuning.step)))
    costs = StepCosts(benchmark.frames, DRILL_TOKENS, encoding, decoding, aligning)
    return Calibration(encode, decode, cost, slots, costs)


def streams_in_real_time(cost: float, cores: float, step: float) -> float:
    """How many streams fit when each needs `cost` seconds of one of `cores` every `step` seconds."""
    return _USABLE_LOAD * cores * step / (OVERHEAD * max(cost, 1e-6))


def _sizes(wanted: int, known: Mapping[str, Sequence[int]], device: str) -> Sequence[int]:
    return (wanted,) if wanted else known.get(device, _GPU_SIZES)


def _costs(work: Callable[[int], None], sizes: Sequence[int], clock: Clock) -> dict[int, float]:
    """The lowest cost per item of each size. Sizes are timed in turns, so that a burst of other load affects all."""
    costs = dict.fromkeys(sizes, float("inf"))
    began = time.monotonic()
    for _ in range(_ROUNDS):
        for size in sizes:
            costs[size] = min(costs[size], _time(work, size, clock) / size)
        if time.monotonic() - began > _ROUNDS_SECONDS:
            break
    return costs


def _best_size(costs: Mapping[int, float]) -> int:
    """The size with the lowest cost per item; a larger size must save at least a tenth."""
    best, *larger = costs
    for size in larger:
        if costs[size] < _WORTH_IT * costs[best]:
            best = size
    return best


def _time(work: Callable[[int], None], size: int, clock: Clock) -> float:
    began = clock()
    work(size)
    return clock() - began

"""Measures what a step costs while the worker runs: each step of a stream, and the benchmark where nothing runs.

A step's own size is taken out of it: its time is compared with what the benchmark's costs say of its windows and texts
(`step_cost`). What is left is the machine. On a GPU the calls of several threads share the device, so that the time of
a step tells how full it is and not how fast; there only the measurements of an idle worker count.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from workers.capacity import Capacity, MeasuringTimes, SlotsChange, undisturbed
from workers.stt.calibration import OVERHEAD, Calibration, streams_in_real_time
from workers.stt.config import SttConfig
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.step_cost import Work
from workers.stt.transcriber import ModelBenchmark, Transcriber

_MOST_TAKEN = 1024
"""Steps between two reviews; more than a second's."""


class StepMeter:
    """The capacity of one engine. `run` is called from the model's threads, everything else from one task."""

    def __init__(
        self,
        transcriber: Transcriber,
        config: SttConfig,
        found: Calibration,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds; it times steps and orders them."""
        self._transcriber = transcriber
        self._config = config
        self._found = found
        self._clock = clock
        self._cpu_cost = found.step_cost
        self._taken: deque[tuple[float, float]] = deque(maxlen=_MOST_TAKEN)
        self._times = MeasuringTimes(clock())
        self._benchmark: ModelBenchmark | None = None
        self.capacity = Capacity(self._streams, found.step_cost)

    def run(self, requests: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """`Transcriber.run`, timed."""
        began = self._clock()
        results = self._transcriber.run(requests)
        if self._is_like_the_benchmark(requests):
            expected = self._found.costs.of(_work(requests, results), *self._transcriber.batches)
            ended = self._clock()
            self._taken.append((ended, self._found.step_cost * (ended - began) / expected))
        return results

    def measurement_due(self) -> bool:
        """Whether to measure, if the worker is idle; if so, the time until the next measurement begins."""
        due = self._times.due(self._clock())
        if due:
            self._times.began(self._clock())
        return due

    def measure(self) -> tuple[float, float]:
        """The benchmark's step on all threads at once: its seconds on one of them, and the CPU seconds among these.

        Takes about as long as four steps, in a thread of the caller's. Raises what the model raises.
        """
        if self._benchmark is None:
            self._benchmark = self._transcriber.benchmark(self._config.tuning)
            self._benchmark.warm_up()
        threads = self._config.threads if self._config.device == "cpu" else 1
        cpu_before = time.process_time()
        with ThreadPoolExecutor(threads, thread_name_prefix="measure") as pool:
            timed = list(pool.map(self._one_step, [self._benchmark] * threads))
        cpu = time.process_time() - cpu_before
        self._times.ended(self._clock())
        cost = sum(step for step, _ in timed) / threads
        spent = sum(seconds for _, seconds in timed)
        return cost, cost * min(1.0, cpu / spent) if self._config.device == "cpu" else cost

    def measured(self, cost: float, cpu_cost: float) -> None:
        """Record a measurement during which no stream asked for anything; unsteady ones are soon repeated."""
        if self._config.device == "cpu":
            threads = self._config.threads
            cost = undisturbed(cost, cpu_cost, threads / min(threads, self._config.cores))
        self._times.found(cost, self.capacity.cost(self._clock())[0])
        self._cpu_cost = cpu_cost
        self._taken.clear()
        self.capacity.add_measurement(cost)

    def review(self, load: float) -> SlotsChange | None:
        """See `Capacity.review`. `load`: of the model's threads, 0 to 1.

        A loaded worker's own decoders, voice detection and transport slow its steps down. The slots allow for that
        already, so it is taken out of the steps in proportion to the load.
        """
        while self._taken:
            ended, cost = self._taken.popleft()
            self.capacity.add_step(cost / (1 + (OVERHEAD - 1) * load), ended)
        return self.capacity.review(self._clock())

    def _one_step(self, benchmark: ModelBenchmark) -> tuple[float, float]:
        """Seconds of a step in the batches in force, and seconds in all."""
        encode_batch, decode_batch = self._transcriber.batches
        times = [self._clock()]
        for work, size in ((benchmark.encode, encode_batch), (benchmark.decode, decode_batch), (benchmark.align, 1)):
            work(size)
            times.append(self._clock())
        encoding, decoding, aligning = (after - before for before, after in pairwise(times))
        return encoding / encode_batch + decoding / decode_batch + aligning, times[-1] - times[0]

    def _streams(self, cost: float) -> float:
        """Streams that fit where a step takes `cost` seconds: by the threads' time, and by the CPU time of a quota."""
        config, step = self._config, self._config.tuning.step
        by_threads = streams_in_real_time(cost, config.threads, step)
        return min(by_threads, streams_in_real_time(min(cost, self._cpu_cost), min(config.threads, config.cores), step))

    def _is_like_the_benchmark(self, requests: Sequence[DecodeRequest]) -> bool:
        """Whether the benchmark's costs can say what a batch should take."""
        known = not self._transcriber.multilingual or all(request.language is not None for request in requests)
        return self._config.device == "cpu" and known and requests[0].beam == self._config.tuning.beam


def _work(requests: Sequence[DecodeRequest], results: Sequence[Hypothesis]) -> Work:
    """The end of a text is a token too."""
    aligned = sum(request.align and bool(result.words) for request, result in zip(requests, results, strict=True))
    return Work(requests[0].encoder_frames, [result.tokens + 1 for result in results], aligned)

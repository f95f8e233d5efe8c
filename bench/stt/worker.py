"""A real worker process and live callers over gRPC, with the time of each result."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import psutil
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from talkup.v1 import analysis_pb2, media_pb2, task_pb2, transcript_pb2, worker_service_pb2, worker_service_pb2_grpc

from bench.corpus import SAMPLE_RATE
from bench.harness.stack import free_port
from workers.stt.pace import STRETCH_FROM

CHUNK = SAMPLE_RATE // 10
_START_SECONDS = 60.0
_ANSWER_SECONDS = 60.0
_BEHIND = "talkup_worker_behind_seconds"
_PCM = media_pb2.MediaFormat(
    mime_type="audio/pcm",
    container=media_pb2.CONTAINER_PCM,
    pcm_encoding=media_pb2.PCM_ENCODING_S16LE,
    sample_rate=SAMPLE_RATE,
    channels=1,
)

Stub = worker_service_pb2_grpc.WorkerServiceStub


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and resident bytes of the worker with its children."""

    cpu: float
    memory: int


@dataclass(slots=True)
class Worker:
    """A running worker: its address, its process, where its metrics are, and the slots by its own measurement."""

    target: str
    process: psutil.Process
    metrics_url: str
    own_slots: int = 0

    def usage(self) -> Usage:
        cpu, memory = 0.0, 0
        for process in (self.process, *self.process.children(recursive=True)):
            times = process.cpu_times()
            cpu += times.user + times.system
            memory += process.memory_info().rss
        return Usage(cpu, memory)

    def late_steps(self) -> int:
        """See `late_steps`: of this worker so far."""
        with urllib.request.urlopen(self.metrics_url, timeout=10) as response:
            return late_steps(response.read().decode())


@dataclass(slots=True)
class Call:
    """One stream: results with their times of arrival, and when the end was sent; seconds on the monotonic clock."""

    began: float = 0.0
    ended_at: float = 0.0
    results: list[tuple[float, task_pb2.TaskResult]] = field(default_factory=list)

    def finals(self) -> list[tuple[float, transcript_pb2.Transcript]]:
        return [(at, result.transcript) for at, result in self.results if result.transcript.is_final]

    @property
    def finalisation(self) -> float:
        """Seconds from the end of the audio to `ended`; inf if that never arrived."""
        ended = [at for at, result in self.results if result.HasField("ended")]
        return ended[-1] - self.ended_at if ended else float("inf")


def late_steps(metrics: str) -> int:
    """Hypotheses that were so late that the next step grows, by the text of a worker's metrics."""
    [behind] = (found for found in text_string_to_metric_families(metrics) if found.name == _BEHIND)
    counts = {sample.labels.get("le"): sample.value for sample in behind.samples if sample.name == f"{_BEHIND}_bucket"}
    return int(counts["+Inf"] - counts[str(STRETCH_FROM)])


@contextmanager
def worker_process(model: str, *, slots: int = 0) -> Iterator[Worker]:
    """Run `python -m workers stt` on a free port; with `slots` 0, the worker decides the number."""
    with tempfile.TemporaryFile("w+") as log:
        port, metrics_port = free_port(), free_port()
        command = [sys.executable, "-m", "workers", "stt", "--model", model, "--port", str(port)]
        command += ["--slots", str(slots), "--drain-seconds", "1", "--metrics-port", str(metrics_port)]
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parents[2], env=dict(os.environ))
        try:
            worker = Worker(f"127.0.0.1:{port}", psutil.Process(child.pid), f"http://127.0.0.1:{metrics_port}/metrics")
            worker.own_slots = _wait_until_loaded(worker.target, child)
            yield worker
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@asynccontextmanager
async def connected(worker: Worker) -> AsyncIterator[Stub]:
    """A channel to the worker."""
    async with grpc.aio.insecure_channel(worker.target) as channel:
        yield Stub(channel)  # type: ignore[no-untyped-call]


def pcm(audio: NDArray[np.float32]) -> list[bytes]:
    """Signed 16-bit chunks of 100 ms."""
    data = (np.clip(audio, -1, 1) * 32767).astype("<i2")
    return [data[first : first + CHUNK].tobytes() for first in range(0, len(data), CHUNK)]


async def call(
    stub: Stub,
    name: str,
    chunks: Sequence[bytes],
    speech: transcript_pb2.SpeechOptions,
    *,
    realtime: bool = True,
    first: int = 0,
    resume: bytes | None = None,
    delivery: analysis_pb2.DeliveryOptions | None = None,
) -> Call:
    """Run one stream from start to `ended`; each chunk is sent when its last sample would have been spoken.

    `first` is the sequence of the first chunk; `resume` is an earlier stream's state; `delivery`: it is measured, too.
    Raises grpc.aio.AioRpcError for a refusal and TimeoutError when the answer takes longer than a minute after the end.
    """
    made = Call(began=time.monotonic())

    def message(**payload: object) -> task_pb2.TaskRequest:
        return task_pb2.TaskRequest(
            session_id=name,
            stream_id="audio",
            service_type=task_pb2.SERVICE_TYPE_STT,
            protocol_version="1",
            attempt=1 if resume is None else 2,
            **payload,  # type: ignore[arg-type]
        )

    async def requests() -> AsyncIterator[task_pb2.TaskRequest]:
        start = task_pb2.StreamStart(
            kind=media_pb2.MEDIA_KIND_AUDIO, format=_PCM, speech=speech, resume_state=resume, delivery=delivery
        )
        yield message(start=start)
        for index, payload in enumerate(chunks):
            if realtime:
                await asyncio.sleep(max(0.0, made.began + 0.1 * (index + 1) - time.monotonic()))
            yield message(chunk=media_pb2.Chunk(sequence=first + index, payload=payload))
        made.ended_at = time.monotonic()
        yield message(end=task_pb2.StreamEnd())

    async with asyncio.timeout(_ANSWER_SECONDS + 0.1 * len(chunks)):
        async for result in stub.StreamTask(requests()):
            made.results.append((time.monotonic(), result))
    return made


def _wait_until_loaded(target: str, child: subprocess.Popen[bytes]) -> int:
    """The worker's slots once it admits streams. Raises RuntimeError when it ends or takes longer than a minute."""
    until = time.monotonic() + _START_SECONDS
    with grpc.insecure_channel(target) as channel:
        stub = Stub(channel)  # type: ignore[no-untyped-call]
        while time.monotonic() < until and child.poll() is None:
            try:
                described = stub.Describe(worker_service_pb2.DescribeRequest(), timeout=1)
            except grpc.RpcError:
                time.sleep(0.1)
                continue
            if described.models:
                return int(described.slots.total)
            time.sleep(0.1)
    raise RuntimeError("the worker did not come up")

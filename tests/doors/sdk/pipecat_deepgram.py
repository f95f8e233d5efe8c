"""Pipecat's Deepgram service without a transport: URL, key, file of raw samples (16 kHz). Prints its finals.

The pipeline ends with the final that answers `Finalize`, which the service sends when a speaker has stopped.
"""

import asyncio
import json
import sys
from pathlib import Path

from pipecat.frames.frames import EndFrame, InputAudioRawFrame, TranscriptionFrame, VADUserStoppedSpeakingFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.workers.runner import WorkerRunner


class Printer(FrameProcessor):
    """Prints finals; `last` is set by the one that answers Finalize."""

    def __init__(self):
        super().__init__()
        self.last = asyncio.Event()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            print(json.dumps(frame.text), flush=True)
            if frame.finalized:
                self.last.set()
        await self.push_frame(frame, direction)


def _setting(started):
    async def on_started(_worker, _frame):
        started.set()

    return on_started


async def main(url, key, path):
    service = DeepgramSTTService(api_key=key, base_url=url, sample_rate=16000)
    printer = Printer()
    pipeline = Pipeline([service, printer])
    params = PipelineParams(audio_in_sample_rate=16000)
    worker = PipelineWorker(pipeline, params=params, cancel_on_idle_timeout=False, enable_rtvi=False)
    started = asyncio.Event()
    worker.event_handler("on_pipeline_started")(_setting(started))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)

    async def feed():
        await started.wait()
        media = Path(path).read_bytes()
        for at in range(0, len(media), 3200):
            await worker.queue_frame(InputAudioRawFrame(media[at : at + 3200], 16000, 1))
        await worker.queue_frame(VADUserStoppedSpeakingFrame())
        async with asyncio.timeout(30):
            await printer.last.wait()
        await worker.queue_frame(EndFrame())

    feeding = asyncio.create_task(feed())
    await runner.run()
    await feeding


asyncio.run(main(*sys.argv[1:]))

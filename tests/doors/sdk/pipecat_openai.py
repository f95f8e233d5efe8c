"""Pipecat's OpenAI service without a transport: URL, key, file of raw samples (24 kHz). Prints its final.

The pipeline ends with the transcript of the commit that the service sends when a speaker has stopped.
"""

import asyncio
import json
import sys
from pathlib import Path

from pipecat.frames.frames import EndFrame, InputAudioRawFrame, TranscriptionFrame, VADUserStoppedSpeakingFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.stt import OpenAIRealtimeSTTService
from pipecat.workers.runner import WorkerRunner


class Printer(FrameProcessor):
    """Prints finals; `last` is set by the first one."""

    def __init__(self):
        super().__init__()
        self.last = asyncio.Event()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            print(json.dumps(frame.text), flush=True)
            self.last.set()
        await self.push_frame(frame, direction)


def _setting(started):
    async def on_started(_worker, _frame):
        started.set()

    return on_started


async def main(url, key, path):
    base = url.replace("http", "ws")
    service = OpenAIRealtimeSTTService(api_key=key, base_url=f"{base}/v1/realtime", sample_rate=24000)
    printer = Printer()
    pipeline = Pipeline([service, printer])
    params = PipelineParams(audio_in_sample_rate=24000)
    worker = PipelineWorker(pipeline, params=params, cancel_on_idle_timeout=False, enable_rtvi=False)
    started = asyncio.Event()
    worker.event_handler("on_pipeline_started")(_setting(started))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)

    async def feed():
        await started.wait()
        while not service._session_ready:  # sound before the session's options would be another stream's
            await asyncio.sleep(0.01)
        media = Path(path).read_bytes()
        for at in range(0, len(media), 4800):
            await worker.queue_frame(InputAudioRawFrame(media[at : at + 4800], 24000, 1))
        await worker.queue_frame(VADUserStoppedSpeakingFrame())
        async with asyncio.timeout(30):
            await printer.last.wait()
        await worker.queue_frame(EndFrame())

    feeding = asyncio.create_task(feed())
    await runner.run()
    await feeding


asyncio.run(main(*sys.argv[1:]))

"""The plainest bridge from WebSocket to gRPC in Python: no authentication, no limits, no replay, no retries.

`python -m bench.gateway.overhead.bridge PORT WORKER_PORT`
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from typing import Any

import grpc.aio
from talkup.v1 import media_pb2, task_pb2, worker_service_pb2_grpc
from websockets.asyncio.server import ServerConnection, serve

from bench.harness.stack import HOST

_BACKLOG = 4096


class Bridge:
    """Serves WebSockets; each carries one stream."""

    def __init__(self, stub: worker_service_pb2_grpc.WorkerServiceStub) -> None:
        self._stub = stub
        self._sessions = 0

    async def serve(self, socket: ServerConnection) -> None:
        """One client from its first message to its last."""
        self._sessions += 1
        session_id = f"session-{self._sessions}"
        start = json.loads(await socket.recv())["data"]
        call = self._stub.StreamTask()
        head: dict[str, Any] = {
            "session_id": session_id,
            "stream_id": start["stream_id"],
            "service_type": task_pb2.SERVICE_TYPE_STT,
            "protocol_version": "1.0",
            "attempt": 1,
        }
        pcm = media_pb2.MediaFormat(container=media_pb2.CONTAINER_PCM, sample_rate=16000, channels=1)
        opening = task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_AUDIO, format=pcm)
        await call.write(task_pb2.TaskRequest(**head, start=opening))
        results = asyncio.create_task(self._forward(call, socket, start["stream_id"]))
        sequence = 0
        async for message in socket:
            payload = base64.b64decode(json.loads(message)["data"])
            chunk = media_pb2.Chunk(sequence=sequence, payload=payload)
            await call.write(task_pb2.TaskRequest(**head, chunk=chunk))
            sequence += 1
        await call.done_writing()
        await results

    async def _forward(self, call: Any, socket: ServerConnection, stream_id: str) -> None:
        while isinstance(result := await call.read(), task_pb2.TaskResult):
            if result.HasField("started"):
                await socket.send('{"type":"acknowledge","data":{"accepted":true}}')
            elif result.HasField("transcript"):
                transcript = result.transcript
                data = {
                    "stream_id": stream_id,
                    "segment_id": transcript.segment_id,
                    "revision": transcript.revision,
                    "is_final": transcript.is_final,
                    "text": transcript.text,
                    "start_ms": transcript.start_ms,
                    "end_ms": transcript.end_ms,
                }
                message = {"type": "transcript_update", "timestamp": int(time.time()), "data": data}
                await socket.send(json.dumps(message, separators=(",", ":")))


async def run(port: int, worker_port: int) -> None:
    """Serve until the process is stopped."""
    async with grpc.aio.insecure_channel(f"{HOST}:{worker_port}") as channel:
        bridge = Bridge(worker_service_pb2_grpc.WorkerServiceStub(channel))  # type: ignore[no-untyped-call]  # generated
        async with serve(bridge.serve, HOST, port, compression=None, ping_interval=None, backlog=_BACKLOG):
            print("ready", flush=True)
            await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2])))

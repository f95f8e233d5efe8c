"""The floor: servers that answer each message with a small text, in raw websockets and in raw grpc.aio.

`python -m bench.gateway.overhead.echo ws|grpc PORT`
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from talkup.v1 import task_pb2, transcript_pb2
from websockets.asyncio.server import ServerConnection, serve

from bench.harness.stack import HOST

_METHOD = "/talkup.v1.WorkerService/StreamTask"
_BACKLOG = 4096


def answer(number: int) -> str:
    """The text that answers the first `number` chunks of a stream, as the worker of the benchmark answers them."""
    return f"chunk {number} of this stream"


async def echo_ws(port: int) -> None:
    """Answer each WebSocket message."""

    async def answer_all(socket: ServerConnection) -> None:
        number = 0
        async for _ in socket:
            number += 1
            await socket.send(f'{{"type":"transcript_update","data":{{"text":"{answer(number)}"}}}}')

    async with serve(answer_all, HOST, port, compression=None, ping_interval=None, backlog=_BACKLOG):
        print("ready", flush=True)
        await asyncio.Future()


class _Echo(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # its stub is generic, it is not
    """Answers each request of StreamTask, without reading it; the first one is the start."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return grpc.stream_stream_rpc_method_handler(self._answer_all) if details.method == _METHOD else None

    async def _answer_all(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        number = 0
        async for _ in requests:
            transcript = transcript_pb2.Transcript(segment_id=1, text=answer(number) if number else "")
            yield task_pb2.TaskResult(transcript=transcript).SerializeToString()
            number += 1


async def echo_grpc(port: int) -> None:
    """Answer each message of a gRPC call."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Echo(),))
    server.add_insecure_port(f"{HOST}:{port}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    asyncio.run(echo_ws(port) if kind == "ws" else echo_grpc(port))


if __name__ == "__main__":
    main()

"""Transcribe a media file by calling a speech worker directly over gRPC: `direct_client.py FILE [MIME] [HOST:PORT]`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
from talkup.v1 import media_pb2, task_pb2, worker_service_pb2_grpc


def requests(media: bytes, mime_type: str) -> Iterator[task_pb2.TaskRequest]:
    ids = {"session_id": "direct", "stream_id": "1", "service_type": task_pb2.SERVICE_TYPE_STT, "attempt": 1}
    media_format = media_pb2.MediaFormat(mime_type=mime_type, container=media_pb2.CONTAINER_SNIFF)
    start = task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_AUDIO, format=media_format)
    yield task_pb2.TaskRequest(**ids, start=start)
    for sequence, offset in enumerate(range(0, len(media), 4000)):
        chunk = media_pb2.Chunk(sequence=sequence, payload=media[offset : offset + 4000])
        yield task_pb2.TaskRequest(**ids, chunk=chunk)
    yield task_pb2.TaskRequest(**ids, end=task_pb2.StreamEnd())


def transcribe(path: Path, mime_type: str, target: str) -> Iterator[str]:
    # Without this option, a variable such as http_proxy would send the call to a proxy, even for localhost.
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        for result in stub.StreamTask(requests(path.read_bytes(), mime_type)):
            if result.transcript.is_final:
                yield result.transcript.text
            elif result.HasField("error"):
                raise SystemExit(result.error.message)


if __name__ == "__main__":
    mime, worker = [*sys.argv[2:], *["audio", "localhost:50051"][len(sys.argv) - 2 :]]
    print(" ".join(transcribe(Path(sys.argv[1]), mime, worker)))

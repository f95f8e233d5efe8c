"""Canaries in every place where a client can put private data: none appears in a log, a metric or an error."""

from __future__ import annotations

import asyncio
import base64
import json
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import grpc
import pytest
from talkup.v1 import media_pb2, task_pb2, worker_service_pb2_grpc
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bench.harness.cluster import PCM
from bench.harness.stack import HOST, Stack, free_port, running_stack
from tests.canaries import CANARY, leaks_in
from tests.e2e.wire import Wire
from workers.fake.words import word_of

KEY = "canary-key-of-a-client"
WORKER_TOKEN = "canary-token-of-the-worker"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzaWQiOiJjYW5hcnkifQ.c2lnbmF0dXJlLW9mLWEtY2FuYXJ5"
MEDIA = b"canary-media-" * 700
PATIENCE_S = 60.0
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
BAD_FORM = (
    '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ncanary-diarize\r\n'
    '--b\r\nContent-Disposition: form-data; name="file"; filename="canary;\r\n\r\ncanary\r\n--b--\r\n'
)

BAD_MESSAGES = [
    "canary {",
    '"canary"',
    json.dumps({"type": "canary", "data": {"text": "canary"}}),
    json.dumps({"type": "auth", "token": "canary-token-again"}),
    json.dumps({"type": "stream_start", "stream_id": {"canary": 1}, "format": PCM}),
    json.dumps({"type": "stream_start", "stream_id": "x", "format": "audio/canary;name=canary.ogg"}),
    json.dumps({"type": "stream_start", "stream_id": "y", "format": PCM, "hotwords": {"canary": "canary"}}),
    json.dumps({"type": "stream_start", "stream_id": "z", "format": PCM, "language": "canary"}),
    json.dumps({"type": "stream_chunk", "stream_id": "abc", "sequence": "canary", "data": "canary!"}),
    json.dumps({"type": "stream_chunk", "stream_id": "abc", "sequence": 9, "data": "canary is not base64 !"}),
    json.dumps({"data": {"canary": ["canary"]}, "type": "ping", "timestamp": "canary"}),
]


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, metrics_port: int) -> Iterator[Stack]:
    worker = {"WORKER_TOKENS": WORKER_TOKEN, "WORKER_METRICS_PORT": str(metrics_port), "WORKER_LOG_LEVEL": "debug"}
    gateway = {"GATEWAY_API_KEYS": KEY, "GATEWAY_WORKER_TOKEN": WORKER_TOKEN, "GATEWAY_LOG_LEVEL": "debug"}
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder=folder, worker_settings=worker, gateway_settings=gateway) as running:
        yield running


async def speak(stack: Stack) -> tuple[str, str]:
    """A stream with a hot word, ended properly; returns the session's id and token."""
    async with connect(stack.ws_url, additional_headers={"Authorization": f"Bearer {KEY}"}) as socket:
        wire = Wire(socket)
        session = (await wire.until("session"))["data"]
        start = {"type": "stream_start", "stream_id": "abc", "format": PCM, "hotwords": ["canary-word"]}
        await wire.send({**start, "services": ["stt", "delivery"]})
        await wire.send(MEDIA)
        payload = base64.b64encode(MEDIA[:2000]).decode()
        await wire.send({"type": "stream_chunk", "stream_id": "abc", "sequence": 1, "data": payload})
        await wire.send({"type": "stream_end", "stream_id": "abc"})
        await wire.until("stream_ended")
        assert word_of(MEDIA[:1000]) in wire.text("abc")
    return session["session_id"], session["resume_token"]


async def speak_dialects(stack: Stack) -> None:
    """A stream in each dialect, with private options, media and nonsense."""
    base = stack.http_url.replace("http", "ws")
    listen = f"{base}/v1/listen?encoding=mulaw&keyterm=canary-word&canary=canary"
    async with connect(listen, additional_headers={"Authorization": f"Token {KEY}"}) as socket:
        for message in (MEDIA, *BAD_MESSAGES, '{"type": "CloseStream"}'):
            await socket.send(message)
        assert word_of(MEDIA[:1000]) in "".join([text async for text in _until_closed(socket)])
    parameters = {"token": KEY, "hotwords": "canary", "canary": "canary"}
    start = {"streamSid": "MZ", "customParameters": parameters}
    async with connect(f"{base}/v1/twilio") as socket:
        await socket.send(json.dumps({"event": "start", "sequenceNumber": "1", "start": start}))
        media = {"payload": base64.b64encode(MEDIA).decode()}
        await socket.send(json.dumps({"event": "media", "sequenceNumber": "2", "media": media}))
        for message in (*BAD_MESSAGES, json.dumps({"event": "stop", "sequenceNumber": "3"})):
            await socket.send(message)
        assert [text async for text in _until_closed(socket)] == []
        assert socket.close_code == 1000
    await speak_openai(stack)


async def speak_openai(stack: Stack) -> None:
    """A form and a session in OpenAI's dialect."""
    bearer = {"Authorization": f"Bearer {KEY}"}
    form = aiohttp.FormData([("model", "canary"), ("prompt", "canary"), ("canary", "canary")])
    form.add_field("file", MEDIA, filename="canary.ogg")
    url = f"{stack.http_url}/v1/audio/transcriptions"
    async with aiohttp.ClientSession(headers=bearer) as http, http.post(url, data=form) as answer:
        assert word_of(MEDIA[:1000]) in (await answer.json())["text"]
    url = f"{stack.http_url.replace('http', 'ws')}/v1/realtime?intent=transcription&canary=canary"
    heard = {"transcription": {"model": "canary", "prompt": "canary", "keywords": ["canary"]}}
    events = (
        {"type": "session.update", "session": {"canary": "canary", "audio": {"input": heard}}},
        {"type": "input_audio_buffer.append", "audio": base64.b64encode(MEDIA).decode()},
        {"type": "canary", "event_id": "canary"},
        {"type": "input_audio_buffer.commit"},
    )
    async with connect(url, additional_headers=bearer) as socket:
        for message in (*BAD_MESSAGES, *map(json.dumps, events)):
            await socket.send(message)
        async for text in socket:
            if json.loads(text)["type"].endswith("completed"):
                assert word_of(MEDIA[:1000]) in str(text)
                break


async def _until_closed(socket: ClientConnection) -> AsyncIterator[str]:
    with suppress(ConnectionClosed):
        while True:
            yield str(await socket.recv())


async def misbehave(stack: Stack) -> list[str]:
    """Everything that a client can get wrong over WebSocket; returns the messages of all errors."""
    errors: list[str] = []
    async with connect(stack.ws_url, additional_headers={"Authorization": f"Bearer {KEY}"}) as socket:
        for message in BAD_MESSAGES:
            await socket.send(message)
        await socket.send(json.dumps({"type": "ping", "data": {}}))
        async with asyncio.timeout(PATIENCE_S):
            async for text in socket:
                reply = json.loads(text)
                if reply["type"] == "error":
                    errors.append(text)
                if reply["type"] == "pong":
                    break
    resume = json.dumps({"type": "session_resume", "session_id": "s", "token": JWT})
    async with asyncio.timeout(PATIENCE_S), connect(stack.ws_url) as socket:
        await socket.send(resume)
        errors += [text async for text in _until_closed(socket)]
    for url, options in (
        (f"{stack.ws_url}?token={JWT}", {}),
        (stack.ws_url, {"additional_headers": {"Authorization": "Bearer canary-of-a-stranger"}}),
        (stack.ws_url, {"subprotocols": ["talkup.v1", "bearer.canary-of-a-stranger"]}),
    ):
        try:
            async with asyncio.timeout(PATIENCE_S), connect(url, **options) as socket:
                errors += [text async for text in _until_closed(socket)]
        except InvalidStatus as refused:
            errors.append(f"{refused.response.status_code} {refused.response.body!r}")
    return errors


async def ask_for_nonsense(stack: Stack, session_id: str, token: str) -> list[str]:
    """Everything that a client can get wrong over HTTP; returns the bodies of all answers."""
    answers = []
    async with aiohttp.ClientSession() as http:
        for method, path, headers, body in (
            ("GET", "/canary", {}, None),
            ("GET", f"/v1/sessions/{session_id}/transcript?format=canary", {"Authorization": f"Bearer {token}"}, None),
            ("GET", f"/v1/sessions/{session_id}/transcript", {"Authorization": "Bearer canary"}, None),
            (
                "GET",
                f"/v1/sessions/{session_id}/report?lang=canary&compare=canary",
                {"Authorization": f"Bearer {token}"},
                None,
            ),
            (
                "GET",
                f"/v1/sessions/{session_id}/transcript",
                {"Prefer": "wait=canary", "If-None-Match": "canary"},
                None,
            ),
            ("DELETE", "/v1/sessions/canary", {"Authorization": f"Bearer {JWT}"}, None),
            ("POST", "/v1/sessions", {"Authorization": "Bearer canary", "X-Forwarded-For": "canary"}, "canary"),
            ("POST", "/process/initialization", {}, '{"key": "canary-key-in-a-body", "type": "initialization"}'),
            ("POST", "/v1/listen?redact=canary", {"Authorization": "Token canary"}, "canary"),
            ("POST", "/v1/listen?redact=canary", {"Authorization": f"Token {KEY}"}, "canary"),
            ("POST", "/v1/listen?encoding=canary", {"Authorization": f"Token {KEY}"}, "canary"),
            ("POST", "/v1/listen?language=canary-canary!", {"Authorization": f"Token {KEY}"}, "canary"),
            ("POST", "/v1/auth/grant", {"Authorization": f"Token {KEY}"}, '{"ttl_seconds": "canary"}'),
            ("GET", f"/v1/twilio/{JWT}", {}, None),
            ("POST", "/v1/audio/transcriptions", {"Authorization": f"Bearer {KEY}", **MULTIPART}, BAD_FORM),
            ("POST", "/v1/audio/transcriptions", {"Authorization": "Bearer canary", **MULTIPART}, BAD_FORM),
            ("POST", "/v1/realtime/client_secrets", {"Authorization": f"Bearer {KEY}"}, '{"session": "canary"}'),
            ("GET", "/v1/realtime?intent=canary", {"Authorization": f"Bearer ek_{JWT}.canary"}, None),
            ("GET", "/v1/telephony?format=audio/canary", {"Authorization": f"Bearer {KEY}"}, None),
            ("POST", "/process/initialization", {}, '{"key": 7, "type": "canary", "data": "canary"'),
        ):
            async with http.request(method, stack.http_url + path, headers=headers, data=body) as response:
                assert response.status >= 400
                answers.append(await response.text())
    reader, writer = await asyncio.open_connection(HOST, stack.http_port)
    writer.write(b"GET /canary?token=canary HTTP/9.9\r\ncanary canary\r\n\r\n")
    # The body shows this sender, and nobody else, the line that cannot be parsed: it is not searched.
    status = await asyncio.wait_for(reader.readline(), PATIENCE_S)
    assert status.startswith(b"HTTP/1.0 400") or status.startswith(b"HTTP/1.1 400")
    writer.close()
    return answers


async def call_the_worker(stack: Stack) -> list[str]:
    """A direct caller with wrong tokens and nonsense; returns the statuses' texts."""
    texts = []
    start = task_pb2.StreamStart(
        kind=media_pb2.MEDIA_KIND_AUDIO,
        format=media_pb2.MediaFormat(mime_type="audio/canary", container=media_pb2.CONTAINER_OGG),
        resume_state=b"canary is no state",
    )
    request = task_pb2.TaskRequest(session_id="s", stream_id="a", service_type=task_pb2.SERVICE_TYPE_STT, start=start)
    chunk = task_pb2.TaskRequest(chunk=media_pb2.Chunk(sequence=0, payload=b"canary"))
    async with grpc.aio.insecure_channel(stack.stt_target) as channel:
        stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        accepted = task_pb2.TaskRequest.FromString(request.SerializeToString())
        accepted.start.ClearField("resume_state")
        for token, first in (
            (WORKER_TOKEN, request),
            (WORKER_TOKEN, accepted),
            ("canary-of-a-stranger", accepted),
        ):
            call = stub.StreamTask(iter([first, chunk, request]), metadata=(("authorization", f"Bearer {token}"),))
            try:
                async with asyncio.timeout(PATIENCE_S):
                    texts += [str(result.error) async for result in call if result.HasField("error")]
            except grpc.aio.AioRpcError as refused:
                texts.append(refused.details() or "")
    return texts


async def test_no_canary_comes_out(stack: Stack, metrics_port: int) -> None:
    session_id, token = await speak(stack)
    await speak_dialects(stack)
    errors = await misbehave(stack)
    assert len(errors) >= len(BAD_MESSAGES)
    answers = await ask_for_nonsense(stack, session_id, token) + await call_the_worker(stack)
    metrics = []
    async with aiohttp.ClientSession() as http:
        for url in (f"{stack.http_url}/metrics", f"http://{HOST}:{metrics_port}/metrics"):
            async with http.get(url, headers={"Authorization": f"Bearer {KEY}"}) as response:
                assert response.status == 200
                metrics.append(await response.text())
        report = f"{stack.http_url}/v1/sessions/{session_id}/report?format=html"
        async with http.get(report, headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == 200
            assert word_of(MEDIA[:1000]) in await response.text()
    logs = [program.log_text() for program in (stack.gateway, *stack.workers)]
    assert "stream ended" in logs[0]
    assert "stream ended" in logs[1]
    for kind, texts in {"error": errors, "answer": answers, "metrics": metrics, "log": logs}.items():
        assert [leak for text in texts for leak in leaks_in(text, kind)] == []


def test_no_process_dumps_its_memory(stack: Stack) -> None:
    for program in (stack.gateway, *stack.workers):
        assert resource.prlimit(program.pid, resource.RLIMIT_CORE) == (0, 0)


@pytest.mark.parametrize(
    "line",
    [
        f"said {word_of(b'any')} just now",
        f"GET /ws?token={JWT}",
        "key test-key refused",
        f"a {CANARY.upper()}",
        r"payload b'\x1aE\xdf\xa3\x01'",
        base64.b64encode(bytes(range(200))).decode(),
        "reading interview.ogg",
        (Path(__file__).parents[1] / "data" / "speech" / "interview.txt").read_text(encoding="utf-8"),
    ],
)
def test_the_search_finds_each_kind(line: str) -> None:
    assert leaks_in(f"first line\n{line}", "a log")[0].startswith("a log, line 2: ")


def test_the_search_finds_nothing_in_an_honest_log() -> None:
    line = '{"session_id": "920a8843f8da4cb8bba1f9f0b458b1aa", "chunks": 10, "event": "stream ended", "level": "info"}'
    assert leaks_in(line, "a log") == []

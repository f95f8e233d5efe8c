"""Deepgram's dialect at a running gateway: words, ends, refusals, hostile clients, neighbours."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from bench.harness import hostile
from gateway import key_commands
from gateway.doors.sockets import MAX_MESSAGE_BYTES
from tests.e2e.gateway_rig import KEY, PATIENCE_S, Rig, eventually, rig
from tests.fakes.raw_websocket import RawWebSocket
from tests.fakes.worker_server import Script

RAW = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000"}
TOKEN = {"Authorization": f"Token {KEY}"}


class Listener:
    """A client of the dialect that remembers what it receives."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.received: list[dict[str, Any]] = []

    async def say(self, kind: str) -> None:
        await self.socket.send_json({"type": kind})

    async def get(self, kind: str, **expected: Any) -> dict[str, Any]:
        """The next message of a kind, with these fields."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.socket.receive()
                assert message.type is aiohttp.WSMsgType.TEXT, (message, self.received)
                event: dict[str, Any] = json.loads(message.data)
                self.received.append(event)
                if event["type"] == kind and all(event.get(name) == value for name, value in expected.items()):
                    return event

    async def closed(self) -> int | None:
        """Read to the end; the close code."""
        async with asyncio.timeout(PATIENCE_S):
            async for message in self.socket:
                self.received.append(json.loads(message.data))
        return self.socket.close_code

    def words(self, channel: int = 0) -> list[str]:
        """The final words of a channel."""
        return [
            word
            for event in self.received
            if event["type"] == "Results" and event["is_final"] and event["channel_index"][0] == channel
            for word in event["channel"]["alternatives"][0]["transcript"].split()
        ]


@asynccontextmanager
async def listening(at: Rig, headers: Mapping[str, str] = TOKEN, **query: str) -> AsyncIterator[Listener]:
    url = at.url(f"/v1/listen?{urlencode({**RAW, **query})}")
    async with at.http.ws_connect(url, headers=headers, max_msg_size=0) as socket:
        yield Listener(socket)


async def refused(at: Rig, headers: Mapping[str, str] = TOKEN, **query: str) -> tuple[int, str | None]:
    """The status and Deepgram's code of a handshake that is refused."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        async with listening(at, headers, **query):
            pass
    assert error.value.headers is not None
    assert error.value.headers["dg-request-id"]
    return error.value.status, error.value.headers.get("dg-error")


async def test_words_come_and_the_end_is_metadata_and_1000() -> None:
    async with rig() as at, listening(at) as client:
        for number in range(5):
            await client.socket.send_bytes(bytes([number]) * 320)
        await client.say("KeepAlive")
        await client.say("CloseStream")
        assert await client.closed() == 1000
        assert [word.partition(":")[0] for word in client.words()] == ["w0", "w1", "w2", "w3", "w4"]
        assert client.received[-1]["type"] == "Metadata"
        # The request id is the session's: its transcript can be read.
        transcript = await at.transcript(client.received[-1]["request_id"], lambda body: len(body["text"].split()) == 5)
        assert transcript["session_id"] == client.received[-1]["request_id"]


async def test_finalize_is_answered_with_and_without_words() -> None:
    async with rig(Script(commit_every=100)) as at, listening(at) as client:
        await client.socket.send_bytes(bytes(320))
        await client.say("Finalize")
        answer = await client.get("Results", from_finalize=True)
        assert answer["channel"]["alternatives"][0]["transcript"].startswith("w0:")
        await client.say("Finalize")
        answer = await client.get("Results", from_finalize=True)
        assert answer["channel"]["alternatives"][0]["transcript"] == ""


async def test_two_channels_are_two_streams() -> None:
    async with rig() as at, listening(at, channels="2", multichannel="true") as client:
        await client.socket.send_bytes(b"LlRr" * 80)
        await client.say("CloseStream")
        assert await client.closed() == 1000
        assert len(client.words(0)) == len(client.words(1)) == 1
        assert client.words(0) != client.words(1)
        assert sorted(len(seen.requests[0].chunk.payload) for seen in at.worker.seen) == [160, 160]


async def test_credentials_come_in_deepgrams_ways() -> None:
    async with rig() as at:
        minted = await at.mint()
        for headers in (TOKEN, {"Authorization": f"token {KEY}"}, {"Authorization": f"Bearer {minted['token']}"}):
            async with listening(at, headers) as client:
                await client.say("CloseStream")
                assert await client.closed() == 1000
        url = at.url(f"/v1/listen?{urlencode(RAW)}")
        async with at.http.ws_connect(url, protocols=("token", KEY)) as socket:
            assert socket.protocol == "token"
        assert await refused(at, {}) == (401, "INVALID_AUTH")
        assert await refused(at, {"Authorization": "Token wrong"}) == (401, "INVALID_AUTH")
        assert await refused(at, {"Sec-WebSocket-Protocol": "token, wrong"}) == (401, "INVALID_AUTH")
        await at.until_metric('gateway_auth_failures_total{door="dialect"} 3.0')


async def test_an_address_that_guesses_is_slowed_down() -> None:
    async with rig() as at:
        answers = [(await refused(at, {"Authorization": f"Token guess-{n}"}))[0] for n in range(22)]
        assert answers[:20] == [401] * 20
        assert answers[21] == 429
        async with listening(at) as client:
            await client.say("CloseStream")


async def test_options_are_refused_before_the_upgrade() -> None:
    async with rig() as at:
        assert await refused(at, redact="pci") == (400, "Bad Request")
        assert await refused(at, encoding="speex") == (400, "Bad Request")
        assert await refused(at, language="not a language!") == (400, "Bad Request")


async def test_ignored_options_are_named_in_the_handshake() -> None:
    async with rig() as at:
        path = "/v1/listen?encoding=mulaw&numerals=true&my-option=1"
        socket = await RawWebSocket.open(at.gateway.http_port, path=path, headers=TOKEN)
        assert (socket.status, socket.headers["talkup-ignored-options"]) == (101, "numerals, my-option")


async def test_a_full_gateway_says_so() -> None:
    async with rig(max_sessions="1") as at, listening(at):
        assert await refused(at) == (503, "SERVICE_UNAVAILABLE")
        async with at.http.post(at.url("/v1/listen"), headers=TOKEN, data=b"x") as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await answer.json())["err_code"] == "SERVICE_UNAVAILABLE"


async def test_a_worker_without_a_slot_is_busy() -> None:
    async with rig(Script(slots=1)) as at, listening(at) as first:
        await first.socket.send_bytes(bytes(320))
        await first.get("Results")

        async def second() -> Any:
            try:
                async with listening(at) as client:
                    return await client.closed()
            except aiohttp.WSServerHandshakeError as error:
                return error.status

        assert await second() in (503, 1013)


async def test_a_message_that_is_too_large_closes_its_socket_only() -> None:
    async with rig() as at, listening(at) as neighbour, listening(at) as client:
        await client.socket.send_bytes(bytes(MAX_MESSAGE_BYTES + 1))
        assert await client.closed() == 1009
        await neighbour.socket.send_bytes(bytes(320))
        await neighbour.get("Results")


async def test_a_flood_of_control_messages_is_closed() -> None:
    async with rig() as at, listening(at) as client:
        for _ in range(400):
            if client.socket.closed:
                break
            await client.say("Finalize")
        assert await client.closed() == 1008
        # What was final before still comes.
        assert [event["variant"] for event in client.received if event["type"] == "Error"] == ["TOO_MANY_REQUESTS"]


async def test_hostile_messages_disturb_no_neighbour() -> None:
    source, sent, codes = hostile.messages(16), 0, set()
    async with rig(Script(slots=64)) as at, listening(at) as neighbour:
        while sent < 500:  # many are refused, so they are read at 50 a second
            async with listening(at, encoding=random.Random(sent).choice(["linear16", "mulaw"])) as client:
                for _ in range(100):
                    message = next(source)
                    sent += 1
                    try:
                        await (client.socket.send_str if isinstance(message, str) else client.socket.send_bytes)(
                            message
                        )
                    except ConnectionError:
                        break
                await client.say("CloseStream")
                codes.add(await client.closed())
                kinds = {event["type"] for event in client.received}
                assert kinds <= {"Results", "Error", "Metadata"}
                assert client.received[-1]["type"] == "Metadata"
        assert codes == {1000}
        await neighbour.socket.send_bytes(bytes(320))
        await neighbour.get("Results")


async def test_a_lost_client_leaves_its_text_behind() -> None:
    async with rig(Script(commit_every=100)) as at:
        async with listening(at) as client:
            await client.socket.send_bytes(bytes(320))
            await client.say("Finalize")
            request_id = (await client.get("Results", from_finalize=True))["metadata"]["request_id"]
            await client.socket.send_bytes(bytes([1]) * 320)
            await client.say("KeepAlive")
            assert client.socket._response.connection is not None
            client.socket._response.connection.transport.abort()
        await at.transcript(request_id, lambda body: len(body["text"].split()) == 2)
        await at.until_metric("gateway_sessions 0.0")


@pytest.mark.parametrize("is_durable", [False, True])
async def test_a_gateway_that_shuts_down_sends_the_last_words(tmp_path: Path, is_durable: bool) -> None:
    """Whatever its store: no client of a dialect continues its streams elsewhere."""
    store = f"sqlite:///{tmp_path / 'gateway.db'}" if is_durable else "memory://"
    async with rig(Script(commit_every=100), store=store) as at, listening(at) as client:
        await client.socket.send_bytes(bytes(320))
        await eventually(lambda: _chunks(at), lambda count: count == 1)
        draining = asyncio.create_task(at.gateway.drain())
        assert await client.closed() == 1012
        assert len(client.words()) == 1
        assert client.received[-1]["type"] == "Metadata"
        await draining
        assert await refused(at) == (503, "SERVICE_UNAVAILABLE")


async def _chunks(at: Rig) -> int:
    return sum(len(seen.sequences) for seen in at.worker.seen)


async def test_an_upload_is_answered_with_its_text() -> None:
    async with rig() as at:
        query = urlencode({"model": "nova-3", "punctuate": "true", "utterances": "true"})
        async with at.http.post(at.url(f"/v1/listen?{query}"), headers=TOKEN, data=bytes(100_000)) as answer:
            body = await answer.json()
            assert answer.status == 200
            assert answer.headers["talkup-ignored-options"] == "model"
        assert len(body["results"]["channels"][0]["alternatives"][0]["transcript"].split()) >= 2
        assert body["metadata"]["request_id"] == answer.headers["dg-request-id"]
        assert [each["parameter"] for each in body["metadata"]["warnings"]] == ["model"]
        assert all(seen.start.start.speech.mode == 2 for seen in at.worker.seen)
        await at.until_metric("gateway_sessions 0.0")


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"json": {"url": "http://169.254.169.254/latest"}}, 400, "Bad Request"),
        ({"data": b""}, 400, "Bad Request"),
        ({"data": bytes(5000)}, 413, "PAYLOAD_TOO_LARGE"),
        ({"data": bytes(100), "params": {"summarize": "true"}}, 400, "Bad Request"),
        ({"data": bytes(100), "headers": {"Authorization": "Token wrong"}}, 401, "INVALID_AUTH"),
    ],
)
async def test_an_upload_is_refused_in_deepgrams_words(options: dict[str, Any], status: int, code: str) -> None:
    async with rig(max_recording_bytes="4096") as at:
        async with at.http.post(at.url("/v1/listen"), **{"headers": TOKEN, **options}) as answer:
            assert (answer.status, (await answer.json())["err_code"]) == (status, code)
        await at.until_metric("gateway_sessions 0.0")


async def test_an_upload_without_a_length_is_bounded_too() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1024)

    async with rig(max_recording_bytes="100000") as at:
        try:
            async with at.http.post(at.url("/v1/listen"), headers=TOKEN, data=endless()) as answer:
                assert answer.status == 413
        except aiohttp.ClientOSError:
            pass  # the connection was closed while the client was still sending
        await at.until_metric("gateway_sessions 0.0")


async def test_a_client_that_leaves_during_its_upload_frees_its_slot() -> None:
    async with rig(Script(answer_end=False)) as at:
        with pytest.raises(asyncio.TimeoutError):
            await at.http.post(
                at.url("/v1/listen"), headers=TOKEN, data=bytes(100), timeout=aiohttp.ClientTimeout(total=0.3)
            )
        await at.until_metric("gateway_sessions 0.0")
        await at.until_metric('gateway_streams{service="stt"} 0.0')


async def test_doors_can_be_closed() -> None:
    async with rig(doors="none") as at, at.http.post(at.url("/v1/listen"), headers=TOKEN, data=b"x") as answer:
        assert answer.status == 404


async def test_keys_have_their_doors_and_end_their_sockets(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    file = ["--file", str(path)]
    key = key_commands.run(["add", "agents", "--doors", "dialects", *file]).strip()
    other = key_commands.run(["add", "pages", "--doors", "websocket,http", *file]).strip()
    async with rig(api_keys="", api_keys_file=str(path), token_grace_s="0") as at:
        assert await refused(at, {"Authorization": f"Token {other}"}) == (403, "INSUFFICIENT_PERMISSIONS")
        status, _, _ = await at.request("POST", "/v1/sessions", credential=key)
        assert status == 403
        async with listening(at, {"Authorization": f"Token {key}"}) as client:
            key_commands.run(["revoke", key.split("_")[1], *file])
            assert await client.closed() == 1008
            assert client.received[-1]["variant"] == "INVALID_AUTH"


async def test_an_owner_over_its_rate_must_wait(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    key = key_commands.run(["add", "agents", "--rate", "1", "--file", str(path)]).strip()
    headers = {"Authorization": f"Token {key}"}
    async with rig(api_keys="", api_keys_file=str(path)) as at:
        answers = []
        for _ in range(4):
            async with at.http.post(at.url("/v1/listen?encoding=mulaw"), headers=headers, data=bytes(100)) as answer:
                answers.append((answer.status, "Retry-After" in answer.headers))
        assert answers[-1] == (429, True)


async def test_recordings_leave_slots_to_live_streams() -> None:
    gate = asyncio.Event()
    async with rig(Script(slots=4, end_gate=gate)) as at:

        async def upload() -> int:
            async with at.http.post(at.url("/v1/listen"), headers=TOKEN, data=bytes(100)) as answer:
                return answer.status

        uploads = [asyncio.create_task(upload()) for _ in range(2)]
        await eventually(lambda: _chunks(at), lambda count: count == 2)
        assert await upload() == 503
        async with listening(at) as client:
            await client.socket.send_bytes(bytes(320))
            await client.get("Results")
        gate.set()
        assert await asyncio.gather(*uploads) == [200, 200]
        assert await upload() == 200


async def test_a_key_grants_tokens_for_browsers() -> None:
    async with rig() as at:
        url = at.url("/v1/auth/grant")
        async with at.http.post(url, headers=TOKEN, json={"ttl_seconds": 60}) as answer:
            granted = await answer.json()
        assert 55 <= granted["expires_in"] <= 60
        headers = {"Authorization": f"Bearer {granted['access_token']}"}
        async with listening(at, headers) as client:
            await client.say("CloseStream")
            assert await client.closed() == 1000
        for refused_headers, body, status in (
            (headers, {}, 403),
            (TOKEN, {"ttl_seconds": 1e9}, 400),
            (TOKEN, {"ttl_seconds": "x" * 10_000}, 400),
            ({}, {}, 401),
        ):
            async with at.http.post(url, headers=refused_headers, json=body) as answer:
                assert answer.status == status


async def test_a_second_socket_of_a_token_takes_the_place_of_the_first() -> None:
    async with rig() as at:
        minted = await at.mint()
        headers = {"Authorization": f"Bearer {minted['token']}"}
        async with listening(at, headers) as first, listening(at, headers) as second:
            assert await first.closed() == 1000
            assert [event["variant"] for event in first.received] == ["SUPERSEDED"]
            await second.socket.send_bytes(bytes(320))
            await second.get("Results")
        status, _, _ = await at.request("DELETE", f"/v1/sessions/{minted['session_id']}")
        assert status == 204
        assert await refused(at, headers) == (404, "SESSION_EXPIRED")


async def test_a_session_that_is_deleted_closes_its_socket() -> None:
    async with rig() as at, listening(at) as client:
        await client.socket.send_bytes(bytes(320))
        session_id = (await client.get("Results"))["metadata"]["request_id"]
        status, _, _ = await at.request("DELETE", f"/v1/sessions/{session_id}")
        assert status == 204
        assert await client.closed() == 1000

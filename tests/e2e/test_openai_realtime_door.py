"""OpenAI's Realtime dialect at a running gateway: items, secrets, refusals, hostile clients, neighbours."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bench.harness import hostile
from gateway import key_commands
from gateway.doors.openai_realtime.door import MAX_EVENT_BYTES
from tests.e2e.gateway_rig import KEY, PATIENCE_S, Rig, eventually, rig
from tests.fakes.worker_server import Script

PATH = "/v1/realtime?intent=transcription"
BEARER = {"Authorization": f"Bearer {KEY}"}
COMPLETED = "conversation.item.input_audio_transcription.completed"
COMMIT = "input_audio_buffer.commit"


class Speaker:
    """A client of the dialect that remembers what it receives."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.received: list[dict[str, Any]] = []

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send_json({"type": kind, **fields})

    async def append(self, audio: bytes) -> None:
        await self.say("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    async def get(self, kind: str) -> dict[str, Any]:
        """The next event of a kind."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.socket.receive()
                assert message.type is aiohttp.WSMsgType.TEXT, (message, self.received)
                event: dict[str, Any] = json.loads(message.data)
                self.received.append(event)
                if event["type"] == kind:
                    return event

    async def closed(self) -> int | None:
        """Read to the end; the close code."""
        async with asyncio.timeout(PATIENCE_S):
            async for message in self.socket:
                self.received.append(json.loads(message.data))
        return self.socket.close_code


@asynccontextmanager
async def speaking(
    at: Rig, headers: Mapping[str, str] = BEARER, path: str = PATH, **options: Any
) -> AsyncIterator[Speaker]:
    async with at.http.ws_connect(at.url(path), headers=headers, max_msg_size=0, **options) as socket:
        speaker = Speaker(socket)
        speaker.received.append(json.loads((await socket.receive()).data))
        yield speaker


async def refused(at: Rig, headers: Mapping[str, str] = BEARER, path: str = PATH) -> int:
    """The status of a handshake that is refused."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        async with speaking(at, headers, path):
            pass
    return error.value.status


async def secret(at: Rig, path: str = "/v1/realtime/client_secrets", **body: Any) -> tuple[int, Any]:
    async with at.http.post(at.url(path), headers=BEARER, json=body) as answer:
        return answer.status, await answer.json()


async def test_commits_are_items_with_their_words() -> None:
    async with rig(Script(commit_every=100)) as at, speaking(at) as client:
        assert client.received[0]["type"] == "session.created"
        for number in range(3):
            await client.append(bytes([number]) * 480)
            await client.say(COMMIT)
        texts = [(await client.get(COMPLETED))["transcript"] for _ in range(3)]
        assert [text.partition(":")[0] for text in texts] == ["w0", "w1", "w2"]
        committed = [event for event in client.received if event["type"] == "input_audio_buffer.committed"]
        before = [None, *(event["item_id"] for event in committed[:2])]
        assert [event["previous_item_id"] for event in committed] == before
        session_id = client.received[0]["session"]["id"].removeprefix("sess_")
        await client.socket.close()
        transcript = await at.transcript(session_id, lambda body: len(body["text"].split()) == 3)
        assert transcript["text"] == " ".join(texts)
        [seen] = at.worker.seen
        assert seen.start.start.format.sample_rate == 24_000
        await at.until_metric("gateway_sessions 0.0")


async def test_credentials_come_in_openais_ways() -> None:
    async with rig() as at:
        minted = await at.mint()
        async with speaking(at, {"Authorization": f"Bearer {minted['token']}"}):
            pass
        offered = ("realtime", f"openai-insecure-api-key.{KEY}")
        async with speaking(at, {}, protocols=offered) as client:
            assert client.socket.protocol == "realtime"
        offered = ("realtime", f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1")
        async with speaking(at, {}, protocols=offered) as client:
            assert client.received[0]["type"] == "transcription_session.created"
        assert await refused(at, {}) == 401
        assert await refused(at, {"Authorization": "Bearer wrong"}) == 401
        assert await refused(at, {"Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.wrong"}) == 401


async def test_a_secret_opens_its_configured_session_and_nothing_else() -> None:
    session = {
        "type": "transcription",
        "audio": {"input": {"transcription": {"language": "fr"}, "turn_detection": None}},
    }
    async with rig(Script(commit_every=100)) as at:
        status, made = await secret(at, session=session, expires_after={"anchor": "created_at", "seconds": 60})
        assert status == 200
        assert made["value"].startswith("ek_")
        assert made["session"]["audio"]["input"]["transcription"]["language"] == "fr"
        headers = {"Authorization": f"Bearer {made['value']}"}
        offered = ("realtime", f"openai-insecure-api-key.{made['value']}")
        async with speaking(at, {}, "/v1/realtime?model=gpt-realtime", protocols=offered) as client:
            assert client.received[0]["session"]["id"] == made["session"]["id"]
            await client.append(bytes(480))
            await client.say(COMMIT)
            await client.get(COMPLETED)
        assert at.worker.seen[0].start.start.speech.language == "fr"
        await at.until_metric("gateway_sessions 0.0")
        async with speaking(at, headers) as client:
            assert client.received[0]["session"]["id"] == made["session"]["id"]
        for path, method in (("/v1/models", "GET"), ("/v1/realtime/client_secrets", "POST"), ("/v1/sessions", "POST")):
            for credential in (made["value"], made["value"][3:].rpartition(".")[0]):
                assert (await at.request(method, path, credential=credential))[0] == 401
        status, made = await secret(at, "/v1/realtime/transcription_sessions", input_audio_format="g711_ulaw")
        assert (status, made["input_audio_format"]) == (200, "g711_ulaw")
        async with speaking(at, {"Authorization": f"Bearer {made['client_secret']['value']}"}) as client:
            assert client.received[0]["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu"}
        forged = made["client_secret"]["value"][:-4] + "!!!!"
        assert await refused(at, {"Authorization": f"Bearer {forged}"}) == 401


async def test_a_session_outlasts_its_secret() -> None:
    async with rig(Script(commit_every=100), token_ttl_s="1", token_grace_s="0") as at:
        _, first = await secret(at)
        _, other = await secret(at)
        async with speaking(at, {"Authorization": f"Bearer {first['value']}"}) as client:
            headers = {"Authorization": f"Bearer {other['value']}"}
            await eventually(lambda: _opens(at, headers), lambda opens: not opens)
            await client.append(bytes(480))
            await client.say(COMMIT)
            await client.get(COMPLETED)


async def test_a_revoked_key_ends_the_sessions_of_its_secrets(tmp_path: Path) -> None:
    file = ["--file", str(tmp_path / "keys")]
    key = key_commands.run(["add", "agents", "--doors", "dialects", *file]).strip()
    async with rig(api_keys="", api_keys_file=file[1], token_grace_s="0") as at:
        status, made, _ = await at.request("POST", "/v1/realtime/client_secrets", credential=key)
        assert status == 200
        async with speaking(at, {"Authorization": f"Bearer {made['value']}"}) as client:
            key_commands.run(["revoke", key.split("_")[1], *file])
            assert await client.closed() == 1008
            assert client.received[-1]["error"]["code"] == "invalid_api_key"


async def _opens(at: Rig, headers: Mapping[str, str]) -> bool:
    async with at.http.get(at.url(PATH), headers=headers) as answer:  # no upgrade: 400 if the credential is good
        return answer.status == 400


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"session": {"type": "realtime"}}, 400, "invalid_value"),
        ({"expires_after": {"seconds": 9}}, 400, "invalid_value"),
        ({"session": []}, 400, "invalid_json"),
        ({"session": {"x": "y" * 3000}}, 400, "invalid_value"),
        ({"session": {"x": "y" * 100_000}}, 413, "payload_too_large"),
    ],
)
async def test_a_secret_that_would_open_nothing_is_refused(body: Any, status: int, code: str) -> None:
    async with rig() as at:
        found, answer = await secret(at, **body)
        assert (found, answer["error"]["code"]) == (status, code)
        token = (await at.mint())["token"]
        found, answer, _ = await at.request("POST", "/v1/realtime/client_secrets", credential=token)
        assert (found, answer["error"]["code"]) == (403, "permission_denied")


async def test_conversations_are_refused_before_the_upgrade() -> None:
    async with rig(doors="openai-realtime") as at:
        assert await refused(at, path="/v1/realtime?model=gpt-realtime") == 400
        assert await refused(at, path="/v1/realtime?intent=conversation") == 400
        assert await refused(at, path="/v1/listen") == 404
        for query in ("model=gpt-realtime-whisper", "intent=transcription&model=gpt-realtime", "model=whisper-1"):
            async with speaking(at, path=f"/v1/realtime?{query}") as client:
                [ignored] = client.received[0]["session"]["talkup_ignored_options"]
                assert ignored["parameter"] == "model"


async def test_a_full_gateway_says_so() -> None:
    async with rig(max_sessions="1") as at, speaking(at):
        assert await refused(at) == 503


async def test_a_session_without_a_slot_is_busy() -> None:
    async with rig(Script(slots=1), worker_admit_s="0.5") as at, speaking(at) as first, speaking(at) as second:
        await first.append(bytes(4800))
        await first.get("conversation.item.input_audio_transcription.delta")
        await second.append(bytes(480))
        assert await second.closed() == 1013
        assert second.received[-1]["error"]["code"] == "busy"


async def test_an_event_that_is_too_large_closes_its_socket_only() -> None:
    async with rig() as at, speaking(at) as neighbour, speaking(at) as client:
        with suppress(ConnectionError):  # the gateway does not read it to its end
            await client.append(bytes(MAX_EVENT_BYTES))
        assert await client.closed() in (1006, 1009)
        await neighbour.append(bytes(MAX_EVENT_BYTES // 2))
        await neighbour.get("conversation.item.input_audio_transcription.delta")


async def test_a_flood_of_events_is_closed() -> None:
    async with rig() as at, speaking(at) as client:
        for _ in range(400):
            if client.socket.closed:
                break
            await client.say("input_audio_buffer.clear")
        assert await client.closed() == 1008
        assert client.received[-1]["error"]["code"] == "rate_limit_exceeded"


async def test_hostile_events_disturb_no_neighbour() -> None:
    source, sent = hostile.messages(19), 0
    valid = ('{"type":"input_audio_buffer.append","audio":"AAAA"}', '{"type":"session.update","session":%s}')
    async with rig(Script(slots=64)) as at, speaking(at) as neighbour:
        while sent < 500:  # many are refused, so they are read at 50 a second
            async with speaking(at) as client:
                for _ in range(100):
                    message = next(source)
                    sent += 1
                    if sent % 4 == 0 and isinstance(message, str) and len(message) < 10_000:
                        message = valid[1] % message if sent % 8 else valid[0].replace("A", message[:1] or "A", 1)
                    text = isinstance(message, str)
                    await (client.socket.send_str if text else client.socket.send_bytes)(message)
                await client.append(bytes(480))
                await client.say(COMMIT)
                await client.get(COMPLETED)
                kinds = {event["type"] for event in client.received}
                assert "error" in kinds
        await neighbour.append(bytes(480))
        await neighbour.say(COMMIT)
        assert (await neighbour.get(COMPLETED))["transcript"].startswith("w0")


async def test_a_gateway_that_shuts_down_sends_the_last_words() -> None:
    async with rig(Script(commit_every=100)) as at, speaking(at) as client:
        await client.append(bytes(480))
        await client.say(COMMIT)
        await client.get("input_audio_buffer.committed")
        draining = asyncio.create_task(at.gateway.drain())
        # What is said now is not heard any more, and no item pretends that it was.
        await client.append(bytes([1]) * 480)
        await client.say(COMMIT)
        assert await client.closed() == 1012, client.received
        assert [event["transcript"][:2] for event in client.received if event["type"] == COMPLETED] in (
            ["w0"],
            ["w0", "w1"],
        )
        await draining
        assert await refused(at) == 503

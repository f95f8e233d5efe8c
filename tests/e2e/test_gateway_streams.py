"""Audio in, captions out, over real sockets: a gateway between a WebSocket client and a scripted worker."""

import asyncio
import base64
import json

import pytest
from talkup.v1 import media_pb2

from tests.e2e.gateway_rig import KEY, Client, eventually, rig
from tests.fakes.worker_server import Script, WorkerServer, word


def said(*chunks: bytes) -> list[str]:
    return [word(media_pb2.Chunk(sequence=number, payload=payload)) for number, payload in enumerate(chunks)]


async def test_binary_audio_becomes_captions_and_a_transcript() -> None:
    async with rig() as at:
        minted = await at.mint()
        client = await at.connect(subprotocols=["talkup.v1", f"bearer.{minted['token']}"])
        assert client.socket.subprotocol == "talkup.v1"
        opened = await client.get("session")
        assert opened["data"]["session_id"] == minted["session_id"]
        assert not opened["data"]["resumed"]
        assert (await client.start())["data"]["accepted"]
        for chunk in (b"ab", b"cd", b"ef"):
            await client.socket.send(chunk)
        texts = await client.finals(3)
        assert texts == said(b"ab", b"cd", b"ef")
        await client.send("stream_end", stream_id="abc")
        ended = await client.get("stream_ended")
        assert ended["data"]["text"] == " ".join(texts)
        assert ended["data"]["chunks"] == 3
        await client.socket.close()
        status, body, _ = await at.request("GET", f"/v1/sessions/{ended['data']['text_id'].split('/')[0]}/transcript")
        assert status == 200
        assert body["text"] == " ".join(texts)
        assert body["streams"][0]["ended"]


async def test_talkup_packets_end_with_close_1000_and_lose_nothing() -> None:
    async with rig(Script(commit_every=100)) as at:
        _, body, _ = await at.request("POST", "/process/initialization", json={"key": KEY, "type": "initialization"})
        url = body["data"]
        session_id = url.split("session_id=")[1].split("&")[0]
        client = await Client.open(url.replace("localhost", "127.0.0.1"))
        for number in range(5):
            packet = {
                "type": "audio",
                "data": base64.b64encode(b"%d!" % number).decode(),
                "timestamp": 1739592334000 + number,
                "mimeType": "audio/pcm;rate=16000",
                "sequenceNumber": number,
            }
            await client.socket.send(json.dumps(packet))
        await client.socket.close(1000)
        kept = await at.transcript(session_id, lambda body: body.get("streams") and body["streams"][0]["ended"])
        assert kept["text"].split() == said(*(b"%d!" % number for number in range(5)))


@pytest.mark.parametrize(
    ("code", "is_the_end"), [(1000, True), (1001, True), (4000, True), (1011, False), (1002, False)]
)
async def test_a_close_by_the_client_ends_its_streams_unless_it_says_that_something_failed(
    code: int, is_the_end: bool
) -> None:
    """1001 is what a browser sends whose tab closes or goes to another page."""
    async with rig() as at:
        client = await at.connect(key=KEY)
        opened = (await client.get("session"))["data"]
        await client.start()
        await client.socket.send(b"one1")
        await client.finals(1)
        await client.socket.close(code)
        back = await at.connect()
        await back.send("session_resume", session_id=opened["session_id"], token=opened["resume_token"], streams=[])
        (stream,) = (await back.get("session"))["data"]["streams"]
        assert (stream["state"] == "open") is not is_the_end
        await back.socket.close()


async def test_bad_input_does_not_disturb_a_stream() -> None:
    async with rig() as at:
        client = await at.connect(key=KEY)
        await client.start()
        await client.socket.send(b"one1")
        bad = {
            "Hello WebSocket!": "bad_json",
            "[1, 2]": "bad_json",
            '{"type": "message", "payload": {}}': "unknown_type",
            '{"type": "stream_chunk", "stream_id": "nope", "data": "aGk="}': "unknown_stream",
            '{"type": "stream_chunk", "stream_id": "abc", "data": "***"}': "bad_payload",
            '{"type": "ping", "protocol_version": "2.0"}': "unsupported_version",
        }
        for text, code in bad.items():
            await client.socket.send(text)
            await client.get("error", code=code)
        await client.send("stream_start", stream_id="abc", format="audio/pcm;rate=16000")
        await client.get("error", code="stream_exists")
        await client.send("stream_start", stream_id="def", format="audio/unheard-of")
        await client.get("error", code="unsupported_format")
        await client.socket.send(b"two2")
        await client.send("stream_end", stream_id="abc")
        ended = await client.get("stream_ended")
        assert ended["data"]["text"].split() == said(b"one1", b"two2")
        await client.socket.close()


async def test_ping_and_status() -> None:
    async with rig() as at:
        client = await at.connect(key=KEY)
        await client.send("ping", hello=1)
        assert (await client.get("pong"))["data"]["hello"] == 1
        await client.send("status")
        status = (await client.get("status"))["data"]
        assert status["state"] == "serving"
        assert status["services"][0]["service"] == "stt"
        assert status["services"][0]["workers_serving"] == 1
        await client.socket.close()


async def test_a_message_too_big_is_1009() -> None:
    async with rig(max_message_bytes="2048") as at:
        client = await at.connect(key=KEY)
        await client.socket.send(b"x" * 4096)
        assert await client.closed() == 1009


async def test_a_newer_connection_supersedes_the_older_and_continues() -> None:
    async with rig() as at:
        minted = await at.mint()
        first = await at.connect(key=minted["token"])
        await first.start()
        await first.socket.send(b"one1")
        await first.finals(1)
        second = await at.connect(key=minted["token"])
        opened = await second.get("session")
        assert opened["data"]["resumed"]
        assert opened["data"]["streams"][0]["next_sequence"] == 1
        assert await first.closed() == 1000
        assert first.seen[-1]["data"]["code"] == "superseded"
        await second.socket.send(b"two2")
        await second.send("stream_end", stream_id="abc")
        assert (await second.get("stream_ended"))["data"]["text"].split() == said(b"one1", b"two2")
        await second.socket.close()


async def test_a_lost_socket_is_resumed_with_what_was_missed() -> None:
    async with rig() as at:
        first = await at.connect(key=KEY)
        opened = (await first.get("session"))["data"]
        await first.start()
        for chunk in (b"one1", b"two2", b"3333"):
            await first.socket.send(chunk)
        await first.finals(3)
        first.socket.transport.abort()
        second = await at.connect(key=KEY)
        await second.get("session", resumed=False)
        await second.send(
            "session_resume",
            session_id=opened["session_id"],
            token=opened["resume_token"],
            streams=[{"stream_id": "abc", "last_segment_id": 1}],
        )
        again = (await second.get("session", resumed=True))["data"]
        assert again["session_id"] == opened["session_id"]
        assert again["streams"][0]["next_sequence"] == 3
        assert await second.finals(2) == said(b"one1", b"two2", b"3333")[1:]
        await second.socket.close()


async def test_a_return_after_the_grace_time_does_not_disturb_the_last_finals() -> None:
    gate = asyncio.Event()
    async with rig(Script(end_gate=gate), session_grace_s="0.05") as at:
        token = (await at.mint())["token"]
        first = await at.connect(key=token)
        opened = (await first.get("session"))["data"]
        await first.start()
        await first.socket.send(b"one1")
        await first.finals(1)
        first.socket.transport.abort()

        async def ending() -> bool:
            return any(request.HasField("end") for seen in at.worker.seen for request in seen.requests)

        await eventually(ending, bool)
        back = await at.connect(key=token)
        assert await back.closed() == 1008
        assert back.seen[0]["data"]["code"] == "session_expired"
        gate.set()
        kept = await at.transcript(opened["session_id"], lambda body: body["streams"][0]["ended"])
        assert kept["text"].split() == said(b"one1")
        await at.until_metric("gateway_sessions 0.0")


async def test_a_resume_with_a_wrong_token_leaves_the_session_as_it_is() -> None:
    async with rig() as at:
        client = await at.connect(key=KEY)
        opened = (await client.get("session"))["data"]
        other = await at.connect(key=KEY)
        theirs = (await other.get("session"))["data"]
        await client.send("session_resume", session_id=theirs["session_id"], token=opened["resume_token"])
        await client.get("error", code="permission_denied")
        await client.send("session_resume", session_id="gone", token=opened["resume_token"])
        await client.get("error", code="permission_denied")
        await client.start()
        await client.socket.close()
        await other.socket.close()


async def test_a_key_resumes_any_session_where_the_resume_token_is_no_longer_valid() -> None:
    async with rig() as at:
        client = await at.connect(key=KEY)
        opened = (await client.get("session"))["data"]
        await client.start()
        await client.socket.send(b"one1")
        (text,) = await client.finals(1)
        client.socket.transport.abort()
        back = await at.connect()
        resume = {"session_id": opened["session_id"], "streams": {"abc": 0}}
        await back.send("session_resume", token="a.b.c", **resume)
        assert await back.closed() == 4401
        again = await at.connect()
        await again.send("session_resume", token=KEY, **resume)
        assert (await again.get("session"))["data"]["resumed"] is True
        assert await again.finals(1) == [text]
        await again.socket.close()


async def test_after_the_grace_time_streams_end_and_stay_readable() -> None:
    async with rig(Script(commit_every=100), session_grace_s="0.05") as at:
        minted = await at.mint()
        client = await at.connect(key=minted["token"])
        await client.start()
        await client.socket.send(b"one1")
        await client.send("ping")
        await client.get("pong")
        client.socket.transport.abort()
        kept = await at.transcript(
            minted["session_id"], lambda body: body.get("streams") and body["streams"][0]["ended"]
        )
        assert kept["text"].split() == said(b"one1")


async def test_a_killed_worker_is_replaced_and_no_word_lost() -> None:
    spare = await WorkerServer(Script(slots=1)).start()
    async with rig(Script(slots=4, kill_at=2), more_workers=[spare]) as at:
        client = await at.connect(key=KEY)
        await client.start()
        chunks = (b"one1", b"two2", b"3333", b"4444")
        for chunk in chunks:
            await client.socket.send(chunk)
        await client.send("stream_end", stream_id="abc")
        ended = (await client.get("stream_ended"))["data"]
        assert ended["text"].split() == said(*chunks)
        assert ended["failovers"] == 1
        assert any(m["type"] == "flow" and m["data"].get("failover") for m in client.seen)
        await client.socket.close()
    await spare.kill()


async def test_drain_lets_streams_come_to_their_last_word() -> None:
    async with rig(Script(commit_every=100)) as at:
        client = await at.connect(key=KEY)
        await client.start()
        await client.socket.send(b"one1")
        await client.send("ping")
        await client.get("pong")
        await at.gateway.drain()
        assert await client.closed() == 1012
        ended = next(message for message in client.seen if message["type"] == "stream_ended")
        assert ended["data"]["text"].split() == said(b"one1")
        with pytest.raises(Exception, match="503"):
            await at.connect(key=KEY)
        status, body, _ = await at.request("GET", "/readyz")
        assert (status, body["status"]) == (503, "draining")


async def test_drain_is_bounded() -> None:
    async with rig(Script(answer_end=False), drain_s="0.2") as at:
        client = await at.connect(key=KEY)
        await client.start()
        async with asyncio.timeout(3):
            await at.gateway.drain()
        assert await client.closed() == 1012


async def test_a_client_that_does_not_read_is_closed() -> None:
    async with rig(outbox_bytes="1000000") as at:
        client = await at.connect(key=KEY, max_queue=1)
        for _ in range(300):
            await client.send("ping", filler="x" * 100_000)
        await at.until_metric("gateway_outbox_overflows_total 1.0")
        assert await client.closed() in {1006, 1008}


async def test_reading_pauses_while_the_worker_is_behind_and_continues_after() -> None:
    async with rig(Script(silent_from=0), worker_stream_s="60") as at:
        client = await at.connect(key=KEY)
        await client.start()
        sending = asyncio.create_task(_send_many(client, 400, 16_384))
        await at.until_metric("gateway_read_pauses_total 1.0")
        await client.get("flow")
        sending.cancel()
        client.socket.transport.abort()


async def _send_many(client: Client, count: int, size: int) -> None:
    for _ in range(count):
        await client.socket.send(b"\0" * size)

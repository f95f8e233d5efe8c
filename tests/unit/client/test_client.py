"""The client against a small gateway on loopback: streams, acknowledgements, errors, resumption."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from talkup_client import (
    AuthenticationError,
    Change,
    Client,
    ConnectionBroken,
    ConnectionLostError,
    ConnectionRestored,
    GatewayBusy,
    NoMediaError,
    RefusedError,
    SessionLostError,
    SettingError,
    StreamEnded,
    TranscriptUpdate,
)

from tests.fakes.gateway_server import COMMIT_EVERY, KEY, FakeGateway, words_of

CHUNKS = [bytes([number]) * 50 for number in range(10)]


async def no_wait(_: float) -> None:
    """Reconnects at once."""


def client_for(gateway: FakeGateway, **options: object) -> Client:
    return Client(gateway.url, key=KEY, sleep=no_wait, **options)  # type: ignore[arg-type]


async def transcribe(client: Client, chunks: list[bytes]) -> tuple[list[str], StreamEnded]:
    finals = []
    async with client, client.stream(format="audio/pcm", language="fr", hotwords=["TalkUp"]) as stream:
        for chunk in chunks:
            await stream.send(chunk)
        await stream.end()
        async for event in stream:
            if isinstance(event, TranscriptUpdate) and event.is_final:
                finals.append(event.text)
    assert stream.ended is not None
    return finals, stream.ended


def expected(chunks: list[bytes]) -> str:
    groups = [chunks[at : at + COMMIT_EVERY] for at in range(0, len(chunks), COMMIT_EVERY)]
    return " ".join(words_of(b"".join(group)) for group in groups)


async def test_languages_to_expect_are_named_at_the_start() -> None:
    async with FakeGateway().serving() as gateway:
        async with client_for(gateway) as client:
            async with client.stream(format="audio/pcm", languages=["en", "fr"]):
                pass
            async with client.stream(format="audio/pcm"):
                pass
        several, none = (stream.start for stream in gateway.streams())
    assert (several["language"], several["languages"]) == ("auto", ["en", "fr"])
    assert "languages" not in none


async def test_chunks_go_in_and_finals_come_out_in_order() -> None:
    async with FakeGateway().serving() as gateway:
        finals, ended = await transcribe(client_for(gateway), CHUNKS)
    assert " ".join(finals) == ended.text == expected(CHUNKS)
    assert ended.media_seconds == 1.0
    start = gateway.streams()[0].start
    assert (start["format"], start["language"], start["hotwords"]) == ("audio/pcm", "fr", ["TalkUp"])


@pytest.mark.parametrize("drops", [(1,), (5,), (10,), (3, 6, 9)])
async def test_a_torn_connection_loses_and_doubles_nothing(drops: tuple[int, ...]) -> None:
    async with FakeGateway(drop_after_chunks=drops).serving() as gateway:
        finals, ended = await transcribe(client_for(gateway), CHUNKS)
    assert gateway.streams()[0].chunks == CHUNKS
    assert " ".join(finals) == ended.text
    assert gateway.connections == len(drops) + 1


async def test_resumption_keeps_trying_while_the_gateway_restarts() -> None:
    async with FakeGateway(drop_after_chunks=(5,)).serving() as gateway:
        client = client_for(gateway)
        async with client, client.stream(format="audio/flac") as stream:
            gateway.refuse_next_handshakes = 3
            for chunk in CHUNKS:
                await stream.send(chunk)
            await stream.end()
            assert [event async for event in stream]
    assert gateway.streams()[0].chunks == CHUNKS


@asynccontextmanager
async def offline(gateway: FakeGateway) -> AsyncIterator[tuple[Client, asyncio.Event]]:
    """A client whose connection is away until the event is set; the gateway drops it at its first question."""
    away, back = asyncio.Event(), asyncio.Event()

    async def hold(_: float) -> None:
        away.set()
        await back.wait()

    async with Client(gateway.url, key=KEY, sleep=hold) as client:
        asking = asyncio.create_task(client.status())
        await away.wait()
        yield client, back
        await asking


async def test_a_stream_begun_while_the_connection_is_away_is_started_once() -> None:
    async with FakeGateway(drop_at_statuses=1).serving() as gateway, offline(gateway) as (client, back):
        beginning = asyncio.create_task(finals_of_one_chunk(client))
        await asyncio.sleep(0)
        back.set()
        assert await beginning == [words_of(b"one")]
    assert gateway.starts == 1


async def test_a_start_whose_answer_was_lost_is_known_from_the_resumption() -> None:
    async with FakeGateway(drop_at_starts=1).serving() as gateway, client_for(gateway) as client:
        async with asyncio.timeout(5):
            assert await finals_of_one_chunk(client) == [words_of(b"one")]
    assert gateway.starts == 1


async def finals_of_one_chunk(client: Client) -> list[str]:
    async with client.stream(format="audio/flac") as stream:
        await stream.send(b"one")
        await stream.end()
        return [final.text async for final in stream.finals()]


async def test_a_refused_resume_token_is_followed_by_the_key() -> None:
    async with FakeGateway(drop_after_chunks=(5,)).serving() as gateway:
        gateway.signs_anew = True
        finals, ended = await transcribe(client_for(gateway), CHUNKS)
    assert gateway.streams()[0].chunks == CHUNKS
    assert " ".join(finals) == ended.text == expected(CHUNKS)


async def test_an_expired_session_is_an_error_for_whoever_waits() -> None:
    async with FakeGateway(drop_after_chunks=(5,)).serving() as gateway:
        gateway.forget_sessions = True
        with pytest.raises(SessionLostError) as caught:
            await transcribe(client_for(gateway), CHUNKS)
    assert caught.value.code == "session_expired"


async def test_a_gateway_that_stays_away_is_an_error_after_the_time_to_resume() -> None:
    async with FakeGateway(drop_after_chunks=(5,)).serving() as gateway:
        client = Client(gateway.url, key=KEY, resume_s=0.05, sleep=asyncio.sleep)
        async with client, client.stream(format="audio/flac") as stream:
            gateway.refuse_next_handshakes = 10_000
            for chunk in CHUNKS[:5]:
                await stream.send(chunk)
            with pytest.raises(ConnectionLostError):
                async for _ in stream:
                    pass


async def test_flush_returns_when_everything_sent_is_final() -> None:
    async with FakeGateway().serving() as gateway:
        client = client_for(gateway)
        async with client, client.stream(format="audio/flac") as stream:
            await stream.send(b"one")
            await stream.flush()
            assert [final["text"] for final in gateway.streams()[0].finals] == [words_of(b"one")]


async def test_leaving_the_block_ends_the_stream() -> None:
    async with FakeGateway().serving() as gateway:
        client = client_for(gateway)
        async with client:
            async with client.stream(format="audio/flac") as stream:
                await stream.send(b"one")
            await client.ping()
            assert gateway.streams()[0].ended
            with pytest.raises(SettingError):
                await stream.send(b"two")


async def test_a_stream_whose_start_nobody_waits_for_any_more_is_ended() -> None:
    async with FakeGateway().serving() as gateway, client_for(gateway) as client:
        gateway.may_accept.clear()
        beginning = asyncio.create_task(finals_of_one_chunk(client))
        await gateway.start_came.wait()
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        gateway.may_accept.set()
        await client.ping()
        assert gateway.streams()[0].ended


async def test_a_start_given_up_while_the_connection_is_away_is_not_made() -> None:
    async with FakeGateway(drop_at_statuses=1).serving() as gateway, offline(gateway) as (client, back):
        beginning = asyncio.create_task(finals_of_one_chunk(client))
        await asyncio.sleep(0)
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        back.set()
        await client.ping()
    assert gateway.starts == 0


async def test_a_stream_without_a_free_worker_is_asked_for_again_within_a_patience() -> None:
    changes: list[Change] = []
    async with (
        FakeGateway(full_starts=3).serving() as gateway,
        client_for(gateway, on_change=changes.append) as client,
    ):
        with pytest.raises(RefusedError) as caught:
            await finals_of_one_chunk(client)
        assert caught.value.code == "busy"
        async with client.stream(format="audio/flac", patience=client.patience()) as stream:
            await stream.send(b"one")
    assert changes == [GatewayBusy("every worker slot is taken", 1.5)] * 2


async def test_a_stream_left_while_the_connection_is_away_is_ended_by_the_resumption() -> None:
    async with FakeGateway(drop_at_statuses=1).serving() as gateway:
        away, back = asyncio.Event(), asyncio.Event()

        async def hold(_: float) -> None:
            away.set()
            await back.wait()

        async with Client(gateway.url, key=KEY, sleep=hold) as client:
            with suppress(LookupError):
                async with client.stream(format="audio/flac") as stream:
                    await stream.send(b"one")
                    await stream.flush()
                    asking = asyncio.create_task(client.status())
                    await away.wait()
                    raise LookupError
            assert not gateway.streams()[0].ended
            back.set()
            await asking
            await client.ping()
            assert gateway.streams()[0].ended


async def test_an_end_that_was_lost_with_the_connection_is_said_again() -> None:
    async with FakeGateway(drop_at_ends=1).serving() as gateway, client_for(gateway) as client:
        async with client.stream(format="audio/flac") as stream:
            await stream.send(b"one")
        await client.ping()
        assert gateway.streams()[0].ended
        assert gateway.connections == 2


async def test_flush_and_send_fail_with_the_session() -> None:
    async with FakeGateway(drop_at_flushes=1).serving() as gateway, client_for(gateway) as client:
        gateway.forget_sessions = True
        async with client.stream(format="audio/flac") as stream:
            await stream.send(b"one")
            with pytest.raises(SessionLostError):
                await stream.flush()
            with pytest.raises(SessionLostError):
                await stream.send(b"two")
            with pytest.raises(SessionLostError):
                await stream.flush()


async def test_a_program_hears_of_a_lost_connection_and_of_its_return() -> None:
    changes: list[Change] = []
    async with (
        FakeGateway(drop_at_statuses=1).serving() as gateway,
        client_for(gateway, on_change=changes.append, resume_s=60.0) as client,
    ):
        await client.status()
    broken, restored = changes
    assert broken == ConnectionBroken("the connection broke", 60.0)
    assert isinstance(restored, ConnectionRestored)


async def test_without_time_to_resume_a_lost_connection_is_final() -> None:
    async with FakeGateway(drop_after_chunks=(1,)).serving() as gateway:
        with pytest.raises(ConnectionLostError, match="the connection broke"):
            await transcribe(client_for(gateway, resume_s=0.0), CHUNKS)
    assert gateway.connections == 1


async def test_a_busy_gateway_is_asked_again_when_it_says_so() -> None:
    changes: list[Change] = []
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async with FakeGateway(busy_connections=2).serving() as gateway:
        async with Client(gateway.url, key=KEY, sleep=wait, on_change=changes.append) as client:
            await client.ping()
        assert waits == [1.5, 1.5]
        assert changes == [GatewayBusy("the gateway is full", 1.5)] * 2
        gateway.busy_connections = 5
        with pytest.raises(RefusedError, match="full") as caught:
            await Client(gateway.url, key=KEY, sleep=wait, busy_s=4.0).__aenter__()
    assert (caught.value.code, len(waits)) == ("busy", 4)


async def test_finals_say_when_nothing_could_be_decoded() -> None:
    async with (
        FakeGateway(decodes=False).serving() as gateway,
        client_for(gateway) as client,
        client.stream(format="audio") as stream,
    ):
        await stream.send(b"no recording")
        await stream.end()
        with pytest.raises(NoMediaError):
            assert [final async for final in stream.finals()] == []


async def test_two_streams_share_a_connection() -> None:
    async with FakeGateway().serving() as gateway:
        client = client_for(gateway)
        async with client, client.stream(format="audio/flac") as one, client.stream(format="audio/wav") as two:
            for chunk in CHUNKS:
                await one.send(chunk)
                await two.send(chunk[::-1] + b"!")
            await asyncio.gather(one.end(), two.end())
            assert {type(event) for event in [event async for event in one]} == {TranscriptUpdate, StreamEnded}
            assert [event async for event in two]
    assert [stream.chunks for stream in gateway.streams()] == [CHUNKS, [chunk[::-1] + b"!" for chunk in CHUNKS]]


async def test_a_refused_start_names_code_and_field() -> None:
    reject = {"code": "unsupported_format", "message": "not this", "field": "format"}
    async with FakeGateway(reject=reject).serving() as gateway, client_for(gateway) as client:
        with pytest.raises(RefusedError) as caught:
            async with client.stream(format="audio/midi"):
                pytest.fail("was accepted")
    assert (caught.value.code, caught.value.field) == ("unsupported_format", "format")


async def test_a_wrong_key_is_an_authentication_error() -> None:
    async with FakeGateway().serving() as gateway:
        with pytest.raises(AuthenticationError):
            await Client(gateway.url, key="wrong").__aenter__()


async def test_nobody_listening_is_a_connection_error() -> None:
    async with FakeGateway().serving() as gateway:
        url = gateway.url
    for each in (url, url.replace("127.0.0.1", "localhost")):
        with pytest.raises(ConnectionLostError, match="nobody listens there"):
            await Client(each, key=KEY).__aenter__()


@pytest.mark.parametrize(
    ("scheme", "path", "hint"),
    [
        ("ws", "/other", "the path of a gateway's WebSocket is /ws"),
        ("ws", "", "the path of a gateway's WebSocket is /ws"),
        ("wss", "/ws", "if the port does not use TLS, use ws://"),
    ],
)
async def test_a_wrong_url_is_explained(scheme: str, path: str, hint: str) -> None:
    async with FakeGateway().serving() as gateway:
        url = gateway.url.replace("ws:", f"{scheme}:").removesuffix("/ws") + path
        with pytest.raises(ConnectionLostError, match=hint):
            await Client(url, key=KEY).__aenter__()


async def test_what_is_no_gateway_is_explained() -> None:
    async def say(words: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()

    http = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    for words, hint in (
        (b"\x15\x03\x03\x00\x02\x02\x32", "if the port uses TLS, use wss://"),
        (http, "serves no WebSockets"),
    ):
        async with await asyncio.start_server(partial(say, words), "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
            with pytest.raises(ConnectionLostError, match=hint):
                await Client(url, key=KEY).__aenter__()


async def test_status_and_ping_are_answered() -> None:
    async with FakeGateway().serving() as gateway, client_for(gateway) as client:
        assert (await client.status()).data["state"] == "serving"
        assert await client.ping() >= 0
        assert client.session_id == "s1"


async def test_a_question_is_put_again_when_the_connection_breaks() -> None:
    async with FakeGateway(drop_at_statuses=2).serving() as gateway, client_for(gateway) as client:
        assert (await client.status()).data["state"] == "serving"
        assert gateway.connections == 3


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://localhost/ws", {}),
        ("ws://", {}),
        ("ws://localhost:x/ws", {}),
        ("ws://localhost:99999/ws", {}),
        ("ws://[::1/ws", {}),
        ("ws://example.org/ws", {"key": "k"}),
        ("ws://localhost/ws", {"key": "k", "token": "t"}),
    ],
)
def test_parameters_that_cannot_be_used(url: str, options: dict[str, str]) -> None:
    with pytest.raises(SettingError):
        Client(url, **options)  # type: ignore[arg-type]

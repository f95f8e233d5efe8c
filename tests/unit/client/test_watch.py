"""Following a session over HTTP: every final once, at any kind of server; and where the HTTP port is looked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from talkup_client.changes import Change, ConnectionBroken, ConnectionRestored, SpeakerAwaited
from talkup_client.errors import BadAnswerError, ConnectionLostError, SessionLostError, SettingError
from talkup_client.http_api import HttpApi, http_url_of
from talkup_client.watch import Followed, watch


def transcript(*streams: tuple[bool, list[str]]) -> dict[str, Any]:
    """Streams, each with whether it has ended and its finals."""
    return {
        "streams": [
            {
                "ended": ended,
                "segments": [
                    {"segment_id": number, "start_ms": number * 1000, "text": text}
                    for number, text in enumerate(texts, start=1)
                ],
            }
            for ended, texts in streams
        ]
    }


UNKNOWN = {"error": {"code": "session_expired", "message": "unknown or expired session"}}


class Lines:
    """Captions that keep what they print."""

    def __init__(self) -> None:
        self.printed: list[str] = []

    def interim(self, text: str) -> None:
        raise AssertionError

    def final(self, start_ms: int, text: str) -> None:
        self.printed.append(text)


class Server:
    """Answers request after request with the next of its answers: a body, a status alone, or None to hang up.

    The last one counts for all that follow. It knows nothing of tags and preferences.
    """

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            status = answer if isinstance(answer, int) else 404 if answer is UNKNOWN else 200
            body = b"" if isinstance(answer, int) else json.dumps(answer).encode()
            writer.write(
                b"HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)
            )
        writer.close()
        await writer.wait_closed()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[HttpApi]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield HttpApi(self.url)


async def no_wait(_seconds: float) -> None:
    await asyncio.sleep(0)


async def follow(api: HttpApi, lines: Lines, changes: list[Change], retry_s: float = 30.0) -> None:
    async with asyncio.timeout(20):
        await watch(api, "s", lines, changes.append, retry_s=retry_s, sleep=no_wait, rng=lambda: 0.5)


async def test_a_server_without_tags_is_asked_again_and_every_final_told_once() -> None:
    lines, changes = Lines(), list[Change]()
    server = Server(
        transcript((False, ["one"])),
        transcript((False, ["one", "two"])),
        transcript((False, ["one", "two"])),
        transcript((True, ["one", "two"]), (True, ["other"])),
    )
    async with server.serving() as api:
        await follow(api, lines, changes)
    assert (lines.printed, changes) == (["one", "two", "other"], [])


async def test_a_stream_that_begins_after_all_had_ended_is_followed() -> None:
    lines = Lines()
    server = Server(
        transcript((False, ["one"])),
        transcript((True, ["one"])),
        transcript((True, ["one"]), (False, ["two"])),
        transcript((True, ["one"]), (True, ["two"])),
    )
    async with server.serving() as api:
        await follow(api, lines, [])
    assert lines.printed == ["one", "two"]


async def test_a_scheme_in_capitals_is_no_way_around_tls() -> None:
    first = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.set_result(await reader.readexactly(1))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"HTTPS://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ConnectionLostError):
            await HttpApi(url, credential="k").get("/")
        assert await first == b"\x16"  # a TLS handshake (RFC 8446 5.1)


async def test_a_connection_that_breaks_is_reported_and_restored() -> None:
    lines, changes = Lines(), list[Change]()
    server = Server(transcript((False, ["one"])), None, 502, transcript((True, ["one", "two"])))
    async with server.serving() as api:
        await follow(api, lines, changes)
    assert lines.printed == ["one", "two"]
    assert [type(change) for change in changes] == [ConnectionBroken, ConnectionRestored]


async def test_a_first_connection_that_fails_is_no_outage() -> None:
    async with Server(None).serving() as api:
        with pytest.raises(ConnectionLostError):
            await follow(api, Lines(), [])


@pytest.mark.parametrize("answer", [404, [], {"streams": [{}]}, {"streams": 3}, "text"])
async def test_what_is_no_transcript_is_a_bad_answer(answer: object) -> None:
    async with Server(answer).serving() as api:
        with pytest.raises(BadAnswerError):
            await follow(api, Lines(), [])


async def test_a_lost_session_ends_the_watching() -> None:
    async with Server(UNKNOWN).serving() as api:
        with pytest.raises(SessionLostError, match="unknown or expired"):
            await follow(api, Lines(), [], retry_s=0.0)


def test_a_later_stream_is_printed_together_with_the_first() -> None:
    followed = Followed()
    assert list(followed.new_finals(transcript((False, [" a "])))) == [(1000, "a")]
    assert list(followed.new_finals(transcript((True, ["a", "b"]), (False, ["c"])))) == [(2000, "b"), (1000, "c")]
    assert not followed.ended
    assert list(followed.new_finals(transcript((True, ["a", "b"]), (True, ["c"])))) == []
    assert followed.ended


@pytest.mark.parametrize(
    ("ws_url", "http_url"),
    [
        ("ws://localhost:8081/ws", "http://localhost:8080"),
        ("wss://[::1]:8443/ws", "http://[::1]:8080"),
        ("ws://localhost:9000/ws", "http://localhost:9000"),
        ("wss://captions.example.org/ws", "https://captions.example.org"),
        ("wss://captions.example.org:8443/ws", "https://captions.example.org:8443"),
    ],
)
def test_where_the_http_port_is_looked_for(ws_url: str, http_url: str) -> None:
    assert http_url_of(ws_url) == http_url


@pytest.mark.parametrize(
    "url",
    ["ws://localhost", "http://", "http://localhost:x", "http://[::1", "http://captions.example.org", "localhost:8080"],
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(SettingError):
        HttpApi(url, credential="k")


async def test_a_speaker_who_has_not_connected_is_waited_for_and_not_for_ever() -> None:
    lines, changes = Lines(), list[Change]()
    server = Server(UNKNOWN, UNKNOWN, transcript((True, ["one"])))
    async with server.serving() as api:
        await follow(api, lines, changes)
    assert (lines.printed, changes) == (["one"], [SpeakerAwaited(30.0)])
    async with Server(UNKNOWN).serving() as api:
        with pytest.raises(SessionLostError):
            await follow(api, lines, changes, retry_s=0.0)
    assert len(changes) == 1


async def test_a_session_that_is_deleted_while_it_is_watched_is_over() -> None:
    server = Server(transcript((False, ["one"])), UNKNOWN)
    async with server.serving() as api:
        with pytest.raises(SessionLostError):
            await follow(api, Lines(), [])

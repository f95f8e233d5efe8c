"""Credentials over real sockets: whose session it is, what a token is for, and how it is renewed while words flow."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt
import pytest
from talkup_client import Client as TalkupClient
from talkup_client import CredentialNotRenewed
from websockets.exceptions import ConnectionClosed

from gateway import key_commands
from tests.e2e.gateway_rig import PCM, Client, Rig, eventually, rig

FIRST, SECOND = "first-key-0123456789", "second-key-0123456789"
SECRET = "a secret of the tokens, for this test only"
SOON_S = 3.0


async def say(client: Client, chunks: Sequence[bytes]) -> None:
    for chunk in chunks:
        await client.socket.send(chunk)


def words(chunks: Sequence[bytes]) -> list[str]:
    """What the scripted worker says for these chunks of one stream."""
    return [f"w{number}:{zlib.crc32(chunk):08x}" for number, chunk in enumerate(chunks)]


def token_until(expires_at: float, session_id: str) -> str:
    claims = {"sid": session_id, "aud": "talkup-session", "iat": time.time(), "exp": int(expires_at)}
    return jwt.encode(claims, SECRET, algorithm="HS256")


async def code_of_resume(at: Rig, session: dict[str, Any], *, token: str, **options: Any) -> tuple[str, int | None]:
    """Try to resume a session; returns the code of the error, and the close code if the socket was closed."""
    client = await at.connect(**options)
    if options:
        await client.get("session")
    await client.send("session_resume", session_id=session["session_id"], token=token, streams={})
    error = (await client.get("error"))["data"]
    if options:
        await client.socket.close()
        return error["code"], None
    return error["code"], await client.closed()


async def test_a_key_reaches_only_its_own_sessions() -> None:
    async with rig(api_keys=f"{FIRST},{SECOND}") as at:
        client = await at.connect(key=FIRST)
        session = (await client.get("session"))["data"]
        await client.start()
        await say(client, [b"one1"])
        await client.finals(1)
        path = f"/v1/sessions/{session['session_id']}"
        for method, target in (("GET", f"{path}/transcript"), ("DELETE", path), ("POST", f"{path}/tokens")):
            status, body, _ = await at.request(method, target, credential=SECOND)
            assert (status, body["error"]["code"]) == (403, "permission_denied"), method
        assert await code_of_resume(at, session, token=SECOND) == ("permission_denied", 4403)
        assert await code_of_resume(at, session, token=SECOND, key=SECOND) == ("permission_denied", None)
        assert (await at.request("GET", f"{path}/transcript", credential=FIRST))[0] == 200
        assert (await at.request("DELETE", path, credential=FIRST))[0] == 204
        assert await client.closed() == 1000


async def test_a_token_serves_its_own_purpose_and_ends_with_its_session() -> None:
    async with rig(api_keys=FIRST, token_ttl_s="1000") as at:
        _, minted, _ = await at.request("POST", "/v1/sessions", credential=FIRST)
        opened = await at.connect(key=minted["token"])
        session = (await opened.get("session"))["data"]
        for _ in range(2):  # however often a session is resumed, its tokens end with the one that opened it
            assert session["expires_at"] <= minted["expires_at"]
            wrong = await at.connect(key=session["resume_token"])
            assert await wrong.closed() == 4401
            assert wrong.seen[-1]["data"]["code"] == "unauthenticated"
            opened.socket.transport.abort()
            opened = await at.connect()
            await opened.send("session_resume", session_id=session["session_id"], token=session["resume_token"])
            session = (await opened.get("session", resumed=True))["data"]
        await opened.socket.close()


@pytest.mark.parametrize("deleted_with", ["token", "key"])
async def test_a_session_that_was_deleted_before_its_first_connection_stays_deleted(deleted_with: str) -> None:
    async with rig(api_keys=FIRST) as at:
        _, minted, _ = await at.request("POST", "/v1/sessions", credential=FIRST)
        credential = minted["token"] if deleted_with == "token" else FIRST
        status, _, _ = await at.request("DELETE", f"/v1/sessions/{minted['session_id']}", credential=credential)
        assert status == (204 if deleted_with == "token" else 404)
        client = await at.connect(key=minted["token"])
        await client.closed()
        assert client.seen[0]["data"]["code"] == "session_expired"


async def test_a_deletion_outlives_the_process_with_every_store(tmp_path: Path) -> None:
    """Also one that keeps nothing: it refuses the tokens from before its start."""
    for store in (f"sqlite:///{tmp_path / 'gateway.db'}", "memory://"):
        values: dict[str, Any] = {"api_keys": FIRST, "store": store, "token_secret": SECRET}
        async with rig(**values) as at:
            _, minted, _ = await at.request("POST", "/v1/sessions", credential=FIRST)
            await at.request("DELETE", f"/v1/sessions/{minted['session_id']}", credential=minted["token"])
        async with rig(**values) as at:
            client = await at.connect(key=minted["token"])
            await client.closed()
            assert client.seen[0]["data"]["code"] in ("session_expired", "unauthenticated")


async def test_a_credential_is_renewed_on_the_open_socket_and_no_word_is_lost() -> None:
    """The first token ends while the stream runs; the socket continues with the second one."""
    chunks = [f"chunk {number}".encode() for number in range(8)]
    async with rig(api_keys=FIRST, token_secret=SECRET, token_grace_s="1") as at:
        client = await at.connect(key=FIRST)
        session = (await client.get("session"))["data"]
        await client.start()
        await say(client, chunks[:4])
        expires_at = int(time.time() + SOON_S)
        await client.send("auth", token=token_until(expires_at, session["session_id"]))
        assert (await client.get("authenticated"))["data"]["expires_at"] == expires_at
        notice = (await client.get("auth_expiring"))["data"]
        assert notice == {"expires_at": expires_at, "closes_at": expires_at + 1}
        _, renewed, _ = await at.request("POST", f"/v1/sessions/{session['session_id']}/tokens", credential=FIRST)
        await client.send("auth", token=renewed["token"])
        answer = (await client.get("authenticated"))["data"]
        assert answer["resume_expires_at"] <= renewed["expires_at"]
        for refused in (token_until(time.time() + 1000, "another session"), "no token"):
            await client.send("auth", token=refused)
            assert (await client.get("error"))["data"]["code"] in ("permission_denied", "unauthenticated")
        await asyncio.sleep(max(0.0, expires_at + 1.5 - time.time()))  # past the end of the first token
        await say(client, chunks[4:])
        await client.send("stream_end", stream_id="abc")
        ended = await client.get("stream_ended")
        assert ended["data"]["text"].split() == words(chunks)
        await client.socket.close()


async def test_a_socket_ends_with_its_credential_and_its_session_can_be_resumed() -> None:
    chunks = [b"one1", b"two2", b"three"]
    async with rig(api_keys=FIRST, token_secret=SECRET, token_grace_s="0.2") as at:
        client = await at.connect(key=FIRST)
        session = (await client.get("session"))["data"]
        await client.start()
        await say(client, chunks[:2])
        await client.send("auth", token=token_until(time.time() + SOON_S, session["session_id"]))
        resume_token = (await client.get("authenticated"))["data"]["resume_token"]
        assert await client.closed() == 4401
        assert [each["data"]["code"] for each in client.seen if each["type"] == "error"] == ["unauthenticated"]
        assert await code_of_resume(at, session, token=resume_token) == ("unauthenticated", 4401)
        back = await at.connect()
        await back.send("session_resume", session_id=session["session_id"], token=FIRST, streams={"abc": 2})
        assert (await back.get("session", resumed=True))["data"]["streams"][0]["received"] == 1
        await say(back, chunks[2:])
        await back.send("stream_end", stream_id="abc")
        assert (await back.get("stream_ended"))["data"]["text"].split() == words(chunks)
        assert not [each for each in back.seen if each["type"] == "error"]
        await back.socket.close()


async def rotate_while_speaking(client: Client, new: str, chunks: Sequence[bytes]) -> str:
    """Send chunks; answer the notice about the old key with the new one. Returns the text of the stream."""
    await client.start()
    renewed = asyncio.Event()

    async def speak() -> None:
        for number, chunk in enumerate(chunks):
            if number == len(chunks) // 2:
                await renewed.wait()  # so that words come before and after
            await client.socket.send(chunk)
            await asyncio.sleep(0)
        await client.send("stream_end", stream_id="abc")

    async def listen() -> str:
        while True:
            message: dict[str, Any] = json.loads(await client.socket.recv())
            match message["type"]:
                case "auth_expiring":
                    await client.send("auth", token=new)
                case "authenticated":
                    renewed.set()
                case "stream_ended":
                    text: str = message["data"]["text"]
                    return text
                case "error":
                    raise AssertionError(message)

    async with asyncio.timeout(60), asyncio.TaskGroup() as both:
        both.create_task(speak())
        heard = both.create_task(listen())
    return heard.result()


async def test_a_rotation_of_keys_and_secrets_under_load_loses_no_word_and_no_connection(tmp_path: Path) -> None:
    """A second key of the same name, clients that change over, then the first key revoked, all while they speak."""
    path, database = tmp_path / "keys.json", tmp_path / "gateway.db"
    file = ["--file", str(path)]
    old = key_commands.run(["add", "backend", *file]).strip()
    values: dict[str, Any] = {
        "api_keys": "",
        "api_keys_file": str(path),
        "store": f"sqlite:///{database}",
        "token_grace_s": "60",
    }
    chunks = [f"chunk {number}".encode() for number in range(40)]
    async with rig(**values) as at:
        clients = [await at.connect(key=old) for _ in range(4)]
        tokens = [(await at.request("POST", "/v1/sessions", credential=old))[1]["token"] for _ in range(2)]
        new = key_commands.run(["add", "backend", *file]).strip()
        speakers = [asyncio.create_task(rotate_while_speaking(each, new, chunks)) for each in clients]
        key_commands.run(["rotate-secret", f"{database}.secret"])
        key_commands.run(["revoke", old.split("_")[1], *file])
        texts = await asyncio.gather(*speakers)
        assert [text.split() for text in texts] == [words(chunks)] * 4

        async def status_of_old_key() -> int:
            return (await at.request("POST", "/v1/sessions", credential=old))[0]

        await eventually(status_of_old_key, lambda status: status != 201)
        for token in tokens:  # signed with the old secret, asked for with the old key
            late = await at.connect(key=token)
            await late.get("session")
            await late.socket.close()
        for client in clients:
            await client.send("ping")
            await client.get("pong")
            await client.socket.close()


async def test_a_revoked_key_ends_its_sockets(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    file = ["--file", str(path)]
    key = key_commands.run(["add", "backend", *file]).strip()
    key_commands.run(["add", "other", *file])
    async with rig(api_keys="", api_keys_file=str(path), token_grace_s="0") as at:
        client = await at.connect(key=key)
        await client.get("session")
        key_commands.run(["revoke", key.split("_")[1], *file])
        assert await client.closed() == 4401
        assert [each["type"] for each in client.seen][-2:] == ["auth_expiring", "error"]
        with pytest.raises(ConnectionClosed):
            await (await at.connect(key=key)).get("session")


@pytest.mark.parametrize("in_time", [True, False], ids=["in time", "after the end"])
async def test_the_python_client_renews_its_token_and_loses_no_word(in_time: bool) -> None:
    """Its callback gives a new token at the notice, or only once the gateway has closed the socket."""
    chunks = [f"chunk {number}".encode() for number in range(8)]
    changes: list[object] = []
    asked = 0
    async with rig(api_keys=FIRST, token_secret=SECRET, token_grace_s="0.2") as at:
        _, minted, _ = await at.request("POST", "/v1/sessions", credential=FIRST)

        async def renew() -> str:
            nonlocal asked
            asked += 1
            if asked == 1 and not in_time:
                return "no token"
            _, renewed, _ = await at.request("POST", f"/v1/sessions/{client.session_id}/tokens", credential=FIRST)
            return str(renewed["token"])

        expires_at = time.time() + SOON_S
        short = token_until(expires_at, minted["session_id"])
        client = TalkupClient(at.ws_url, token=short, renew=renew, on_change=changes.append)
        async with client, client.stream(format=PCM) as stream:
            for chunk in chunks[:4]:
                await stream.send(chunk)
            await eventually(lambda: asyncio.sleep(0, asked), lambda count: count == (1 if in_time else 2))
            await asyncio.sleep(max(0.0, expires_at + 0.5 - time.time()))
            for chunk in chunks[4:]:
                await stream.send(chunk)
            await stream.end()
            texts = [event.text async for event in stream if getattr(event, "is_final", False)]
        assert texts == words(chunks)
        assert any(isinstance(change, CredentialNotRenewed) for change in changes) is not in_time

"""Tokens of an organisation's identity provider, at every door. docs/security.md has the table."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import jwt
import pytest
import structlog

from tests.e2e.gateway_rig import KEY, Client, Rig, eventually, rig
from tests.e2e.test_refused_handshakes import open_files, request_of
from tests.fakes.doc_tables import documented, rows
from tests.fakes.identity_provider import Provider, Signer, provider

PLACES, BEYOND = 4, 8
OTHERS = 4  # connections to the provider

Make = Callable[[Provider], str]


@asynccontextmanager
async def gateway(folder: Path, **values: str) -> AsyncIterator[tuple[Rig, Provider]]:
    async with provider(folder) as remote, rig(**{**remote.settings, "doors": "all", **values}) as at:
        yield at, remote


def _unsigned(remote: Provider) -> str:
    return jwt.encode(remote.claims(), None, "none", {"kid": "first"})


def _confused(remote: Provider) -> str:
    """HS256, with the public key of the provider as its secret."""
    signer = remote.signers[0]
    parts = [json.dumps({"alg": "HS256", "kid": signer.kid}).encode(), json.dumps(remote.claims()).encode()]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = base64.urlsafe_b64encode(hmac.digest(signer.public_pem, signed, hashlib.sha256)).rstrip(b"=")
    return (signed + b"." + mac).decode()


def _now(seconds: float) -> int:
    return int(time.time() + seconds)


SESSION = "session"
REFUSED = "unauthenticated, close 4401"
TOKENS: tuple[tuple[str, str, Make], ...] = (
    ("a valid token", SESSION, lambda remote: remote.token()),
    ("one that expired half a minute ago: clocks differ", SESSION, lambda remote: remote.token(exp=_now(-30))),
    ("one of another issuer", REFUSED, lambda remote: remote.token(iss="https://id.example")),
    ("one for another audience", REFUSED, lambda remote: remote.token(aud="another-service")),
    ("one that has expired", REFUSED, lambda remote: remote.token(exp=_now(-90))),
    ("one that never expires", REFUSED, lambda remote: remote.token(exp=None)),
    ("one that is not valid yet", REFUSED, lambda remote: remote.token(nbf=_now(90))),
    ("one that names nobody", REFUSED, lambda remote: remote.token(sub=None)),
    ("one signed with an unknown key", REFUSED, lambda remote: Signer("unknown").sign(remote.claims())),
    ("one signed with a key of the same name", REFUSED, lambda remote: Signer("first").sign(remote.claims())),
    ("one without a signature", REFUSED, _unsigned),
    ("one signed with HS256 and the public key", REFUSED, _confused),
    ("one that ends a login (`logout+jwt`)", REFUSED,
     lambda remote: remote.signers[0].sign(remote.claims(), typ="logout+jwt")),
)  # fmt: skip


async def outcome(at: Rig, token: str) -> str:
    """What a socket with this token gets."""
    client = await at.connect(key=token)
    async with asyncio.timeout(20):
        first = json.loads(await client.socket.recv())
    if first["type"] == "session":
        await client.socket.close()
        return "session"
    return f"{first['data']['code']}, close {await client.closed()}"


async def test_every_token_gets_its_answer(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (at, remote):
        found = [(shows, await outcome(at, make(remote))) for shows, _, make in TOKENS]
    assert found == [(shows, answer) for shows, answer, _ in TOKENS]


def test_the_table_of_tokens_is_documented() -> None:
    assert documented("security.md", "provider tokens") == rows((shows, answer) for shows, answer, _ in TOKENS)


async def test_a_token_is_taken_wherever_a_key_is_and_not_in_the_query(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (at, remote):
        token = remote.token()
        for way in ({"additional_headers": {"Authorization": f"Bearer {token}"}},
                    {"subprotocols": ["talkup.v1", f"bearer.{token}"]}):  # fmt: skip
            client = await at.connect(**way)
            await client.get("session")
            await client.socket.close()
        client = await at.connect()
        await client.send("auth", token=token)
        await client.get("session")
        await client.socket.close()
        client = await Client.open(f"{at.ws_url}?token={token}")
        assert await client.closed() == 4401
        assert (await at.request("GET", "/v1/models", credential=token))[0] == 200  # OpenAI's dialect
        headers = {"Authorization": f"Token {token}"}
        async with at.http.ws_connect(at.url("/v1/listen?encoding=mulaw"), headers=headers):
            pass  # Deepgram's dialect
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await at.http.ws_connect(at.url(f"/v1/listen?encoding=mulaw&token={token}"))
        assert refused.value.status == 401


async def test_owners_share_nothing(tmp_path: Path) -> None:
    """Neither with each other nor with an API key of the same name."""
    async with gateway(tmp_path) as (at, remote):
        alice, bob = remote.token(sub="alice"), remote.token(sub="bob")
        status, minted, _ = await at.request("POST", "/v1/sessions", credential=alice)
        assert status == 201
        client = await at.connect(key=minted["token"])
        session = (await client.get("session"))["data"]
        path = f"/v1/sessions/{session['session_id']}"
        for stranger in (bob, KEY):
            assert (await at.request("GET", f"{path}/transcript", credential=stranger))[0] == 403
            assert (await at.request("POST", f"{path}/tokens", credential=stranger))[0] == 403
        assert (await at.request("POST", f"{path}/tokens", credential=alice))[0] == 201
        await client.socket.close()
        again = await at.connect(key=alice)
        await again.get("session")
        await again.send("session_resume", session_id=session["session_id"], token=alice, streams={})
        assert (await again.get("session"))["data"]["session_id"] == session["session_id"]
        await again.socket.close()
        assert (await at.request("DELETE", path, credential=alice))[0] == 204


async def test_a_scope_is_asked_for_and_no_token_is_an_operators(tmp_path: Path) -> None:
    settings = {"oidc_scope": "captions", "public_url": "wss://gateway.example/ws"}
    async with gateway(tmp_path, **settings) as (at, remote):
        assert await outcome(at, remote.token()) == "permission_denied, close 4403"
        token = remote.token(scope="openid captions")
        assert await outcome(at, token) == "session"
        status, body, _ = await at.request("POST", "/v1/workers/127.0.0.1:1/drain", credential=token)
        assert (status, body["error"]["code"]) == (403, "permission_denied")


async def test_no_token_of_ours_outlives_the_providers(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (at, remote):
        until = _now(40)
        token = remote.token(exp=until)
        _, minted, _ = await at.request("POST", "/v1/sessions", credential=token)
        assert minted["expires_at"] == until + 60
        client = await at.connect(key=token)
        session = (await client.get("session"))["data"]
        resume = jwt.decode(session["resume_token"], options={"verify_signature": False})
        assert resume["exp"] == until + 60
        await client.socket.close()


async def test_a_socket_ends_with_its_token_unless_it_is_renewed(tmp_path: Path) -> None:
    async with gateway(tmp_path, token_notice_s="600", token_grace_s="0") as (at, remote):
        lost = await at.connect(key=remote.token(exp=_now(-58)))
        renewed = await at.connect(key=remote.token(exp=_now(-57)))
        await lost.get("session")
        await lost.get("auth_expiring")
        await renewed.get("auth_expiring")
        await renewed.send("auth", token=remote.token(sub="bob"))
        assert (await renewed.get("error"))["data"]["code"] == "permission_denied"
        await renewed.send("auth", token=remote.token())
        await renewed.get("authenticated")
        assert await lost.closed() == 4401
        await renewed.start()
        await renewed.socket.close()


async def test_keys_are_rotated_without_a_refusal(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (at, remote):
        assert await outcome(at, remote.token()) == "session"
        old = remote.token()
        remote.signers = [Signer("second", "ES256"), *remote.signers]

        async def look() -> str:
            return await outcome(at, remote.token())

        await eventually(look, lambda found: found == "session")
        assert await outcome(at, old) == "session"
        del remote.signers[1]

        async def look_old() -> str:
            return await outcome(at, old)

        await eventually(look_old, lambda found: found == REFUSED)
        assert await outcome(at, remote.token()) == "session"


async def test_a_gateway_starts_without_its_provider_refuses_and_recovers(tmp_path: Path) -> None:
    async with provider(tmp_path, is_started=False) as remote:
        with structlog.testing.capture_logs() as logs:
            async with rig(**remote.settings) as at:
                token = remote.token()
                assert await outcome(at, token) == REFUSED
                assert (await at.request("POST", "/v1/sessions", credential=token))[0] == 401
                assert (await at.request("POST", "/v1/sessions"))[0] == 201  # keys still open the door
                await remote.start()

                async def look() -> str:
                    return await outcome(at, token)

                await eventually(look, lambda found: found == "session")
                await remote.stop()
                assert await outcome(at, token) == "session"
        assert {"provider_away"} <= {line.get("reason") for line in logs if line["event"] == "credential refused"}
        written = json.dumps(logs, default=str)
        assert token not in written
        assert token.split(".")[2] not in written


async def test_a_provider_that_hangs_or_floods_takes_only_its_own_users_time(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (at, remote):
        remote.body = b"[" * 1_000_000
        unknown = Signer("unknown", "ES256").sign(remote.claims())
        assert await outcome(at, unknown) == REFUSED
        assert await outcome(at, remote.token()) == "session"
        remote.is_slow = True
        waiting = [asyncio.create_task(outcome(at, unknown)) for _ in range(5)]
        assert await outcome(at, remote.token()) == "session"
        assert await outcome(at, KEY) == "session"
        for task in waiting:
            assert await task == REFUSED


async def test_sockets_that_wait_for_a_slow_provider_make_room_and_are_closed(tmp_path: Path) -> None:
    """Nothing is read from them meanwhile, so that a shutdown alone would go unnoticed."""
    async with gateway(tmp_path, max_unauthenticated=f"{PLACES}", handshake_s="600") as (at, remote):
        request = request_of(Signer("unknown").sign(remote.claims()))
        remote.is_slow = True
        reading, before = remote.readings, open_files()
        async with asyncio.timeout(60):
            while remote.readings == reading:
                await asyncio.sleep(0.01)
            clients = [await asyncio.open_connection("127.0.0.1", at.gateway.ws_port) for _ in range(PLACES + BEYOND)]
            for _, writer in clients:
                writer.write(request)
            # Of a socket here, both ends are open in this process; of one that was refused, the client's alone.
            most = before + 2 * PLACES + BEYOND + OTHERS
            answers = [asyncio.create_task(reader.read(1)) for reader, _ in clients]
            while sum(answer.done() for answer in answers) < BEYOND or open_files() > most:
                await asyncio.sleep(0.01)
        assert sum(answer.done() for answer in answers) == BEYOND  # the others still wait for the provider
        for _, writer in clients:
            writer.transport.abort()
        await asyncio.gather(*answers, return_exceptions=True)

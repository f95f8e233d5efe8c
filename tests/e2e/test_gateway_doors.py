"""Access over WebSocket and HTTP, and the answers of the HTTP port."""

import json
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import InvalidStatus

from tests.e2e.gateway_rig import KEY, Client, Rig, eventually, rig


async def test_every_place_of_a_credential() -> None:
    async with rig() as at:
        token = (await at.mint())["token"]
        ways = [
            {"additional_headers": {"Authorization": f"Bearer {KEY}"}},
            {"additional_headers": {"Authorization": f"Bearer {token}"}},
            {"subprotocols": ["talkup.v1", f"bearer.{token}"]},
            {"subprotocols": ["talkup.v1", f"bearer.{KEY}"]},
        ]
        for way in ways:
            client = await at.connect(**way)
            await client.get("session")
            await client.socket.close()
        client = await at.connect()
        await client.send("auth", token=token)
        assert (await client.get("session"))["data"]["session_id"]
        await client.socket.close()
        client = await at.connect()
        await client.send("auth", token=KEY)
        await client.get("session")
        await client.start()
        await client.socket.close()


async def test_the_query_takes_tokens_and_never_keys() -> None:
    async with rig() as at:
        minted = await at.mint()
        client = await Client.open(f"{at.ws_url}?token={minted['token']}")
        assert (await client.get("session"))["data"]["session_id"] == minted["session_id"]
        await client.socket.close()
        client = await Client.open(f"{at.ws_url}?token={KEY}")
        assert await client.closed() == 4401
        assert client.seen[0]["data"]["code"] == "unauthenticated"


async def test_wrong_credentials_are_told_and_closed() -> None:
    async with rig() as at:
        client = await at.connect(key="wrong")
        assert await client.closed() == 4401
        assert [message["data"]["code"] for message in client.seen] == ["unauthenticated"]
        client = await at.connect()
        await client.send("auth", token="wrong")
        assert await client.closed() == 4401
        assert client.seen[-1]["data"]["code"] == "unauthenticated"


async def test_without_a_credential_nothing_is_served_and_time_runs() -> None:
    async with rig(auth_timeout_s="0.2") as at:
        client = await at.connect()
        await client.send("stream_start", stream_id="abc", format="audio/pcm;rate=16000")
        assert await client.closed() == 4401
        assert {message["data"]["code"] for message in client.seen} == {"unauthenticated"}
        assert not at.worker.seen


async def until_refused(at: Rig, credential: str) -> None:
    """Present a wrong credential over HTTP until the gateway hears no more of it."""

    async def ask() -> tuple[int, str]:
        status, _, headers = await at.request("POST", "/v1/sessions", credential=credential)
        return status, dict(headers).get("Retry-After", "")

    status, wait = await eventually(ask, lambda answer: answer[0] != 401)
    assert status == 429
    assert 1 <= int(wait) <= 3


async def test_many_wrong_credentials_get_no_further_hearing_but_right_ones_do() -> None:
    async with rig() as at:
        await until_refused(at, "wrong")

        async def knock() -> int:
            """Seconds until the next attempt is heard; 0 if this one was."""
            try:
                await at.connect(key="wrong")
            except InvalidStatus as refused:
                return int(refused.response.headers["Retry-After"])
            return 0

        assert 1 <= await eventually(knock, bool) <= 3
        client = await at.connect(key=KEY)
        await client.get("session")
        await client.socket.close()


async def test_wrong_credentials_of_one_client_keep_no_other_of_its_address_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As behind a proxy: one guesses, the others connect, resume and ask over HTTP with good credentials."""
    async with rig() as at:
        lost = await at.connect(key=KEY)
        session = (await lost.get("session"))["data"]
        await until_refused(at, "a wrong key")
        lost.socket.transport.abort()
        back = await at.connect()
        await back.send("session_resume", session_id=session["session_id"], token=session["resume_token"], streams={})
        assert (await back.get("session"))["data"]["resumed"] is True
        fresh = await at.connect()
        await fresh.send("auth", token=KEY)
        await fresh.get("session")
        assert (await at.mint())["token"]
        guess = await at.connect()
        await guess.send("auth", token="a wrong key")
        assert await guess.closed() == 4401
        error = guess.seen[-1]["data"]
        assert (error["code"], 1000 <= error["retry_after_ms"] <= 3000) == ("unauthenticated", True)
        for client in (back, fresh):
            await client.socket.close()
    lines = [line for line in capsys.readouterr().out.splitlines() if "too many invalid credentials" in line]
    assert len(lines) == 1
    assert "127.0.0.1" in lines[0]
    assert "a wrong key" not in lines[0]


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "times out"])
async def test_sockets_that_show_no_credential_count_as_failures(leaves: bool) -> None:
    async with rig(auth_timeout_s="20" if leaves else "0.05") as at:
        kept = await at.connect(key=KEY)
        await kept.get("session")
        for _ in range(20):
            client = await at.connect()
            if leaves:
                await client.socket.close()
            else:
                assert await client.closed() == 4401
        await at.until_metric('gateway_auth_failures_total{door="absent"} 20.0')
        with pytest.raises(InvalidStatus, match="429"):
            await at.connect(key="wrong")
        await at.until_metric("gateway_sessions 1.0")
        again = await at.connect(key=KEY)
        await again.get("session")
        for client in (kept, again):
            await client.socket.close()


async def test_wrong_tokens_in_messages_count_for_the_client_behind_the_proxy() -> None:
    async with rig(trusted_proxies="127.0.0.1/32") as at:

        def forwarded(address: str) -> dict[str, str]:
            return {"X-Forwarded-For": address}

        for number in range(20):
            guess = await at.connect(additional_headers=forwarded("203.0.113.7"))
            await guess.send("auth", token=f"wrong key {number}")
            assert await guess.closed() == 4401
        wrong = {"Authorization": "Bearer another wrong key"}
        with pytest.raises(InvalidStatus, match="429"):
            await at.connect(additional_headers={**wrong, **forwarded("203.0.113.7")})
        other = await at.connect(additional_headers={**wrong, **forwarded("203.0.113.99")})
        assert await other.closed() == 4401


async def test_sockets_without_a_credential_have_a_bound_of_their_own() -> None:
    async with rig(max_sessions="1", max_unauthenticated="2") as at:
        token = (await at.mint())["token"]
        first = await at.connect(key=token)
        opened = (await first.get("session"))["data"]
        first.socket.transport.abort()
        await at.until_metric("gateway_connections 0.0")
        silent = [await at.connect() for _ in range(3)]
        assert await silent[0].closed() == 1013
        assert silent[0].seen[0]["data"]["code"] == "busy"
        back = await at.connect(key=token)
        assert (await back.get("session", resumed=True))["data"]["session_id"] == opened["session_id"]
        for client in (*silent, back):
            await client.socket.close()


async def test_only_ws_is_served_there() -> None:
    async with rig() as at:
        with pytest.raises(InvalidStatus, match="404"):
            await Client.open(at.ws_url + "/other", key=KEY)


async def test_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    async with rig(tls_cert=str(cert), tls_key=str(key), wss_port="0") as at:
        minted = await at.mint()
        assert minted["url"] == f"wss://127.0.0.1:{at.gateway.wss_port}/ws"
        trust = ssl.create_default_context(cafile=str(cert))
        client = await Client.open(minted["url"], key=minted["token"], ssl=trust)
        await client.start()
        await client.socket.close()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway under test")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path


async def test_sessions_need_a_key() -> None:
    async with rig(public_url="wss://talkup.example/ws") as at:
        minted = await at.mint()
        assert minted["url"] == "wss://talkup.example/ws"
        assert set(minted) == {"session_id", "url", "token", "expires_at"}
        for credential in (None, "wrong", minted["token"]):
            status, body, headers = await at.request("POST", "/v1/sessions", credential=credential)
            assert (status, body["error"]["code"]) == (401, "unauthenticated")
            assert headers["WWW-Authenticate"] == "Bearer"
            status, _, _ = await at.request(
                "POST", "/process/initialization", credential=credential, json={"key": "no"}
            )
            assert status == 401


async def test_a_wrong_key_is_called_wrong_and_a_missing_one_missing() -> None:
    async with rig() as at:
        for credential, words in ((None, "is needed"), ("wrong", "is invalid")):
            _, body, _ = await at.request("POST", "/v1/sessions", credential=credential)
            assert words in body["error"]["message"]
        _, body, _ = await at.request("POST", "/process/initialization", credential=None, json={"key": "wrong"})
        assert "is invalid" in body["error"]["message"]
        path = "/v1/sessions/x/transcript"
        assert "is invalid" in (await at.request("GET", path, credential="wrong"))[1]["error"]["message"]


async def test_talkup_initialization() -> None:
    async with rig() as at:
        asked = {"key": KEY, "type": "initialization", "format": "text", "data": ""}
        status, body, _ = await at.request("POST", "/process/initialization", credential=None, json=asked)
        assert status == 200
        assert {name: body[name] for name in ("key", "type", "format")} == {
            "key": "",
            "type": "initialization_response",
            "format": "text",
        }
        assert body["data"].startswith(f"ws://127.0.0.1:{at.gateway.ws_port}/ws?session_id=")
        bad = [
            ("{", "bad_json"),
            ('{"key": 7}', "bad_message"),
            ('{"type": "other"}', "bad_message"),
            ("\ufeff", "bad_json"),
        ]
        for text, code in bad:
            status, body, _ = await at.request("POST", "/process/initialization", data=text)
            assert (status, body["error"]["code"]) == (400, code)


async def test_transcripts_belong_to_their_session() -> None:
    async with rig() as at:
        mine, other = await at.mint(), await at.mint()
        client = await at.connect(key=mine["token"])
        await client.start()
        await client.socket.send(b"one1")
        text = (await client.finals(1))[0]
        path = f"/v1/sessions/{mine['session_id']}/transcript"
        for credential in (KEY, mine["token"]):
            status, body, _ = await at.request("GET", path, credential=credential)
            assert (status, body["text"]) == (200, text)
        shapes = {"txt": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt", "talkup": "application/json"}
        for name, content_type in shapes.items():
            status, body, headers = await at.request("GET", f"{path}?format={name}&stream_id=abc")
            assert status == 200
            assert headers["Content-Type"].startswith(content_type)
            assert text in (json.dumps(body) if isinstance(body, dict) else body)
        refused = [
            ("", other["token"], 403, "permission_denied"),
            ("", None, 401, "unauthenticated"),
            ("?format=doc", KEY, 400, "bad_message"),
            ("?stream_id=nope", KEY, 404, "unknown_stream"),
        ]
        for query, credential, expected, code in refused:
            status, body, _ = await at.request("GET", path + query, credential=credential)
            assert (status, body["error"]["code"]) == (expected, code)
        await client.socket.close()


async def test_deleted_means_gone_for_good() -> None:
    async with rig() as at:
        minted = await at.mint()
        client = await at.connect(key=minted["token"])
        await client.start()
        await client.socket.send(b"one1")
        await client.finals(1)
        path = f"/v1/sessions/{minted['session_id']}"
        assert (await at.request("DELETE", path, credential=minted["token"]))[0] == 204
        assert await client.closed() == 1000
        assert (await at.request("GET", path + "/transcript"))[0] == 404
        assert (await at.request("DELETE", path))[0] == 404
        again = await at.connect(key=minted["token"])
        await again.closed()
        assert again.seen[0]["data"]["code"] == "session_expired"
        await at.until_metric('gateway_streams{service="stt"} 0.0')


async def test_sessions_are_bounded() -> None:
    async with rig(max_sessions="1") as at:
        first = await at.connect(key=KEY)
        await first.get("session")
        second = await at.connect(key=KEY)
        assert await second.closed() == 1013
        assert second.seen[0]["data"]["code"] == "busy"
        first.socket.transport.abort()
        await at.until_metric("gateway_connections 0.0")
        third = await at.connect(key=KEY)
        await third.get("session")
        await third.socket.close()


async def test_health_pages_and_errors() -> None:
    async with rig() as at:
        assert (await at.request("GET", "/healthz", credential=None))[1] == {"status": "ok"}
        status, page, headers = await at.request("GET", "/", credential=None)
        assert status == 200
        assert "<title>" in page
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert (await at.request("GET", "/app.js", credential=None))[2]["Content-Type"].startswith("text/javascript")
        for path in ("/nothing", "/__init__.py", "/..%2fconfig.py", "/a/b"):
            status, body, _ = await at.request("GET", path)
            assert status == 404
            assert body["error"]["code"]
        assert (await at.request("PUT", "/v1/sessions"))[0] == 405
        status, body, _ = await at.request("POST", "/process/initialization", data=b"x" * 100_000)
        assert (status, body["error"]["code"]) == (413, "payload_too_large")
        await at.worker.set_serving(False)

        async def unready() -> int:
            return (await at.request("GET", "/readyz"))[0]

        await eventually(unready, lambda status: status == 503)


async def test_the_specification_is_served() -> None:
    async with rig() as found:
        status, document, _ = await found.request("GET", "/asyncapi.json", credential=None)
        assert status == 200
        assert document["asyncapi"] == "3.0.0"
        assert document["servers"]["gateway"]["host"].endswith(f":{found.gateway.ws_port}")
        for name in ("client.json", "server.json"):
            status, schema, _ = await found.request("GET", f"/schema/{name}", credential=None)
            assert status == 200
            assert schema["$defs"]
        assert (await found.request("GET", "/schema/other.json", credential=None))[0] == 404


async def test_a_page_of_an_allowed_origin_reads_its_transcript_and_no_other_does() -> None:
    async with rig(allowed_origins="HTTPS://App.Example:443/") as at:
        minted = await at.mint()
        client = await at.connect(key=minted["token"], origin="https://app.example")
        await client.start()
        await client.socket.send(b"one1")
        await client.finals(1)
        path = f"/v1/sessions/{minted['session_id']}/transcript"
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
        async with at.http.options(at.url(path), headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            assert "GET" in answer.headers["Access-Control-Allow-Methods"]
        for token, status in ((minted["token"], 200), ("wrong", 401)):
            headers = {"Origin": "https://app.example", "Authorization": f"Bearer {token}"}
            async with at.http.get(at.url(path), headers=headers) as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
                assert answer.headers["Vary"] == "Origin"
        for origin in ("https://evil.example", "null"):
            headers = {"Origin": origin, "Authorization": f"Bearer {minted['token']}"}
            async with at.http.get(at.url(path), headers=headers) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers
            with pytest.raises(InvalidStatus, match="403"):
                await at.connect(key=minted["token"], origin=origin)
        own = {"Origin": "https://app.example", "Authorization": f"Bearer {KEY}"}
        async with at.http.post(at.url("/v1/sessions"), headers=own) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers
        await client.socket.close()

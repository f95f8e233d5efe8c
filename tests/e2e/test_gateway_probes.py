"""What load balancers and container platforms do to a port: HEAD, plain GET, connections that say nothing."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any

import aiohttp
import pytest

from tests.e2e.gateway_rig import KEY, Client, eventually, rig


async def knock(port: int, first: bytes, *, reset: bool) -> None:
    """Connect, say `first` and leave, by FIN or by RST."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    await writer.drain()
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def test_probes_are_answered_and_leave_no_error_in_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING)
    async with rig() as at:
        for port in (at.gateway.http_port, at.gateway.ws_port):
            for method in ("HEAD", "GET"):
                for path in ("/healthz", "/readyz"):
                    async with at.http.request(method, f"http://127.0.0.1:{port}{path}") as answer:
                        assert answer.status == 200
                        assert bool(await answer.read()) is (method == "GET")
            for first in (b"", b"HEAD /healthz HT", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"\x16\x03\x01\x02\x00"):
                await knock(port, first, reset=False)
                await knock(port, first, reset=True)
        await at.worker.set_serving(False)
        async with asyncio.timeout(20):
            while True:
                async with at.http.head(f"http://127.0.0.1:{at.gateway.ws_port}/readyz") as answer:
                    if answer.status == 503:
                        break
                await asyncio.sleep(0.01)
        async with at.http.get(f"http://127.0.0.1:{at.gateway.ws_port}/other") as answer:
            assert answer.status == 404
        assert (await at.request("GET", "/healthz"))[0] == 200
    assert [record.getMessage() for record in caplog.records] == []
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_all_addresses_are_ipv4_and_ipv6() -> None:
    anywhere = {"http_host": "::", "ws_host": "::", "allow_plaintext": "true", "trusted_proxies": "10.0.0.0/8"}
    async with rig(**anywhere) as at, aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        for host in ("127.0.0.1", "[::1]"):
            async with http.post(f"http://{host}:{at.gateway.http_port}/v1/sessions") as answer:
                minted = await answer.json()
            assert minted["url"] == f"ws://{host}:{at.gateway.ws_port}/ws"
            client = await Client.open(minted["url"], key=minted["token"])
            await client.get("session")
            await client.socket.close()


async def test_a_lost_worker_is_named_with_its_cause_and_without_its_address() -> None:
    async with rig() as at:
        client = await at.connect(key=KEY)
        await client.get("session")
        await at.worker.kill()

        async def readiness() -> dict[str, Any]:
            return (await at.request("GET", "/readyz"))[1]["services"]["stt"]

        expected = {"workers": 1, "serving": 0, "troubles": {"connection_refused": 1}}
        assert await eventually(readiness, lambda found: "connection_refused" in found.get("troubles", {})) == expected

        async def status() -> list[dict[str, Any]]:
            await client.send("status")
            return (await client.get("status"))["data"]["services"][0]["troubles"]

        [trouble] = await eventually(status, bool)
        assert (trouble["cause"], trouble["workers"]) == ("connection_refused", 1)
        assert str(at.worker.port) not in str(trouble)

"""Every way in: who is refused where, and with which code. docs/security.md has the table."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.door_cases import ROWS, SETTINGS
from tests.e2e.gateway_rig import rig
from tests.e2e.test_gateway_doors import certificate
from tests.fakes.doc_tables import documented, rows
from tests.fakes.raw_websocket import RawWebSocket

# After 20 failures, an address that fails is refused otherwise.
ROWS_AT_ONCE = 12


async def test_every_attempt_gets_its_answer(tmp_path: Path) -> None:
    wrong = []
    cert, key = certificate(tmp_path)
    for start in range(0, len(ROWS), ROWS_AT_ONCE):
        async with rig(tls_cert=str(cert), tls_key=str(key), wss_port="0", **SETTINGS) as at:
            for row in ROWS[start : start + ROWS_AT_ONCE]:
                found = await row.attempt(at)
                if found != row.answer:
                    wrong.append(f"{row.door}, {row.shows}: {found}, not {row.answer}")
    assert not wrong, "\n".join(wrong)


async def test_no_answer_names_a_version() -> None:
    async with rig() as at:
        for path in ("/", "/healthz", "/nothing", "/v1/sessions"):
            async with at.http.get(at.url(path)) as answer:
                assert answer.headers["Server"] == "talkup"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["Referrer-Policy"] == "no-referrer"
        for port in (at.gateway.http_port, at.gateway.ws_port):
            text = await _answer_to_nonsense(port)
            assert "aiohttp" not in text
            assert "Python" not in text
            assert "websockets" not in text


async def _answer_to_nonsense(port: int) -> str:
    socket = await RawWebSocket.connect(port)
    await socket.send(b"NONSENSE\r\n\r\n")
    return (await socket.text()).decode(errors="replace")


def test_the_table_of_doors_is_documented() -> None:
    assert len(ROWS) >= 30
    assert documented("security.md", "doors") == rows((row.door, row.shows, row.answer) for row in ROWS)

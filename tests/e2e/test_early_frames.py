"""Frames that a client sends before its handshake is answered: they are read after the answer, or not at all."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.e2e.gateway_rig import KEY, rig
from tests.e2e.test_gateway_doors import certificate
from tests.e2e.test_refused_handshakes import answer_to, request_of, use_up_the_rate
from tests.e2e.test_shares import two_keys
from tests.fakes.raw_websocket import CLOSE, PING, frame

CLOSING = frame(CLOSE, b"\x03\xe8")
PONG = b"\x8a\x01!"
EARLY = {"no frame": b"\xff\xff\xff\xff", "a ping": frame(PING, b"!"), "a close frame": CLOSING}
SOMEWHERE_ELSE = request_of(KEY).replace(b"/ws", b"/nowhere")
NO_URL = request_of(KEY).replace(b"/ws", b"//[/ws")


def after_head(answer: bytes) -> bytes:
    """What comes after the head of a successful handshake."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return rest


@pytest.mark.parametrize("early", EARLY.values(), ids=EARLY)
async def test_a_refused_request_gets_its_answer_and_nothing_else(early: bytes) -> None:
    async with rig() as at:
        expected = await answer_to(at, SOMEWHERE_ELSE)
        assert expected.startswith(b"HTTP/1.1 404 ")
        assert await answer_to(at, SOMEWHERE_ELSE + early) == expected
        assert await answer_to(at, SOMEWHERE_ELSE, early) == expected


async def test_frames_behind_a_request_are_answered_after_the_handshake() -> None:
    async with rig() as at:
        assert after_head(await answer_to(at, request_of(KEY) + frame(PING, b"!") + CLOSING)).count(PONG) == 1
        assert CLOSING[:1] in after_head(await answer_to(at, request_of(KEY) + CLOSING))
        assert b"\x03\xea" in after_head(await answer_to(at, request_of(KEY) + EARLY["no frame"]))


async def test_so_they_are_over_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(cert))
    context.check_hostname = False
    async with rig(tls_cert=str(cert), tls_key=str(key), wss_port="0") as at:
        sent = request_of(KEY) + frame(PING, b"!") + CLOSING
        assert after_head(await answer_to(at, sent, tls=context)).count(PONG) == 1


async def test_a_request_may_be_cut_anywhere() -> None:
    async with rig() as at:
        sent = request_of(KEY) + frame(PING, b"!") + CLOSING
        for cut in range(1, len(sent)):
            assert after_head(await answer_to(at, sent[:cut], sent[cut:])).count(PONG) == 1


async def test_a_target_that_is_no_url_is_not_found(tmp_path: Path) -> None:
    """Also where the owner is above its rate, so that requests are read before there is a connection."""
    async with two_keys(tmp_path, "--rate", "0.001") as (at, first, _):
        for request in (NO_URL, NO_URL.replace(KEY.encode(), first.encode())):
            assert (await answer_to(at, request)).startswith(b"HTTP/1.1 404 ")
        await use_up_the_rate(at, first)
        await answer_to(at, request_of(first))
        assert (await answer_to(at, NO_URL.replace(KEY.encode(), first.encode()))).startswith(b"HTTP/1.1 404 ")

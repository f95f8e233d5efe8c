"""Hostile clients: mutated, oversized and senseless messages, made from a seed, as fast as the gateway reads."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.frames import CloseCode

from bench.harness.stack import KEY

_PER_SOCKET: Final = 100
_PCM = "audio/pcm;rate=16000"
_VALID: Sequence[dict[str, Any]] = (
    {"type": "auth", "data": {"token": "eyJhbGciOiJIUzI1NiJ9.e30.x"}},
    {"type": "ping", "data": {"message": "hello"}, "timestamp": "2025-11-01T12:00:00Z"},
    {"type": "status"},
    {"type": "stream_start", "data": {"stream_id": "a", "kind": "audio", "format": _PCM, "services": ["stt"]}},
    {"type": "stream_start", "data": {"kind": "video", "format": "video/webm;codecs=vp8", "framing": "tagged"}},
    {"type": "stream_chunk", "stream_id": "a", "sequence": 0, "data": base64.b64encode(bytes(64)).decode()},
    {"type": "stream_chunk", "data": {"stream_id": "a", "sequenceNumber": 7, "chunk": "T2dnUw=="}},
    {"type": "stream_flush", "data": {"stream_id": "a", "flush_id": "1"}},
    {"type": "stream_end", "data": {"stream_id": "a"}},
    {"type": "session_resume", "data": {"session_id": "s", "token": "t", "streams": {"a": 3}}},
    {"type": "audio", "data": "T2dnUw==", "mimeType": "audio/ogg", "sequenceNumber": 1, "timestamp": 1762000000000},
    {"type": "image", "data": {"payload": "/9j/"}, "mimeType": "image/jpeg"},
)
_ODD: Sequence[Any] = (
    *(None, True, -1, 0, 2**31, 2**64, 10**300, 0.5, 1e308, "", "\u0000", "\ud800", "é" * 300, "x" * 5000),
    *([], {}, [[[[]]]], [1] * 500, {"a": {"b": {"c": None}}}, "__proto__", "../../etc/passwd", "%s%n", "' OR 1=1 --"),
)


@dataclass(slots=True)
class Tally:
    """What a flood has done so far: messages sent, sockets opened, sockets that the gateway closed."""

    messages: int = 0
    sockets: int = 0
    closed: int = 0


_OPENING: Final = ("stream_start", "audio", "image")
"""Types of messages that open a stream, if they are valid."""


def messages(seed: int, *, opening: bool = True) -> Iterator[str | bytes]:
    """Endless hostile messages; the same ones for the same seed.

    A few of them are valid and make work for workers. Without `opening` none of them can open a stream.
    """
    rng = random.Random(seed)
    kinds = (_replaced, _mutated, _mutated, _noise, _binary, _many_values, _nested, _long)
    while True:
        message = rng.choice(kinds)(rng)
        if opening or isinstance(message, bytes) or not any(f'"{kind}"' in message for kind in _OPENING):
            yield message


def _replaced(rng: random.Random) -> str:
    """A valid message with odd values in some of its fields."""
    message = json.loads(json.dumps(rng.choice(_VALID)))
    for _ in range(rng.randint(0, 3)):
        inner = message.get("data")
        place = inner if isinstance(inner, dict) and inner and rng.random() < 0.7 else message
        place[rng.choice([*place, "stream_id", "format", "protocol_version", "x"])] = deepcopy(rng.choice(_ODD))
    return json.dumps(message)


def _mutated(rng: random.Random) -> str:
    """A valid message with some bytes changed, doubled or cut out."""
    text = bytearray(json.dumps(rng.choice(_VALID)).encode())
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(text) or 1)
        match rng.randrange(4):
            case 0:
                text[at : at + 1] = bytes((rng.randrange(128),))
            case 1:
                text[at:at] = text[at : at + rng.randrange(20)]
            case 2:
                del text[at : at + rng.randrange(20)]
            case 3:
                text[at:at] = rng.choice((b'"', b"{", b"}", b"[", b"\\u", b"null", b"1e999", b","))
    return text.decode(errors="replace")


def _noise(rng: random.Random) -> str:
    return "".join(rng.choice('{}[]":,0123456789abdeftypnul\\ \n\u20ac') for _ in range(rng.randrange(200)))


def _binary(rng: random.Random) -> bytes:
    """A binary message: noise, perhaps with the header of a tagged chunk or of a container."""
    head = rng.choice((b"", b"\x54\x01", b"\x1a\x45\xdf\xa3", b"OggS\x00\x02", b"RIFF", b'{"type":"ping"', b"\xff\xfb"))
    return head + rng.randbytes(rng.choice((0, 1, 5, 6, 7, 60, 4000)))


def _many_values(rng: random.Random) -> str:
    body = rng.choice(("[]", "{}", "1", '""', "null"))
    return '{"type":"ping","data":[' + ",".join([body] * rng.choice((3000, 5000, 50_000))) + "]}"


def _nested(rng: random.Random) -> str:
    depth = rng.choice((30, 70, 900, 20_000))
    return '{"type":"ping","data":' + rng.choice(("[", '{"a":')) * depth + "1" + "]" * depth


def _long(rng: random.Random) -> str:
    size = rng.choice((10_000, 100_000, 200_000))
    return json.dumps({"type": rng.choice(("ping", "stream_chunk", "audio", "nonsense")), "data": "QUFB" * (size // 4)})


async def flood(
    url: str,
    count: int | None,
    *,
    seed: int,
    clients: int = 4,
    opening: bool = True,
    tally: Tally | None = None,
) -> Tally:
    """Send `count` messages from some clients at once, or messages without end for None.

    Every second socket of a client has no credential. `opening`: whether they may open streams. `tally` counts what was
    done, also if the flood is cancelled.
    """
    tally = tally or Tally()
    attackers = [_Attacker(url, messages(seed + number, opening=opening), tally) for number in range(clients)]
    share = None if count is None else -(-count // clients)
    await asyncio.gather(*(each.run(share) for each in attackers))
    return tally


class _Attacker:
    """One client, with one socket after another."""

    def __init__(self, url: str, source: Iterator[str | bytes], tally: Tally) -> None:
        self._url = url
        self._source = source
        self._tally = tally
        self._sent = 0

    async def run(self, count: int | None) -> None:
        """Send `count` messages, or messages without end."""
        options: dict[str, Any] = {"proxy": None, "compression": None, "max_size": None}
        for number in itertools.count():
            if count is not None and self._sent >= count:
                return
            self._tally.sockets += 1
            headers = {"Authorization": f"Bearer {KEY}"} if number % 2 == 0 else {}
            try:
                async with connect(self._url, additional_headers=headers, **options) as socket:
                    await self._send(socket, _PER_SOCKET if count is None else min(_PER_SOCKET, count - self._sent))
            except (OSError, InvalidHandshake):
                self._tally.closed += 1
                await asyncio.sleep(0.05)

    async def _send(self, socket: ClientConnection, count: int) -> None:
        """Send messages until the gateway closes the socket, and read what it answers."""
        reader = asyncio.create_task(_read(socket))
        try:
            for message in islice(self._source, count):
                self._sent += 1
                self._tally.messages += 1
                await socket.send(message)
            await socket.close()  # while the answers are still read: the close frame comes after them
            answer = socket.protocol.close_rcvd
            self._tally.closed += answer is not None and answer.code != CloseCode.NORMAL_CLOSURE
        except WebSocketException:
            self._tally.closed += 1
        finally:
            reader.cancel()
            socket.transport.abort()


async def _read(socket: ClientConnection) -> None:
    with suppress(WebSocketException):
        async for _ in socket:
            pass

"""TalkUp's unchanged web app: it reconnects with a restarted recorder and never resends.

What had not left the old socket is lost with it. So the scenario expects the words of what arrived: the beginning of
each recording, followed by the stale chunk that arrives first on the next socket.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.gateway.figures import Figures
from bench.harness.fault_proxy import FaultProxy, fault_proxy
from bench.harness.stack import HOST, KEY, Stack, running_stack
from workers.fake.engine import WORD_BYTES, expected_words

_HEADER = b"\x1a\x45\xdf\xa3"
_CALLS = 10
# Two words per chunk, so that words tell which chunks have arrived.
_CHUNK_BYTES = 2 * WORD_BYTES
_SLICE_S = 0.05
_RETRY_S = 0.3
_STALE = ("none", "next_chunk", "late_blob")


@dataclass
class Call:
    """One interview: what was recorded, and what the page received."""

    rng: random.Random
    recordings: list[list[bytes]] = field(default_factory=list)
    finals: dict[int, str] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)
    doubled: int = 0

    def chunk(self, *, header: bool = False) -> bytes:
        """The recorder's next slice."""
        head = _HEADER if header else b""
        return head + self.rng.randbytes(_CHUNK_BYTES - len(head))

    def handle(self, message: dict[str, Any]) -> None:
        data = message["data"]
        match message["type"]:
            case "transcript_update" if data["is_final"]:
                # A new socket may repeat a final: the page replaces the first one.
                self.doubled += self.finals.get(data["segment_id"], data["text"]) != data["text"]
                self.finals[data["segment_id"]] = data["text"]
            case "error":
                self.codes.append(data["code"])


async def talkup(arguments: argparse.Namespace) -> Figures:
    """b. TCP resets under TalkUp's own reconnect pattern: recorder restarted, a stale chunk or late blob first."""
    share = max(1, arguments.talkup_cuts // _CALLS)
    with running_stack(workers=2) as stack:
        calls = await asyncio.gather(*(_interview(stack, seed, share) for seed in range(_CALLS)))
    lost = [_words_lost(call, kept) for call, kept in calls]
    every = [call for call, _ in calls]
    return {
        "calls": len(every),
        "cuts": share * len(every),
        "committed_words_seen": sum(len(_seen(call)) for call in every),
        "committed_words_lost": sum(lost),
        "finals_changed": sum(call.doubled for call in every),
        "transcripts_that_are_not_what_arrived": sum(not _fits(call, kept) for call, kept in calls),
        "orphan_chunks_of_one_call_max": max(call.codes.count("orphan_chunk") for call in every),
        "error_codes": sorted({code for call in every for code in call.codes}),
    }


async def _interview(stack: Stack, seed: int, cuts: int) -> tuple[Call, list[str]]:
    """Make a call with this many cuts; return it with the words of the transcript."""
    call = Call(random.Random(seed))
    minted = await asyncio.to_thread(_post, f"{stack.http_url}/v1/sessions")
    async with fault_proxy(stack.ws_port) as proxy:
        url = f"ws://{HOST}:{proxy.port}/ws?token={minted['token']}"
        stale: list[tuple[int, bytes]] = []
        for turn in range(cuts + 1):
            last = turn == cuts
            stale = await _socket(call, url, stale, proxy=None if last else proxy)
            await asyncio.sleep(_RETRY_S)
    return call, await _kept(stack, minted["session_id"])


async def _socket(
    call: Call, url: str, stale: list[tuple[int, bytes]], proxy: FaultProxy | None
) -> list[tuple[int, bytes]]:
    """One socket's life, ended by a reset of `proxy` or by the page; the chunk that comes first on the next one."""
    async with connect(url, max_size=None, compression=None, close_timeout=10) as connection:
        reader = asyncio.create_task(_listen(call, connection))
        for number, chunk in stale:
            await connection.send(_packet(number, chunk))
        slices = [call.chunk(header=True)]
        call.recordings.append(slices)
        shift = sum(number == 0 for number, _ in stale)
        try:
            for number in range(call.rng.randint(5, 40)):
                if number:
                    slices.append(call.chunk())
                await connection.send(_packet(number + shift, slices[-1]))
                await asyncio.sleep(_SLICE_S)
            if proxy is None:
                await connection.close(1000)
            else:
                proxy.reset()
        except ConnectionClosed:
            pass
        await reader
    return _stale(call, slices)


def _stale(call: Call, slices: list[bytes]) -> list[tuple[int, bytes]]:
    """Chunks of the old recording that may arrive first on the new socket, with their sequence numbers."""
    kind = call.rng.choice(_STALE)
    if kind == "none":
        return []
    slices.append(call.chunk())
    return [(0 if kind == "late_blob" else len(slices) - 1, slices[-1])]


async def _listen(call: Call, connection: ClientConnection) -> None:
    try:
        async for message in connection:
            call.handle(json.loads(message))
    except ConnectionClosed:
        return


def _packet(number: int, chunk: bytes) -> str:
    return json.dumps(
        {
            "type": "audio",
            "data": base64.b64encode(chunk).decode(),
            "timestamp": 1739592334000,
            "mimeType": "audio/webm;codecs=opus",
            "sequenceNumber": number,
        }
    )


def _post(url: str) -> Any:
    request = Request(url, headers={"Authorization": f"Bearer {KEY}"}, method="POST")
    with urlopen(request, timeout=10) as response:
        return json.loads(response.read())


async def _kept(stack: Stack, session_id: str) -> list[str]:
    """The transcript once the stream has ended."""
    request = Request(
        f"{stack.http_url}/v1/sessions/{session_id}/transcript", headers={"Authorization": f"Bearer {KEY}"}
    )

    def read() -> Any:
        with urlopen(request, timeout=10) as response:
            return json.loads(response.read())

    kept = await asyncio.to_thread(read)
    for _ in range(300):
        if all(stream["ended"] for stream in kept["streams"]):
            break
        await asyncio.sleep(0.1)
        kept = await asyncio.to_thread(read)
    return [word for stream in kept["streams"] for segment in stream["segments"] for word in segment["text"].split()]


def _seen(call: Call) -> list[str]:
    return [word for _, text in sorted(call.finals.items()) for word in text.split()]


def _words_lost(call: Call, kept: list[str]) -> int:
    """The number of words that the page showed as final but the transcript lacks, or has in another order."""
    rest = iter(kept)
    return sum(word not in rest for word in _seen(call))


def _fits(call: Call, kept: list[str]) -> bool:
    """Whether the transcript is, recording by recording, a beginning of it, then the stale chunk: no more, no less."""
    at = 0
    for slices in call.recordings:
        said = [expected_words(chunk) for chunk in slices]
        arrived = 0
        while arrived < len(said) and kept[at : at + len(said[arrived])] == said[arrived]:
            at += len(said[arrived])
            arrived += 1
        if arrived < len(said) and kept[at : at + len(said[-1])] == said[-1]:
            at += len(said[-1])
    return at == len(kept)

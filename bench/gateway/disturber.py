"""Clients that disturb others, in a separate process, so that only the gateway is affected.

The process reads commands from stdin and answers each with a line on stdout: `go` starts the clients, `stop` ends all
their sessions at once, `tell` prints the figures so far as JSON. Kinds: `slow` (streams that their worker cannot keep
up with), `deaf` (clients that read nothing), `knock` (clients that find every slot taken and retry when
`retry_after_ms` allows), `flood` (clients of one API key that open sockets and streams far above its rate), `hostile`
(mutated, oversized and senseless messages, as fast as the gateway reads them), `nonsense` (the same without those that
open streams), `media` (mutated recordings and storms of headers).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol
from urllib.request import Request, urlopen

from talkup_client.errors import TalkupError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bench.harness.hostile import Tally, flood
from bench.harness.hostile_inputs import Attackers
from bench.harness.speaker import REAL_TIME, Speaker
from bench.harness.stack import KEY

_HEADERS = {"Authorization": f"Bearer {KEY}"}
_FILLER = json.dumps({"type": "ping", "data": {"filler": "x" * 50_000}})
_FILLER_INTERVAL_S = 0.08
_SMALL_BUFFER_BYTES = 16_384


class Disturbance(Protocol):
    """One kind of disturbance. `run` continues until it is cancelled."""

    async def run(self) -> None: ...

    async def calm(self) -> None: ...

    def figures(self) -> dict[str, Any]: ...


class Slow:
    """Speakers in real time; reports the largest `behind_ms` that they received."""

    def __init__(self, url: str, http_url: str, clients: int) -> None:
        self._url = url
        self._http_url = http_url
        self._clients = clients
        self._speakers: list[Speaker] = []
        self._rounds = 0
        self._behind_ms = 0

    async def run(self) -> None:
        self._rounds += 1
        self._speakers = [Speaker(self._url, 1000 * self._rounds + n, pace=REAL_TIME) for n in range(self._clients)]
        await asyncio.gather(*(self._speak(speaker) for speaker in self._speakers))

    async def _speak(self, speaker: Speaker) -> None:
        with suppress(TalkupError):
            await speaker.speak()

    async def calm(self) -> None:
        """Delete the sessions, so that their workers drop the backlog."""
        for speaker in self._speakers:
            flows = [flow.behind_ms for flow in speaker.heard.flows]
            self._behind_ms = max([self._behind_ms, *flows])
            with suppress(TalkupError, OSError):
                await asyncio.to_thread(self._delete, speaker.client.session_id)

    def _delete(self, session_id: str) -> None:
        request = Request(f"{self._http_url}/v1/sessions/{session_id}", headers=_HEADERS, method="DELETE")
        with urlopen(request, timeout=10):
            return

    def figures(self) -> dict[str, Any]:
        return {"slow_streams": self._clients, "told_behind_ms_max": self._behind_ms}


class Deaf:
    """Sockets that send and never read; they reconnect when closed."""

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self._clients = clients
        self._opened = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._flood() for _ in range(self._clients)))

    async def _flood(self) -> None:
        while True:
            with suppress(ConnectionClosed, OSError, TimeoutError):
                async with _connected(self._port, sock=_small_socket(self._port), max_queue=1) as connection:
                    self._opened += 1
                    while True:
                        await connection.send(_FILLER)
                        await asyncio.sleep(_FILLER_INTERVAL_S)

    async def calm(self) -> None:
        """Their sockets are closed with `run`."""

    def figures(self) -> dict[str, Any]:
        return {"deaf_clients": self._clients, "deaf_sockets": self._opened}


class Knock:
    """Clients that ask for a stream; measures the seconds until each refusal, and counts the error codes."""

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self._clients = clients
        self._rng = random.Random(1)
        self._seconds: list[float] = []
        self._codes: dict[str, int] = {}

    async def run(self) -> None:
        await asyncio.gather(*(self._knock() for _ in range(self._clients)))

    async def _knock(self) -> None:
        async with _connected(self._port) as connection:
            number = 0
            while True:
                number += 1
                code, retry_after_ms = await self._ask(connection, f"knock-{number}")
                self._codes[code] = self._codes.get(code, 0) + 1
                await asyncio.sleep(retry_after_ms / 1000 * self._rng.uniform(1.0, 1.5))

    async def _ask(self, connection: ClientConnection, stream_id: str) -> tuple[str, int]:
        data = {"stream_id": stream_id, "format": "audio/pcm;rate=16000"}
        asked = time.monotonic()
        await connection.send(json.dumps({"type": "stream_start", "data": data}))
        while True:
            message = json.loads(await connection.recv())
            told = message["data"]
            if message["type"] == "error" and told.get("stream_id") == stream_id:
                self._seconds.append(time.monotonic() - asked)
                return str(told["code"]), int(told.get("retry_after_ms") or 1000)

    async def calm(self) -> None:
        """Their sockets are closed with `run`."""

    def figures(self) -> dict[str, Any]:
        return {"knocking_clients": self._clients, "answers": self._codes, "refusal_seconds": sorted(self._seconds)}


class Flood:
    """Clients that open a socket and a stream, `per_second` in all, whatever the answers; counts the answers.

    Each comes a little sooner or later every time. Otherwise clients that are delayed together at start-up would stay
    in step.
    """

    def __init__(self, port: int, clients: int, key: str, per_second: float) -> None:
        self._port = port
        self._clients = clients
        self._headers = {"Authorization": f"Bearer {key}"}
        self._interval_s = clients / per_second
        self._rng = random.Random(1)
        self._answers: dict[str, int] = {}
        self._begun = 0
        self._seconds = 0.0

    async def run(self) -> None:
        began = time.monotonic()
        try:
            await asyncio.gather(*(self._open(number / self._clients) for number in range(self._clients)))
        finally:
            self._seconds += time.monotonic() - began

    async def _open(self, phase: float) -> None:
        await asyncio.sleep(phase * self._interval_s)
        while True:
            due = time.monotonic() + self._interval_s * self._rng.uniform(0.75, 1.25)
            answer = await self._attempt()
            self._answers[answer] = self._answers.get(answer, 0) + 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _attempt(self) -> str:
        self._begun += 1
        try:
            async with _connected(self._port, additional_headers=self._headers, proxy=None) as connection:
                data = {"stream_id": "flood", "format": "audio/pcm;rate=16000"}
                await connection.send(json.dumps({"type": "stream_start", "data": data}))
                while (message := json.loads(await connection.recv()))["type"] not in ("error", "acknowledge"):
                    pass
                return str(message["data"].get("code", "admitted"))
        except InvalidStatus as refused:
            return str(refused.response.status_code)
        except (ConnectionClosed, OSError, TimeoutError) as error:
            return type(error).__name__

    async def calm(self) -> None:
        """Their sockets are closed with `run`."""

    def figures(self) -> dict[str, Any]:
        return {
            "flood_answers": self._answers,
            "flood_attempts_per_second": round(self._begun / self._seconds, 1) if self._seconds else 0.0,
        }


class Hostile:
    """Clients that send hostile messages without end; each start sends others than the one before."""

    def __init__(self, port: int, clients: int, *, opening: bool) -> None:
        self._opening = opening
        self._url = f"ws://127.0.0.1:{port}/ws"
        self._clients = clients
        self._starts = 0
        self._tally = Tally()

    async def run(self) -> None:
        self._starts += 1
        seed = 1000 * self._starts
        await flood(self._url, None, seed=seed, clients=self._clients, opening=self._opening, tally=self._tally)

    async def calm(self) -> None:
        """Their sockets are closed with `run`."""

    def figures(self) -> dict[str, Any]:
        told = self._tally
        return {"hostile_messages": told.messages, "hostile_sockets": told.sockets, "sockets_closed": told.closed}


class Media:
    """Clients that send mutated recordings and storms of headers."""

    def __init__(self, port: int, clients: int) -> None:
        self._attackers = Attackers(f"ws://127.0.0.1:{port}/ws", clients)

    async def run(self) -> None:
        await self._attackers.run()

    async def calm(self) -> None:
        """Their sockets are closed with `run`."""

    def figures(self) -> dict[str, Any]:
        told = self._attackers
        return {"outcomes": dict(told.outcomes), "busy": told.busy, "cut_off": told.cut_off}


@asynccontextmanager
async def _connected(port: int, **options: Any) -> AsyncIterator[ClientConnection]:
    """A bare connection, dropped at the end without a close frame."""
    settings: dict[str, Any] = {"additional_headers": _HEADERS, "max_size": None, "compression": None, **options}
    connection = await connect(f"ws://127.0.0.1:{port}/ws", close_timeout=0.2, ping_interval=None, **settings)
    try:
        yield connection
    finally:
        connection.transport.abort()


def _small_socket(port: int) -> socket.socket:
    """A connection with a small kernel buffer, so that the gateway soon notices a client that does not read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
    made.connect(("127.0.0.1", port))
    made.setblocking(False)
    return made


async def _run_commands(disturbance: Disturbance) -> None:
    running: asyncio.Task[None] | None = None
    while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) in ("go", "stop", "tell"):
        if line == "go":
            running = asyncio.create_task(disturbance.run())
        elif line == "stop" and running is not None:
            await disturbance.calm()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        print(json.dumps(disturbance.figures()) if line == "tell" else "done", flush=True)


def _made(given: argparse.Namespace) -> Disturbance:
    port, clients = given.ws_port, given.clients
    match given.kind:
        case "slow":
            return Slow(f"ws://127.0.0.1:{port}/ws", f"http://127.0.0.1:{given.http_port}", clients)
        case "deaf":
            return Deaf(port, clients)
        case "flood":
            return Flood(port, clients, given.key, given.per_second)
        case "hostile" | "nonsense":
            return Hostile(port, clients, opening=given.kind == "hostile")
        case "media":
            return Media(port, clients)
        case _:
            return Knock(port, clients)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.disturber", description=__doc__)
    parser.add_argument("kind", choices=("slow", "deaf", "knock", "flood", "hostile", "nonsense", "media"))
    parser.add_argument("--ws-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--per-second", type=float, default=100.0)
    asyncio.run(_run_commands(_made(parser.parse_args())))


if __name__ == "__main__":
    main()

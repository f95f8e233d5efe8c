"""The Pods of the Kubernetes manifests under Podman: they transcribe, their probes tell the truth, and they drain."""

from __future__ import annotations

import asyncio
import difflib
import random
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
from talkup_client import Client

from bench.harness.cluster import PCM, Speaker
from bench.scoring import normalise, word_errors
from gateway.certificates.commands import run as certs
from tests.canaries import leaks_in
from tests.containers.kubelet import end, passes, wait_ready, wait_until
from tests.containers.manifests import ROOT, Manifest, rendered, template
from tests.containers.podman import Cluster, Pod, cluster, missing, podman
from workers.fake.engine import expected_words

pytestmark = [pytest.mark.containers, pytest.mark.timeout(240)]

SERVICES = ("gateway", "stt-worker", "vision-worker")
CHUNK_BYTES = 3200
CHUNK_S = 0.1
SCRIPTED = ["python", "-m", "workers", "fake"]
# The manifest's base takes longer to load. Podman need not hold a Pod to its processors, so two workers may share them.
SMALL = {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "4"}


@dataclass
class Installation:
    """What a cluster needs before Pods start: its secrets, Redis, and the key of a caller."""

    cluster: Cluster
    objects: list[Manifest]
    key: str

    def worker(self, name: str, settings: dict[str, str], command: list[str] | None = None) -> Pod:
        manifest = template(self.objects, "stt-worker")
        if command:
            manifest["spec"]["containers"][0]["command"] = command
        return self.cluster.play(manifest, "stt-worker", name, settings)

    def gateway(self, name: str) -> Pod:
        return self.cluster.play(template(self.objects, "gateway"), "gateway", name, {})

    @asynccontextmanager
    async def speaking(self, gateways: list[Pod], media: bytes) -> AsyncIterator[Speaker]:
        """A stream through the first of these gateways; its client may go on at any other."""
        urls = [f"ws://{pod.address}:8081/ws" for pod in gateways]
        async with (
            Client(urls, key=self.key, allow_plaintext=True) as client,
            client.stream(format=PCM, language="en") as stream,
        ):
            speaker = Speaker(stream, media, CHUNK_BYTES)
            try:
                yield speaker
            finally:
                await speaker.stop()


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installation]:
    """The secrets that docs/deployment.md lists, made by its commands, and a Redis."""
    lacking = missing()
    assert not lacking, f"this machine lacks {lacking}; docs/deployment.md says how to get it"
    tls, keys = tmp_path / "tls", tmp_path / "keys"
    certs(["init", str(tls), *SERVICES])
    add = [sys.executable, "-m", "gateway", "keys", "add", "backend", "--file", str(keys)]
    key = subprocess.run(add, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()[0]
    with cluster(tmp_path) as made:
        for service in SERVICES:
            files = {"tls.crt": f"{service}.pem", "tls.key": f"{service}-key.pem", "ca.crt": "ca.pem"}
            made.add_secret(f"talkup-{service}-tls", {name: (tls / file).read_text() for name, file in files.items()})
        made.add_secret("talkup-api-keys", {"api-keys": keys.read_text()})
        literals = {name: secrets.token_hex(32) for name in ("token-secret", "metrics-token")}
        made.add_secret_of_variables("talkup-gateway", literals | {"store": "redis://redis.talkup:6379/0"})
        made.add_redis("redis.talkup")
        yield Installation(made, rendered(), key)
    for log in tmp_path.glob("*.log"):
        text = log.read_text(encoding="utf-8")
        assert leaks_in(text, log.name) == []
        assert key not in text
    assert made.network not in podman("ps", "--all", "--format", "{{.Names}}")
    assert made.volumes
    assert made.volumes.isdisjoint(podman("volume", "ls", "--format", "{{.Name}}").split())
    assert "talkup-gateway" not in podman("secret", "ls", "--format", "{{.Name}}").split()


async def speak(speaker: Speaker, chunks: int | None = None) -> None:
    """Say chunks in real time."""
    for _ in range(speaker.chunks if chunks is None else chunks):
        await speaker.say(1)
        await asyncio.sleep(CHUNK_S)


async def heard(
    installed: Installation, gateways: list[Pod], media: bytes, ending: Callable[[], Pod] | None = None
) -> list[str]:
    """The final words of a stream in real time. `ending` chooses a Pod that ends in its middle; without, none does."""
    async with installed.speaking(gateways, media) as speaker:
        await speak(speaker, speaker.chunks // 2)
        ended = asyncio.create_task(asyncio.to_thread(end, ending())) if ending else None
        await speak(speaker, speaker.chunks - speaker.chunks // 2)
        words = await speaker.finish()
        assert ended is None or await ended == 0
        return normalise(" ".join(words), "en")


def check_words(undisturbed: list[str], words: list[str], spoken: str) -> None:
    """No word is missing and none comes twice. How late a step runs decides how a word is heard: some may differ."""
    changes = difflib.SequenceMatcher(None, undisturbed, words, autojunk=False).get_opcodes()
    lengths = [(end - begin, other_end - other) for _, begin, end, other, other_end in changes]
    assert all(before == after for before, after in lengths), (undisturbed, words)
    assert word_errors(spoken, " ".join(words), "en").percent <= 10


async def test_pods_transcribe_and_lose_nothing_when_they_end(
    installed: Installation, speech_ogg: Path, speech_text: str
) -> None:
    """Two workers on the real model and two gateways: first nothing ends, then the worker, then the gateway."""
    workers = [installed.worker(name, SMALL) for name in ("stt-1", "stt-2")]
    gateways = [installed.gateway(name) for name in ("gateway-1", "gateway-2")]
    await asyncio.to_thread(wait_ready, *workers, *gateways)
    samples, rate = soundfile.read(speech_ogg, dtype="int16")
    assert rate == 16_000
    media = samples.tobytes()

    undisturbed = await heard(installed, gateways, media)
    assert word_errors(speech_text, " ".join(undisturbed), "en").percent <= 10
    before = {pod.name: pod.times_logged("stream opened") for pod in workers}

    def busy() -> Pod:
        (pod,) = (pod for pod in workers if pod.times_logged("stream opened") > before[pod.name])
        return pod

    words = await heard(installed, gateways, media, busy)
    check_words(undisturbed, words, speech_text)
    assert all(pod.times_logged("stream opened") == before[pod.name] + 1 for pod in workers)
    words = await heard(installed, gateways, media, lambda: gateways[0])
    check_words(undisturbed, words, speech_text)
    assert [pod.times_logged("session restored") for pod in gateways] == [0, 1]
    print(f"\n{len(undisturbed)} words: none missing and none twice when a worker's Pod and a gateway's Pod ended")


async def test_streams_of_the_scripted_engine_lose_no_word_when_pods_end(installed: Installation) -> None:
    """Exact words: six streams while a worker's Pod ends, and then a gateway's."""
    workers = [installed.worker(name, {}, SCRIPTED) for name in ("stt-1", "stt-2")]
    gateways = [installed.gateway(name) for name in ("gateway-1", "gateway-2")]
    await asyncio.to_thread(wait_ready, *workers, *gateways)
    medias = [random.Random(number).randbytes(100 * CHUNK_BYTES) for number in range(6)]

    async def stream(media: bytes, middle: asyncio.Barrier) -> list[str]:
        async with installed.speaking(gateways, media) as speaker:
            await speak(speaker, 30)
            await middle.wait()
            await speak(speaker, 70)
            return await speaker.finish()

    for ending in (workers[0], gateways[0]):
        middle = asyncio.Barrier(len(medias) + 1)
        streams = [asyncio.create_task(stream(media, middle)) for media in medias]
        await middle.wait()
        assert await asyncio.to_thread(end, ending) == 0
        for media, words in zip(medias, await asyncio.gather(*streams), strict=True):
            assert words == expected_words(media)
    assert workers[0].times_logged("stream opened") > 0
    assert [pod.times_logged("session restored") for pod in gateways] == [0, len(medias)]


@pytest.fixture
def silent_hub(installed: Installation) -> Iterator[tuple[str, threading.Event]]:
    """A model hub on the Pods' network that accepts and never answers: its URL, and whether it was asked."""
    asked, held = threading.Event(), []
    with socket.create_server((installed.cluster.gateway, 0)) as hub:

        def accept() -> None:
            while True:
                try:
                    held.append(hub.accept()[0])
                except OSError:
                    return
                asked.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://{installed.cluster.gateway}:{hub.getsockname()[1]}", asked
        hub.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


def test_a_worker_that_loads_its_model_lives_and_is_not_ready(
    installed: Installation, silent_hub: tuple[str, threading.Event]
) -> None:
    """The model cannot come while the hub is silent: the worker is alive all the time, never ready, never restarted;
    SIGTERM ends it."""
    url, asked = silent_hub
    pod = installed.worker("loading", {"WORKER_MODEL": "nobody/nothing", "HF_ENDPOINT": url})
    wait_until(lambda: passes(pod, "startupProbe"), "the port opens")
    assert asked.wait(30), pod.log()[-1000:]
    for _ in range(3):
        assert passes(pod, "livenessProbe")
        assert not passes(pod, "readinessProbe")
    assert (pod.state("RestartCount"), pod.state("State.Running")) == ("0", "true")
    assert end(pod) == 0
    assert '"worker stopped"' in pod.log()


def test_every_pod_gets_ready_by_its_probes(installed: Installation) -> None:
    """From the first answer of its port to its model, a worker is alive; then it is ready."""
    pods = [
        installed.worker("stt", SMALL),
        installed.cluster.play(template(installed.objects, "vision-worker"), "vision-worker", "vision", {}),
        installed.gateway("gateway"),
    ]
    for pod in pods:
        wait_until(lambda pod=pod: passes(pod, "startupProbe"), f"{pod.name} starts")
    waiting = list(pods)
    while waiting:
        assert all(passes(pod, "livenessProbe") for pod in pods)
        waiting = [pod for pod in waiting if not passes(pod, "readinessProbe")]
    assert [pod.state("RestartCount") for pod in pods] == ["0"] * len(pods)
    for pod in pods:
        assert "CapEff:\t0000000000000000" in podman("exec", pod.container, "cat", "/proc/1/status")
        touch = ["podman", "exec", pod.container, "touch", "/app/new"]
        writing = subprocess.run(touch, check=False, capture_output=True)
        assert b"Read-only file system" in writing.stderr

"""The worker as a server: health over its lifetime, reflection, Describe, and access."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from talkup.v1 import task_pb2, worker_service_pb2, worker_service_pb2_grpc

from settings.errors import ConfigError
from tests.contract.worker_harness import Call, Worker, running, transcribe
from workers.config import WorkerConfig
from workers.fake.engine import FakeEngine
from workers.server import HEALTH_NAMES, SERVICE_NAME, WorkerServer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
TOKEN = "token-for-tests"


class Authority:
    """A private CA in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        self.pem = self._sign(self._name, self._key.public_key(), ca=True)
        self.path = folder / "ca.pem"
        self.path.write_bytes(self.pem)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """Certificate and key, PEM, also written as NAME.pem and NAME.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), ca=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / f"{name}.pem").write_bytes(cert)
        (self.folder / f"{name}.key").write_bytes(private)
        return cert, private

    def files(self, name: str, *, client_ca: bool) -> dict[str, Path | None]:
        """The TLS settings of a worker."""
        self.issue(name)
        return {
            "tls_cert": self.folder / f"{name}.pem",
            "tls_key": self.folder / f"{name}.key",
            "tls_client_ca": self.path if client_ca else None,
        }

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        addresses = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        cert = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(addresses, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return cert.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def health_of(channel: grpc.aio.Channel, name: str = SERVICE_NAME) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status


async def describe(channel: grpc.aio.Channel, token: str | None = None) -> worker_service_pb2.DescribeResponse:
    metadata = (("authorization", f"Bearer {token}"),) if token else None
    stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
    return await stub.Describe(worker_service_pb2.DescribeRequest(), metadata=metadata, timeout=5)


async def services(channel: grpc.aio.Channel) -> set[str]:
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await call.done_writing()
    answer = await call.read()
    assert await call.read() is grpc.aio.EOF
    return {service.name for service in answer.list_services_response.service}


async def test_health_follows_load_and_drain() -> None:
    async with running(load=False) as worker:
        for name in HEALTH_NAMES:
            assert await health_of(worker.channel, name) == NOT_SERVING
        early = worker.call()
        await early.start()
        assert (await early.refusal())[0] == grpc.StatusCode.UNAVAILABLE
        assert list((await describe(worker.channel)).models) == []
        await worker.server.load()
        for name in HEALTH_NAMES:
            assert await health_of(worker.channel, name) == SERVING
        await worker.server.drain()
        for name in HEALTH_NAMES:
            assert await health_of(worker.channel, name) == NOT_SERVING


async def test_watching_health_sees_the_drain() -> None:
    async with running() as worker:
        watch = health_pb2_grpc.HealthStub(worker.channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
        assert (await watch.read()).status == SERVING
        await worker.server.drain()
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()


async def test_reflection_lists_the_service() -> None:
    async with running(reflection=True) as worker:
        assert SERVICE_NAME in await services(worker.channel)


async def test_describe_reports_models_formats_and_free_slots() -> None:
    async with running(slots=5) as worker:
        call = worker.call()
        await call.start()
        await call.read_until("started")
        description = await describe(worker.channel)
    assert description.service_type == task_pb2.SERVICE_TYPE_STT
    assert description.models[0].name == "fake"
    assert list(description.protocol_versions) == ["1.0"]
    assert (description.slots.total, description.slots.free) == (5, 4)
    assert "audio/webm" in description.formats


async def test_a_token_is_required_if_tokens_are_configured() -> None:
    async with running(tokens=(TOKEN, "another-token")) as worker:
        for token in (None, "wrong-token-wrong", TOKEN + "x"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await describe(worker.channel, token)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert (await describe(worker.channel, TOKEN)).slots.total == 64
        assert await health_of(worker.channel) == SERVING
        stranger = worker.call()
        assert (await stranger.refusal())[0] == grpc.StatusCode.UNAUTHENTICATED
        known = Call(worker.stub.StreamTask(metadata=(("authorization", f"Bearer {TOKEN}"),)))
        assert (await transcribe(known, [b"x"]))[-1].ended.chunks == 1


async def test_tls_with_a_renewed_certificate(authority: Authority) -> None:
    async with running(**authority.files("worker", client_ca=False)) as worker:
        credentials = grpc.ssl_channel_credentials(authority.pem)
        for _ in range(2):
            async with grpc.aio.secure_channel(f"localhost:{worker.port}", credentials) as channel:
                assert (await describe(channel)).slots.total == 64
            authority.issue("worker")
        with pytest.raises(grpc.aio.AioRpcError):
            await describe(worker.channel)


async def test_mutual_tls_refuses_clients_without_a_certificate(authority: Authority) -> None:
    async with running(**authority.files("worker", client_ca=True)) as worker:
        cert, key = authority.issue("gateway")
        known = grpc.ssl_channel_credentials(authority.pem, key, cert)
        async with grpc.aio.secure_channel(f"localhost:{worker.port}", known) as channel:
            assert (await describe(channel)).slots.total == 64
        async with grpc.aio.secure_channel(
            f"localhost:{worker.port}", grpc.ssl_channel_credentials(authority.pem)
        ) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await describe(channel)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_port_in_use_is_reported_in_one_line() -> None:
    async with running() as worker:
        second = WorkerServer(WorkerConfig(port=worker.port), FakeEngine())
        with pytest.raises(ConfigError, match=r"--port \(WORKER_PORT\): cannot listen on"):
            await second.start()
        await second.close()


@pytest.mark.parametrize("setting", ["tls_cert", "tls_key", "tls_client_ca"])
@pytest.mark.parametrize("damage", ["empty", "noise", "a folder", "gone"])
async def test_a_certificate_that_cannot_be_used_is_named(authority: Authority, setting: str, damage: str) -> None:
    files = authority.files("worker", client_ca=True)
    config = WorkerConfig(port=0, allowed_clients=("*",), **files)
    path = files[setting]
    assert path is not None
    path.unlink()
    match damage:
        case "empty":
            path.touch()
        case "noise":
            path.write_bytes(b"-----BEGIN CERTIFICATE-----\nnoise\n")
        case "a folder":
            path.mkdir()
    server = WorkerServer(config, FakeEngine())
    with pytest.raises(ConfigError) as refused:
        await server.start()
    await server.close()
    assert str(path) in str(refused.value)
    assert f"WORKER_{setting.upper()}" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_key_of_another_certificate_or_with_a_password_is_named(authority: Authority) -> None:
    files = authority.files("worker", client_ca=False)
    key_path = files["tls_key"]
    assert key_path is not None
    encrypted = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    for content, reason in ((authority.issue("other")[1], "is not the key of"), (encrypted, "without a password")):
        key_path.write_bytes(content)
        server = WorkerServer(WorkerConfig(port=0, **files), FakeEngine())
        with pytest.raises(ConfigError, match=rf"--tls-key \(WORKER_TLS_KEY\): .*{reason}"):
            await server.start()
        await server.close()


async def test_a_drain_ends_even_if_streams_stay_open() -> None:
    async with running(drain_seconds=0.1) as worker:
        call = worker.call()
        await call.start()
        await call.read_until("started")
        async with asyncio.timeout(5):
            await worker.server.drain()
            await worker.server.close()
        with pytest.raises(grpc.aio.AioRpcError):
            await call.rest()


async def test_messages_over_the_limit_are_refused() -> None:
    async def oversize(worker: Worker) -> grpc.StatusCode:
        call = worker.call()
        await call.start()
        await call.chunk(bytes(200_000))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.rest()
        return refused.value.code()

    async with running(max_message_bytes=1 << 16) as worker:
        assert await oversize(worker) == grpc.StatusCode.RESOURCE_EXHAUSTED

"""Why a worker cannot be used, found at real servers with real certificates: one warning per cause, no details."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs
from talkup.v1 import task_pb2

from gateway.upstream.causes import Cause, cause_of
from gateway.upstream.config import TlsSettings
from gateway.upstream.examination import examine
from gateway.upstream.pool import Upstream
from tests.fakes.worker_server import Script, WorkerServer
from tests.unit.gateway.upstream.authority import Authority, write_identity
from tests.unit.gateway.upstream.listening import ListeningUpstream
from tests.unit.gateway.upstream.test_task_stream import FAST, STT, until, upstream, workers

VISION = task_pb2.SERVICE_TYPE_VISION
EXPIRED, FUTURE = (-2.0, -1.0), (1.0, 2.0)
OURS, THEIRS = Authority(), Authority()
SECRET = "token-that-nobody-may-read"


def trouble(pool: Upstream) -> Cause | None:
    found = pool.snapshot()[STT].troubles
    return found[0][0] if found else None


@contextlib.asynccontextmanager
async def tls_worker(credentials: grpc.ServerCredentials) -> AsyncIterator[WorkerServer]:
    worker = await WorkerServer().start(credentials=credentials)
    try:
        yield worker
    finally:
        await worker.kill()


def shown(identity: tuple[bytes, bytes], *, client_ca: Authority | None = None) -> grpc.ServerCredentials:
    if client_ca is None:
        return grpc.ssl_server_credentials([identity])
    return grpc.ssl_server_credentials([identity], client_ca.pem, require_client_auth=True)


def without_certificate(tls: TlsSettings) -> TlsSettings:
    return TlsSettings(tls.root_ca)


TLS_CASES: dict[str, tuple[Callable[[], grpc.ServerCredentials], bool, str, Cause]] = {
    "unknown CA": (lambda: shown(THEIRS.issue("w")), True, "localhost", Cause.TLS_UNKNOWN_CA),
    "name of the host": (lambda: shown(OURS.issue("w", host="elsewhere")), True, "", Cause.TLS_WRONG_NAME),
    "name of the service": (lambda: shown(OURS.issue("w")), True, "stt-worker", Cause.TLS_WRONG_NAME),
    "expired": (lambda: shown(OURS.issue("w", days=EXPIRED)), True, "localhost", Cause.TLS_EXPIRED),
    "not yet valid": (lambda: shown(OURS.issue("w", days=FUTURE)), True, "localhost", Cause.TLS_NOT_YET_VALID),
    "no client certificate": (
        lambda: shown(OURS.issue("w"), client_ca=OURS),
        False,
        "localhost",
        Cause.CLIENT_CERTIFICATE_MISSING,
    ),
    "client certificate of another CA": (
        lambda: shown(OURS.issue("w"), client_ca=THEIRS),
        True,
        "localhost",
        Cause.CLIENT_CERTIFICATE_REFUSED,
    ),
}


@pytest.mark.parametrize("case", TLS_CASES)
async def test_a_cause_of_tls_is_named_and_warned_of_once(tmp_path: Path, case: str) -> None:
    make, has_certificate, name, cause = TLS_CASES[case]
    tls = write_identity(tmp_path, OURS)
    names = {STT: name} if name else {}
    config = replace(FAST, tls=tls if has_certificate else without_certificate(tls), names=names, worker_token=SECRET)
    async with tls_worker(make()) as worker:
        with capture_logs() as logs:
            async with upstream(worker.target, config=config) as pool:
                await until(lambda: trouble(pool) is cause)
                asked = asyncio.get_running_loop().time()
                await until(lambda: asyncio.get_running_loop().time() > asked + 3 * FAST.probing.interval)
                assert trouble(pool) is cause
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert [(line["event"], line["cause"]) for line in warnings] == [("worker cannot be used", cause.word)]
    assert SECRET not in str(logs)


async def test_a_worker_named_by_its_address_serves_under_the_name_of_its_service(tmp_path: Path) -> None:
    config = replace(FAST, tls=write_identity(tmp_path, OURS), names={STT: "stt-worker"})
    async with (
        tls_worker(shown(OURS.issue("w", host="stt-worker"), client_ca=OURS)) as worker,
        upstream(worker.target, config=config) as pool,
    ):
        await until(pool.ready)
        assert trouble(pool) is None


async def test_of_two_addresses_the_one_that_answers_gives_the_cause(tmp_path: Path) -> None:
    """localhost is ::1, where nobody listens, and 127.0.0.1."""
    config = replace(FAST, tls=write_identity(tmp_path, OURS))
    async with (
        tls_worker(shown(OURS.issue("w", days=EXPIRED))) as worker,
        upstream(f"localhost:{worker.port}", config=config) as pool,
    ):
        await until(lambda: trouble(pool) is Cause.TLS_EXPIRED)
        before = asyncio.get_running_loop().time()
        await until(lambda: trouble(pool) is not Cause.TLS_EXPIRED or asyncio.get_running_loop().time() > before + 1)
        assert trouble(pool) is Cause.TLS_EXPIRED


async def test_an_expired_client_certificate_is_refused(tmp_path: Path) -> None:
    tls = write_identity(tmp_path, OURS)
    key, certificate = OURS.issue("gateway", days=EXPIRED)
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "cert.pem").write_bytes(certificate)
    async with (
        tls_worker(shown(OURS.issue("w"), client_ca=OURS)) as worker,
        upstream(f"localhost:{worker.port}", config=replace(FAST, tls=tls)) as pool,
    ):
        await until(lambda: trouble(pool) is Cause.CLIENT_CERTIFICATE_REFUSED)


async def test_plaintext_meets_tls_and_tls_meets_plaintext(tmp_path: Path) -> None:
    tls = write_identity(tmp_path, OURS)
    async with tls_worker(shown(OURS.issue("w"))) as worker, upstream(f"localhost:{worker.port}") as pool:
        await until(lambda: trouble(pool) is Cause.TLS_EXPECTED)
    async with workers(Script()) as [plain], upstream(plain.target, config=replace(FAST, tls=tls)) as pool:
        await until(lambda: trouble(pool) is Cause.PLAINTEXT_EXPECTED)


@contextlib.asynccontextmanager
async def listener(answer: bytes | None) -> AsyncIterator[str]:
    """A server that is no worker: it answers every connection with some bytes, or never (None)."""
    over = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await over.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", Cause.NOT_GRPC),
        (b"", Cause.CONNECTION_CLOSED),
        (None, Cause.NO_ANSWER),
    ],
)
async def test_what_is_no_worker_at_all(answer: bytes | None, cause: Cause) -> None:
    async with listener(answer) as target, upstream(target) as pool:
        await until(lambda: trouble(pool) is cause)


async def test_a_grpc_server_without_the_service() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with upstream(f"127.0.0.1:{port}") as pool:
        await until(lambda: trouble(pool) is Cause.WRONG_SERVICE)
    await server.stop(None)


async def test_a_worker_of_another_service_gets_no_streams() -> None:
    async with workers(Script()) as [speech]:
        pool = ListeningUpstream(replace(FAST, endpoints={VISION: (speech.target,)}))
        await pool.start()
        await until(lambda: pool.snapshot()[VISION].troubles == ((Cause.WRONG_SERVICE, 1),))
        assert pool.snapshot()[VISION].workers_serving == 0
        await pool.close(0)


class Guarded(WorkerServer):
    """A worker that refuses every call with a status, while there is one."""

    status: grpc.StatusCode | None = None

    async def Describe(self, request, context):
        if self.status is not None:
            await context.abort(self.status, f"you sent {SECRET}")
        return await super().Describe(request, context)


async def test_a_cause_is_warned_of_again_when_it_changes_or_comes_back() -> None:
    worker = Guarded()
    worker.status = grpc.StatusCode.UNAUTHENTICATED
    await worker.start()
    later = 0.0
    with capture_logs() as logs:
        config = replace(FAST, worker_token=SECRET, endpoints={STT: (worker.target,)})
        pool = ListeningUpstream(config, clock=lambda: time.monotonic() + later)
        await pool.start()
        await until(lambda: trouble(pool) is Cause.TOKEN_REFUSED)
        worker.status = grpc.StatusCode.PERMISSION_DENIED
        later += 10
        await until(lambda: trouble(pool) is Cause.CLIENT_NOT_ALLOWED)
        worker.status = None
        await until(pool.ready)
        assert trouble(pool) is None
        worker.status = grpc.StatusCode.PERMISSION_DENIED
        await until(lambda: trouble(pool) is Cause.CLIENT_NOT_ALLOWED)
        await worker.kill()
        later += 10
        await until(lambda: trouble(pool) is Cause.CONNECTION_REFUSED)
        await pool.close(0)
    causes = [line["cause"] for line in logs if line["event"] == "worker cannot be used"]
    assert causes == ["token_refused", "client_not_allowed", "client_not_allowed", "connection_refused"]
    assert SECRET not in str(logs)


async def test_a_worker_that_loads_or_drains_is_no_fault() -> None:
    with capture_logs() as logs:
        async with workers(Script(slots=0)) as [worker], upstream(worker.target) as pool:
            await until(lambda: trouble(pool) is Cause.LOADING)
            worker.draining = True
            await until(lambda: trouble(pool) is Cause.DRAINING)
            worker.draining, worker.script.slots = False, 2
            await until(pool.ready)
            await worker.set_serving(False)
            await until(lambda: trouble(pool) is Cause.NOT_SERVING)
    assert not [line for line in logs if line["log_level"] == "warning"]


async def test_a_name_without_an_address_is_named_once() -> None:
    config = replace(FAST, probing=replace(FAST.probing, resolve=0.02))
    tries = 0

    async def resolver(_host: str, _port: int) -> list[str]:
        nonlocal tries
        tries += 1
        raise OSError

    pool = ListeningUpstream(replace(config, endpoints={STT: ("dns:///workers.test:1",)}), resolver=resolver)
    with capture_logs() as logs:
        await pool.start()
        await until(lambda: tries > 3)
        assert pool.snapshot()[STT].troubles == ((Cause.NAME_NOT_FOUND, 1),)
        await pool.close(0)
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["worker name not resolved"]


async def test_a_fixed_name_without_an_address() -> None:
    config = replace(FAST, tls=TlsSettings(insecure=True))
    async with upstream("worker.invalid:50051", config=config) as pool:
        await until(lambda: trouble(pool) is Cause.NAME_NOT_FOUND)


def test_details_that_tell_nothing_are_vague_and_other_statuses_are_failures() -> None:
    assert cause_of("UNAVAILABLE", "Socket closed").is_vague
    assert cause_of("UNAVAILABLE", "no healthy upstream") is Cause.NO_WORKER_BEHIND_PROXY
    assert cause_of("UNAVAILABLE", "Received http2 header with status: 502") is Cause.NOT_GRPC
    assert cause_of("DATA_LOSS", "certificate has expired") is Cause.FAILED
    assert len({cause.word for cause in Cause}) == len(Cause)


async def test_an_examination_finds_by_itself_what_grpc_would_have_told(tmp_path: Path) -> None:
    tls = write_identity(tmp_path, OURS)

    async def look(target: str, name: str | None, settings: TlsSettings) -> Cause:
        return await asyncio.to_thread(examine, target, name, settings, 2.0)

    async with tls_worker(shown(OURS.issue("w"))) as worker:
        target = f"127.0.0.1:{worker.port}"
        assert await look(target, "localhost", tls) is Cause.FAILED  # nothing is wrong with the connection
        assert await look(target, None, tls) is Cause.TLS_WRONG_NAME
        missing = tmp_path / "missing.pem"
        assert await look(target, "localhost", TlsSettings(missing)) is Cause.TLS_FAILED
        assert await look(target, "localhost", replace(tls, client_cert=missing)) is Cause.TLS_FAILED
        write_identity(tmp_path, THEIRS)
        assert await look(target, "localhost", tls) is Cause.TLS_UNKNOWN_CA
    assert await look(target, None, tls) is Cause.CONNECTION_REFUSED
    assert await look("worker.invalid:1", None, tls) is Cause.NAME_NOT_FOUND
    assert await look(f"{'a' * 64}.invalid:1", None, tls) is Cause.NAME_NOT_FOUND
    async with workers(Script()) as [plain]:
        assert await look(plain.target, None, tls) is Cause.PLAINTEXT_EXPECTED

"""Who may call a worker, and what callers without a message or in great numbers can take from others: nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from talkup.v1 import worker_service_pb2, worker_service_pb2_grpc

from deploy.dev import certs
from settings.errors import ConfigError
from tests.contract.worker_harness import CHANNEL_OPTIONS, Call, Worker, final_words, running, transcribe
from tests.fakes.doc_tables import documented, rows
from workers.config import WorkerConfig
from workers.fake.engine import expected_words

TOKEN = "token-for-tests"
BEARER = (("authorization", f"Bearer {TOKEN}"),)
SERVING = health_pb2.HealthCheckResponse.SERVING
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, certs.Identity]:
    """One certificate per role, none of which names this machine."""
    names = certs.parse_names(["gateway", "stt-worker", "vision-worker", "intruder"])
    return certs.ensure(tmp_path_factory.mktemp("tls"), names, dt.datetime.now(dt.UTC))


@asynccontextmanager
async def guarded(identities: dict[str, certs.Identity], **settings: Any) -> AsyncIterator[Worker]:
    """A speech worker with mutual TLS."""
    own = identities["stt-worker"]
    files = {"tls_cert": own.certificate, "tls_key": own.key, "tls_client_ca": own.ca}
    async with running(**files, **settings) as worker:
        yield worker


@asynccontextmanager
async def channel_of(
    worker: Worker, caller: certs.Identity, name: str = "stt-worker"
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of a caller that expects the worker to be `name`."""
    credentials = grpc.ssl_channel_credentials(
        caller.ca.read_bytes(), caller.key.read_bytes(), caller.certificate.read_bytes()
    )
    options = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", name))
    async with grpc.aio.secure_channel(f"127.0.0.1:{worker.port}", credentials, options=options) as channel:
        yield channel


async def outcome(call: Any) -> grpc.StatusCode:
    """The status with which a call ends."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def describe(channel: grpc.aio.Channel, **options: Any) -> Any:
    return worker_service_pb2_grpc.WorkerServiceStub(channel).Describe(worker_service_pb2.DescribeRequest(), **options)


def check(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


def watch(channel: grpc.aio.Channel, **options: Any) -> Any:
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), **options)


def mute(channel: grpc.aio.Channel, method: str) -> Any:
    """A call of any method that sends no message."""
    return channel.stream_stream(method)()


@asynccontextmanager
async def callers(worker: Worker, count: int) -> AsyncIterator[list[grpc.aio.Channel]]:
    """Connections of their own to a worker."""
    options = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{worker.port}", options=options) for _ in range(count)]
    try:
        yield channels
    finally:
        for channel in channels:
            await channel.close()


async def test_only_named_clients_may_call(identities: dict[str, certs.Identity]) -> None:
    expected = {
        "gateway": grpc.StatusCode.OK,
        "vision-worker": grpc.StatusCode.PERMISSION_DENIED,
        "stt-worker": grpc.StatusCode.PERMISSION_DENIED,
        "intruder": grpc.StatusCode.PERMISSION_DENIED,
    }
    async with guarded(identities, allowed_clients=("gateway",)) as worker:
        for caller, status in expected.items():
            async with channel_of(worker, identities[caller]) as channel:
                assert await outcome(describe(channel)) == status, caller
                stream = Call(worker_service_pb2_grpc.WorkerServiceStub(channel).StreamTask())
                watching = watch(channel)
                if status is grpc.StatusCode.OK:
                    assert final_words(await transcribe(stream, [b"x" * 700])) == expected_words(b"x" * 700)
                    assert (await watching.read()).status == SERVING
                else:
                    assert (await stream.refusal())[0] == status, caller
                    assert await outcome(watching.read()) == status, caller
                # A container's own probe has the certificate of the worker.
                assert (await check(channel)).status == SERVING


async def test_a_star_lets_in_every_certificate_of_the_ca(identities: dict[str, certs.Identity]) -> None:
    async with (
        guarded(identities, allowed_clients=("*",)) as worker,
        channel_of(worker, identities["intruder"]) as channel,
    ):
        assert await outcome(describe(channel)) == grpc.StatusCode.OK


async def test_a_named_client_needs_its_token_too(identities: dict[str, certs.Identity]) -> None:
    async with (
        guarded(identities, allowed_clients=("gateway",), tokens=(TOKEN,)) as worker,
        channel_of(worker, identities["gateway"]) as gateway,
        channel_of(worker, identities["intruder"]) as intruder,
    ):
        assert await outcome(describe(gateway)) == grpc.StatusCode.UNAUTHENTICATED
        assert await outcome(describe(gateway, metadata=BEARER)) == grpc.StatusCode.OK
        assert await outcome(describe(intruder, metadata=BEARER)) == grpc.StatusCode.PERMISSION_DENIED


async def test_a_worker_with_the_wrong_name_is_not_called(identities: dict[str, certs.Identity]) -> None:
    async with (
        guarded(identities, allowed_clients=("gateway",)) as worker,
        channel_of(worker, identities["gateway"], "vision-worker") as channel,
    ):
        assert await outcome(describe(channel)) == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"allowed_clients": ("gateway",)}, r"--allowed-clients .*: is checked in client certificates"),
        ({"host": "0.0.0.0", "tls_client_ca": True}, r"--allowed-clients .*: 0.0.0.0 is not loopback: name the cli"),
    ],
)
def test_settings_say_whose_certificates_may_call(
    identities: dict[str, certs.Identity], values: dict[str, Any], message: str
) -> None:
    own = identities["stt-worker"]
    if values.get("tls_client_ca"):
        values = values | {"tls_cert": own.certificate, "tls_key": own.key, "tls_client_ca": own.ca}
    with pytest.raises(ConfigError, match=message):
        WorkerConfig(**values)


async def test_a_watch_needs_the_token_and_a_check_does_not() -> None:
    async with running(tokens=(TOKEN,)) as worker:
        assert await outcome(watch(worker.channel).read()) == grpc.StatusCode.UNAUTHENTICATED
        assert (await watch(worker.channel, metadata=BEARER).read()).status == SERVING
        assert (await check(worker.channel)).status == SERVING


@pytest.mark.parametrize("is_on", [False, True])
async def test_reflection_is_off_unless_asked_for(*, is_on: bool) -> None:
    async with running(reflection=is_on, tokens=(TOKEN,)) as worker:
        for metadata, allowed in ((None, grpc.StatusCode.UNAUTHENTICATED), (BEARER, grpc.StatusCode.OK)):
            question = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            stub = reflection_pb2_grpc.ServerReflectionStub(worker.channel)
            answer = stub.ServerReflectionInfo(question, metadata=metadata).read()
            assert await outcome(answer) == (allowed if is_on else grpc.StatusCode.UNIMPLEMENTED)


@pytest.mark.parametrize("method", ["StreamTask", "Describe"])
async def test_a_stranger_without_a_message_is_refused_at_once(method: str) -> None:
    async with running(tokens=(TOKEN,)) as worker:
        call = mute(worker.channel, f"/talkup.v1.WorkerService/{method}")
        assert await outcome(call.read()) == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "method",
    ["/talkup.v1.WorkerService/StreamTask", "/talkup.v1.WorkerService/Describe", "/grpc.health.v1.Health/Check"],
)
async def test_every_method_has_a_deadline_for_the_first_message(method: str) -> None:
    async with running(start_seconds=0.2) as worker:
        assert await outcome(mute(worker.channel, method).read()) == grpc.StatusCode.DEADLINE_EXCEEDED


async def honest_words(channel: grpc.aio.Channel, number: int) -> list[str]:
    call = Call(worker_service_pb2_grpc.WorkerServiceStub(channel).StreamTask())
    return final_words(await transcribe(call, [b"x" * 700] * 3, stream_id=f"honest-{number}"))


async def none_disturbed(channel: grpc.aio.Channel, flood: Sequence[Any]) -> None:
    """Twenty honest streams, one after the other, get all their words while the flood's calls are there."""
    for number in range(20):
        async with asyncio.timeout(PATIENCE_S):
            assert await honest_words(channel, number) == expected_words(b"x" * 2100)
    assert sum(not call.done() for call in flood) > 0


@pytest.mark.parametrize(
    ("method", "calls", "settings"),
    [
        ("/talkup.v1.WorkerService/StreamTask", 2_000, {}),
        ("/grpc.health.v1.Health/Check", 300, {"max_calls": 100, "max_waiting_calls": 30}),
        ("/talkup.v1.WorkerService/Describe", 300, {"max_calls": 100, "max_waiting_calls": 30}),
    ],
)
async def test_mute_calls_take_no_place_of_honest_ones(method: str, calls: int, settings: dict[str, int]) -> None:
    async with running(start_seconds=600, **settings) as worker, callers(worker, 5) as (honest, *hostile):
        await honest.channel_ready()
        await none_disturbed(honest, [mute(hostile[number % len(hostile)], method) for number in range(calls)])


async def test_watches_take_no_place_of_honest_calls() -> None:
    async with running(max_calls=100, max_watches=30) as worker, callers(worker, 5) as (honest, *hostile):
        own = watch(honest)
        assert (await own.read()).status == SERVING
        await none_disturbed(honest, [watch(hostile[number % len(hostile)]) for number in range(300)])
        await worker.server.drain()
        assert (await own.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_calls_beyond_the_bound_are_refused_and_later_ones_served() -> None:
    async with running(max_calls=8) as worker:
        calls = [worker.call() for _ in range(8)]
        for number, call in enumerate(calls):
            await call.start(stream_id=f"s{number}")
            await call.read_until("started")
        assert await outcome(describe(worker.channel)) == grpc.StatusCode.RESOURCE_EXHAUSTED
        await calls[0].end()
        await calls[0].rest()
        async with asyncio.timeout(PATIENCE_S):
            while await outcome(describe(worker.channel)) != grpc.StatusCode.OK:
                await asyncio.sleep(0.01)


async def test_the_security_page_says_who_may_call(identities: dict[str, certs.Identity], tmp_path: Path) -> None:
    strangers = certs.ensure(tmp_path, certs.parse_names(["gateway"]), dt.datetime.now(dt.UTC))
    own, other = identities["gateway"], strangers["gateway"]
    trusting = certs.Identity(other.certificate, other.key, own.ca)
    found = []

    async def attempt(door: str, shows: str, call: Any) -> None:
        found.append((door, shows, (await outcome(call)).name))

    async with guarded(identities, allowed_clients=("gateway",)) as worker:
        for shows, caller in (
            ("the certificate of an allowed client", own),
            ("the certificate of another worker", identities["vision-worker"]),
            ("another certificate of the same CA", identities["intruder"]),
            ("the certificate of another CA, with an allowed name", trusting),
        ):
            async with channel_of(worker, caller) as channel:
                await attempt("worker, mutual TLS", shows, describe(channel))
        async with channel_of(worker, own, "vision-worker") as channel:
            await attempt(
                "worker, mutual TLS", "an allowed certificate, and expects a worker of another name", describe(channel)
            )
        async with channel_of(worker, identities["stt-worker"]) as channel:
            await attempt("worker, mutual TLS", "the worker's own certificate, to ask for its health", check(channel))
        bare = grpc.ssl_channel_credentials(own.ca.read_bytes())
        options = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", "stt-worker"))
        address = f"127.0.0.1:{worker.port}"
        async with grpc.aio.secure_channel(address, bare, options=options) as channel:
            await attempt("worker, mutual TLS", "no certificate", describe(channel))
        async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
            await attempt("worker, mutual TLS", "no TLS", describe(channel))
    async with running(tokens=(TOKEN,)) as worker:
        for shows, metadata in (
            ("a token", BEARER),
            ("no token", ()),
            ("a wrong token", (("authorization", "Bearer wrong-token-for-tests"),)),
        ):
            await attempt("worker, tokens", shows, describe(worker.channel, metadata=metadata))
    assert documented("security.md", "worker doors") == rows(found)

"""From configured strings to endpoints."""

from __future__ import annotations

import asyncio

import pytest

from gateway.upstream.channel import EndpointAddress
from gateway.upstream.registry import DnsName, EndpointSpec, Registry, parse_endpoint, resolve_dns


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("stt-1:50051", EndpointSpec(EndpointAddress("stt-1:50051"))),
        (" 127.0.0.1:1 ", EndpointSpec(EndpointAddress("127.0.0.1:1"))),
        ("[::1]:50051", EndpointSpec(EndpointAddress("[::1]:50051"))),
        ("dns:///stt:50051", EndpointSpec(DnsName("stt", 50051))),
        ("dns:stt:50051", EndpointSpec(DnsName("stt", 50051))),
        ("xds:///stt", EndpointSpec(EndpointAddress("xds:///stt"), balanced_by_grpc=True)),
    ],
)
def test_parse(text: str, spec: EndpointSpec) -> None:
    assert parse_endpoint(text) == spec


@pytest.mark.parametrize(
    "text", ["", "stt", ":50051", "stt:", "stt:0", "stt:65536", "stt:port", "http://stt:80", "dns:///stt", "stt:٣"]
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an endpoint"):
        parse_endpoint(text)


async def test_every_address_of_a_name_is_an_endpoint_that_keeps_the_name() -> None:
    answers = [["10.0.0.1:5", "10.0.0.2:5"], ["10.0.0.2:5"]]

    async def resolver(host: str, port: int) -> list[str]:
        assert (host, port) == ("stt", 5)
        return answers.pop(0)

    registry = Registry(["dns:///stt:5", "fixed:6"], resolver)
    assert registry.dynamic
    assert list(await registry.endpoints(1)) == [
        EndpointAddress("10.0.0.1:5", "stt"),
        EndpointAddress("10.0.0.2:5", "stt"),
        EndpointAddress("fixed:6"),
    ]
    assert list(await registry.endpoints(1)) == [EndpointAddress("10.0.0.2:5", "stt"), EndpointAddress("fixed:6")]


async def test_a_name_that_fails_keeps_its_addresses() -> None:
    answers: list[list[str] | Exception] = [OSError(), ["10.0.0.1:5"], OSError()]

    async def resolver(host: str, port: int) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    registry = Registry(["dns:///stt:5"], resolver)
    assert await registry.endpoints(1) == {}
    known = await registry.endpoints(1)
    assert len(known) == 1
    assert await registry.endpoints(1) == known


async def test_a_hanging_resolver_is_abandoned_at_the_deadline() -> None:
    async def resolver(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    assert await Registry(["dns:///stt:5"], resolver).endpoints(0.01) == {}


def test_a_fixed_list_is_not_dynamic() -> None:
    assert not Registry(["a:1", "xds:///b", " "]).dynamic


async def test_the_system_resolver_gives_addresses_with_the_port() -> None:
    assert "127.0.0.1:50051" in await resolve_dns("127.0.0.1", 50051)

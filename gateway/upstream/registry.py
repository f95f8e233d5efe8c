"""Turns the configured targets into endpoints.

Fixed addresses stay as they are, DNS names are resolved periodically, and `xds:` names are left to gRPC.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from gateway.upstream.causes import Cause
from gateway.upstream.channel import EndpointAddress

log = structlog.get_logger()

# (host, port) -> addresses as `ip:port` or `[ip]:port`. Raises OSError.
Resolver: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

_DNS = "dns:"
_XDS = "xds:"


@dataclass(frozen=True, slots=True)
class DnsName:
    """A name for several workers; each of its addresses is an endpoint."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One configured entry: a fixed target, a name to resolve, or a name that gRPC balances itself."""

    source: EndpointAddress | DnsName
    balanced_by_grpc: bool = False


def parse_endpoint(text: str) -> EndpointSpec:
    """Parse `host:port`, `dns:///name:port` or `xds:///name`. Raises ValueError."""
    text = text.strip()
    if text.startswith(_XDS):
        return EndpointSpec(EndpointAddress(text), balanced_by_grpc=True)
    resolved = text.startswith(_DNS)
    host, port = _split(text.removeprefix(_DNS).removeprefix("///") if resolved else text, text)
    if resolved:
        return EndpointSpec(DnsName(host, port))
    return EndpointSpec(EndpointAddress(_join(host, port)))


async def resolve_dns(host: str, port: int) -> list[str]:
    """Ask the system's resolver. Raises OSError when the name has no address."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({_join(str(address[0]), port) for *_, address in found})


class Registry:
    """The endpoints of one service. A name that cannot be resolved keeps its latest addresses."""

    def __init__(self, targets: Iterable[str], resolver: Resolver = resolve_dns) -> None:
        """Raises ValueError for a target that cannot be parsed."""
        self._specs = tuple(parse_endpoint(text) for text in targets if text.strip())
        self._resolver = resolver
        self._known: dict[DnsName, list[EndpointAddress]] = {}
        self._unresolved: set[DnsName] = set()

    @property
    def dynamic(self) -> bool:
        """Whether the endpoints may change over time."""
        return any(isinstance(spec.source, DnsName) for spec in self._specs)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The targets that are addresses themselves, no names to resolve."""
        return tuple(spec.source.target for spec in self._specs if isinstance(spec.source, EndpointAddress))

    @property
    def unresolved(self) -> int:
        """How many names could not be resolved the last time."""
        return len(self._unresolved)

    async def endpoints(self, deadline: float) -> dict[EndpointAddress, bool]:
        """The current endpoints, each with whether gRPC balances it itself.

        Resolving a name may take `deadline` seconds.
        """
        found: dict[EndpointAddress, bool] = {}
        for spec in self._specs:
            match spec.source:
                case EndpointAddress() as address:
                    found[address] = spec.balanced_by_grpc
                case DnsName() as name:
                    found.update(dict.fromkeys(await self._resolve(name, deadline), False))
        return found

    async def _resolve(self, name: DnsName, deadline: float) -> list[EndpointAddress]:
        try:
            async with asyncio.timeout(deadline):
                targets = await self._resolver(name.host, name.port)
        except (OSError, TimeoutError) as error:
            if name not in self._unresolved:  # once, until it can be resolved again
                cause = Cause.NAME_NOT_FOUND
                error_name = type(error).__name__
                log.warning("worker name not resolved", host=name.host, error=error_name, advice=cause.advice)
            self._unresolved.add(name)
        else:
            self._unresolved.discard(name)
            self._known[name] = [EndpointAddress(target, name.host) for target in targets]
        return self._known.get(name, [])


def _split(hostport: str, text: str) -> tuple[str, int]:
    host, _, port = hostport.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536 or "/" in host:
        raise ValueError(f"not an endpoint (host:port, dns:///name:port or xds:///name): {text!r}")
    return host, int(port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

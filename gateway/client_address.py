"""The address of a client, also behind proxies that are trusted to name it (X-Forwarded-For)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from settings.network import Networks

_MAX_HOPS: Final = 16


class ClientAddresses:
    """The setting `trusted_proxies`. What any other peer says about its client is ignored."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = Networks(trusted)

    def of(self, peer: str, forwarded: Iterable[str]) -> str:
        """The client behind `peer`: the last address of X-Forwarded-For that is no trusted proxy.

        `forwarded`: the values of the header, in order. Each proxy appends the address that it was reached from.
        """
        hops = [hop.strip() for value in forwarded for hop in value.split(",")][-_MAX_HOPS:]
        address = peer
        while hops and self._trusted.holds(address):
            named = _parsed(hops.pop())
            if named is None:
                break
            address = str(named)
        return address


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, without the port and brackets that some proxies write; None for anything else."""
    host = text.partition("]")[0].removeprefix("[") if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

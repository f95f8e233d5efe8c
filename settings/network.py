"""Network addresses in settings: ports, whether only this machine can reach an address, origins of web pages."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

MAX_PORT = 65535
# Addresses whose parsed form is kept: those that connect again and again.
_ADDRESSES: Final = 4096
LOOPBACK = ("127.0.0.0/8", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. Names other than localhost count as reachable from outside."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(target: str) -> str:
    """The host of `host:port` or `[v6]:port`."""
    return target.rsplit(":", 1)[0].strip("[]")


def browser_origin(text: str) -> str:
    """An origin as browsers write it in `Origin` (RFC 6454 6.1): lower case, without path and default port.

    `null` is the origin of sandboxed pages and of files. Raises ValueError with a reason.
    """
    if text.strip().lower() == "null":
        return "null"
    parts = urlsplit(text.strip().lower())
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "*" in parts.hostname:
        raise ValueError("each must be an origin such as https://app.example (empty: any)")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("an origin has no path: write https://app.example, with a port if it is not the usual one")
    try:
        port = parts.port
        host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
    except ValueError:
        raise ValueError("the port or the name of an origin cannot be read") from None
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """Origins of pages: exactly one, all subdomains of a name, or any."""

    scheme: str
    suffix: str
    is_exact: bool

    @classmethod
    def parse(cls, text: str) -> OriginPattern:
        """An origin, an origin with `*.` before its name, or `*`. Raises ValueError with a reason."""
        stripped = text.strip()
        if stripped == "*":
            return cls("", "", is_exact=False)
        scheme, separator, rest = stripped.partition("://*.")
        if not separator:
            return cls("", browser_origin(stripped), is_exact=True)
        origin = browser_origin(f"{scheme}://{rest}")
        name = origin.partition("://")[2]
        if name.startswith("[") or "." not in name.partition(":")[0] or is_loopback(name.partition(":")[0]):
            raise ValueError("a wildcard needs a name of two parts, such as https://*.app.example")
        return cls(origin.partition("://")[0], f".{name}", is_exact=False)

    def matches(self, origin: str) -> bool:
        """Whether an origin, as a browser writes it, is meant."""
        if self.is_exact:
            return origin == self.suffix
        scheme, _, name = origin.partition("://")
        return not self.suffix or (scheme == self.scheme and name.endswith(self.suffix) and name != self.suffix)


@lru_cache(maxsize=_ADDRESSES)
def client_network(host: str) -> str:
    """The address that a client counts under: an IPv4 address, or the /64 that one IPv6 customer has (RFC 6177)."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Networks:
    """Addresses and networks of a setting, parsed once. Raises ValueError for what is neither."""

    def __init__(self, written: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(each, strict=False) for each in written]
        self._known = lru_cache(maxsize=_ADDRESSES)(self._look_up)

    def holds(self, host: str) -> bool:
        """Whether an address is one of these or in one of these networks; False for anything but an address.

        `host`: the address of a peer, or one that a trusted proxy names. Recent answers are remembered.
        """
        return self._known(host)

    def _look_up(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._networks)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a peer has, as IPv4 if it is one mapped into IPv6 (RFC 4291 2.5.5.2); None if it is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

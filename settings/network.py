"""Network addresses in settings: ports, and whether only this machine can reach an address."""

from __future__ import annotations

import ipaddress

MAX_PORT = 65535


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

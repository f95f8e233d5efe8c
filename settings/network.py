"""Network addresses in settings: ports, whether only this machine can reach an address, origins of web pages."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

MAX_PORT = 65535
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

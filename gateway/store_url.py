"""The URL that names a store: `sqlite:///path`, `redis://host:port/db`, `rediss://…` or `memory://`."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("memory", "sqlite", "redis", "rediss")


def store_fault(url: str) -> str | None:
    """What is wrong with the URL of a store; None: nothing. It may hold a password, which the text does not repeat."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        return "must be sqlite:///path, redis://host:port/db, rediss://… or memory://"
    if scheme.startswith("redis") and not _is_redis(url):
        return "redis needs a host: redis://host:port/db"
    if scheme == "sqlite" and not (rest.startswith("/") and len(rest) > 1):
        return "sqlite needs a path: sqlite:///relative or sqlite:////absolute"
    try:
        sqlite_path(url)
    except RuntimeError:
        return "the home directory that ~ names is unknown"
    return None


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def sqlite_path(url: str) -> Path:
    """The file of a valid `sqlite:///path` URL: three slashes for a relative path, four for an absolute one."""
    return Path(url.removeprefix("sqlite:///")).expanduser()

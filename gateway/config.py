"""The gateway's settings: one frozen, validated object. Nothing else in the gateway reads the environment."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from gateway import settings
from gateway.settings import ConfigError, Setting, boolean, names, number, one_of, path, text, whole

STORE_SCHEMES = ("memory", "sqlite", "redis", "rediss")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("json", "console")
PORT = whole(0, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Every setting of a gateway process. Times end in `_s` (seconds), sizes in `_bytes`.

    Raises ConfigError when settings contradict each other or a named file is not there.
    """

    http_host: Annotated[str, Setting(text, "address the HTTP port listens on")] = "127.0.0.1"
    http_port: Annotated[
        int, Setting(PORT, "port of health, sessions, transcripts, metrics and the demo page (0: any)")
    ] = 8080
    ws_host: Annotated[str, Setting(text, "address the plain WebSocket port listens on")] = "127.0.0.1"
    ws_port: Annotated[int, Setting(PORT, "plain WebSocket port (0: any)")] = 8081
    ws_enabled: Annotated[bool, Setting(boolean, "serve plain ws:// at all")] = True
    wss_host: Annotated[str, Setting(text, "address the TLS WebSocket port listens on")] = "127.0.0.1"
    wss_port: Annotated[int, Setting(PORT, "TLS WebSocket port, served when tls_cert is set (0: any)")] = 8443
    tls_cert: Annotated[Path | None, Setting(path, "PEM certificate chain for wss://")] = None
    tls_key: Annotated[Path | None, Setting(path, "PEM private key for wss://")] = None
    allow_plaintext: Annotated[
        bool, Setting(boolean, "allow plain http:// and ws:// beyond loopback (behind a TLS proxy)")
    ] = False
    public_url: Annotated[
        str, Setting(text, "WebSocket URL told to clients, e.g. wss://host/ws (empty: from the request)")
    ] = ""
    allowed_origins: Annotated[
        tuple[str, ...], Setting(names, "browser origins that may connect, comma-separated (empty: any)")
    ] = ()
    api_keys: Annotated[tuple[str, ...], Setting(names, "API keys of internal callers, comma-separated")] = field(
        default=(), repr=False
    )
    token_secret: Annotated[str, Setting(text, "secret that signs session tokens (empty: random at each start)")] = (
        field(default="", repr=False)
    )
    token_ttl_s: Annotated[float, Setting(number(1, 31536000), "life of a session token")] = 43200.0
    stt_workers: Annotated[tuple[str, ...], Setting(names, "speech workers: host:port,... or dns:///name:port")] = ()
    vision_workers: Annotated[tuple[str, ...], Setting(names, "vision workers: host:port,... or dns:///name:port")] = ()
    worker_ca: Annotated[Path | None, Setting(path, "PEM root certificates that workers are checked against")] = None
    worker_cert: Annotated[Path | None, Setting(path, "PEM client certificate shown to workers (mTLS)")] = None
    worker_key: Annotated[Path | None, Setting(path, "PEM private key of worker_cert")] = None
    worker_token: Annotated[str, Setting(text, "bearer token sent to workers")] = field(default="", repr=False)
    worker_plaintext: Annotated[bool, Setting(boolean, "allow plaintext gRPC to workers beyond loopback")] = False
    worker_connect_s: Annotated[float, Setting(number(0.1, 600), "time for one worker's first response")] = 3.0
    worker_admit_s: Annotated[float, Setting(number(0.1, 600), "time to find a worker for a new stream")] = 8.0
    worker_recover_s: Annotated[float, Setting(number(0.1, 3600), "time to find another worker for a running one")] = (
        60.0
    )
    worker_stall_s: Annotated[float, Setting(number(0.5, 600), "time without an answer while chunks wait")] = 20.0
    worker_attempts: Annotated[int, Setting(whole(1, 1000), "tries to find a worker for a stream")] = 8
    worker_strikes: Annotated[int, Setting(whole(1, 100), "workers lost without progress until a stream fails")] = 2
    worker_eject_s: Annotated[float, Setting(number(1, 3600), "longest time a failed worker is left alone")] = 30.0
    worker_resolve_s: Annotated[float, Setting(number(0.1, 3600), "time between resolutions of worker names")] = 10.0
    worker_behind_ms: Annotated[
        int, Setting(whole(100, 600_000), "age of unsent media (ms) from which a socket is not read")
    ] = 4000
    replay_bytes: Annotated[
        int, Setting(whole(65536, 2**31), "media kept per stream and service for another worker, bytes")
    ] = 16777216
    replay_s: Annotated[float, Setting(number(1, 3600), "the same, as time")] = 120.0
    worker_hung_s: Annotated[
        float, Setting(number(0.5, 600), "time of silence when a worker's probes go unanswered as well")
    ] = 3.5
    worker_finish_s: Annotated[float, Setting(number(0.5, 3600), "time from stream_end to the last final")] = 120.0
    worker_stream_s: Annotated[float, Setting(number(1, 604_800), "longest life of one media stream")] = 14_400.0
    store: Annotated[
        str,
        Setting(
            text, "transcripts and sessions: sqlite:///path (sqlite:////abs/path), redis://host:port/db, memory://"
        ),
    ] = field(default="sqlite:///talkup-gateway.db", repr=False)
    store_lease_s: Annotated[
        float, Setting(number(0.5, 600), "redis: how long a session stays a gateway's own without a sign of life")
    ] = 8.0
    retention_s: Annotated[float, Setting(number(1, 31536000), "how long transcripts stay readable")] = 86400.0
    session_grace_s: Annotated[float, Setting(number(0.05, 86400), "how long a session outlives a lost socket")] = 120.0
    max_sessions: Annotated[
        int, Setting(whole(1, 1000000), "sessions held at once, connected or in their grace time")
    ] = 2000
    max_unauthenticated: Annotated[
        int, Setting(whole(1, 1000000), "sockets held at once that have shown no credential yet")
    ] = 500
    max_message_bytes: Annotated[int, Setting(whole(1024, 268435456), "largest WebSocket message")] = 4194304
    max_http_body_bytes: Annotated[int, Setting(whole(256, 16777216), "largest HTTP request body")] = 65536
    auth_timeout_s: Annotated[float, Setting(number(0.05, 600), "time for the auth message on an open socket")] = 5.0
    ping_interval_s: Annotated[float, Setting(number(0.05, 3600), "time between WebSocket pings")] = 20.0
    ping_timeout_s: Annotated[float, Setting(number(0.05, 3600), "time for a pong")] = 20.0
    outbox_messages: Annotated[int, Setting(whole(8, 1000000), "messages waiting for a client that does not read")] = (
        1024
    )
    outbox_bytes: Annotated[int, Setting(whole(4096, 1073741824), "bytes waiting for a client that does not read")] = (
        8388608
    )
    close_timeout_s: Annotated[float, Setting(number(0.05, 60), "time for a client to answer a close frame")] = 1.0
    drain_s: Annotated[float, Setting(number(0, 3600), "time for streams to finish after SIGTERM")] = 7.0
    log_level: Annotated[str, Setting(one_of(*LOG_LEVELS), f"one of {', '.join(LOG_LEVELS)}")] = "info"
    log_format: Annotated[str, Setting(one_of(*LOG_FORMATS), f"one of {', '.join(LOG_FORMATS)}")] = "json"

    def __post_init__(self) -> None:
        _check_tls(self)
        _check_exposure(self)
        _check_store(self.store)
        if self.store.startswith("redis") and self.api_keys and not self.token_secret:
            raise ConfigError("token_secret", "must be set, the same for all gateways that share a redis store")
        if not self.ws_enabled and self.tls_cert is None:
            raise ConfigError("ws_enabled", "false leaves no WebSocket port: set tls_cert as well")
        if self.token_secret and len(self.token_secret.encode()) < 32:
            raise ConfigError("token_secret", "must be at least 32 bytes long")  # RFC 7518 3.2: HS256 keys
        if self.public_url and urlsplit(self.public_url).scheme not in {"ws", "wss"}:
            raise ConfigError("public_url", "must begin with ws:// or wss://")

    @property
    def open_access(self) -> bool:
        """Whether everybody is let in: no credentials are configured (possible on loopback only)."""
        return not self.api_keys


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_tls(config: GatewayConfig) -> None:
    for name in ("tls_cert", "tls_key", "worker_ca", "worker_cert", "worker_key"):
        path: Path | None = getattr(config, name)
        if path is not None and not path.is_file():
            raise ConfigError(name, f"no file at {path}")
    for cert, key in (("tls_cert", "tls_key"), ("worker_cert", "worker_key")):
        if (getattr(config, cert) is None) != (getattr(config, key) is None):
            absent = cert if getattr(config, cert) is None else key
            raise ConfigError(absent, f"is needed with {key if absent == cert else cert}")


def _check_exposure(config: GatewayConfig) -> None:
    """No credentials: loopback only. Plaintext: loopback only, unless allowed in so many words."""
    listening = [("http_host", True)]
    if config.ws_enabled:
        listening.append(("ws_host", True))
    if config.tls_cert is not None:
        listening.append(("wss_host", False))
    for name, plaintext in listening:
        if is_loopback(getattr(config, name)):
            continue
        if config.open_access:
            raise ConfigError("api_keys", f"must be set before {name} may leave loopback")
        if plaintext and not config.allow_plaintext:
            raise ConfigError(name, "plaintext beyond loopback needs --allow-plaintext")


def _check_store(url: str) -> None:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in STORE_SCHEMES:
        raise ConfigError("store", "must be sqlite:///path, redis://host:port/db, rediss://… or memory://")
    if scheme.startswith("redis") and not _is_redis(url):
        raise ConfigError("store", "redis needs a host: redis://host:port/db")
    if scheme == "sqlite" and not (rest.startswith("/") and len(rest) > 1):
        raise ConfigError("store", "sqlite needs a path: sqlite:///relative or sqlite:////absolute")


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def sqlite_path(url: str) -> Path:
    """The file of a checked `sqlite:///path` URL: three slashes for a relative path, four for an absolute one."""
    return Path(url.removeprefix("sqlite:///")).expanduser()


def load(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> GatewayConfig:
    """Read the settings of this process; see `settings.load` for how it exits on bad ones."""
    description = (
        "The TalkUp gateway: WebSocket in, streaming gRPC workers behind. "
        "Flags win over GATEWAY_* variables, those over the file, that over the defaults."
    )
    return settings.load(GatewayConfig, arguments, environment, prog="python -m gateway", description=description)

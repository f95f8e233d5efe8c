"""The gateway's settings: one frozen, validated object. Nothing else in the gateway reads the environment."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from gateway.access.provider_rules import ALGORITHMS, url_fault
from gateway.store_url import store_fault
from settings.command_line import load as load_settings
from settings.declaration import Setting, Settings
from settings.kinds import LogLevel
from settings.network import MAX_PORT, OriginPattern, is_loopback

MIN_SECRET_BYTES = 32  # RFC 7518 3.2: HS256 keys
MIN_KEY_CHARS = 16  # beyond loopback
STORE_KEY_BYTES = 32
_BAD_STORE_KEY = f"each key must be {STORE_KEY_BYTES} bytes in URL-safe base64"
DOORS = ("deepgram", "openai", "openai-realtime", "twilio", "telephony")
"""The dialects that the HTTP port can speak, see `gateway.doors`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig(Settings):
    """Every setting of a gateway process. Names of times end in `_s` (seconds), names of sizes in `_bytes`.

    Raises SettingError for a value out of range, for settings that contradict each other and for a missing file.
    """

    env_prefix: ClassVar[str] = "GATEWAY_"

    http_host: Annotated[str, Setting("address the HTTP port listens on")] = "127.0.0.1"
    http_port: Annotated[
        int, Setting("port of health, sessions, transcripts, metrics and the demo page (0: any)", 0, MAX_PORT)
    ] = 8080
    ws_host: Annotated[str, Setting("address the plain WebSocket port listens on")] = "127.0.0.1"
    ws_port: Annotated[int, Setting("plain WebSocket port (0: any)", 0, MAX_PORT)] = 8081
    ws_enabled: Annotated[bool, Setting("serve plain ws://")] = True
    wss_host: Annotated[str, Setting("address the TLS WebSocket port listens on")] = "127.0.0.1"
    wss_port: Annotated[int, Setting("TLS WebSocket port, served when tls_cert is set (0: any)", 0, MAX_PORT)] = 8443
    tls_cert: Annotated[Path | None, Setting("PEM certificate chain for wss://")] = None
    tls_key: Annotated[Path | None, Setting("PEM private key for wss://")] = None
    allow_plaintext: Annotated[
        bool, Setting("allow plain http:// and ws:// beyond loopback, for the TLS proxies that trusted_proxies names")
    ] = False
    public_url: Annotated[
        str, Setting("WebSocket URL that clients connect to, e.g. wss://host/ws (empty: from the request)")
    ] = ""
    allowed_origins: Annotated[
        tuple[str, ...],
        Setting(
            "origins of pages that may connect from browsers, such as https://app.example or https://*.app.example, "
            "comma-separated (*: any; empty: any on loopback, else only the gateway's own page)"
        ),
    ] = ()
    api_keys: Annotated[
        tuple[str, ...], Setting("API keys for development, comma-separated; api_keys_file keeps keys for production")
    ] = field(default=(), repr=False)
    api_keys_file: Annotated[
        Path | None, Setting("file of API keys, as `python -m gateway keys` writes it; read again when it changes")
    ] = None
    oidc_issuer: Annotated[str, Setting("identity provider whose tokens are accepted: its issuer URL (https://…)")] = ""
    oidc_audience: Annotated[
        tuple[str, ...], Setting("audiences of its tokens, one of which each token must name, comma-separated")
    ] = ()
    oidc_jwks_url: Annotated[
        str, Setting("URL of its keys (empty: as its discovery document under oidc_issuer says)")
    ] = ""
    oidc_algorithms: Annotated[
        tuple[str, ...], Setting("algorithms that its tokens may be signed with, comma-separated; asymmetric ones only")
    ] = ("RS256", "ES256", "EdDSA")
    oidc_owner_claim: Annotated[str, Setting("claim of its tokens that names the owner of sessions")] = "sub"
    oidc_scope: Annotated[str, Setting("scope that its tokens must hold (empty: any)")] = ""
    oidc_ca: Annotated[Path | None, Setting("PEM root certificates that verify it (none: those of the system)")] = None
    oidc_refresh_s: Annotated[float, Setting("time between readings of its keys", 0.1, 86400)] = 600.0
    trusted_proxies: Annotated[
        tuple[str, ...],
        Setting("addresses or networks of proxies whose X-Forwarded-For names the client, comma-separated"),
    ] = ()
    metrics_token: Annotated[
        str, Setting("bearer token that reads /metrics, /asyncapi.json and /schema (empty: beyond loopback an API key)")
    ] = field(default="", repr=False)
    token_secret: Annotated[
        str, Setting("secret that signs session tokens (empty: made once and kept next to a sqlite store)")
    ] = field(default="", repr=False)
    token_secrets_older: Annotated[
        tuple[str, ...], Setting("earlier values of token_secret whose tokens are still accepted, comma-separated")
    ] = field(default=(), repr=False)
    token_ttl_s: Annotated[float, Setting("lifetime of a session token", 1, 31536000)] = 43200.0
    token_notice_s: Annotated[float, Setting("warning time before a credential expires", 0, 86400)] = 60.0
    token_grace_s: Annotated[
        float, Setting("time that a socket stays open after its credential expired or was revoked", 0, 3600)
    ] = 10.0
    stt_workers: Annotated[tuple[str, ...], Setting("speech workers: host:port,... or dns:///name:port")] = ()
    vision_workers: Annotated[tuple[str, ...], Setting("vision workers: host:port,... or dns:///name:port")] = ()
    stt_worker_name: Annotated[
        str, Setting("name in the certificates of speech workers, such as stt-worker (empty: the host in stt_workers)")
    ] = ""
    vision_worker_name: Annotated[
        str, Setting("name in the certificates of vision workers (empty: the host in vision_workers)")
    ] = ""
    worker_ca: Annotated[Path | None, Setting("PEM root certificates that verify workers")] = None
    worker_cert: Annotated[Path | None, Setting("PEM client certificate presented to workers (mTLS)")] = None
    worker_key: Annotated[Path | None, Setting("PEM private key of worker_cert")] = None
    worker_token: Annotated[str, Setting("bearer token sent to workers")] = field(default="", repr=False)
    worker_plaintext: Annotated[bool, Setting("allow plaintext gRPC to workers beyond loopback")] = False
    worker_proxy: Annotated[
        bool, Setting("reach workers beyond loopback through the proxy that https_proxy or http_proxy names")
    ] = False
    worker_links: Annotated[
        Literal["auto", "always", "never"],
        Setting("when all streams of a worker share one RPC (auto: where each address leads to one worker)"),
    ] = "auto"
    worker_connect_s: Annotated[float, Setting("time for one worker's first response", 0.1, 600)] = 3.0
    worker_admit_s: Annotated[float, Setting("time to find a worker for a new stream", 0.1, 600)] = 8.0
    worker_recover_s: Annotated[float, Setting("time to find another worker for a running stream", 0.1, 3600)] = 60.0
    worker_stall_s: Annotated[float, Setting("time without a result while chunks are waiting", 0.5, 600)] = 20.0
    worker_attempts: Annotated[int, Setting("attempts to find a worker for a new stream", 1, 1000)] = 8
    worker_strikes: Annotated[int, Setting("workers a stream may lose without progress before it fails", 1, 100)] = 2
    worker_eject_s: Annotated[float, Setting("longest time a failed worker stays out of use", 1, 3600)] = 30.0
    worker_resolve_s: Annotated[float, Setting("time between resolutions of worker names", 0.1, 3600)] = 10.0
    worker_behind_ms: Annotated[
        int, Setting("age of unsent media (ms) at which the gateway stops reading the socket", 100, 600_000)
    ] = 4000
    replay_bytes: Annotated[
        int, Setting("media kept per stream and service for replay to another worker, bytes", 65536, 2**31)
    ] = 16777216
    replay_s: Annotated[float, Setting("media kept per stream and service for replay, seconds", 1, 3600)] = 120.0
    worker_hung_s: Annotated[
        float, Setting("time without a result if the worker does not answer probes either", 0.5, 600)
    ] = 3.5
    worker_finish_s: Annotated[float, Setting("time from stream_end to the last final", 0.5, 3600)] = 120.0
    worker_stream_s: Annotated[float, Setting("longest duration of a media stream", 1, 604_800)] = 14_400.0
    store: Annotated[
        str,
        Setting(
            "store of transcripts and sessions: sqlite:///path (sqlite:////abs/path), redis://host:port/db, memory://",
            is_url=True,
        ),
    ] = field(default="sqlite:///talkup-gateway.db", repr=False)
    store_keys: Annotated[
        tuple[str, ...],
        Setting("keys that encrypt stored text, comma-separated, newest first (32 bytes each in URL-safe base64)"),
    ] = field(default=(), repr=False)
    store_key_file: Annotated[Path | None, Setting("file with store_keys, one a line")] = None
    store_lease_s: Annotated[
        float, Setting("redis: how long a gateway owns a session without renewing its lease", 0.5, 600)
    ] = 8.0
    retention_s: Annotated[float, Setting("how long transcripts are kept", 1, 31536000)] = 86400.0
    session_grace_s: Annotated[float, Setting("how long a session survives without a socket", 0.05, 86400)] = 120.0
    max_sessions: Annotated[int, Setting("concurrent sessions, connected or in their grace period", 1, 1000000)] = 2000
    max_unauthenticated: Annotated[int, Setting("concurrent sockets that have not authenticated yet", 1, 1000000)] = (
        2000
    )
    max_unauthenticated_per_address: Annotated[
        int, Setting("concurrent sockets from one address that have not authenticated yet", 1, 1000000)
    ] = 1000
    max_unauthenticated_bytes: Annotated[
        int, Setting("largest WebSocket message before authentication", 1024, 1048576)
    ] = 16384
    max_control_bytes: Annotated[int, Setting("largest WebSocket message without media", 4096, 4194304)] = 131072
    max_inbound_bytes: Annotated[
        int, Setting("bytes that clients have sent and that wait in the gateway, all sockets together", 1048576, 2**40)
    ] = 268435456
    handshake_s: Annotated[float, Setting("time for the TLS and the WebSocket handshake", 0.05, 600)] = 10.0
    max_http_connections: Annotated[int, Setting("concurrent HTTP connections", 1, 1000000)] = 1024
    max_http_per_address: Annotated[
        int, Setting("concurrent HTTP connections from one address that wait for a request", 1, 1000000)
    ] = 256
    http_request_s: Annotated[
        float, Setting("time for an HTTP request to arrive, its header and its body each", 0.05, 600)
    ] = 10.0
    http_idle_s: Annotated[float, Setting("time that an HTTP connection stays open between requests", 0.05, 3600)] = (
        75.0
    )
    idle_stream_s: Annotated[
        float, Setting("time without media after which a stream may lose its slot to others that wait", 1, 86400)
    ] = 30.0
    max_message_bytes: Annotated[int, Setting("largest WebSocket message", 1024, 268435456)] = 4194304
    doors: Annotated[
        tuple[str, ...],
        Setting("dialects served on the HTTP port, comma-separated (auto: all on loopback, else none; none; all)"),
    ] = ("auto",)
    max_recording_bytes: Annotated[int, Setting("largest recording that a dialect takes", 1024, 2**40)] = 2147483648
    min_upload_rate: Annotated[
        float, Setting("slowest pace of a recording (bytes per second); http_request_s bounds its pauses", 1, 1e9)
    ] = 500.0
    max_form_file_bytes: Annotated[int, Setting("largest recording in a form of OpenAI's dialect", 1024, 2**40)] = (
        26214400
    )
    max_form_spool_bytes: Annotated[
        int, Setting("recordings in forms that wait in memory for the options after them, all together", 1024, 2**40)
    ] = 268435456
    recordings_share: Annotated[
        float, Setting("part of the speech slots that recordings of dialects may hold at once", 0.01, 1)
    ] = 0.5
    wyoming_host: Annotated[str, Setting("address the Wyoming port listens on")] = "127.0.0.1"
    wyoming_port: Annotated[int, Setting("port of Wyoming, for Home Assistant (0: off)", 0, MAX_PORT)] = 0
    wyoming_clients: Annotated[
        tuple[str, ...],
        Setting("addresses or networks that may connect to the Wyoming port, comma-separated (loopback always may)"),
    ] = ()
    wyoming_key: Annotated[str, Setting("API key in whose name Wyoming's clients act: they send no credentials")] = (
        field(default="", repr=False)
    )
    max_wyoming_connections: Annotated[int, Setting("concurrent connections to the Wyoming port", 1, 65536)] = 64
    max_http_body_bytes: Annotated[int, Setting("largest HTTP request body", 256, 16777216)] = 65536
    auth_timeout_s: Annotated[float, Setting("time to send the auth message on an open socket", 0.05, 600)] = 5.0
    ping_interval_s: Annotated[float, Setting("time between WebSocket pings", 0.05, 3600)] = 20.0
    ping_timeout_s: Annotated[float, Setting("time for a pong", 0.05, 3600)] = 20.0
    outbox_messages: Annotated[int, Setting("messages waiting for a client that does not read", 8, 1000000)] = 1024
    outbox_bytes: Annotated[int, Setting("bytes waiting for a client that does not read", 4096, 1073741824)] = 8388608
    close_timeout_s: Annotated[float, Setting("time for a client to answer a close frame", 0.05, 60)] = 1.0
    processes: Annotated[
        int, Setting("gateway processes that share the ports; for one machine with several cores", 1, 256)
    ] = 1
    drain_s: Annotated[
        float, Setting("time for streams to finish after SIGTERM", 0, 3600, aliases=("drain_seconds",))
    ] = 7.0
    otlp_endpoint: Annotated[
        str,
        Setting("collector of traces, OTLP over gRPC, e.g. http://collector:4317 (empty: as OTEL_* says)"),
    ] = ""
    log_level: Annotated[LogLevel, Setting("least severe level that is logged")] = "info"
    log_format: Annotated[Literal["json", "text", "console"], Setting("format of log lines (console: text)")] = "json"

    def check(self) -> None:
        _check_tls(self)
        _check_exposure(self)
        _check_provider(self)
        _check_wyoming(self)
        _check_store(self)
        _check_store_keys(self)
        _check_origins(self)
        _check_networks(self)
        if not {*self.doors} <= {*DOORS, "auto", "all", "none"} or ("none" in self.doors and len(self.doors) > 1):
            raise self.invalid("doors", f"must be auto, none, all, or some of {', '.join(DOORS)}")
        if self.store.startswith("redis") and not self.open_access and not self.token_secret:
            raise self.invalid("token_secret", "must be set to the same value on all gateways that share a redis store")
        if not self.ws_enabled and self.tls_cert is None:
            raise self.invalid("ws_enabled", "false leaves no WebSocket port: set tls_cert as well")
        for name, values in (("token_secret", (self.token_secret,)), ("token_secrets_older", self.token_secrets_older)):
            if any(value and len(value.encode()) < MIN_SECRET_BYTES for value in values):
                raise self.invalid(name, f"must be at least {MIN_SECRET_BYTES} bytes long")
        if self.public_url and urlsplit(self.public_url).scheme not in {"ws", "wss"}:
            raise self.invalid("public_url", "must begin with ws:// or wss://")

    @property
    def encryption_keys(self) -> tuple[str, ...]:
        """The keys that encrypt stored text, the newest first; none: the text is stored as it is."""
        return tuple(self.store_key_file.read_text("ascii").split()) if self.store_key_file else self.store_keys

    @property
    def open_access(self) -> bool:
        """Whether no credentials are configured, so that everyone may connect (possible on loopback only)."""
        return not self.api_keys and self.api_keys_file is None and not self.oidc_issuer

    @property
    def open_doors(self) -> tuple[str, ...]:
        """The dialects that the HTTP port speaks."""
        are_all_open = "all" in self.doors or ("auto" in self.doors and not self.is_exposed)
        return tuple(name for name in DOORS if are_all_open or name in self.doors)

    @property
    def is_exposed(self) -> bool:
        """Whether other machines reach this gateway, directly or through a proxy."""
        hosts = (self.http_host, self.ws_host, self.wss_host, *([self.wyoming_host] if self.wyoming_port else ()))
        is_named = bool(self.public_url) and not is_loopback(urlsplit(self.public_url).hostname or "")
        return is_named or bool(self.trusted_proxies) or not all(map(is_loopback, hosts))


def _check_tls(config: GatewayConfig) -> None:
    for name in ("tls_cert", "tls_key", "worker_ca", "worker_cert", "worker_key", "api_keys_file", "oidc_ca"):
        path: Path | None = getattr(config, name)
        if path is not None and not path.is_file():
            raise config.invalid(name, f"no file at {path}")
    for cert, key in (("tls_cert", "tls_key"), ("worker_cert", "worker_key")):
        if (getattr(config, cert) is None) != (getattr(config, key) is None):
            absent = cert if getattr(config, cert) is None else key
            raise config.invalid(absent, f"is needed with {key if absent == cert else cert}")
    for name in ("stt_worker_name", "vision_worker_name"):
        if getattr(config, name) and config.worker_ca is None:
            raise config.invalid(name, "is checked in the workers' certificates: give worker_ca")


def _check_exposure(config: GatewayConfig) -> None:
    """Allow only loopback addresses without credentials; for plaintext as well, unless `allow_plaintext` is set."""
    listening = [("http_host", True)]
    if config.ws_enabled:
        listening.append(("ws_host", True))
    if config.tls_cert is not None:
        listening.append(("wss_host", False))
    for name, plaintext in listening:
        if is_loopback(getattr(config, name)):
            continue
        if config.open_access:
            raise config.invalid("api_keys", f"must be set unless {name} is a loopback address")
        if plaintext and not config.allow_plaintext:
            raise config.invalid(name, "plaintext beyond loopback needs --allow-plaintext")
        if any(len(key) < MIN_KEY_CHARS for key in config.api_keys):
            text = f"a key must be at least {MIN_KEY_CHARS} characters long unless {name} is a loopback address"
            raise config.invalid("api_keys", text)
        if plaintext and not config.trusted_proxies:
            raise config.invalid(
                "trusted_proxies", f"must name the TLS proxies that connect to {name} in plaintext, such as 10.0.0.0/8"
            )


def _check_origins(config: GatewayConfig) -> None:
    for origin in config.allowed_origins:
        try:
            OriginPattern.parse(origin)
        except ValueError as error:
            raise config.invalid("allowed_origins", str(error)) from None


def _check_networks(config: GatewayConfig) -> None:
    for name in ("trusted_proxies", "wyoming_clients"):
        for network in getattr(config, name):
            try:
                ip_network(network, strict=False)
            except ValueError:
                text = "each entry must be an address or a network, such as 10.0.0.0/8"
                raise config.invalid(name, text) from None


def _check_provider(config: GatewayConfig) -> None:
    for name in ("oidc_audience", "oidc_jwks_url", "oidc_scope", "oidc_ca"):
        if getattr(config, name) and not config.oidc_issuer:
            raise config.invalid("oidc_issuer", f"is needed with {name}")
    for name in ("oidc_issuer", "oidc_jwks_url"):
        if (url := getattr(config, name)) and (fault := url_fault(url)) is not None:
            raise config.invalid(name, fault)
    if config.oidc_issuer and not config.oidc_audience:
        raise config.invalid("oidc_audience", "must be set: a token for another service would else be accepted")
    if not config.oidc_algorithms or not {*config.oidc_algorithms} <= {*ALGORITHMS}:
        raise config.invalid("oidc_algorithms", f"must be some of {', '.join(ALGORITHMS)}")
    if not config.oidc_owner_claim:
        raise config.invalid("oidc_owner_claim", "must name a claim, such as sub")


def _check_wyoming(config: GatewayConfig) -> None:
    """Wyoming has no credentials and no TLS: its clients are known by address, and act with a key of the gateway's."""
    if not config.wyoming_port:
        return
    if not is_loopback(config.wyoming_host):
        if config.open_access:
            raise config.invalid("api_keys", "must be set unless wyoming_host is a loopback address")
        if not config.wyoming_clients:
            text = "must name who connects to wyoming_host, such as 192.168.1.10: Wyoming has no credentials"
            raise config.invalid("wyoming_clients", text)
    if not config.open_access and not config.wyoming_key:
        raise config.invalid("wyoming_key", "must be the API key in whose name Wyoming's clients act")


def _check_store(config: GatewayConfig) -> None:
    if (fault := store_fault(config.store)) is not None:
        raise config.invalid("store", fault)
    if config.store.startswith("memory") and config.processes > 1:
        raise config.invalid("processes", "several processes need a store that they share: sqlite:///path or redis://")


def _check_store_keys(config: GatewayConfig) -> None:
    setting = "store_keys"
    if config.store_key_file is not None:
        setting = "store_key_file"
        if config.store_keys:
            raise config.invalid(setting, "is set together with store_keys: set one of them")
    try:
        keys = config.encryption_keys
        are_valid = all(len(base64.urlsafe_b64decode(key)) == STORE_KEY_BYTES for key in keys)
    except OSError as error:
        raise config.invalid(setting, f"{config.store_key_file}: {error.strerror}") from None
    except ValueError:
        raise config.invalid(setting, _BAD_STORE_KEY) from None
    if not are_valid or (config.store_key_file is not None and not keys):
        raise config.invalid(setting, _BAD_STORE_KEY)


def load(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> GatewayConfig:
    """Read the settings of this process. Raises ConfigError; `--help` prints and raises SystemExit(0)."""
    description = (
        "The TalkUp gateway between WebSocket clients and streaming gRPC workers. "
        "Flags override GATEWAY_* variables, variables override the file, and the file overrides the defaults. "
        "With --check, the gateway only checks its settings, certificates, keys and store."
    )
    return load_settings(GatewayConfig, arguments, environment, prog="python -m gateway", description=description)

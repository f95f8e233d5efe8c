"""The settings that every worker has, whatever its service; other services add theirs in their own folders."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from settings.declaration import Setting, Settings
from settings.network import MAX_PORT, is_loopback

DEFAULT_MODELS: Final = ("base", "tiny.en")
_MIN_TOKEN_LENGTH: Final = 8

PORT: Final = Setting("gRPC port (0: any)", 0, MAX_PORT)
_MODEL_CACHE: Final = Setting("folder of joined and downloaded weights")
_DEFAULT_CACHE: Final = Path("~/.cache/talkup/models")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a server; with `client_ca` set, every client needs a certificate of that CA."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig(Settings):
    """Settings of a worker process, complete for the speech service.

    Raises SettingError for a value out of range, for an unreadable file and for a listener that is too open.
    """

    env_prefix: ClassVar[str] = "WORKER_"

    host: Annotated[str, Setting("address to listen on")] = "127.0.0.1"
    port: Annotated[int, PORT] = 50051
    tls_cert: Annotated[Path | None, Setting("PEM certificate chain, re-read when it changes")] = None
    tls_key: Annotated[Path | None, Setting("PEM private key, re-read when it changes")] = None
    tls_client_ca: Annotated[Path | None, Setting("PEM CA that every client's certificate must come from")] = None
    allowed_clients: Annotated[
        tuple[str, ...],
        Setting("names in client certificates that may call, comma-separated (*: every one of tls_client_ca)"),
    ] = ()
    tokens: Annotated[tuple[str, ...], Setting("bearer tokens, comma-separated; a caller must send one")] = field(
        default=(), repr=False
    )
    insecure: Annotated[bool, Setting("listen beyond loopback without TLS or without credentials")] = False
    reflection: Annotated[bool, Setting("answer gRPC server reflection, to callers that may call the service")] = False
    model: Annotated[str, Setting("model name or directory")] = "base"
    model_cache: Annotated[Path, _MODEL_CACHE] = _DEFAULT_CACHE
    device: Annotated[Literal["auto", "cpu", "cuda"], Setting("where the model runs")] = "auto"
    compute_type: Annotated[str, Setting("number format of the weights, such as int8 or float16")] = "default"
    threads: Annotated[int, Setting("compute threads (0: the engine chooses)", 0, 1_024)] = 0
    decoders: Annotated[int, Setting("media decoder processes (0: one per core)", 0, 256)] = 0
    slots: Annotated[int, Setting("streams admitted at once (0: the engine measures)", 0, 10_000)] = 0
    drain_seconds: Annotated[
        float, Setting("how long running streams may continue after SIGTERM", 0, 3_600, aliases=("drain_s",))
    ] = 7.0
    start_seconds: Annotated[
        float, Setting("how long a call may take to send its first message", 0.1, 600, aliases=("start_s",))
    ] = 10.0
    write_seconds: Annotated[
        float, Setting("how long a caller may leave a result unread", 0.1, 3_600, aliases=("write_s",))
    ] = 30.0
    stream_seconds: Annotated[float, Setting("longest duration of a stream", 1, 86_400, aliases=("stream_s",))] = (
        14_400.0
    )
    max_message_bytes: Annotated[int, Setting("largest message in either direction", 1 << 16, 64 << 20)] = 4 << 20
    max_calls: Annotated[int, Setting("concurrent calls that have sent their first message", 8, 100_000)] = 1_000
    max_waiting_calls: Annotated[
        int, Setting("calls without their first message; beyond that, the caller with the most loses one", 1, 100_000)
    ] = 256
    max_watches: Annotated[
        int, Setting("concurrent health watches; beyond that, the caller with the most loses one", 1, 100_000)
    ] = 256
    metrics_port: Annotated[int, Setting("port of the Prometheus metrics, on `host` (0: off)", 0, MAX_PORT)] = 0
    otlp_endpoint: Annotated[
        str,
        Setting("collector of traces, OTLP over gRPC, e.g. http://collector:4317 (empty: as OTEL_* says)"),
    ] = ""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Setting("least severe level that is logged")] = (
        "info"
    )
    log_format: Annotated[Literal["text", "json", "console"], Setting("format of log lines (console: text)")] = "text"

    @property
    def tls(self) -> TlsFiles | None:
        """The server's certificate files; None for plaintext."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return TlsFiles(self.tls_cert, self.tls_key, self.tls_client_ca)

    @property
    def admits_any_certificate(self) -> bool:
        """Whether every certificate of `tls_client_ca` may call because no setting says whose."""
        return self.tls_client_ca is not None and not self.allowed_clients

    def check(self) -> None:
        _check_tls(self)
        if self.allowed_clients and self.tls_client_ca is None:
            raise self.invalid("allowed_clients", "is checked in client certificates: give tls-client-ca")
        if any(not token.isascii() or len(token) < _MIN_TOKEN_LENGTH for token in self.tokens):
            raise self.invalid("tokens", f"each needs at least {_MIN_TOKEN_LENGTH} ASCII characters")
        if is_loopback(self.host) or self.insecure:
            return
        if self.tls is None:
            raise self.invalid("host", f"{self.host} is not loopback: give tls-cert and tls-key, or --insecure")
        if self.tls.client_ca is None and not self.tokens:
            raise self.invalid("host", f"{self.host} is not loopback: give tls-client-ca or tokens, or --insecure")
        if self.admits_any_certificate:
            problem = f"{self.host} is not loopback: name the clients, such as gateway (*: all), or --insecure"
            raise self.invalid("allowed_clients", problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsConfig(Settings):
    """Settings of `python -m workers models`."""

    env_prefix: ClassVar[str] = "WORKER_"

    names: Annotated[tuple[str, ...], Setting("model names", positional=True)] = DEFAULT_MODELS
    model_cache: Annotated[Path, _MODEL_CACHE] = _DEFAULT_CACHE


def _check_tls(config: WorkerConfig) -> None:
    given = [name for name in ("tls_cert", "tls_key", "tls_client_ca") if getattr(config, name) is not None]
    for name in ("tls_cert", "tls_key"):
        if given and name not in given:
            raise config.invalid(name, f"is needed with {given[0]}")
    for name in given:
        path: Path = getattr(config, name)
        try:
            path.read_bytes()
        except OSError as error:
            raise config.invalid(name, f"{path}: {error.strerror}") from None

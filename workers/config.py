"""Every setting of a worker process: one frozen, validated object, made once. The only reader of the environment here.

Flags win over environment variables (WORKER_*), these over the file named by --config, that over the defaults.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Never

import configargparse
from talkup.v1 import task_pb2

from workers.fake.script import WORDS_PER_FINAL, FakeScript
from workers.fake.words import WORD_BYTES

if TYPE_CHECKING:
    import argparse

DEFAULT_MODELS: Final = ("base", "tiny.en")
DEFAULT_PORTS: Final = {"stt": 50051, "vision": 50052, "fake": 50051}
_PURPOSE: Final = {
    "stt": "Serve speech to text.",
    "vision": "Serve behaviour signals from pictures.",
    "fake": "Serve a scripted engine without a model: deterministic words from the bytes received.",
}
_SERVICE_TYPES: Final = {"stt": task_pb2.SERVICE_TYPE_STT, "vision": task_pb2.SERVICE_TYPE_VISION}


class ConfigError(Exception):
    """A setting that cannot be used; the message is one line and names it."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a server; `client_ca` set means that every client needs a certificate of that CA."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """Settings of one worker. Seconds, bytes and counts are named so; `port` and `metrics_port` 0: see the flags."""

    service: str
    host: str = "127.0.0.1"
    port: int = 0
    model: str = "base"
    model_cache: Path = Path(".cache/models")
    device: str = "auto"
    compute_type: str = "default"
    threads: int = 0
    decoders: int = 0
    nets: str = "opencv"
    nice: int = 0
    slots: int = 0
    tls: TlsFiles | None = None
    tokens: tuple[str, ...] = field(default=(), repr=False)
    insecure: bool = False
    drain_seconds: float = 7.0
    start_seconds: float = 10.0
    write_seconds: float = 30.0
    stream_seconds: float = 14_400.0
    max_message_bytes: int = 4 << 20
    max_calls: int = 1_000
    metrics_port: int = 0
    log_level: str = "info"
    log_format: str = "text"
    fake: FakeScript | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        _check_numbers(self)
        if self.tls is not None:
            for setting, path in (("tls-cert", self.tls.cert), ("tls-key", self.tls.key)):
                _check_readable(setting, path)
            if self.tls.client_ca is not None:
                _check_readable("tls-client-ca", self.tls.client_ca)
        if any(not token.isascii() or len(token) < 8 for token in self.tokens):
            raise ConfigError("tokens: each needs at least 8 ASCII characters")
        if is_loopback(self.host) or self.insecure:
            return
        if self.tls is None:
            raise ConfigError(f"host: {self.host} is not loopback: give tls-cert and tls-key, or --insecure")
        if self.tls.client_ca is None and not self.tokens:
            raise ConfigError(f"host: {self.host} is not loopback: give tls-client-ca or tokens, or --insecure")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. Names other than localhost are taken as reachable from outside."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse(service: str, argv: Sequence[str], environ: Mapping[str, str] | None = None) -> WorkerConfig:
    """The settings of `python -m workers SERVICE`. Raises ConfigError; `--help` prints and raises SystemExit(0)."""
    parser = _parser(service)
    values: argparse.Namespace = parser.parse_args(
        list(argv), env_vars=dict(os.environ if environ is None else environ)
    )
    return WorkerConfig(
        service=service,
        host=values.host,
        port=values.port,
        model=values.model,
        model_cache=Path(values.model_cache).expanduser(),
        device=values.device,
        compute_type=values.compute_type,
        threads=values.threads,
        decoders=values.decoders,
        nets=getattr(values, "nets", "opencv"),
        nice=getattr(values, "nice", 0),
        slots=values.slots,
        tls=_tls(values),
        tokens=tuple(token for token in values.tokens.split(",") if token),
        insecure=values.insecure,
        drain_seconds=values.drain_seconds,
        start_seconds=values.start_seconds,
        write_seconds=values.write_seconds,
        stream_seconds=values.stream_seconds,
        max_message_bytes=values.max_message_bytes,
        max_calls=values.max_calls,
        metrics_port=values.metrics_port,
        log_level=values.log_level,
        log_format=values.log_format,
        fake=_script(values) if service == "fake" else None,
    )


def parse_models(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> tuple[list[str], Path]:
    """Names and cache folder of `python -m workers models`. Raises ConfigError; `--help` raises SystemExit(0)."""
    parser = _Parser(prog="python -m workers models", description="Resolve weights and check them by sha256.")
    parser.add_argument("names", nargs="*", default=list(DEFAULT_MODELS), metavar="NAME", help="model names")
    cache = next(setting for setting in _SETTINGS if setting.name == "model-cache")
    parser.add_argument("--model-cache", env_var="WORKER_MODEL_CACHE", default=cache.default, help=cache.help)
    values: argparse.Namespace = parser.parse_args(
        list(argv), env_vars=dict(os.environ if environ is None else environ)
    )
    return list(values.names), Path(values.model_cache).expanduser()


class _Parser(configargparse.ArgumentParser):  # type: ignore[misc]  # the library has no types
    """A parser whose errors are exceptions of ours instead of a usage page and an exit."""

    def error(self, message: str) -> Never:
        raise ConfigError(message)


class Setting(NamedTuple):
    """One setting as the command line, the environment and --help show it. A `bool` default makes a switch."""

    name: str
    default: str | int | float | bool | None
    help: str
    choices: tuple[str, ...] | None = None
    type: type[str | int | float] | None = None


_SETTINGS: Final = (
    Setting("host", "127.0.0.1", "address to listen on"),
    Setting("port", 0, "gRPC port; 0: any free one"),
    Setting("tls-cert", None, "PEM certificate chain; re-read when it changes"),
    Setting("tls-key", None, "PEM private key"),
    Setting("tls-client-ca", None, "PEM CA of client certificates; then every client needs one"),
    Setting("tokens", "", "comma-separated bearer tokens, one of which a caller must show"),
    Setting("insecure", False, "listen off loopback without TLS or without credentials"),
    Setting("model", "base", "model name or directory"),
    Setting("model-cache", "~/.cache/talkup/models", "where joined and downloaded weights are kept"),
    Setting("device", "auto", "where the model runs", ("auto", "cpu", "cuda")),
    Setting("compute-type", "default", "number format of the weights, such as int8 or float16"),
    Setting("threads", 0, "compute threads; 0: the engine's own choice"),
    Setting("decoders", 0, "media decoder processes; 0: one per core"),
    Setting("slots", 0, "streams admitted at once; 0: the engine's own number"),
    Setting("drain-seconds", 7.0, "how long running streams may stay after SIGTERM"),
    Setting("start-seconds", 10.0, "how long a call may wait with its first message"),
    Setting("write-seconds", 30.0, "how long a caller may leave a result unread"),
    Setting("stream-seconds", 14_400.0, "the longest life of a stream"),
    Setting("max-message-bytes", 4 << 20, "largest message in either direction"),
    Setting("max-calls", 1_000, "calls open at once, health watches included"),
    Setting("metrics-port", 0, "port of the Prometheus metrics, on the same host; 0: off"),
    Setting("log-level", "info", "what is logged", ("debug", "info", "warning", "error")),
    Setting("log-format", "text", "how it is logged", ("text", "json")),
)

_VISION_SETTINGS: Final = (
    Setting("nets", "opencv", "what runs the networks; litert: extra vision-litert", ("opencv", "litert")),
    Setting("nice", 10, "how far analysis gives way to other processes of the machine, 0 to 19"),
)

_FAKE_SETTINGS: Final = (
    Setting("service", "stt", "which service is played", tuple(_SERVICE_TYPES)),
    Setting("word-bytes", WORD_BYTES, "bytes that make a word"),
    Setting("words-per-final", WORDS_PER_FINAL, "words that make a final segment"),
    Setting("replay-behind", 2, "covered chunks that a replay begins with"),
    Setting("delay-ms", 0, "wait per chunk"),
    Setting("slow-factor", 0.0, "wait per chunk, as a multiple of its duration"),
    Setting("fail-after", None, "chunks until a stream fails", type=int),
    Setting("hang-after", None, "chunks until a stream stands still", type=int),
    Setting("crash-after", None, "chunks of a stream until the process dies", type=int),
    Setting("mute-after", None, "chunks until a stream's results are swallowed", type=int),
    Setting("poison", "", "a chunk that holds this text kills the process"),
    Setting("reject", False, "refuse every stream as busy"),
)


_OWN_SETTINGS: Final = {"vision": _VISION_SETTINGS, "fake": _FAKE_SETTINGS}


def _parser(service: str) -> _Parser:
    parser = _Parser(
        prog=f"python -m workers {service}",
        description=_PURPOSE[service],
        formatter_class=configargparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", env_var="WORKER_CONFIG", is_config_file=True, help="file of settings, name = value")
    for setting in _SETTINGS + _OWN_SETTINGS.get(service, ()):
        default = DEFAULT_PORTS[service] if setting.name == "port" else setting.default
        flag, variable = f"--{setting.name}", f"WORKER_{setting.name.upper().replace('-', '_')}"
        if isinstance(default, bool):
            parser.add_argument(flag, env_var=variable, action="store_true", help=setting.help)
        else:
            kind = setting.type or (str if default is None else type(default))
            parser.add_argument(
                flag, env_var=variable, default=default, type=kind, choices=setting.choices, help=setting.help
            )
    return parser


def _script(values: argparse.Namespace) -> FakeScript:
    for name in ("fail_after", "hang_after", "crash_after", "mute_after", "delay_ms", "slow_factor", "replay_behind"):
        value = getattr(values, name)
        if value is not None and value < 0:
            raise ConfigError(f"{name.replace('_', '-')}: at least 0")
    if values.word_bytes < 1 or values.words_per_final < 1:
        raise ConfigError("word-bytes, words-per-final: at least 1")
    return FakeScript(
        service_type=_SERVICE_TYPES[values.service],
        word_bytes=values.word_bytes,
        words_per_final=values.words_per_final,
        replay_behind=values.replay_behind,
        delay_ms=values.delay_ms,
        slow_factor=values.slow_factor,
        fail_after=values.fail_after,
        hang_after=values.hang_after,
        crash_after=values.crash_after,
        mute_after=values.mute_after,
        poison=values.poison.encode(),
        reject=values.reject,
    )


def _tls(values: argparse.Namespace) -> TlsFiles | None:
    if not (values.tls_cert or values.tls_key or values.tls_client_ca):
        return None
    if not (values.tls_cert and values.tls_key):
        raise ConfigError("tls-cert, tls-key: both are needed")
    client_ca = Path(values.tls_client_ca) if values.tls_client_ca else None
    return TlsFiles(Path(values.tls_cert), Path(values.tls_key), client_ca)


def _check_numbers(config: WorkerConfig) -> None:
    for name, low, high in (
        ("port", 0, 65_535),
        ("metrics_port", 0, 65_535),
        ("threads", 0, 1_024),
        ("decoders", 0, 256),
        ("slots", 0, 10_000),
        ("nice", 0, 19),
        ("drain_seconds", 0, 3_600),
        ("start_seconds", 0.1, 600),
        ("write_seconds", 0.1, 3_600),
        ("stream_seconds", 1, 86_400),
        ("max_message_bytes", 1 << 16, 64 << 20),
        ("max_calls", 8, 100_000),
    ):
        if not low <= getattr(config, name) <= high:
            raise ConfigError(f"{name.replace('_', '-')}: {low} to {high}")


def _check_readable(setting: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{setting}: {path}: {error.strerror}") from None

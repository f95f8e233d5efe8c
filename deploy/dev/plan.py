"""The processes of the development stack as values: command lines and environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.dev.certs import Identity
from deploy.dev.settings import DevSettings

API_KEY = "dev-key"
HOST = "127.0.0.1"
# One drains after the other; together they take less than the 10 s allowed for ^C.
GATEWAY_DRAIN_S = 4.0
WORKER_DRAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Program:
    """A child process: `name` gives `.run/NAME.pid` and `.run/NAME.log`; `arguments` go to this Python."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def workers(settings: DevSettings, *, has_vision: bool) -> list[Program]:
    """The workers, speech first. Without a vision package only the fake engine serves vision."""
    programs = [_speech(settings, index + 1, port) for index, port in enumerate(settings.stt_ports)]
    environment = _worker_environment(settings.vision_port)
    if settings.engine == "fake":
        programs.append(Program("vision-1", ("-m", "workers", "fake", "--service", "vision"), environment))
    elif has_vision:
        programs.append(Program("vision-1", ("-m", "workers", "vision"), environment))
    return programs


def _speech(settings: DevSettings, number: int, port: int) -> Program:
    environment = _worker_environment(port)
    if settings.engine == "fake":
        return Program(f"stt-{number}", ("-m", "workers", "fake", "--service", "stt"), environment)
    return Program(f"stt-{number}", ("-m", "workers", "stt"), environment | {"WORKER_MODEL": settings.stt_model})


def _worker_environment(port: int) -> dict[str, str]:
    return {
        "WORKER_HOST": HOST,
        "WORKER_PORT": str(port),
        "WORKER_DRAIN_SECONDS": str(WORKER_DRAIN_S),
        "WORKER_REFLECTION": "true",  # for grpcurl and its like on this machine
    }


def serves_vision(settings: DevSettings, *, has_vision: bool) -> bool:
    """Whether a vision worker is part of the stack."""
    return has_vision or settings.engine == "fake"


def gateway(
    settings: DevSettings, certificate: Identity, run_dir: Path, token_secret: str, *, has_vision: bool
) -> Program:
    """The gateway, on loopback, with plain and TLS WebSocket ports and the development key."""
    environment = {
        "GATEWAY_DRAIN_S": str(GATEWAY_DRAIN_S),
        "GATEWAY_HTTP_PORT": str(settings.http_port),
        "GATEWAY_WS_PORT": str(settings.ws_port),
        "GATEWAY_WSS_PORT": str(settings.wss_port),
        # Browsers do not trust the development CA, so sessions point to the port without TLS.
        "GATEWAY_PUBLIC_URL": f"ws://localhost:{settings.ws_port}/ws",
        "GATEWAY_TLS_CERT": str(certificate.certificate),
        "GATEWAY_TLS_KEY": str(certificate.key),
        "GATEWAY_API_KEYS": API_KEY,
        "GATEWAY_TOKEN_SECRET": token_secret,
        "GATEWAY_STORE": f"sqlite:///{run_dir / 'gateway.db'}",
        "GATEWAY_STT_WORKERS": ",".join(f"{HOST}:{port}" for port in settings.stt_ports),
    }
    if serves_vision(settings, has_vision=has_vision):
        environment["GATEWAY_VISION_WORKERS"] = f"{HOST}:{settings.vision_port}"
    return Program("gateway", ("-m", "gateway"), environment)


def banner(settings: DevSettings, certificate: Identity, *, has_vision: bool, talkup: str) -> str:
    """The addresses and credentials of the stack, printed once everything serves."""
    speech = "scripted engine" if settings.engine == "fake" else f"model {settings.stt_model}"
    ports = ", ".join(f"{HOST}:{port}" for port in settings.stt_ports)
    if not serves_vision(settings, has_vision=has_vision):
        vision = "not part of this version"
    else:
        vision = f"{HOST}:{settings.vision_port}"
    options = [] if settings.ws_port == 8081 else [f"--url ws://localhost:{settings.ws_port}/ws"]
    lines = [
        "TalkUp gateway is up.",
        "",
        f"  demo page and HTTP   http://localhost:{settings.http_port}",
        f"  WebSocket            ws://localhost:{settings.ws_port}/ws",
        f"  WebSocket with TLS   wss://localhost:{settings.wss_port}/ws   (CA: {certificate.ca})",
        f"  speech, gRPC         {ports}   ({speech})",
        f"  vision, gRPC         {vision}",
        f"  API key              {API_KEY}   (loopback only)",
        "",
        "  " + " ".join(["try:", talkup, "transcribe", *options, "FILE"]),
        "  ^C stops everything.",
    ]
    return "\n".join(lines)

"""What `make run` may be told through the environment: ports, number of workers, model, engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

STT_PORT_STEP = 10
MAX_WORKERS = 64
ENGINES = ("model", "fake")


class SettingsError(ValueError):
    """A setting that cannot be used; the message is one line that names it."""


@dataclass(frozen=True, slots=True)
class DevSettings:
    """Ports are TCP ports on loopback; speech workers listen on `stt_port`, `stt_port` + 10, …"""

    http_port: int = 8080
    ws_port: int = 8081
    wss_port: int = 8443
    stt_port: int = 50051
    vision_port: int = 50052
    stt_workers: int = 1
    stt_model: str = "base"
    engine: str = "model"

    def __post_init__(self) -> None:
        names: dict[int, str] = {}
        for name, port in self.ports():
            if not 1 <= port <= 65535:
                raise SettingsError(f"{name} is {port}: a port lies between 1 and 65535")
            if port in names:
                raise SettingsError(f"{name} and {names[port]} are both {port}: give one of them another port")
            names[port] = name
        if not self.stt_model:
            raise SettingsError("STT_MODEL is empty: name a model (base, tiny.en, small) or a directory")
        if self.engine not in ENGINES:
            raise SettingsError(f"ENGINE is {self.engine!r}: it is {' or '.join(ENGINES)}")

    @property
    def stt_ports(self) -> tuple[int, ...]:
        """One port a speech worker."""
        return tuple(self.stt_port + STT_PORT_STEP * index for index in range(self.stt_workers))

    def ports(self) -> Iterator[tuple[str, int]]:
        """Every port with the variable that changes it."""
        yield "HTTP_PORT", self.http_port
        yield "WS_PORT", self.ws_port
        yield "WSS_PORT", self.wss_port
        for index, port in enumerate(self.stt_ports):
            yield ("STT_PORT" if index == 0 else f"STT_PORT+{index * STT_PORT_STEP}"), port
        yield "VISION_PORT", self.vision_port


def from_environment(environment: Mapping[str, str]) -> DevSettings:
    """Read the variables of the fixed points; absent and empty ones take their defaults.

    Raises SettingsError.
    """
    numbers: dict[str, int] = {}
    for field in ("http_port", "ws_port", "wss_port", "stt_port", "vision_port"):
        if text := environment.get(field.upper()):
            numbers[field] = _whole(field.upper(), text)
    workers = _whole("STT_WORKERS", environment.get("STT_WORKERS") or "1")
    if not 1 <= workers <= MAX_WORKERS:
        raise SettingsError(f"STT_WORKERS is {workers}: it lies between 1 and {MAX_WORKERS}")
    return DevSettings(
        **numbers,
        stt_workers=workers,
        stt_model=environment.get("STT_MODEL") or "base",
        engine=environment.get("ENGINE") or "model",
    )


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}: it must be a whole number") from None

"""Settings of `make run`, read from the environment: ports, number of workers, model, engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from settings.declaration import Setting, Settings, from_values, settings_of
from settings.errors import SettingError
from settings.network import MAX_PORT

STT_PORT_STEP = 10


class SettingsError(ValueError):
    """An invalid setting; the message is one line that names its variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevSettings(Settings):
    """Ports are TCP ports on loopback; speech workers listen on `stt_port`, `stt_port` + 10, …"""

    http_port: Annotated[int, Setting("port of HTTP and the demo page", 1, MAX_PORT)] = 8080
    ws_port: Annotated[int, Setting("plain WebSocket port", 1, MAX_PORT)] = 8081
    wss_port: Annotated[int, Setting("TLS WebSocket port", 1, MAX_PORT)] = 8443
    stt_port: Annotated[int, Setting("gRPC port of the first speech worker", 1, MAX_PORT)] = 50051
    vision_port: Annotated[int, Setting("gRPC port of the vision worker", 1, MAX_PORT)] = 50052
    stt_workers: Annotated[int, Setting("number of speech workers", 1, 64)] = 1
    stt_model: Annotated[str, Setting("speech model: a name or a directory")] = "base"
    engine: Annotated[Literal["model", "fake"], Setting("engine of the workers")] = "model"

    def check(self) -> None:
        last = self.stt_ports[-1]
        if last > MAX_PORT:
            raise self.invalid("stt_port", f"the last of {self.stt_workers} workers would listen on {last}")
        names: dict[int, str] = {}
        for name, port in self.ports():
            if port in names:
                raise self.invalid(name.partition("+")[0].lower(), f"{name} and {names[port]} are both {port}")
            names[port] = name

    @property
    def stt_ports(self) -> tuple[int, ...]:
        """One port per speech worker."""
        return tuple(self.stt_port + STT_PORT_STEP * index for index in range(self.stt_workers))

    def ports(self) -> Iterator[tuple[str, int]]:
        """Every port and the variable that changes it."""
        yield "HTTP_PORT", self.http_port
        yield "WS_PORT", self.ws_port
        yield "WSS_PORT", self.wss_port
        for index, port in enumerate(self.stt_ports):
            yield ("STT_PORT" if index == 0 else f"STT_PORT+{index * STT_PORT_STEP}"), port
        yield "VISION_PORT", self.vision_port


def from_environment(environment: Mapping[str, str]) -> DevSettings:
    """Read the variables; absent and empty ones take their defaults. Raises SettingsError."""
    names = [declared.name for declared in settings_of(DevSettings)]
    try:
        return from_values(DevSettings, {name: environment.get(name.upper()) or None for name in names})
    except SettingError as error:
        raise SettingsError(f"{error.variable}: {error.problem}") from None

"""A sound card for tests: the interface of `sounddevice`, with devices that play files on a thread of their own.

sys.modules["sounddevice"] = SoundCard({"desk": Path("samples.raw")})
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any


class PortAudioError(Exception):
    """As the library raises it."""


class SoundCard(ModuleType):
    """Devices by name; the first is the default. `rates`: those that the driver accepts."""

    PortAudioError = PortAudioError

    def __init__(self, devices: Mapping[str, Path], rates: tuple[int, ...] = (16_000, 48_000)) -> None:
        super().__init__("sounddevice")
        self._devices = devices
        self._rates = rates
        self.open_streams = 0

    def find(self, device: str | int | None) -> Path:
        names = list(self._devices)
        if device is None or isinstance(device, int):
            device = names[device or 0] if len(names) > (device or 0) else None
        if device not in self._devices:
            raise ValueError("No input device matching")
        return self._devices[device]

    def check_input_settings(self, *, device: str | int | None, channels: int, dtype: str, samplerate: int) -> None:
        self.find(device)
        if samplerate not in self._rates or channels != 1 or dtype != "int16":
            raise PortAudioError("Invalid sample rate")

    def query_devices(self, device: str | int | None = None, kind: str | None = None) -> Any:
        if kind is not None:
            self.find(device)
            return {"default_samplerate": float(self._rates[0])}
        return [{"name": name, "max_input_channels": 1} for name in self._devices]

    def RawInputStream(self, **settings: Any) -> Player:
        return Player(self, **settings)


class Player:
    """Plays a file, slice by slice and without waiting, to the callback, on a thread as PortAudio does.

    After the file the device is gone.
    """

    def __init__(
        self,
        card: SoundCard,
        *,
        samplerate: int,
        blocksize: int,
        device: str | int | None,
        channels: int,
        dtype: str,
        callback: Callable[[Any, int, object, object], None],
        finished_callback: Callable[[], None],
    ) -> None:
        card.check_input_settings(device=device, channels=channels, dtype=dtype, samplerate=samplerate)
        self._card = card
        self._samples = card.find(device).read_bytes()
        self._block = blocksize * 2
        self._callback = callback
        self._finished = finished_callback
        self._thread = threading.Thread(target=self._play)
        card.open_streams += 1

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._thread.join()
        self._card.open_streams -= 1

    def _play(self) -> None:
        for at in range(0, len(self._samples), self._block):
            block = memoryview(self._samples)[at : at + self._block]
            self._callback(block, len(block) // 2, None, None)
        self._finished()

"""A microphone as a source of media: mono 16-bit samples. The only module that imports the `sounddevice` library.

PortAudio delivers slices of 100 ms. Samples from elsewhere are read as they arrive: from a FIFO, a character device or
standard input (`arecord -t raw -f S16_LE -r 16000 | talkup transcribe --microphone --device -`).
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self

from talkup_client.errors import MicrophoneError
from talkup_client.extras import install_command
from talkup_client.pipes import can_be_polled, open_path

RATE_HZ = 16_000
SLICE_MS = 100
_KEPT_SLICES = 600  # a minute of sound, for while the connection is down


class Source(Protocol):
    """Live media. `format` is a MIME type of docs/protocol.md; `lost_ms` counts sound that nobody read in time."""

    format: str
    lost_ms: int

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield slices from now on, as they are recorded, until the source ends."""
        ...


def open_microphone(device: str | None = None) -> Source:
    """The default microphone, one by name or number, or samples from a path or standard input (`-`)."""
    if device is not None and (device == "-" or "/" in device):
        return SampleSource(device)
    return Microphone(int(device) if device is not None and device.isdecimal() else device)


class Microphone:
    """A microphone of this machine. Entering the context raises MicrophoneError when none is available."""

    def __init__(self, device: str | int | None = None) -> None:
        self.format = _pcm(RATE_HZ)
        self.lost_ms = 0
        self._device = device
        self._heard: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._closed = False
        self._stream: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        library = _library()
        try:
            rate = _rate(library, self._device)
            self.format = _pcm(rate)
            self._stream = library.RawInputStream(
                samplerate=rate,
                blocksize=rate * SLICE_MS // 1000,
                device=self._device,
                channels=1,
                dtype="int16",
                callback=self._on_slice,
                finished_callback=self._on_finished,
            )
            self._stream.start()
        except (library.PortAudioError, ValueError):
            await self.__aexit__()
            which = "no microphone was found" if self._device is None else f"no microphone is named {self._device}"
            known = ", ".join(_names(library)) or "none"
            raise MicrophoneError(f"{which}, or it is in use; available (--device): {known}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        self._finish()
        if self._stream is not None:
            self._stream.close()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """See Source."""
        while True:
            while self._heard:
                yield self._heard.popleft()
            if self._closed:
                return
            self._more.clear()
            await self._more.wait()

    def _on_slice(self, samples: Any, _frames: int, _time: object, _status: object) -> None:  # noqa: ANN401
        """Called in PortAudio's thread."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the event loop has closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._store, bytes(samples))

    def _on_finished(self) -> None:
        """Called in PortAudio's thread when the device was unplugged or closed."""
        assert self._loop is not None
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self._closed = True
        self._more.set()

    def _store(self, samples: bytes) -> None:
        if len(self._heard) == _KEPT_SLICES:
            self._heard.popleft()
            self.lost_ms += SLICE_MS
        self._heard.append(samples)
        self._more.set()


class SampleSource:
    """Samples (16 kHz, mono, s16le) from a FIFO, a character device or standard input (`-`).

    Entering the context raises MicrophoneError when the path is none of these.
    """

    def __init__(self, path: str) -> None:
        self.format = _pcm(RATE_HZ)
        self.lost_ms = 0
        self._path = path
        self._is_file = path != "-" and Path(path).is_file()
        self._reader: asyncio.StreamReader | None = None
        self._transport: asyncio.ReadTransport | None = None

    async def __aenter__(self) -> Self:
        try:
            pipe = os.fdopen(open_path(self._path), "rb", buffering=0)
        except FileNotFoundError:
            raise MicrophoneError(f"{self._path}: there is no such device") from None
        except (OSError, ValueError):
            raise MicrophoneError(f"{self._path} cannot be used as a microphone") from None
        if not can_be_polled(pipe):
            pipe.close()
            advice = ": it is a file (talkup transcribe FILE)" if self._is_file else ""
            raise MicrophoneError(f"{self._path} cannot be used as a microphone{advice}")
        reader = self._reader = asyncio.StreamReader()
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """See Source."""
        size = RATE_HZ * 2 * SLICE_MS // 1000
        while self._reader is not None:
            try:
                yield await self._reader.readexactly(size)
            except asyncio.IncompleteReadError as end:
                if end.partial:
                    yield end.partial
                return


def _pcm(rate: int) -> str:
    return f"audio/pcm;rate={rate};channels=1;encoding=s16le"


def _library() -> Any:  # noqa: ANN401 - the library carries no types
    """Import sounddevice. Raises MicrophoneError when the package or the system's PortAudio is missing."""
    try:
        import sounddevice  # noqa: PLC0415 (only microphones need it)
    except ImportError:
        raise MicrophoneError(f"a microphone needs the package sounddevice: {install_command('microphone')}") from None
    except OSError:
        raise MicrophoneError("a microphone needs the library PortAudio (Debian: apt install libportaudio2)") from None
    return sounddevice


def _rate(library: Any, device: str | int | None) -> int:  # noqa: ANN401
    """16 kHz, or the device's own rate if its driver does not convert."""
    try:
        library.check_input_settings(device=device, channels=1, dtype="int16", samplerate=RATE_HZ)
    except library.PortAudioError:
        return int(library.query_devices(device, "input")["default_samplerate"])
    return RATE_HZ


def _names(library: Any) -> list[str]:  # noqa: ANN401
    try:
        return [str(device["name"]) for device in library.query_devices() if device["max_input_channels"]]
    except library.PortAudioError:
        return []

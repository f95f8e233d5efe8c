"""Input that can be read only once, kept in a temporary file: standard input, a pipe, a device.

A recording is read more than once: to see what it is, to find its index, to send it, and to send it again to a gateway
that was busy. Sound that is still being recorded is for `--microphone --device -`, which sends it as it comes.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from talkup_client.errors import UnreadableFileError, UnsupportedFileError, UnwritableFileError
from talkup_client.pipes import can_be_polled, open_path

MAX_BYTES = 2 * 2**30
STANDARD_INPUT = "-"
_PIECE_BYTES = 256 * 1024
_URLS = ("http://", "https://")


class Spool:
    """A context that holds the temporary files, and removes them at its end."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._folder: TemporaryDirectory[str] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    async def file(self, source: str) -> Path:
        """The file that a command line names, or a temporary one with what comes from a pipe.

        Raises UnreadableFileError, UnsupportedFileError for an address or for more than the bound, and
        UnwritableFileError when there is no room for the temporary file.
        """
        if source.lower().startswith(_URLS):
            advice = "save it to a file first, or pipe it: curl -sL ADDRESS | talkup transcribe -"
            raise UnsupportedFileError(f"{source} is an address, not a file; {advice}")
        path = Path(source)
        if source != STANDARD_INPUT and not _can_be_read_once(path):
            return path
        name = "standard input" if source == STANDARD_INPUT else path.name
        try:
            descriptor = open_path(source)
        except ValueError:
            raise UnreadableFileError(f"{name} is a terminal: pipe a recording into it, or name a file") from None
        except OSError as error:
            raise UnreadableFileError(f"{source} cannot be read: {error.strerror}") from None
        return await self._kept(descriptor, name)

    async def _kept(self, descriptor: int, name: str) -> Path:
        kept = 0
        try:
            folder = self._new_folder()
            with (folder / name).open("wb") as file:
                async for piece in _pieces(descriptor, name):
                    kept += len(piece)
                    if kept > self._max_bytes:
                        bound = f"{self._max_bytes / 2**30:g} GiB"
                        raise UnsupportedFileError(f"{name} holds more than {bound}: save it to a file first")
                    file.write(piece)
        except OSError as error:
            where = error.filename or (self._folder.name if self._folder else "a temporary folder")
            raise UnwritableFileError(f"{name} cannot be kept in {where}: {error.strerror} (TMPDIR)") from None
        return folder / name

    def _new_folder(self) -> Path:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="talkup-")
        self._count += 1
        folder = Path(self._folder.name) / str(self._count)
        folder.mkdir()
        return folder


def _can_be_read_once(path: Path) -> bool:
    """Whether a path is a pipe, a device or a socket. Standard input that is a file can be read again by its name."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


async def _pieces(descriptor: int, name: str) -> AsyncIterator[bytes]:
    """What is read until the end. Raises UnreadableFileError."""
    loop = asyncio.get_running_loop()
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        try:
            if not can_be_polled(pipe):
                while piece := await asyncio.to_thread(pipe.read, _PIECE_BYTES):
                    yield piece
                return
            reader = asyncio.StreamReader(limit=_PIECE_BYTES)
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
            try:
                while piece := await reader.read(_PIECE_BYTES):
                    yield piece
            finally:
                transport.close()
        except OSError as error:
            raise UnreadableFileError(f"{name} cannot be read: {error.strerror}") from None

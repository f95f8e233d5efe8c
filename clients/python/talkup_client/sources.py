"""Recordings as sources of chunks, as fast as possible or in real time; and how to stop a source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import BinaryIO

from talkup_client import duration
from talkup_client.errors import UnreadableFileError, UnsupportedFileError
from talkup_client.index_first import Piece
from talkup_client.media_file import MediaFile

REALTIME_SLICE_S = 0.1
_FRAME_SLICE_S = 0.02
"""Less than a frame on average."""

_SLICE_BYTES = 256
_MAX_SLICE_BYTES = 1_024
"""A worker takes 28 frames of 960 x 540 from a chunk: a quiet scene has many in few bytes."""


async def chunks(media: MediaFile, size: int) -> AsyncGenerator[bytes, None]:
    """A file in chunks of up to `size` bytes, in the order in which it is sent. Raises UnreadableFileError."""
    if media.decoder is not None:
        samples = media.decoder.chunks(size)
        with _readable(media):
            while chunk := await asyncio.to_thread(next, samples, b""):
                yield chunk
        return
    with _readable(media), media.path.open("rb") as file:
        if not media.pieces:
            while chunk := file.read(size):
                yield chunk
        for piece in media.pieces:
            for chunk in _piece_in_chunks(file, piece, size):
                yield chunk


def _piece_in_chunks(file: BinaryIO, piece: Piece, size: int) -> Iterator[bytes]:
    for at in range(0, len(piece.data), size):
        yield piece.data[at : at + size]
    file.seek(piece.start)
    left = piece.end - piece.start
    while left > 0 and (chunk := file.read(min(size, left))):
        yield chunk
        left -= len(chunk)


async def slices(media: MediaFile) -> AsyncGenerator[bytes, None]:
    """A file in slices of about 20 ms of playing time, at most 1 KiB; 256 bytes if it does not state its duration.

    A picture is one slice. Raises UnreadableFileError.
    """
    if media.is_picture:
        with _readable(media):
            yield media.path.read_bytes()
        return
    size = _slice_bytes(media, playing_s(media), _FRAME_SLICE_S) or _SLICE_BYTES
    async for chunk in chunks(media, min(size, _MAX_SLICE_BYTES)):
        yield chunk


async def paced(media: MediaFile, sleep: Callable[[float], Awaitable[object]]) -> AsyncGenerator[bytes, None]:
    """Yield a slice for every 100 ms of playing time, at the file's mean rate.

    Raises UnsupportedFileError when the file does not state its duration, and UnreadableFileError.
    """
    total_s = playing_s(media)
    size = _slice_bytes(media, total_s, REALTIME_SLICE_S)
    if not total_s or not size:
        raise UnsupportedFileError(f"{media.name} does not state its duration, so it cannot be sent in real time")
    clock = asyncio.get_running_loop().time
    begin, sent = clock(), 0
    async for chunk in chunks(media, size):
        await sleep(max(0.0, begin + sent / media.size_bytes * total_s - clock()))
        yield chunk
        sent += len(chunk)


def playing_s(media: MediaFile) -> float | None:
    """Playing time in seconds; None if the file does not state it. Raises UnreadableFileError."""
    with _readable(media):
        return duration.seconds(media)


def _slice_bytes(media: MediaFile, total_s: float | None, slice_s: float) -> int | None:
    """Bytes that this many seconds take: an even number, so that 16-bit samples stay whole. None: unknown duration."""
    if not total_s:
        return None
    size = max(1, round(media.size_bytes * slice_s / total_s))
    return size + size % 2


@contextmanager
def _readable(media: MediaFile) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreadableFileError(f"{media.path} can no longer be read: {error.strerror}") from None


async def until(stop: asyncio.Event, slices: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """Yield from a source until it ends or `stop` is set, even while the source yields nothing."""
    stopped = asyncio.ensure_future(stop.wait())
    async with aclosing(slices):
        step: asyncio.Future[bytes | None] | None = None
        try:
            while not stop.is_set():
                step = asyncio.ensure_future(anext(slices, None))
                await asyncio.wait({step, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set() or not step.done() or (chunk := step.result()) is None:
                    return
                yield chunk
        finally:
            stopped.cancel()
            if step is not None and not step.done():
                step.cancel()
                await asyncio.wait({step})

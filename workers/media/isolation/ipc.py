"""The wire between the worker and a decoder child: length-prefixed msgpack messages over a socket pair.

A frame is a little-endian u32, the length of the body, and the body: one message as a msgpack array whose first
element names its type. The worker sends requests; the child answers each but `Close` in the order in which it
received them. Decoding goes in slices of CPU time: while a chunk is not done, the answer is `Working`, and the worker
sends `Continue` for the next slice. Both ends enforce a maximum body length, and the worker trusts no reply unchecked:
the child handles hostile media.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from workers.chunk import Chunk
from workers.media.frames import FrameRecord

SLICE_SECONDS: Final = 0.01
"""CPU time of a slice; the step of work during which it ends is finished."""

_LENGTH = struct.Struct("<I")
Natural = Annotated[int, msgspec.Meta(ge=0)]


class FrameError(Exception):
    """The other end does not speak this wire; nothing after this can be trusted."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of every message: an immutable array, tagged with its class name."""


class Open(_Message, frozen=True):
    """Make (or replace) the decoder of `stream`; `format` is a serialised MediaFormat."""

    stream: Natural
    format: bytes
    state: bytes | None


class Decode(_Message, frozen=True):
    """One chunk for the decoder of `stream`."""

    stream: Natural
    chunk: Chunk


class Continue(_Message, frozen=True):
    """Work on at the chunk of `stream`."""

    stream: Natural


class Finish(_Message, frozen=True):
    """No more chunks for `stream`."""

    stream: Natural


class Save(_Message, frozen=True):
    """Ask for the restart point for a position that was given out."""

    stream: Natural
    position: Natural


class Close(_Message, frozen=True):
    """Forget `stream`; not answered."""

    stream: Natural


class Ready(_Message, frozen=True):
    """The child is warm and locked; its first message, unasked.

    `unconfined` names the measures that are not in force, `cold` the codecs that could not be warmed up.
    """

    unconfined: tuple[str, ...]
    cold: tuple[str, ...]


class Opened(_Message, frozen=True):
    """The decoder is ready; `position` counts the samples or frames that it gave out."""

    stream: Natural
    position: Natural


class Working(_Message, frozen=True):
    """The chunk is not done; the slice took `cpu_us` microseconds of CPU time."""

    stream: Natural
    cpu_us: Natural


class Samples(_Message, frozen=True):
    """The output of a chunk or of the end for sound, native-endian float32; `damaged` bytes were skipped.

    The last slice took `cpu_us` microseconds of CPU time.
    """

    stream: Natural
    data: bytes
    damaged: Natural = 0
    cpu_us: Natural = 0


class Frames(_Message, frozen=True):
    """As `Samples`, for video."""

    stream: Natural
    frames: tuple[FrameRecord, ...]
    damaged: Natural = 0
    cpu_us: Natural = 0


class Saved(_Message, frozen=True):
    """A restart point."""

    stream: Natural
    replay_from_sequence: Natural
    state: bytes


class Failed(_Message, frozen=True):
    """The request could not be served; `message` is safe for the wire."""

    stream: Natural
    message: str


Request = Open | Decode | Continue | Finish | Save | Close
Answer = Opened | Working | Samples | Frames | Saved | Failed
Reply = Ready | Answer

_encoder = msgspec.msgpack.Encoder()
_request_decoder = msgspec.msgpack.Decoder(Request)
_reply_decoder = msgspec.msgpack.Decoder(Reply)


def frame(message: Request | Reply) -> bytearray:
    """The bytes of one frame."""
    buffer = bytearray(_LENGTH.size)
    _encoder.encode_into(message, buffer, _LENGTH.size)
    _LENGTH.pack_into(buffer, 0, len(buffer) - _LENGTH.size)
    return buffer


def parse_request(body: memoryview) -> Request:
    """The request in a frame's body. Raises FrameError."""
    try:
        request: Request = _request_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError("not a request") from error
    return request


def parse_reply(body: memoryview) -> Reply:
    """The reply in a frame's body. Raises FrameError."""
    try:
        reply: Reply = _reply_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError("not a reply") from error
    return reply


class FrameReader:
    """Cuts a byte stream into frame bodies; holds at most one unfinished frame."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._buffer = bytearray()

    def push_bytes(self, data: bytes) -> Iterator[memoryview]:
        """Every body that `data` completes; a body is valid until the next one is asked for.

        Raises FrameError as soon as the stream has a length over the bound.
        """
        self._buffer += data
        start = 0
        try:
            while (end := self._end_of_frame(start)) is not None:
                with memoryview(self._buffer) as view, view[start + _LENGTH.size : end] as body:
                    start = end
                    yield body
        finally:
            del self._buffer[:start]

    def _end_of_frame(self, start: int) -> int | None:
        if len(self._buffer) - start < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, start)
        if length > self._max_body_bytes:
            raise FrameError("a frame is longer than agreed")
        end = start + _LENGTH.size + int(length)
        return end if end <= len(self._buffer) else None

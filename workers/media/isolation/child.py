"""The decoder child: a process that serves the decoders of many streams over one socket, locked in.

`process.py` starts `python -m workers.media.isolation.child` with its socket as descriptor 0. The child imports and
warms up the decoder, locks itself in, says `Ready` and then answers requests in the order of their arrival. Each stream
has at most one pending, and none takes much longer than a slice of CPU time (`ipc.SLICE_SECONDS`), so this order is
fair. The child ends with its socket. Before media can arrive, descriptor 2 is pointed at nothing: facts travel as
messages, and nothing that a codec prints leaves the process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.frames import FrameRecord
from workers.media.interface import Decoder, Parts
from workers.media.isolation import ipc, lockdown
from workers.media.isolation.warmup import Clip

AnyOutput = NDArray[np.float32] | tuple[FrameRecord, ...]
AnyDecoder = Decoder[AnyOutput]
DecoderFactory = Callable[[media_pb2.MediaFormat, bytes | None], AnyDecoder]

SOCKET = 0
_READ_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What one child takes on: streams open at a time; samples, frames and pixels given out for one request."""

    max_streams: int
    max_output_samples: int
    max_output_frames: int
    max_output_pixels: int


@dataclass(frozen=True, slots=True)
class _Work:
    """A chunk in progress, and the bytes that were damaged before it."""

    parts: Parts[AnyOutput]
    damaged_before: int


class DecoderService:
    """The decoders of this process by stream; a request in, an answer out, no input or output of its own.

    `clock`: the CPU time of this process, seconds.
    """

    def __init__(
        self, factory: DecoderFactory, limits: ServiceLimits, clock: Callable[[], float] = time.process_time
    ) -> None:
        self._factory = factory
        self._limits = limits
        self._clock = clock
        self._decoders: dict[int, AnyDecoder] = {}
        self._work: dict[int, _Work] = {}

    def answer(self, request: ipc.Request) -> ipc.Answer | None:
        """Serve one request; None for `Close`. Never raises: what it handles is hostile media."""
        try:
            return self._serve(request)
        except MediaError as error:
            return ipc.Failed(request.stream, str(error))
        except Exception:  # noqa: BLE001 - whatever hostile media provoke in a codec concerns this one stream only
            return ipc.Failed(request.stream, "the media cannot be decoded")

    def _serve(self, request: ipc.Request) -> ipc.Answer | None:
        match request:
            case ipc.Open():
                return self._open(request)
            case ipc.Decode():
                decoder = self._decoder(request.stream)
                parts = decoder.decode_in_parts(request.chunk)
                return self._slice(request.stream, _Work(parts, decoder.damaged_bytes))
            case ipc.Continue():
                return self._slice(request.stream, self._work.pop(request.stream, None))
            case ipc.Finish():
                return self._finish(request.stream)
            case ipc.Save():
                point = self._decoder(request.stream).checkpoint(request.position)
                return ipc.Saved(request.stream, point.replay_from_sequence, bytes(point.state))
            case ipc.Close():
                self._forget(request.stream)
                return None

    def _open(self, request: ipc.Open) -> ipc.Opened:
        self._forget(request.stream)
        if len(self._decoders) >= self._limits.max_streams:
            raise MediaError("too many streams are open")
        try:
            media_format = media_pb2.MediaFormat.FromString(request.format)
        except DecodeError as error:
            raise MediaError("the media format cannot be read") from error
        decoder = self._factory(media_format, request.state)
        self._decoders[request.stream] = decoder
        return ipc.Opened(request.stream, decoder.position)

    def _decoder(self, stream: int) -> AnyDecoder:
        try:
            return self._decoders[stream]
        except KeyError:
            raise MediaError("the stream is not open") from None

    def _forget(self, stream: int) -> None:
        self._decoders.pop(stream, None)
        self._work.pop(stream, None)

    def _slice(self, stream: int, work: _Work | None) -> ipc.Working | ipc.Samples | ipc.Frames:
        """Work at a chunk until it is done or the slice is used up."""
        if work is None:
            raise MediaError("the stream has no chunk in progress")
        began = self._clock()
        try:
            while (spent := self._clock() - began) < ipc.SLICE_SECONDS:
                next(work.parts)
        except StopIteration as end:
            return self._output(stream, end.value, work.damaged_before, self._clock() - began)
        self._work[stream] = work
        return ipc.Working(stream, round(1e6 * spent))

    def _finish(self, stream: int) -> ipc.Samples | ipc.Frames:
        decoder = self._decoder(stream)
        before, began = decoder.damaged_bytes, self._clock()
        output = decoder.finish()
        return self._output(stream, output, before, self._clock() - began)

    def _output(self, stream: int, output: AnyOutput, damaged_before: int, seconds: float) -> ipc.Samples | ipc.Frames:
        damaged = self._decoder(stream).damaged_bytes - damaged_before
        cpu_us = round(1e6 * seconds)
        if isinstance(output, np.ndarray):
            if output.size > self._limits.max_output_samples:
                raise MediaError("one chunk holds too much media")
            return ipc.Samples(stream, np.ascontiguousarray(output, dtype=np.float32).tobytes(), damaged, cpu_us)
        pixels = sum(frame.width * frame.height for frame in output)
        if len(output) > self._limits.max_output_frames or pixels > self._limits.max_output_pixels:
            raise MediaError("one chunk holds too much media")
        return ipc.Frames(stream, output, damaged, cpu_us)


def warm_up(factory: DecoderFactory, clips: Iterable[Clip]) -> tuple[str, ...]:
    """Decode every clip; returns the codecs whose clip gave nothing."""
    cold = []
    for clip in clips:
        try:
            decoder = factory(clip.format, None)
            parts = [decoder.decode(Chunk(sequence, chunk)) for sequence, chunk in enumerate(clip.chunks)]
            parts.append(decoder.finish())
        except MediaError:
            cold.append(clip.codec)
        else:
            if not any(len(part) for part in parts):
                cold.append(clip.codec)
    return tuple(cold)


def serve(service: DecoderService, max_frame_bytes: int) -> None:
    """Answer requests until the worker closes the socket. Raises FrameError when it does not speak this wire."""
    reader = ipc.FrameReader(max_frame_bytes)
    while data := os.read(SOCKET, _READ_BYTES):
        for body in reader.push_bytes(data):
            reply = service.answer(ipc.parse_request(body))
            if reply is not None:
                send(reply)


def send(reply: ipc.Reply) -> None:
    """Write one frame; waits while the worker does not read. Raises OSError when the worker is gone."""
    with memoryview(ipc.frame(reply)) as rest:
        written = 0
        while written < len(rest):
            written += os.write(SOCKET, rest[written:])


def resolve(dotted: str) -> Any:  # noqa: ANN401 - what a dotted name names is known to its user only
    """The object named by `package.module:name`. Raises ImportError or AttributeError."""
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)


def start(arguments: argparse.Namespace) -> DecoderService:
    """Everything that needs the outside world, then the lock, then `Ready`."""
    parented = lockdown.die_with_parent(arguments.parent)
    lockdown.leave_real_time()
    factory: DecoderFactory = resolve(arguments.decoder)
    cold = warm_up(factory, resolve(arguments.warm_up)())
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    os.close(silence)
    missing = lockdown.lock(lockdown.Confinement(address_space_bytes=arguments.address_space_bytes))
    send(ipc.Ready(missing if parented else ("die_with_parent", *missing), cold))
    return DecoderService(factory, _limits(arguments))


def _limits(arguments: argparse.Namespace) -> ServiceLimits:
    return ServiceLimits(
        arguments.max_streams,
        arguments.max_output_samples,
        arguments.max_output_frames,
        arguments.max_output_pixels,
    )


def main() -> None:
    """Run the child; ends the process without the interpreter's shutdown, which needs what the lock refuses."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    arguments = _parse(sys.argv[1:])
    try:
        service = start(arguments)
    except Exception as error:  # noqa: BLE001 - the one line that says why no child starts; no media have arrived yet
        fact = {"event": "decoder child cannot start", "error": type(error).__name__, "detail": str(error)}
        sys.stderr.write(json.dumps(fact) + "\n")
        sys.stderr.flush()
        os._exit(3)
    try:
        serve(service, arguments.max_frame_bytes)
    except (OSError, ipc.FrameError):
        os._exit(4)
    os._exit(0)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m workers.media.isolation.child", description="a decoder child; see its module"
    )
    parser.add_argument("--decoder", required=True, help="package.module:Class of the decoder")
    parser.add_argument("--warm-up", required=True, help="package.module:function that gives the clips to warm up with")
    parser.add_argument("--parent", type=int, required=True, help="process id of the worker")
    for limit in ("address-space-bytes", "max-frame-bytes", "max-streams"):
        parser.add_argument(f"--{limit}", type=int, required=True)
    for limit in ("max-output-samples", "max-output-frames", "max-output-pixels"):
        parser.add_argument(f"--{limit}", type=int, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

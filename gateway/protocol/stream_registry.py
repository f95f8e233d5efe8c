"""The streams of one session: their ids and handles, their number, and which stream a message concerns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from talkup.v1 import task_pb2

from gateway.protocol import messages as m
from gateway.protocol.codec import decode_tagged
from gateway.protocol.errors import Code, Problem
from gateway.protocol.limits import Limits
from gateway.protocol.negotiation import StreamSpec, negotiate
from gateway.protocol.stream import Stream

Admit = Callable[[StreamSpec, bool], Problem | None]


class BinaryChunk(NamedTuple):
    """A binary frame assigned to a stream; `sequence` is None for a raw one."""

    stream: Stream
    sequence: int | None
    payload: bytes


class StreamRegistry:
    """Open, ending and recently ended streams. An id can be used only once in a session.

    `busy` returns None if a service may have room for another stream, else the milliseconds after which to retry.
    `admit` says why the owner of the session may not begin a stream on these terms; None: it may. It also gets whether
    the client can wait for a slot.
    """

    def __init__(
        self,
        session_id: str,
        limits: Limits,
        busy: Callable[[task_pb2.ServiceType], int | None],
        admit: Admit = lambda _spec, _can_wait: None,
    ) -> None:
        self._session_id = session_id
        self._limits = limits
        self._busy = busy
        self._admit = admit
        self._streams: dict[str, Stream] = {}
        self._used_ids: set[str] = set()
        self._handles = 0

    @property
    def by_id(self) -> Mapping[str, Stream]:
        """Every stream that is still known, in order of creation."""
        return self._streams

    @property
    def open(self) -> list[Stream]:
        """The streams that accept chunks."""
        return [stream for stream in self._streams.values() if stream.is_open]

    @property
    def unfinished(self) -> int:
        """How many streams are open or ending."""
        return sum(stream.ended_message is None for stream in self._streams.values())

    def reserve(self, stream_ids: set[str]) -> None:
        """Mark ids as used at another gateway."""
        self._used_ids |= stream_ids
        self._handles = len(self._used_ids)

    def add_restored(self, stream: Stream) -> None:
        """Add a stream that another gateway held."""
        self._streams[stream.stream_id] = stream
        self._handles = max(self._handles, stream.handle)

    def begin(
        self, start: m.StreamStart, stream_id: str, *, packets: bool = False, implicit: bool = False
    ) -> Stream | Problem:
        """Create a stream on the terms of `start`, or return the reason for refusing it."""
        if stream_id in self._used_ids:
            problem = Problem(Code.STREAM_EXISTS, "stream_id: this session has already used it", field="stream_id")
            return problem.of_stream(stream_id)
        spec = negotiate(start, stream_id, packets=packets)
        if isinstance(spec, Problem):
            return spec.of_stream(stream_id)
        if self.unfinished >= self._limits.max_open_streams or len(self._used_ids) >= self._limits.max_streams:
            return Problem(Code.TOO_MANY_STREAMS, "the session has reached its stream limit").of_stream(stream_id)
        if (refused := self._admit(spec, not packets)) is not None:
            return refused.of_stream(stream_id)
        if not packets and (wait_ms := self._wait_for_room(spec)) is not None:
            return Problem(Code.BUSY, "every worker slot is taken", retry_after_ms=wait_ms).of_stream(stream_id)
        self._used_ids.add(stream_id)
        self._handles += 1
        stream = Stream(self._session_id, spec, handle=self._handles, limits=self._limits)
        stream.implicit = implicit
        self._streams[stream_id] = stream
        self.forget_ended()
        return stream

    def forget_ended(self) -> None:
        """Forget the oldest ended streams beyond the limit."""
        ended = [stream_id for stream_id, stream in self._streams.items() if stream.ended_message is not None]
        for stream_id in ended[: max(0, len(ended) - self._limits.kept_streams)]:
            del self._streams[stream_id]

    def unused_id(self, prefix: str) -> str:
        """An id that has not been used yet."""
        number = 1
        while f"{prefix}-{number}" in self._used_ids:
            number += 1
        return f"{prefix}-{number}"

    def find_open(self, stream_id: str | None) -> Stream | Problem:
        """The open stream with this id; without an id, the only open stream."""
        if stream_id is None:
            open_streams = self.open
            if len(open_streams) == 1:
                return open_streams[0]
            if open_streams:
                return Problem(
                    Code.BAD_MESSAGE, "stream_id: is required while several streams are open", field="stream_id"
                )
            return Problem(Code.UNKNOWN_STREAM, "no stream is open", field="stream_id")
        stream = self._streams.get(stream_id)
        if stream is None or not stream.is_open:
            message = "stream_id: no such stream is open; start it with stream_start"
            return Problem(Code.UNKNOWN_STREAM, message, stream_id=stream_id, field="stream_id")
        return stream

    def assign_binary(self, payload: bytes) -> BinaryChunk | Problem:
        """Find the stream of a binary frame: the one that its tag names, else the only open raw stream."""
        if len(self._streams) == 1:
            (only,) = self._streams.values()
            if only.is_open and not only.spec.tagged:
                return BinaryChunk(only, None, payload)
        open_streams = self.open
        tagged = {stream.handle: stream for stream in self._streams.values() if stream.spec.tagged}
        raw = [stream for stream in open_streams if not stream.spec.tagged]
        frame = decode_tagged(payload) if tagged else None
        if frame is not None and (named := tagged.get(frame.handle)) is not None:
            # A late frame of a stream that has ended must not become media of the raw stream.
            stream = self.find_open(named.stream_id)
            return stream if isinstance(stream, Problem) else BinaryChunk(stream, frame.sequence, frame.payload)
        if len(raw) == 1:
            return BinaryChunk(raw[0], None, payload)
        if raw:
            message = "framing: several raw streams are open; start streams with tagged framing"
            return Problem(Code.BAD_MESSAGE, message, field="framing")
        if frame is None and any(stream.spec.tagged for stream in open_streams):
            return Problem(Code.BAD_PAYLOAD, "the binary frame lacks the header of a tagged chunk", field="framing")
        field = "handle" if tagged else "stream_id"
        return Problem(Code.UNKNOWN_STREAM, "no open stream accepts this binary frame", field=field)

    def states(self) -> list[m.StreamState]:
        """The state of each stream."""
        return [stream.state() for stream in self._streams.values()]

    def _wait_for_room(self, spec: StreamSpec) -> int | None:
        """Milliseconds after which to retry if no service of the stream has room; None: one of them may have room.

        Packets skip this check: their sender would ignore the answer, and its next packet would be refused as well.
        """
        waits = [wait for service in spec.services if (wait := self._busy(service)) is not None]
        return max(waits) if len(waits) == len(spec.services) else None

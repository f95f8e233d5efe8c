"""A stream's decoder in a child process, which may die: no sample is lost or given out twice.

Theory: a decoder is a function of its restart state and the chunks since. The stream remembers both, and how many
samples it has given out. When its child is gone, a decoder in the next child starts from the state and decodes the
chunks again; of what comes out, everything that was given out before is dropped. The restart point moves only when
the engine asks for a checkpoint, that is, commits: a newer one could no longer answer for the sample that the engine
commits next.

Decoding goes in slices. What a slice costs is charged to the stream before its next one. A stream that costs more than
its share waits between its slices, and a chunk that costs far more than any honest chunk of its size ends the stream.

A death is blamed on the stream that the child was working for. A stream whose media end two children by themselves
(crash, hang) is not tried on a third; a commit past the suspect chunk clears it. A kill from outside is not the media's
fault, so only the number of tries per call is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, NoReturn, Protocol, TypeVar

from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.interface import Checkpoint
from workers.media.isolation import ipc
from workers.media.isolation.outputs import Output
from workers.media.isolation.pacing import Pace
from workers.media.isolation.process import ChildGoneError, Death
from workers.media.isolation.replay_memory import ReplayMemory

T = TypeVar("T")

_MAX_STRIKES = 2
_MAX_KILLS_PER_CALL = 8
_MAX_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds of one stream.

    `max_payload_bytes` of one chunk: what the gateway lets through. `max_replay_bytes` kept since the last checkpoint:
    a window of speech and the backlog before it, 35 s, of a video of 14 Mbit/s. A stream may take `max_rate` seconds of
    output per second, after a burst of `burst_seconds`; `Output.seconds` says what that is. `cpu_rate` and
    `cpu_burst_seconds` bound the CPU time of its decoding in the same way. One chunk may take `chunk_cpu_seconds`, and
    `chunk_cpu_seconds_per_mib` more for each MiB. An honest chunk of sound takes 1 s at most: 3 ms for each second, and
    it holds no more than 300 s. `chunk_overhead_seconds` is what a chunk costs the worker besides its decoding; it is
    charged too, so a stream may send 500 chunks a second, after the first 6,000.
    """

    max_payload_bytes: int = 2 << 20
    max_replay_bytes: int = 64 << 20
    max_rate: float = 100.0
    burst_seconds: float = 600.0
    cpu_rate: float = 0.25
    cpu_burst_seconds: float = 3.0
    chunk_cpu_seconds: float = 2.0
    chunk_cpu_seconds_per_mib: float = 4.0
    chunk_overhead_seconds: float = 0.0005

    def cpu_seconds(self, chunk: Chunk) -> float:
        """The CPU time that a chunk may take."""
        return self.chunk_cpu_seconds + self.chunk_cpu_seconds_per_mib * len(chunk.payload) / (1 << 20)


@dataclass(frozen=True, slots=True)
class StreamTerms(Generic[T]):
    """What a stream gives out, and its bounds."""

    output: Output[T]
    limits: StreamLimits


class Child(Protocol):
    """A decoder child, as a stream sees it."""

    async def ask(self, request: ipc.Request) -> ipc.Answer:
        """Send a request and wait for its answer. Raises ChildGoneError."""
        ...

    def tell(self, request: ipc.Close) -> None:
        """Send a request that is not answered."""
        ...

    def disown(self) -> None:
        """End a child that does not keep to the rules."""
        ...


class ChildSource(Protocol):
    """Where the stream's children come from."""

    async def child(self) -> Child:
        """The living child; waits for one. Raises MediaError when none starts in time."""
        ...

    def leave(self, stream_id: int) -> None:
        """The stream is closed."""
        ...


class DecoderStream(Generic[T]):
    """One stream of media, decoded in order; calls of one stream wait for each other.

    A cancelled call has no effect and may be repeated.
    """

    def __init__(
        self,
        stream_id: int,
        fmt: media_pb2.MediaFormat,
        state: bytes | None,
        *,
        terms: StreamTerms[T],
        source: ChildSource,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._id = stream_id
        self._format = fmt.SerializeToString()
        limits = terms.limits
        self._output = terms.output
        self._source = source
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._pace = Pace(limits.max_rate, limits.burst_seconds, clock())
        self._cpu_pace = Pace(limits.cpu_rate, limits.cpu_burst_seconds, clock())
        self._memory = ReplayMemory(state, limits.max_replay_bytes)
        self._turn = asyncio.Lock()
        self._next_sequence = 0
        self._opened_in: Child | None = None
        self._caught_up_in: Child | None = None
        self._position = 0
        self._delivered: int | None = None
        self._surplus: list[T] = []
        self._strikes: list[int] = []
        self._finished = False
        self._damaged = 0
        self._failure: MediaError | None = None
        self._quarantined = False
        self._closed = False

    @property
    def position(self) -> int:
        """Samples or frames given out so far; 0 until the first answer of a resumed stream."""
        return self._delivered or 0

    @property
    def damaged_bytes(self) -> int:
        """Bytes that could not be decoded and were skipped; what is decoded again counts once."""
        return self._damaged

    async def decode(self, chunk: Chunk) -> T:
        """The samples or frames that this chunk completes, possibly none.

        Waits while the child is replaced, and while the stream is decoded faster than its pace. Raises MediaError for
        media that cannot be decoded further, then for every later chunk; ValueError unless the sequence rises.
        """
        sequence = chunk.sequence
        async with self._turn:
            self._check_open()
            if sequence < self._next_sequence:
                raise ValueError("the sequence must rise")
            if len(chunk.payload) > self._limits.max_payload_bytes:
                self._fail("a chunk is larger than allowed")
            if not self._memory.has_room_for(chunk):
                self._fail("too much media waits for its transcript")
            await self._wait_for_pace()
            try:
                answer = await self._call(self._decode_request(chunk), sequence)
            except MediaError as error:
                self._failure = error
                raise
            self._next_sequence = sequence + 1
            self._cpu_pace.spend(self._limits.chunk_overhead_seconds, self._clock())
            self._memory.add(chunk)
            return self._give_out(answer)

    async def finish(self) -> T:
        """No more chunks: the samples or frames that only the end completes. Raises MediaError."""
        async with self._turn:
            self._check_open()
            try:
                answer = await self._call(ipc.Finish(self._id), self._next_sequence)
            except MediaError as error:
                self._failure = error
                raise
            self._finished = True
            return self._give_out(answer)

    async def checkpoint(self, position: int) -> Checkpoint:
        """The restart point for a position given out before; positions never fall from call to call.

        Chunks before it are forgotten. Possible after a failed `decode` too, for what came before. Raises MediaError.
        """
        async with self._turn:
            if self._quarantined or self._closed:
                self._check_open()
            answer = await self._call(ipc.Save(self._id, position), self._next_sequence)
            if not isinstance(answer, ipc.Saved):
                self._mistrust()
            self._memory.restart_from(answer.replay_from_sequence, answer.state)
            self._strikes = [strike for strike in self._strikes if strike >= answer.replay_from_sequence]
            return Checkpoint(answer.replay_from_sequence, answer.state)

    async def close(self) -> None:
        """Free the decoder and everything remembered; may be called at any time, and twice."""
        if self._closed:
            return
        self._closed = True
        if self._opened_in is not None:
            self._opened_in.tell(ipc.Close(self._id))
        self._memory.clear()
        self._surplus.clear()
        self._source.leave(self._id)

    async def _call(self, request: ipc.Request, sequence: int) -> ipc.Answer:
        """Ask the child, and its successor whenever it dies; `sequence` is where the stream stands."""
        kills = 0
        while True:
            child = await self._source.child()
            try:
                await self._catch_up(child)
                return await self._ask(child, request)
            except ChildGoneError as gone:
                self._caught_up_in = None
                kills += self._judge(gone.death, sequence)
                if kills > _MAX_KILLS_PER_CALL:
                    raise MediaError("the decoder was killed repeatedly") from gone
            except asyncio.CancelledError:
                self._caught_up_in = None  # its decoder may have had the request: make a new one
                raise

    async def _catch_up(self, child: Child) -> None:
        """Bring a decoder in this child to where the stream stands."""
        if self._caught_up_in is child:
            return
        self._opened_in = child
        opened = await self._ask(child, ipc.Open(self._id, self._format, self._memory.state))
        if not isinstance(opened, ipc.Opened):
            self._mistrust()
        self._position = opened.position
        if self._delivered is None:
            self._delivered = opened.position
        if self._position > self._delivered:
            self._fail("the media cannot be decoded again from the last commit")
        for chunk in self._memory.chunks():
            self._put_aside(await self._ask(child, self._decode_request(chunk)))
        if self._finished:
            self._put_aside(await self._ask(child, ipc.Finish(self._id)))
        self._caught_up_in = child

    async def _ask(self, child: Child, request: ipc.Request) -> ipc.Answer:
        """The answer to a request, in as many slices as it takes, each paid for before the next one."""
        answer = await self._ask_once(child, request)
        spent = 0.0
        while isinstance(answer, ipc.Working):
            if not isinstance(request, ipc.Decode) or answer.cpu_us < 1e6 * ipc.SLICE_SECONDS:
                self._mistrust()
            spent += self._charge(answer.cpu_us)
            if spent > self._limits.cpu_seconds(request.chunk):
                self._caught_up_in = None
                child.tell(ipc.Close(self._id))
                raise MediaError("a chunk takes more time to decode than is allowed for its size")
            await self._wait_for_pace()
            answer = await self._ask_once(child, ipc.Continue(self._id))
        if isinstance(answer, ipc.Samples | ipc.Frames):
            self._charge(answer.cpu_us)
        return answer

    def _charge(self, cpu_us: int) -> float:
        """Charge CPU time to the stream; returns it in seconds."""
        seconds = cpu_us / 1e6
        self._cpu_pace.spend(seconds, self._clock())
        return seconds

    async def _wait_for_pace(self) -> None:
        """Wait until the stream has paid for what it was given."""
        now = self._clock()
        if delay := max(self._pace.delay(now), self._cpu_pace.delay(now)):
            await self._sleep(delay)

    async def _ask_once(self, child: Child, request: ipc.Request) -> ipc.Answer:
        if self._closed:
            self._check_open()
        answer = await child.ask(request)
        if isinstance(answer, ipc.Failed):
            raise MediaError("".join(filter(str.isprintable, answer.message[:_MAX_MESSAGE])))
        return answer

    def _decode_request(self, chunk: Chunk) -> ipc.Decode:
        return ipc.Decode(self._id, chunk)

    def _put_aside(self, answer: ipc.Answer) -> float:
        """Keep what was not given out before; returns how much of the stream's pace that takes, seconds."""
        output = self._output.read(answer)
        if output is None or self._delivered is None:
            self._mistrust()
        start, self._position = self._position, self._position + self._output.count(output)
        fresh = self._output.after(output, max(0, self._delivered - start))
        if self._output.count(fresh):
            self._delivered = self._position
            self._surplus.append(fresh)
        return self._output.seconds(fresh)

    def _give_out(self, answer: ipc.Answer) -> T:
        self._pace.spend(self._put_aside(answer), self._clock())
        self._damaged += answer.damaged if isinstance(answer, ipc.Samples | ipc.Frames) else 0
        parts, self._surplus = self._surplus, []
        return self._output.joined(parts)

    def _judge(self, death: Death, sequence: int) -> int:
        """Note a death; returns 1 for a kill from outside under this stream. Raises MediaError on quarantine."""
        if death.suspect != self._id:
            return 0
        if not death.self_inflicted:
            return 1
        self._strikes.append(sequence)
        if len(self._strikes) >= _MAX_STRIKES:
            self._quarantined = True
            self._memory.clear()
            self._fail("the media ended the decoder twice")
        return 0

    def _check_open(self) -> None:
        if self._closed:
            raise MediaError("the stream is closed")
        if self._failure is not None:
            raise MediaError(str(self._failure))
        if self._finished:
            raise MediaError("the stream is finished")

    def _fail(self, message: str) -> NoReturn:
        self._failure = MediaError(message)
        raise self._failure

    def _mistrust(self) -> NoReturn:
        """Give up on a child whose answer does not fit the request."""
        if self._opened_in is not None:
            self._opened_in.disown()
        self._fail("the decoder gave no usable answer")

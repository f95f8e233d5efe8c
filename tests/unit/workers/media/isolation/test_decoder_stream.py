"""Invariant: whenever children die, the samples given out are those of one decoder that never died.

The children here are the real service behind the real wire format, in this process; they die by a script.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from talkup.v1 import media_pb2

from tests.unit.workers.media.isolation.delta_decoder import DAMAGED, DeltaDecoder
from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.isolation import ipc
from workers.media.isolation.child import DecoderFactory, DecoderService, ServiceLimits
from workers.media.isolation.decoder_stream import DecoderStream, StreamLimits, StreamTerms
from workers.media.isolation.outputs import AUDIO
from workers.media.isolation.process import ChildGoneError, Death, Ending

STREAM = 3
KILLED = Death(-signal.SIGKILL, Ending.DIED, suspect=STREAM)
KILLED_ELSEWHERE = Death(-signal.SIGKILL, Ending.DIED, suspect=9)
CRASHED = Death(-signal.SIGSEGV, Ending.DIED, suspect=STREAM)
HUNG = Death(-signal.SIGKILL, Ending.HUNG, suspect=STREAM)


class InProcessChild:
    """A child without a process: dies at the n-th request, before or after its decoder had it."""

    def __init__(
        self,
        dies_at: int | None = None,
        *,
        late: bool = False,
        death: Death = KILLED,
        decoder: DecoderFactory = DeltaDecoder,
    ) -> None:
        self._service = DecoderService(decoder, ServiceLimits(4, 100_000, 100, 10_000_000))
        self._left = dies_at
        self._late = late
        self._death = death
        self.asked: list[ipc.Request] = []
        self.hold: asyncio.Event | None = None
        self.disowned = False

    async def ask(self, request: ipc.Request) -> ipc.Answer:
        self.asked.append(request)
        if self._left is not None:
            self._left -= 1
        dead = self._left is not None and self._left < 0
        answer = None if dead and not self._late else self._service.answer(_over_the_wire(request))
        if self.hold is not None:
            await self.hold.wait()
        if dead or answer is None:
            raise ChildGoneError(self._death)
        return answer

    def tell(self, request: ipc.Close) -> None:
        self.asked.append(request)
        self._service.answer(request)

    def disown(self) -> None:
        self.disowned = True


class InProcessSource:
    """Hands out the children of a script, one after the other; the last one never dies."""

    def __init__(self, children: Iterable[InProcessChild] = (), last: InProcessChild | None = None) -> None:
        self._coming = [*children, last or InProcessChild()]
        self.now = self._coming.pop(0)
        self.left: list[int] = []

    async def child(self) -> InProcessChild:
        dead = self.now._left is not None and self.now._left < 0
        if dead and self._coming:
            self.now = self._coming.pop(0)
        return self.now

    def leave(self, stream_id: int) -> None:
        self.left.append(stream_id)


def _over_the_wire(request: ipc.Request) -> ipc.Request:
    return ipc.parse_request(memoryview(ipc.frame(request))[4:])


def new_stream(
    source: InProcessSource, limits: StreamLimits | None = None, state: bytes | None = None
) -> DecoderStream:
    async def no_sleep(seconds: float) -> None:
        raise AssertionError("the pace was held up")

    return DecoderStream(
        STREAM,
        media_pb2.MediaFormat(),
        state,
        terms=StreamTerms(AUDIO, limits or StreamLimits()),
        source=source,
        clock=lambda: 0.0,
        sleep=no_sleep,
    )


def reference(chunks: list[bytes]) -> NDArray[np.float32]:
    decoder = DeltaDecoder(media_pb2.MediaFormat())
    return np.concatenate([*(decoder.decode(Chunk(at, chunk)) for at, chunk in enumerate(chunks)), decoder.finish()])


async def transcode(stream: DecoderStream, chunks: list[bytes], commits: dict[int, float]) -> NDArray[np.float32]:
    """Decode all and finish; after chunk n, commit `commits[n]` (0 to 1) of what was given out but not committed."""
    parts, committed = [], 0
    for at, chunk in enumerate(chunks):
        parts.append(await stream.decode(Chunk(at, chunk)))
        if at in commits:
            committed += int((stream.position - committed) * commits[at])
            point = await stream.checkpoint(committed)
            assert point.replay_from_sequence <= at + 1
    parts.append(await stream.finish())
    return np.concatenate(parts)


plain_chunk = st.lists(st.integers(48, 255), max_size=30).map(bytes)
deaths = st.sampled_from([KILLED, KILLED_ELSEWHERE])


@settings(deadline=None, max_examples=150)
@given(
    chunks=st.lists(plain_chunk, max_size=12),
    children=st.lists(st.tuples(st.integers(0, 12), st.booleans(), deaths), max_size=6),
    commits=st.dictionaries(st.integers(0, 11), st.floats(0, 1), max_size=6),
)
def test_no_sample_is_lost_or_doubled(
    chunks: list[bytes], children: list[tuple[int, bool, Death]], commits: dict[int, float]
) -> None:
    source = InProcessSource(InProcessChild(at, late=late, death=death) for at, late, death in children)
    stream = new_stream(source)
    result = asyncio.run(transcode(stream, chunks, commits))
    assert np.array_equal(result, reference(chunks))
    assert stream.damaged_bytes == sum(chunk.count(DAMAGED) for chunk in chunks)


@settings(deadline=None, max_examples=60)
@given(chunks=st.lists(plain_chunk, min_size=2, max_size=8), split=st.floats(0, 1), fraction=st.floats(0, 1))
def test_a_state_continues_in_another_pool(chunks: list[bytes], split: float, fraction: float) -> None:
    async def run() -> tuple[int, NDArray[np.float32]]:
        first = new_stream(InProcessSource())
        for at, chunk in enumerate(chunks[: int(split * len(chunks))]):
            await first.decode(Chunk(at, chunk))
        committed = int(first.position * fraction)
        point = await first.checkpoint(committed)
        source = InProcessSource([InProcessChild(2), InProcessChild(3)])
        second = new_stream(source, state=point.state)
        parts = [await second.decode(Chunk(at, chunks[at])) for at in range(point.replay_from_sequence, len(chunks))]
        return committed, np.concatenate([*parts, await second.finish()])

    committed, rest = asyncio.run(run())
    assert np.array_equal(rest, reference(chunks)[committed:])


async def test_a_checkpoint_forgets_older_chunks() -> None:
    source = InProcessSource([InProcessChild(12)])
    stream = new_stream(source)
    for at in range(10):
        await stream.decode(Chunk(at, b"aa"))
    assert (await stream.checkpoint(8)).replay_from_sequence == 8
    await stream.decode(Chunk(10, b"aa"))
    replayed = [request.chunk.sequence for request in source.now.asked if isinstance(request, ipc.Decode)]
    assert replayed == [8, 9, 10]


async def test_checkpoints_still_work_after_the_end() -> None:
    source = InProcessSource([InProcessChild(3)])
    stream = new_stream(source)
    await stream.decode(Chunk(0, b"aabb"))
    await stream.finish()
    assert (await stream.checkpoint(1)).replay_from_sequence == 0
    assert source.now.asked[0] == ipc.Open(STREAM, b"", None)
    with pytest.raises(MediaError, match="finished"):
        await stream.decode(Chunk(1, b"aa"))


@pytest.mark.parametrize("death", [CRASHED, HUNG, Death(7, Ending.DIED, suspect=STREAM)])
async def test_the_second_death_is_the_last(death: Death) -> None:
    source = InProcessSource([InProcessChild(2, death=death), InProcessChild(2, death=death)])
    stream = new_stream(source)
    assert (await stream.decode(Chunk(0, b"aa"))).size == 1
    with pytest.raises(MediaError, match="ended the decoder twice"):
        await stream.decode(Chunk(1, b"bb"))
    survivor = source.now
    for call in (stream.decode(Chunk(2, b"cc")), stream.finish(), stream.checkpoint(0)):
        with pytest.raises(MediaError, match="ended the decoder twice"):
            await call
    assert source.now is survivor


async def test_a_commit_past_the_suspect_clears_it() -> None:
    source = InProcessSource([InProcessChild(2, death=CRASHED), InProcessChild(4, death=CRASHED)])
    stream = new_stream(source)
    await stream.decode(Chunk(0, b"aa"))
    await stream.decode(Chunk(1, b"bb"))
    await stream.checkpoint(2)
    assert (await stream.decode(Chunk(2, b"cc"))).size == 1


async def test_kills_from_outside_are_bounded_for_one_call() -> None:
    source = InProcessSource(InProcessChild(1) for _ in range(20))
    with pytest.raises(MediaError, match="killed repeatedly"):
        await new_stream(source).decode(Chunk(0, b"aa"))


async def test_a_neighbours_poison_is_not_counted() -> None:
    source = InProcessSource(InProcessChild(1, death=Death(-11, Ending.DIED, suspect=9)) for _ in range(20))
    assert (await new_stream(source).decode(Chunk(0, b"aa"))).size == 1


async def test_bad_media_end_the_stream_but_not_its_past() -> None:
    stream = new_stream(InProcessSource())
    await stream.decode(Chunk(0, b"aabb"))
    for call in (stream.decode(Chunk(1, b"!bad")), stream.decode(Chunk(2, b"cc")), stream.finish()):
        with pytest.raises(MediaError, match="these media are bad"):
            await call
    assert (await stream.checkpoint(2)).replay_from_sequence in {1, 2}


async def test_a_cancelled_decode_has_not_happened() -> None:
    source = InProcessSource()
    stream = new_stream(source)
    await stream.decode(Chunk(0, b"aa"))
    source.now.hold = asyncio.Event()
    task = asyncio.create_task(stream.decode(Chunk(1, b"bbcc")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    source.now.hold = None
    again = await stream.decode(Chunk(1, b"bbcc"))
    assert np.array_equal(again, reference([b"aabbcc"])[1:])


async def test_bounds() -> None:
    stream = new_stream(InProcessSource(), StreamLimits(max_payload_bytes=10))
    with pytest.raises(MediaError, match="larger than allowed"):
        await stream.decode(Chunk(0, bytes(11)))
    stream = new_stream(InProcessSource(), StreamLimits(max_replay_bytes=1000))
    for at in range(7):
        await stream.decode(Chunk(at, bytes(10)))
    with pytest.raises(MediaError, match="waits for its transcript"):
        await stream.decode(Chunk(7, bytes(10)))
    stream = new_stream(InProcessSource(), StreamLimits(max_replay_bytes=1000))
    for at in range(100):
        await stream.decode(Chunk(at, bytes(10)))
        await stream.checkpoint(5 * (at + 1))


async def test_sequences_rise() -> None:
    stream = new_stream(InProcessSource())
    await stream.decode(Chunk(5, b"aa"))
    with pytest.raises(ValueError, match="rise"):
        await stream.decode(Chunk(5, b"aa"))
    assert (await stream.decode(Chunk(6, b"aa"))).size == 1


async def test_a_fast_stream_is_held_to_its_pace() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    limits = StreamLimits(max_rate=2.0, burst_seconds=1.0)
    stream = DecoderStream(
        STREAM,
        media_pb2.MediaFormat(),
        None,
        terms=StreamTerms(AUDIO, limits),
        source=InProcessSource(),
        clock=lambda: 0.0,
        sleep=sleep,
    )
    await stream.decode(Chunk(0, bytes(2 * 16_000 * 3)))
    await stream.decode(Chunk(1, b""))
    assert slept == [pytest.approx(1.0)]


async def test_a_lying_child_is_disowned() -> None:
    class Liar(InProcessChild):
        async def ask(self, request: ipc.Request) -> ipc.Answer:
            return ipc.Samples(STREAM, b"odd") if isinstance(request, ipc.Decode) else ipc.Opened(STREAM, 0)

    source = InProcessSource([Liar()])
    with pytest.raises(MediaError, match="no usable answer"):
        await new_stream(source).decode(Chunk(0, b"aa"))
    assert source.now.disowned


async def test_close_frees_everything_and_may_come_twice() -> None:
    source = InProcessSource()
    stream = new_stream(source)
    await stream.decode(Chunk(0, b"aa"))
    await stream.close()
    await stream.close()
    assert source.left == [STREAM]
    assert source.now.asked[-1] == ipc.Close(STREAM)
    for call in (stream.decode(Chunk(1, b"aa")), stream.finish(), stream.checkpoint(0)):
        with pytest.raises(MediaError, match="closed"):
            await call

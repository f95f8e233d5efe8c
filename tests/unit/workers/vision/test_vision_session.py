"""A vision stream: counts that always add up, hostile frames, failover, video through real decoder children."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from talkup.v1 import analysis_pb2, error_pb2, media_pb2, task_pb2

from tests.unit.workers.media.video_material import recording, timeslices
from tests.unit.workers.vision import faces
from tests.unit.workers.vision.encoded import encoded, photo
from tests.unit.workers.vision.recompute import check_window
from tests.unit.workers.vision.test_image_header import HOSTILE
from workers.chunk import chunk_of
from workers.engine import EngineError, StreamContext
from workers.vision.analyzer import Analyzer, Wanted
from workers.vision.engine import VisionEngine
from workers.vision.face_reader import FaceNets
from workers.vision.mailbox import MAX_WAITING, PATIENCE_SECONDS
from workers.vision.pictures import Picture
from workers.vision.pressure import Pressure, Rates
from workers.vision.runner import give_way
from workers.vision.service import create_engine
from workers.vision.session import VisionSession, smaller
from workers.vision.settings import VisionSettings

pytestmark = pytest.mark.model

CONTEXT = StreamContext("session", "stream", 1)
T0 = 1_700_000_000_000


@pytest.fixture(scope="module")
def config() -> VisionSettings:
    return VisionSettings(model_cache=Path(".cache/models"), threads=1, decoders=1, nice=0)


@pytest.fixture
async def engine(config: VisionSettings) -> AsyncIterator[VisionEngine]:
    engine = create_engine(config)
    await engine.load()
    yield engine
    await engine.close()


@pytest.fixture
async def unhurried_engine(config: VisionSettings) -> AsyncIterator[VisionEngine]:
    """Its clock stands still, so that no frame is stale however busy the machine is."""
    engine = create_engine(config, clock=lambda: 0.0)
    await engine.load()
    yield engine
    await engine.close()


def image_start(**options: object) -> task_pb2.StreamStart:
    return task_pb2.StreamStart(
        kind=media_pb2.MEDIA_KIND_IMAGE,
        format=media_pb2.MediaFormat(mime_type="image/jpeg", container=media_pb2.CONTAINER_JPEG),
        vision=analysis_pb2.VisionOptions(**options),  # type: ignore[arg-type]
    )


def video_start() -> task_pb2.StreamStart:
    return task_pb2.StreamStart(
        kind=media_pb2.MEDIA_KIND_VIDEO,
        format=media_pb2.MediaFormat(mime_type="video/webm", container=media_pb2.CONTAINER_WEBM),
    )


def pictures(count: int, first: int = 0) -> list[media_pb2.Chunk]:
    data = faces.jpeg(faces.portrait())
    return [
        media_pb2.Chunk(sequence=i, payload=data, capture_time_unix_ms=T0 + 100 * i)
        for i in range(first, first + count)
    ]


class HeldAnalyzer(Analyzer):
    """Holds its first frame until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def analyze(self, nets: FaceNets, picture: Picture, media_ms: int, wanted: Wanted) -> analysis_pb2.Analysis:
        self.begun.set()
        assert self.go_on.wait(60)
        return super().analyze(nets, picture, media_ms, wanted)


class SlowAnalyzer(Analyzer):
    """Takes `seconds` more for a frame, on an injected clock."""

    def __init__(self, now: list[float], seconds: float) -> None:
        super().__init__()
        self._now, self._seconds = now, seconds

    def analyze(self, nets: FaceNets, picture: Picture, media_ms: int, wanted: Wanted) -> analysis_pb2.Analysis:
        self._now[0] += self._seconds
        return super().analyze(nets, picture, media_ms, wanted)


async def collect(session: VisionSession) -> list[task_pb2.TaskResult]:
    async with aclosing(session.results()) as results:
        return [result async for result in results]


async def run(session: VisionSession, chunks: list[media_pb2.Chunk], *, wait: bool) -> list[task_pb2.TaskResult]:
    """Send all; with `wait`, each chunk is analysed before the next; without, nothing is read before the end."""
    reading = asyncio.ensure_future(collect(session)) if wait else None
    for chunk in chunks:
        await session.accept(chunk_of(chunk))
        if wait:
            await session.flush(chunk.sequence)
    await session.end()
    results = await (reading or collect(session))
    await session.close()
    return results


def analyses(results: list[task_pb2.TaskResult]) -> list[analysis_pb2.Analysis]:
    return [r.analysis for r in results if r.WhichOneof("result") == "analysis" and r.analysis.HasField("frame")]


def check_counts(results: list[task_pb2.TaskResult]) -> task_pb2.Flow:
    """The identity in every message with numbers; gives the last one."""
    flows = [result.flow for result in results if result.WhichOneof("result") == "flow"]
    for flow in flows:
        assert flow.frames_received == flow.frames_analyzed + sum(drop.count for drop in flow.dropped)
    assert results[-1].WhichOneof("result") == "ended"
    assert sum(drop.count for drop in results[-1].ended.dropped) == sum(drop.count for drop in flows[-1].dropped)
    assert flows[-1].frames_analyzed == len(analyses(results))
    return flows[-1]


async def test_every_frame_is_analysed_when_there_is_time(engine: VisionEngine) -> None:
    chunks = pictures(12)
    results = await run(engine.open(image_start(), CONTEXT), chunks, wait=True)
    found = analyses(results)
    assert [analysis.frame_seq for analysis in found] == list(range(12))
    assert [analysis.media_time_ms for analysis in found] == list(range(0, 1_200, 100))
    assert [analysis.captured_at_unix_ms for analysis in found] == [chunk.capture_time_unix_ms for chunk in chunks]
    assert {analysis.frame.face_count for analysis in found} == {1}
    flow = check_counts(results)
    assert (flow.frames_received, flow.frames_analyzed) == (12, 12)
    ended = results[-1].ended
    assert (ended.chunks, ended.bytes, ended.media_ms) == (12, sum(len(c.payload) for c in chunks), 1_100)
    whole = next(r.analysis.window for r in results if r.analysis.window.whole_session)
    assert (whole.frames, whole.t1_ms) == (12, 1_100)


async def test_pictures_without_a_capture_time_are_timed_by_their_coming(engine: VisionEngine) -> None:
    chunks = pictures(4)
    for chunk in chunks:
        chunk.received_unix_ms = T0 + 5 + 250 * chunk.sequence
        chunk.ClearField("capture_time_unix_ms")
    results = await run(engine.open(image_start(), CONTEXT), chunks, wait=True)
    assert [analysis.media_time_ms for analysis in analyses(results)] == [0, 250, 500, 750]
    assert not any(analysis.HasField("captured_at_unix_ms") for analysis in analyses(results))


@pytest.mark.parametrize(
    ("kind", "mime"), [(media_pb2.MEDIA_KIND_IMAGE, "image"), (media_pb2.MEDIA_KIND_VIDEO, "video")]
)
async def test_formats_named_by_their_kind_alone_are_told_by_their_bytes(
    engine: VisionEngine, kind: media_pb2.MediaKind, mime: str
) -> None:
    start = task_pb2.StreamStart(kind=kind, format=media_pb2.MediaFormat(mime_type=mime))
    start.format.container = media_pb2.CONTAINER_SNIFF
    if kind == media_pb2.MEDIA_KIND_IMAGE:
        chunks = pictures(2)
        chunks[1].payload = faces.webp(faces.portrait())
        assert len(analyses(await run(engine.open(start, CONTEXT), chunks, wait=True))) == 2
        return
    for data in (recording("libvpx", "webm", frames=6), recording("libx264", "mp4", frames=6)):
        pieces = [media_pb2.Chunk(sequence=i, payload=piece) for i, piece in enumerate(timeslices(data, 5))]
        assert len(analyses(await run(engine.open(start, CONTEXT), pieces, wait=True))) == 6


async def test_the_newest_frame_wins_when_frames_come_too_fast(engine: VisionEngine) -> None:
    session = engine.open(image_start(), CONTEXT)
    ticks = itertools.count()
    session._clock = lambda: next(ticks) * (PATIENCE_SECONDS + 0.1)
    for chunk in pictures(9):
        await session.accept(chunk_of(chunk))
    session._clock = lambda: 0.0
    await session.end()
    results = await collect(session)
    await session.close()
    assert [analysis.frame_seq for analysis in analyses(results)] == [8]
    flow = check_counts(results)
    assert (flow.frames_received, flow.frames_analyzed) == (9, 1)
    assert [(drop.reason, drop.count) for drop in flow.dropped] == [(task_pb2.DROP_REASON_OVERLOAD, 8)]


async def test_a_burst_is_analysed_frame_by_frame(engine: VisionEngine) -> None:
    """A slow first frame, or a network that held some back, costs none: overload is when it does not pass."""
    session = engine.open(image_start(), CONTEXT)
    session._clock = lambda: 0.0
    session._analyzer = slow = HeldAnalyzer()
    reading = asyncio.ensure_future(collect(session))
    for chunk in pictures(6):
        await session.accept(chunk_of(chunk))
        await asyncio.to_thread(slow.begun.wait, 30)
    slow.go_on.set()
    await session.end()
    results = await reading
    await session.close()
    assert [analysis.frame_seq for analysis in analyses(results)] == list(range(6))
    assert not check_counts(results).dropped


async def test_frames_of_one_chunk_are_not_stale_before_their_time(engine: VisionEngine) -> None:
    """A recorder that writes two seconds at once, and a processor that takes 0.2 s for each frame of them."""
    now = [0.0]
    session = engine.open(video_start(), CONTEXT)
    session._clock = lambda: now[0]
    session._analyzer = SlowAnalyzer(now, 0.2)
    chunk = media_pb2.Chunk(sequence=0, payload=recording("libvpx", "webm", frames=10, fps=5))
    await session.accept(chunk_of(chunk))
    await session.end()
    results = await collect(session)
    await session.close()
    assert len(analyses(results)) == 10
    assert not check_counts(results).dropped


async def test_where_every_frame_is_wanted_the_sender_waits_and_none_is_dropped(engine: VisionEngine) -> None:
    now = [0.0]
    session = engine.open(image_start(every_frame=True), CONTEXT)
    session._clock = lambda: now[0]
    session._analyzer = SlowAnalyzer(now, 3.0)
    chunks = pictures(30)

    async def send() -> None:
        for chunk in chunks:
            await session.accept(chunk_of(chunk))
        await session.end()

    sending = asyncio.ensure_future(send())
    while session._totals.chunks <= MAX_WAITING:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert session._totals.chunks == MAX_WAITING + 1  # nobody reads the results yet: there it waits
    results = await collect(session)
    await sending
    await session.close()
    assert [analysis.frame_seq for analysis in analyses(results)] == list(range(30))
    assert not check_counts(results).dropped


async def test_a_sender_that_waits_continues_when_its_stream_is_closed(engine: VisionEngine) -> None:
    session = engine.open(image_start(every_frame=True), CONTEXT)
    chunks = [chunk_of(chunk) for chunk in pictures(MAX_WAITING + 1)]
    for chunk in chunks[:-1]:
        await session.accept(chunk)
    waiting = asyncio.ensure_future(session.accept(chunks[-1]))
    while session._box.waiting <= MAX_WAITING:
        await asyncio.sleep(0)
    assert not waiting.done()
    await session.close()
    await asyncio.wait_for(waiting, 10)


async def test_a_stream_takes_its_newest_frame_when_its_turn_comes(engine: VisionEngine) -> None:
    """Not the one that was there when it began to wait: with many streams a turn takes long to come."""
    runner = engine._runner
    assert runner is not None
    elsewhere = await runner.acquire()  # the only set of networks, as if another stream had it
    session = engine.open(image_start(), CONTEXT)
    ticks = itertools.count()
    session._clock = lambda: next(ticks) * (PATIENCE_SECONDS + 0.1)
    reading = asyncio.ensure_future(collect(session))
    for chunk in pictures(4):
        await session.accept(chunk_of(chunk))
        await asyncio.sleep(0)
    session._clock = lambda: 0.0
    runner.release(elsewhere)
    await session.end()
    results = await reading
    await session.close()
    assert [analysis.frame_seq for analysis in analyses(results)] == [3]
    assert check_counts(results).frames_received == 4


async def test_a_stream_that_ends_while_it_waits_for_its_turn_takes_none(engine: VisionEngine) -> None:
    runner = engine._runner
    assert runner is not None
    elsewhere = await runner.acquire()
    session = engine.open(image_start(), CONTEXT)
    reading = asyncio.ensure_future(collect(session))
    await session.accept(chunk_of(pictures(1)[0]))
    await asyncio.sleep(0)
    await session.close()
    runner.release(elsewhere)
    assert await reading == []
    assert await asyncio.wait_for(runner.acquire(), 5) is elsewhere
    runner.release(elsewhere)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a nice of its own")
def test_threads_of_analysis_give_way_and_no_others() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    seen: list[int] = []

    def look() -> None:
        give_way(15)
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [max(15, own)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


@pytest.mark.skipif(sys.platform != "linux", reason="only there sessions have a nice")
@pytest.mark.parametrize(("own", "written"), [(True, "10"), (False, "0")])
def test_a_session_of_the_same_owner_ends_and_no_other(tmp_path: Path, own: bool, written: str) -> None:
    file = tmp_path / "autogroup"
    file.write_text("0")
    code = "import sys; from pathlib import Path; from workers.vision.runner import session_gives_way as give\n"
    code += "give(10, Path(sys.argv[1])); give(0, Path(sys.argv[1])); give(10, Path(sys.argv[1]) / 'nowhere')"
    command = [sys.executable, "-c", code, str(file)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, check=True, start_new_session=own, env=environment)
    assert file.read_text() == written


async def test_a_stale_frame_is_dropped(engine: VisionEngine) -> None:
    now = [0.0]
    session = engine.open(image_start(), CONTEXT)
    session._clock = lambda: now[0]
    await session.accept(chunk_of(pictures(1)[0]))
    now[0] = 0.6
    await session.end()
    results = await collect(session)
    await session.close()
    assert [(drop.reason, drop.count) for drop in check_counts(results).dropped] == [(task_pb2.DROP_REASON_STALE, 1)]


async def test_the_rate_asked_for_is_kept(engine: VisionEngine) -> None:
    results = await run(engine.open(image_start(max_fps=5), CONTEXT), pictures(10), wait=True)
    assert [analysis.frame_seq for analysis in analyses(results)] == [0, 2, 4, 6, 8]
    assert check_counts(results).frames_received == 10


async def test_hostile_frames_are_dropped_and_the_stream_continues(engine: VisionEngine) -> None:
    truncated = faces.jpeg(faces.portrait())[:400]
    payloads = [*HOSTILE.values(), truncated, faces.jpeg(faces.portrait()[..., 0]), faces.webp(faces.portrait())]
    chunks = [media_pb2.Chunk(sequence=i, payload=data) for i, data in enumerate(payloads)]
    beside = engine.open(image_start(), StreamContext("session", "other", 1))
    results, other = await asyncio.gather(
        run(engine.open(image_start(), CONTEXT), chunks, wait=True), run(beside, pictures(5), wait=True)
    )
    flow = check_counts(results)
    assert flow.frames_received == len(payloads)
    assert {drop.reason for drop in flow.dropped} == {task_pb2.DROP_REASON_CORRUPT}
    assert flow.frames_analyzed >= 2
    assert len(analyses(other)) == 5


async def test_each_reason_is_reported_once_and_not_again_by_another_worker(engine: VisionEngine) -> None:
    gif, png = encoded(faces.portrait(), "gif"), encoded(faces.portrait(), "png")
    payloads = [gif, encoded(faces.portrait(), "bmp"), png[:-20], png, gif, png[:-20]]
    chunks = [media_pb2.Chunk(sequence=i, payload=data) for i, data in enumerate(payloads)]
    whole = await run(engine.open(image_start(), CONTEXT), chunks, wait=True)
    errors = [result.error for result in whole if result.WhichOneof("result") == "error"]
    assert [(error.code, error.reason, error.fatal) for error in errors] == [
        (error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, "unsupported_format", False),
        (error_pb2.ERROR_CODE_MEDIA_ERROR, "truncated", False),
    ]
    assert errors[0].message == "a picture was skipped: a GIF is not read as a picture; send JPEG, PNG or WebP"
    assert check_counts(whole).frames_analyzed == 1
    start = image_start()
    start.resume_state = next(r.progress for r in whole if r.progress.committed_sequence == 3).resume_state
    resumed = await run(engine.open(start, StreamContext("session", "stream", 2)), chunks[4:], wait=True)
    assert not [result for result in resumed if result.WhichOneof("result") == "error"]
    assert resumed[-1].ended == whole[-1].ended


async def test_a_photo_under_way_holds_up_no_camera(engine: VisionEngine) -> None:
    (slow,) = engine._slow_pool.child_pids
    photographer = engine.open(image_start(), CONTEXT)
    reading = asyncio.ensure_future(collect(photographer))
    os.kill(slow, signal.SIGSTOP)
    picture = media_pb2.Chunk(sequence=0, payload=photo("png", 4_032, 3_024))
    sending = asyncio.ensure_future(photographer.accept(chunk_of(picture)))
    beside = await run(engine.open(image_start(), StreamContext("session", "other", 1)), pictures(5), wait=True)
    assert len(analyses(beside)) == 5
    assert not sending.done()
    os.kill(slow, signal.SIGCONT)
    await sending
    await photographer.end()
    assert check_counts(await reading).frames_analyzed == 1
    await photographer.close()


async def test_another_worker_continues_from_every_progress(engine: VisionEngine) -> None:
    chunks = pictures(8)
    chunks[3].payload = b"no picture"
    whole = await run(engine.open(image_start(), CONTEXT), chunks, wait=True)
    for at, result in enumerate(whole):
        if not result.HasField("progress") or result.progress.committed_sequence == 7:
            continue
        start = image_start()
        start.resume_state = result.progress.resume_state
        rest = [chunk for chunk in chunks if chunk.sequence >= result.progress.replay_from_sequence]
        resumed = await run(engine.open(start, StreamContext("session", "stream", 2)), rest, wait=True)
        before = [analysis.frame_seq for analysis in analyses(whole[: at + 1])]
        after = analyses(resumed)
        assert before + [analysis.frame_seq for analysis in after] == [0, 1, 2, 4, 5, 6, 7]
        assert [analysis.media_time_ms for analysis in after] == [100 * analysis.frame_seq for analysis in after]
        assert resumed[-1].ended == whole[-1].ended
        assert sum(drop.count for drop in resumed[-1].ended.dropped) == 1


async def test_windows_are_those_of_their_frames_over_a_failover_too(engine: VisionEngine) -> None:
    """The window after a failover covers frames of both workers."""
    chunks = pictures(45)
    first = await run(engine.open(image_start(), CONTEXT), chunks[:30], wait=True)
    at = next(i for i, r in enumerate(first) if r.HasField("progress") and r.progress.committed_sequence == 24)
    start = image_start()
    start.resume_state = first[at].progress.resume_state
    assert len(start.resume_state) < 25 * 50 + 1_000
    resumed = await run(engine.open(start, StreamContext("session", "stream", 2)), chunks[25:], wait=True)
    sent = analyses(first[: at + 1]) + analyses(resumed)
    windows = [each.window for each in sent if each.HasField("window")]
    whole = next(r.analysis.window for r in resumed if r.analysis.window.whole_session)
    assert [(window.t0_ms, window.t1_ms) for window in windows] == [(0, 2_000), (0, 4_000)]
    for window in [*windows, whole]:
        check_window(sent, window)


async def test_a_video_gives_its_frames_and_another_worker_continues(engine: VisionEngine) -> None:
    data = recording("libvpx", "webm", frames=24, key_every=8)
    chunks = [media_pb2.Chunk(sequence=i, payload=piece) for i, piece in enumerate(timeslices(data, 12))]
    whole = await run(engine.open(video_start(), CONTEXT), chunks, wait=True)
    numbers = [analysis.frame_seq for analysis in analyses(whole)]
    assert numbers == list(range(24))
    assert check_counts(whole).frames_received == 24
    points = [at for at, result in enumerate(whole) if result.HasField("progress")]
    for at in points[::5]:
        progress = whole[at].progress
        if progress.committed_sequence == len(chunks) - 1:
            continue
        start = video_start()
        start.resume_state = progress.resume_state
        rest = [chunk for chunk in chunks if chunk.sequence >= progress.replay_from_sequence]
        resumed = await run(engine.open(start, StreamContext("session", "stream", 2)), rest, wait=True)
        before = [analysis.frame_seq for analysis in analyses(whole[: at + 1])]
        assert before + [analysis.frame_seq for analysis in analyses(resumed)] == numbers
        assert resumed[-1].ended == whole[-1].ended


async def test_a_killed_decoder_costs_no_frame(engine: VisionEngine) -> None:
    data = recording("libvpx", "webm", frames=24, key_every=8)
    chunks = [media_pb2.Chunk(sequence=i, payload=piece) for i, piece in enumerate(timeslices(data, 12))]
    session = engine.open(video_start(), CONTEXT)
    session._clock = lambda: 0.0  # a new child may take longer than a frame stays fresh
    reading = asyncio.ensure_future(collect(session))
    for chunk in chunks:
        if chunk.sequence == 6:
            os.kill(engine._pool.child_pids[0], signal.SIGKILL)
        await session.accept(chunk_of(chunk))
        await session.flush(chunk.sequence)
    await session.end()
    results = await reading
    await session.close()
    assert [analysis.frame_seq for analysis in analyses(results)] == list(range(24))


async def test_media_that_cannot_be_decoded_end_the_stream(engine: VisionEngine) -> None:
    session = engine.open(video_start(), CONTEXT)
    with pytest.raises(EngineError) as failed:
        await session.accept(chunk_of(media_pb2.Chunk(sequence=0, payload=b"\x1a\x45\xdf\xa3" + b"\x00" * 100)))
    assert failed.value.code == error_pb2.ERROR_CODE_MEDIA_ERROR
    with pytest.raises(EngineError):
        await collect(session)
    await session.close()


async def test_starts_that_cannot_be_served_are_refused(engine: VisionEngine) -> None:
    audio = task_pb2.StreamStart(format=media_pb2.MediaFormat(container=media_pb2.CONTAINER_WAV))
    with pytest.raises(EngineError) as refused:
        engine.open(audio, CONTEXT)
    assert refused.value.code == error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT
    for field, options in (("vision.signals", {"signals": ["honesty"]}), ("vision.max_fps", {"max_fps": 0})):
        with pytest.raises(EngineError) as refused:
            engine.open(image_start(**options), CONTEXT)
        assert refused.value.field == field
    for state in (b"", b"\xc1", b"nonsense", b"\x99" * 40):
        start = image_start()
        start.resume_state = state
        with pytest.raises(EngineError) as refused:
            engine.open(start, CONTEXT)
        assert refused.value.field == "start.resume_state"


async def test_expression_comes_for_the_service_that_asks(engine: VisionEngine) -> None:
    for signals, expected in ((["behavior_analyzer"], 0), (["emotion_analyzer"], 3)):
        results = await run(engine.open(image_start(signals=signals), CONTEXT), pictures(1), wait=True)
        assert len(analyses(results)[0].frame.expression) == expected


async def test_an_empty_stream_ends_at_once(engine: VisionEngine) -> None:
    results = await run(engine.open(image_start(), CONTEXT), [], wait=True)
    assert [result.WhichOneof("result") for result in results] == ["ended"]


async def test_close_frees_at_any_time_and_twice(engine: VisionEngine) -> None:
    session = engine.open(image_start(), CONTEXT)
    reading = asyncio.ensure_future(collect(session))
    await session.accept(chunk_of(pictures(1)[0]))
    await session.close()
    await session.close()
    async with asyncio.timeout(5):
        assert all(result.WhichOneof("result") != "ended" for result in await reading)


async def test_an_engine_says_what_it_is(engine: VisionEngine) -> None:
    description = engine.describe()
    assert [len(model.sha256) for model in description.models] == [64, 64, 64]
    assert "video/webm" in description.formats
    assert engine.default_slots() >= 1


@pytest.mark.parametrize(
    ("size", "smaller_one"),
    [((640, 480), None), ((720, 360), None), ((1280, 720), (738, 414)), ((480, 1280), (338, 904)), ((0, 0), None)],
)
def test_a_smaller_size_has_the_same_shape(size: tuple[int, int], smaller_one: tuple[int, int] | None) -> None:
    assert smaller(*size) == smaller_one


def test_a_lower_rate_is_suggested_and_never_a_higher_one() -> None:
    rates = Rates(0.0, 0, 0)
    assert rates.suggested(10) is None
    rates.note(0.5, 5, 5)
    rates.note(2.0, 20, 15)
    assert rates.suggested(21) == 8
    assert rates.suggested(5) == 5
    rates.note(4.0, 40, 35)
    assert rates.suggested(21) is None


def test_a_sender_that_keeps_to_the_suggestion_is_left_alone() -> None:
    """A worker of 8 frames per second; the sender sends what was suggested last."""
    rates, now, received, analyzed, sent = Rates(0.0, 0, 0), 0.0, 0, 0, 12
    for _ in range(30):
        now, received, analyzed = now + 1.0, received + sent, analyzed + min(sent, 8)
        rates.note(now, received, analyzed)
        sent = rates.suggested(10) or sent
    assert sent == 8


async def test_a_stream_timed_otherwise_continues_from_where_it_is(engine: VisionEngine) -> None:
    """A state of a stream whose pictures had no times, then the gateway's clock, then the sender's, one hour behind."""
    chunks = pictures(30)
    for chunk in chunks:
        chunk.ClearField("capture_time_unix_ms")
    first = await run(engine.open(image_start(), CONTEXT), chunks[:10], wait=True)
    saved = next(r.progress for r in first if r.HasField("progress") and r.progress.committed_sequence == 9)
    for chunk in chunks[10:]:
        chunk.received_unix_ms = T0 + 50 * chunk.sequence
    for chunk in chunks[20:]:
        chunk.capture_time_unix_ms = T0 - 3_600_000 + 25 * chunk.sequence
    start = image_start()
    start.resume_state = saved.resume_state
    rest = await run(engine.open(start, StreamContext("session", "stream", 2)), chunks[10:], wait=True)
    times = [analysis.media_time_ms for analysis in analyses(rest)]
    assert times == [*range(900, 1_400, 50), *range(1_350, 1_600, 25)]


async def test_damage_of_a_video_is_counted_once_though_it_moves(unhurried_engine: VisionEngine) -> None:
    engine = unhurried_engine
    data = recording("libvpx", "webm", frames=48)
    middle = len(data) * 9 // 16
    chunks = [
        media_pb2.Chunk(sequence=i, payload=piece)
        for i, piece in enumerate(timeslices(data[:middle] + bytes(300) + data[middle + 300 :], 24))
    ]
    whole = await run(engine.open(video_start(), CONTEXT), chunks, wait=True)
    assert whole[-1].ended.damaged_bytes > 0
    points = [r.progress for r in whole if r.HasField("progress") and r.progress.committed_sequence < 23]
    for progress in points[::5]:
        start = video_start()
        start.resume_state = progress.resume_state
        rest = [chunk for chunk in chunks if chunk.sequence >= progress.replay_from_sequence]
        resumed = await run(engine.open(start, StreamContext("session", "stream", 2)), rest, wait=True)
        assert resumed[-1].ended == whole[-1].ended


def test_pressure_gives_up_one_thing_after_the_other_and_takes_it_back() -> None:
    pressure = Pressure()
    levels = []
    for dropped in [10] * 5 + [0] * 5:
        pressure.note(20, dropped)
        levels.append(pressure.level)
    assert levels == [1, 2, 3, 4, 4, 3, 2, 1, 0, 0]

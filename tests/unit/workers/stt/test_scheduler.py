"""The scheduler: order, batches, expiry, cancellation, failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from workers.load_meter import LoadMeter
from workers.observer import NoObserver
from workers.scheduler import ExpiredError, Rank, Scheduler, SchedulerClosedError


class Recorder:
    """Runs jobs once the gate is open and notes the batches."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[str]] = []

    def run(self, jobs: Sequence[str]) -> list[str]:
        self.entered.set()
        self.gate.wait()
        self.batches.append(list(jobs))
        if "bad" in jobs:
            raise RuntimeError("bad")
        return [job.upper() for job in jobs]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def scheduler(
    recorder: Recorder, clock: list[float] | None = None, batch: int = 3, threads: int = 1
) -> Scheduler[str, str]:
    now = clock or [0.0]
    made: Scheduler[str, str] = Scheduler(
        recorder.run, lambda job: job[0], threads=threads, batch=batch, clock=lambda: now[0]
    )
    made.start()
    return made


async def occupy(made: Scheduler[str, str], recorder: Recorder) -> asyncio.Future[str]:
    """Keep the only thread busy, so that later jobs queue up."""
    first = made.submit("z", rank=Rank.STEP, due=0)
    await asyncio.to_thread(recorder.entered.wait)
    return first


async def test_closing_first_then_the_most_overdue_in_batches_of_a_key(recorder: Recorder) -> None:
    made = scheduler(recorder)
    first = await occupy(made, recorder)
    futures = [
        made.submit("i1", rank=Rank.INTERIM, due=0),
        made.submit("a1", rank=Rank.STEP, due=5),
        made.submit("b1", rank=Rank.STEP, due=4),
        made.submit("a2", rank=Rank.STEP, due=9),
        made.submit("c1", rank=Rank.CLOSING, due=9),
        *(made.submit(f"a{n}", rank=Rank.STEP, due=10 + n) for n in (3, 4)),
    ]
    assert not made.roomy
    recorder.gate.set()
    assert await first == "Z"
    assert await asyncio.gather(*futures) == ["I1", "A1", "B1", "A2", "C1", "A3", "A4"]
    assert recorder.batches[1:] == [["c1"], ["b1"], ["a1", "a2", "a3"], ["a4"], ["i1"]]
    made.close()
    assert (made.stats.batches, made.stats.batched) == (6, 8)


async def test_expired_and_cancelled_jobs_cost_nothing(recorder: Recorder) -> None:
    clock = [0.0]
    made = scheduler(recorder, clock)
    first = await occupy(made, recorder)
    late = made.submit("a", rank=Rank.STEP, due=0, expires=1.0)
    dropped = made.submit("b", rank=Rank.STEP, due=0)
    kept = made.submit("c", rank=Rank.STEP, due=0, expires=3.0)
    dropped.cancel()
    await asyncio.sleep(0)
    clock[0] = 2.0
    recorder.gate.set()
    assert await kept == "C"
    with pytest.raises(ExpiredError):
        await late
    await first
    made.close()
    assert recorder.batches == [["z"], ["c"]]
    assert (made.stats.expired, made.stats.cancelled) == (1, 1)


async def test_a_failing_batch_fails_its_jobs_only(recorder: Recorder) -> None:
    recorder.gate.set()
    made = scheduler(recorder)
    with pytest.raises(RuntimeError, match="bad"):
        await made.submit("bad", rank=Rank.STEP, due=0)
    assert await made.submit("good", rank=Rank.STEP, due=0) == "GOOD"
    made.close()


async def test_closing_cancels_what_waits(recorder: Recorder) -> None:
    made = scheduler(recorder)
    first = await occupy(made, recorder)
    waiting = made.submit("a", rank=Rank.STEP, due=0)
    recorder.gate.set()
    await first
    made.close()
    await asyncio.wait({waiting})
    with pytest.raises(SchedulerClosedError):
        made.submit("b", rank=Rank.STEP, due=0)


def test_nonsense_sizes_are_refused(recorder: Recorder) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Scheduler(recorder.run, len, threads=0, batch=1)


def test_load_is_the_share_of_threads_that_worked_lately() -> None:
    meter = LoadMeter(2, now=0.0)
    assert meter.at(10.0) == 0.0
    meter.change(1, now=10.0)
    assert 0.0 < meter.at(11.0) < meter.at(14.0) < meter.at(100.0) == pytest.approx(0.5)
    meter.change(1, now=100.0)
    assert meter.at(200.0) == pytest.approx(1.0)
    meter.change(-2, now=200.0)
    assert meter.at(200.0) == pytest.approx(1.0)
    assert meter.at(204.0) == pytest.approx(0.37, abs=0.01)


async def test_a_busy_scheduler_has_no_room_until_it_has_rested(recorder: Recorder) -> None:
    now = [0.0]
    made = scheduler(recorder, now)
    assert made.roomy
    first = await occupy(made, recorder)
    assert not made.roomy
    now[0] = 20.0
    recorder.gate.set()
    assert await first == "Z"
    while made.stats.busy < 20.0:
        await asyncio.sleep(0)
    assert not made.roomy
    now[0] = 24.0
    while not made.roomy:
        await asyncio.sleep(0)
    made.close()


async def test_recordings_wait_behind_live_streams_and_go_one_by_one_while_there_are_any(recorder: Recorder) -> None:
    made = scheduler(recorder)
    first = await occupy(made, recorder)
    futures = [
        made.submit("f1", rank=Rank.FILE, due=0),
        made.submit("f2", rank=Rank.FILE, due=1),
        made.submit("i1", rank=Rank.INTERIM, due=9),
        made.submit("f9", rank=Rank.STEP, due=9),
    ]
    recorder.gate.set()
    assert await asyncio.gather(first, *futures) == ["Z", "F1", "F2", "I1", "F9"]
    assert recorder.batches == [["z"], ["f9"], ["i1"], ["f1"], ["f2"]]
    made.close()


async def test_recordings_share_batches_when_no_live_stream_has_worked_for_a_while(recorder: Recorder) -> None:
    now = [0.0]
    made = scheduler(recorder, now)
    first = await occupy(made, recorder)
    now[0] = 31.0
    futures = [made.submit(f"f{number}", rank=Rank.FILE, due=number) for number in range(2)]
    recorder.gate.set()
    await asyncio.gather(first, *futures)
    assert recorder.batches == [["z"], ["f0", "f1"]]
    made.close()


async def test_a_thread_stays_free_for_live_streams(recorder: Recorder) -> None:
    now = [100.0]
    made = scheduler(recorder, now, threads=2)
    recorder.gate.set()
    await made.submit("a", rank=Rank.STEP, due=0)
    recorder.gate.clear()
    recorder.entered.clear()
    files = [made.submit("f1", rank=Rank.FILE, due=0), made.submit("g2", rank=Rank.FILE, due=0)]
    await asyncio.to_thread(recorder.entered.wait)
    recorder.entered.clear()
    live = made.submit("b", rank=Rank.STEP, due=0)
    await asyncio.to_thread(recorder.entered.wait)
    assert made.stats.batches == 3
    recorder.gate.set()
    await asyncio.gather(live, *files)
    now[0] = 200.0
    recorder.gate.clear()
    recorder.entered.clear()
    both = [made.submit("f3", rank=Rank.FILE, due=0), made.submit("g4", rank=Rank.FILE, due=0)]
    while made.stats.batches < 6:
        await asyncio.sleep(0)
    assert not any(future.done() for future in both)
    recorder.gate.set()
    await asyncio.gather(*both)
    made.close()


async def test_recordings_leave_room_for_optional_jobs(recorder: Recorder) -> None:
    now = [100.0]
    made = scheduler(recorder, now, threads=2)
    file = made.submit("f1", rank=Rank.FILE, due=0)
    await asyncio.to_thread(recorder.entered.wait)
    now[0] = 200.0
    assert made.roomy
    recorder.gate.set()
    await file
    made.close()


async def test_where_live_streams_have_little_room_a_recording_continues_every_ten_seconds(recorder: Recorder) -> None:
    now = [0.0]
    made = scheduler(recorder, now)

    async def live_until(end: float) -> None:
        recorder.gate.clear()
        recorder.entered.clear()
        busy = made.stats.busy
        live = made.submit("a", rank=Rank.STEP, due=0)
        await asyncio.to_thread(recorder.entered.wait)
        now[0] = end
        recorder.gate.set()
        await live
        while made.stats.busy == busy:
            await asyncio.sleep(0)

    await live_until(20.0)
    await made.submit("f1", rank=Rank.FILE, due=0)
    second = made.submit("f2", rank=Rank.FILE, due=0)
    done, _ = await asyncio.wait({second}, timeout=0.05)
    assert not done
    await live_until(29.0)
    done, _ = await asyncio.wait({second}, timeout=0.05)
    assert not done
    await live_until(31.0)
    assert await second == "F2"
    third = made.submit("f3", rank=Rank.FILE, due=0)
    done, _ = await asyncio.wait({third}, timeout=0.05)
    assert not done
    now[0] = 35.0  # the live streams have rested
    assert await third == "F3"
    made.close()


async def test_beside_live_streams_recordings_rest_for_as_long_as_they_work(recorder: Recorder) -> None:
    now = [100.0]
    made = scheduler(recorder, now, threads=2)
    recorder.gate.set()
    await made.submit("a", rank=Rank.STEP, due=0)
    now[0] = 110.0  # the live stream is still at work, and needs little
    recorder.gate.clear()
    recorder.entered.clear()
    first = made.submit("f1", rank=Rank.FILE, due=0)
    await asyncio.to_thread(recorder.entered.wait)
    now[0] = 113.0
    recorder.gate.set()
    await first
    second = made.submit("f2", rank=Rank.FILE, due=0)
    done, _ = await asyncio.wait({second}, timeout=0.05)
    assert not done
    now[0] = 115.5
    live = made.submit("b", rank=Rank.STEP, due=0)
    assert await live == "B"
    done, _ = await asyncio.wait({second}, timeout=0.05)
    assert not done
    now[0] = 116.5
    assert await second == "F2"
    made.close()


async def test_a_stream_ahead_of_real_time_goes_behind_those_who_speak_until_its_job_is_due(recorder: Recorder) -> None:
    now = [0.0]
    made = scheduler(recorder, now)
    first = await occupy(made, recorder)
    futures = [
        made.submit("a1", rank=Rank.CLOSING, due=30.0, ahead=True),
        made.submit("a2", rank=Rank.STEP, due=20.0, ahead=True),
        made.submit("a3", rank=Rank.STEP, due=5.0, ahead=True),
        made.submit("a4", rank=Rank.STEP, due=9.0),
        made.submit("i5", rank=Rank.INTERIM, due=9.0),
        made.submit("f6", rank=Rank.FILE, due=0.0),
    ]
    now[0] = 6.0
    recorder.gate.set()
    await asyncio.gather(first, *futures)
    made.close()
    assert recorder.batches == [["z"], ["a3", "a4"], ["i5"], ["a2", "a1"], ["f6"]]


@pytest.mark.parametrize(("waited", "order"), [(9.0, "z s i a f"), (11.0, "z s i f a")])
async def test_jobs_that_are_not_due_do_not_hold_up_a_recording_for_ever(
    recorder: Recorder, waited: float, order: str
) -> None:
    now = [0.0]
    made = scheduler(recorder, now)
    first = await occupy(made, recorder)
    file = made.submit("f", rank=Rank.FILE, due=0.0)
    now[0] = waited
    others = [
        made.submit("a", rank=Rank.STEP, due=30.0, ahead=True),
        made.submit("i", rank=Rank.INTERIM, due=20.0),
        made.submit("s", rank=Rank.STEP, due=0.0),
    ]
    recorder.gate.set()
    await asyncio.gather(first, file, *others)
    made.close()
    assert recorder.batches == [[job] for job in order.split()]


async def test_recordings_get_their_turn_where_jobs_that_are_not_due_use_all_threads() -> None:
    now, begun = [0.0], list[str]()
    gates = {name: threading.Event() for name in "abcf"}

    def run(jobs: Sequence[str]) -> Sequence[str]:
        begun.extend(jobs)
        gates[jobs[0]].wait()
        return jobs

    made: Scheduler[str, str] = Scheduler(run, lambda job: job, threads=2, batch=1, clock=lambda: now[0])
    made.start()
    jobs = [made.submit(name, rank=Rank.STEP, due=100.0, ahead=True) for name in "ab"]
    while len(begun) < 2:
        await asyncio.sleep(0)
    jobs += [made.submit("f", rank=Rank.FILE, due=0.0), made.submit("c", rank=Rank.STEP, due=100.0, ahead=True)]
    now[0] = 11.0
    gates["a"].set()
    while len(begun) < 3:
        await asyncio.sleep(0)
    assert begun[2] == "f"
    for gate in gates.values():
        gate.set()
    await asyncio.gather(*jobs)
    made.close()


async def test_jobs_that_are_not_due_leave_a_thread_to_those_who_speak(recorder: Recorder) -> None:
    now = [100.0]
    made = scheduler(recorder, now, threads=2)
    recorder.gate.set()
    await made.submit("a", rank=Rank.STEP, due=0)
    recorder.gate.clear()
    recorder.entered.clear()
    ahead = [made.submit(name, rank=Rank.STEP, due=150, ahead=True) for name in ("b", "c")]
    await asyncio.to_thread(recorder.entered.wait)
    recorder.entered.clear()
    live = made.submit("d", rank=Rank.STEP, due=0)
    await asyncio.to_thread(recorder.entered.wait)
    assert made.stats.batches == 3
    recorder.gate.set()
    await asyncio.gather(live, *ahead)
    made.close()


async def test_jobs_that_are_not_due_take_all_threads_where_nobody_speaks(recorder: Recorder) -> None:
    made = scheduler(recorder, [100.0], threads=2)
    jobs = [made.submit(name, rank=Rank.STEP, due=150, ahead=True) for name in ("b", "c")]
    while made.stats.batches < 2:
        await asyncio.sleep(0)
    assert not any(job.done() for job in jobs)
    recorder.gate.set()
    assert await asyncio.gather(*jobs) == ["B", "C"]
    made.close()


async def test_a_job_that_becomes_due_takes_the_thread_that_was_kept(recorder: Recorder) -> None:
    now = [100.0]
    made = scheduler(recorder, now, threads=2)
    recorder.gate.set()
    await made.submit("a", rank=Rank.STEP, due=0)
    recorder.gate.clear()
    jobs = [made.submit(name, rank=Rank.STEP, due=110, ahead=True) for name in ("b", "c")]
    while made.stats.batches < 2:
        await asyncio.sleep(0)
    now[0] = 110.0
    while made.stats.batches < 3:
        await asyncio.sleep(0)
    assert not any(job.done() for job in jobs)
    recorder.gate.set()
    await asyncio.gather(*jobs)
    made.close()


async def test_jobs_that_are_not_due_are_no_load(recorder: Recorder) -> None:
    now = [0.0]
    made = scheduler(recorder, now, threads=2)
    job = made.submit("a", rank=Rank.CLOSING, due=100, ahead=True)
    await asyncio.to_thread(recorder.entered.wait)
    now[0] = 20.0
    assert made.load == 0
    assert made.roomy
    late = made.submit("b", rank=Rank.CLOSING, due=10, ahead=True)
    while made.stats.batches < 2:
        await asyncio.sleep(0)
    now[0] = 40.0
    assert made.load == pytest.approx(0.5, abs=0.01), "one that is due counts"
    recorder.gate.set()
    await asyncio.gather(job, late)
    made.close()


async def test_interims_take_room_but_are_no_load(recorder: Recorder) -> None:
    now = [0.0]
    made = scheduler(recorder, now, threads=2)
    interim = made.submit("a", rank=Rank.INTERIM, due=0)
    await asyncio.to_thread(recorder.entered.wait)
    now[0] = 40.0
    assert made.load == 0
    assert made.utilisation == pytest.approx(0.5, abs=0.01)
    step = made.submit("b", rank=Rank.STEP, due=0)
    while made.stats.batches < 2:
        await asyncio.sleep(0)
    now[0] = 80.0
    assert not made.roomy
    assert made.load == pytest.approx(0.5, abs=0.01)
    recorder.gate.set()
    await asyncio.gather(interim, step)
    made.close()


class Observed(NoObserver):
    """Remembers what it receives."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []
        self.waits: list[tuple[str, float]] = []
        self.queue: Callable[[], float] = lambda: -1

    def worked(self, kind: str, seconds: float) -> None:
        self.steps.append((kind, seconds))

    def waited(self, kind: str, seconds: float) -> None:
        self.waits.append((kind, seconds))

    def watch_queue(self, length: Callable[[], float]) -> None:
        self.queue = length


async def test_an_observer_sees_the_queue_and_every_step_with_its_jobs(recorder: Recorder) -> None:
    seen, now = Observed(), [10.0]
    made: Scheduler[str, str] = Scheduler(
        recorder.run, lambda job: job[0], threads=1, batch=3, clock=lambda: now[0], observer=seen
    )
    made.start()
    first = await occupy(made, recorder)
    jobs = [made.submit(name, rank=Rank.CLOSING, due=0) for name in ("a1", "a2", "bad")]
    assert seen.queue() == 3
    now[0] = 12.0
    recorder.gate.set()
    await asyncio.gather(first, *jobs, return_exceptions=True)
    made.close()
    assert seen.queue() == 0
    assert seen.steps == [("step", 2.0), ("closing", 0.0), ("closing", 0.0)]
    assert seen.waits == [("step", 0.0), *[("closing", 2.0)] * 3]


async def test_a_job_that_has_not_begun_can_be_withdrawn(recorder: Recorder) -> None:
    made = scheduler(recorder)
    first = await occupy(made, recorder)
    waiting = made.submit("a", rank=Rank.STEP, due=0)
    kept = made.submit("b", rank=Rank.STEP, due=0)
    assert made.withdraw(waiting)
    assert not made.withdraw(waiting)
    assert not made.withdraw(first), "it has begun"
    recorder.gate.set()
    assert (await first, await kept) == ("Z", "B")
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    made.close()
    assert recorder.batches == [["z"], ["b"]]
    assert made.stats.cancelled == 1

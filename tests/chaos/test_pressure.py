"""Slow workers, too many streams, clients that never read: bounds hold and are reported; no other client suffers."""

import asyncio
import json
import time

from websockets.asyncio.client import connect

from bench.harness.actions import eventually, footprint, loads, metric, speaking
from bench.harness.speaker import REAL_TIME, Pace, Speaker
from bench.harness.stack import KEY, Stack, running_stack
from workers.fake.engine import expected_words

MIB = 1024 * 1024


async def test_a_slow_worker_is_reported_and_memory_stays_flat() -> None:
    """At 0.3 times real time each chunk takes 3.3 times its duration."""
    with running_stack(worker_settings={"WORKER_SLOW_FACTOR": "3.33"}) as stack:
        speakers = [Speaker(stack.ws_url, seed, pace=REAL_TIME) for seed in range(2)]
        async with asyncio.timeout(110), speaking(speakers) as tasks:
            before = footprint(stack.gateway).rss
            flows = await asyncio.gather(*(speaker.until_flow() for speaker in speakers))
            # Reading pauses above 4 s; the oldest chunk may have been written between that moment and the report.
            assert all(flow.behind_ms > 3000 for flow in flows)
            assert footprint(stack.gateway).rss - before < 24 * MIB
        for task in tasks:
            task.result().check()


async def test_a_client_that_reads_nothing_is_closed_and_disturbs_nobody(fake_stack: Stack) -> None:
    before = await metric(fake_stack, "gateway_outbox_overflows_total")
    async with connect(
        fake_stack.ws_url,
        additional_headers={"Authorization": f"Bearer {KEY}"},
        max_queue=1,
        max_size=None,
        close_timeout=0.2,
    ) as deaf:
        beside = asyncio.create_task(Speaker(fake_stack.ws_url, 1, pace=REAL_TIME).speak(30))
        memory = footprint(fake_stack.gateway).rss
        filler = json.dumps({"type": "ping", "data": {"filler": "x" * 120_000}})
        async with asyncio.timeout(60):
            while await metric(fake_stack, "gateway_outbox_overflows_total") == before:
                await deaf.send(filler)
        assert await metric(fake_stack, "gateway_outbox_overflows_total") == before + 1
        assert footprint(fake_stack.gateway).rss - memory < 40 * MIB
        (await beside).check()


async def test_streams_beyond_the_slots_are_refused_at_once() -> None:
    with running_stack(workers=2, worker_settings={"WORKER_SLOTS": "4"}) as stack:
        speakers = [Speaker(stack.ws_url, seed) for seed in range(8)]
        async with asyncio.timeout(60), speaking(speakers) as tasks:
            for speaker in speakers:
                await speaker.until_final_after(0)
            refused = await asyncio.gather(*(Speaker(stack.ws_url, 50 + seed).speak(1) for seed in range(16)))
            for heard in refused:
                assert [error.code for error in heard.errors] == ["busy"]
                assert heard.errors[0].retry_after_ms is not None
            assert await loads(stack) == [4, 4]
        for task in tasks:
            task.result().check()
            assert task.result().failovers == []


async def test_what_falls_out_of_the_replay_buffer_is_declared() -> None:
    """A worker that has committed nothing is lost with 20 MiB; the gateway keeps 16 MiB for another."""
    chunk = 64_000
    settings = {"WORKER_WORD_BYTES": str(chunk), "WORKER_WORDS_PER_FINAL": "100000"}
    with running_stack(workers=2, worker_settings=settings) as stack:
        speaker = Speaker(stack.ws_url, 9, pace=Pace(chunk, 0.0))
        async with asyncio.timeout(90), speaking([speaker]) as tasks:
            await eventually("more is sent than is kept", lambda: speaker.heard.chunks > 20 * MIB // chunk)
            served = await loads(stack)
            stack.workers[served.index(1)].kill()
            gap = await speaker.until_notice("gap")
        heard = tasks[0].result()
        assert heard.ended is not None
        missing = heard.ended.totals["missing_chunks"]
        assert gap.code == "gap"
        assert heard.ended.totals["gaps"] == 1
        assert missing > 0
        heard.check(expected_words(bytes(heard.payload[missing * chunk :]), word_bytes=chunk))


async def test_a_storm_of_starts_fills_every_slot_and_no_more() -> None:
    with running_stack(workers=3, worker_settings={"WORKER_SLOTS": "10"}) as stack:
        speakers = [Speaker(stack.ws_url, seed, pace=Pace(1600, 0.1)) for seed in range(30)]
        began = time.monotonic()
        async with asyncio.timeout(60), speaking(speakers) as tasks:
            await asyncio.gather(*(speaker.until_final_after(began) for speaker in speakers))
            assert await loads(stack) == [10, 10, 10]
        for task in tasks:
            task.result().check()

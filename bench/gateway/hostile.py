"""How hostile messages affect an honest stream in real time.

Quiet phases, attacked phases, and phases in which the same messages go to another gateway alternate in one run. The
last show what the attackers' use of the processor costs, whomever they attack.
"""

from __future__ import annotations

import argparse
import asyncio

from bench.gateway.figures import Figures, Memory, rounded, words
from bench.harness.actions import metric, percentile
from bench.harness.hostile import Tally, flood_from_another_process
from bench.harness.speaker import REAL_TIME, Speaker
from bench.harness.stack import running_stack

_PHASES = 4


async def hostile(arguments: argparse.Namespace) -> Figures:
    """Send `--hostile-messages` in four phases, each after a quiet one of the same length, beside one stream."""
    workers = ("fake", "--slots", "256")
    with running_stack(worker_arguments=workers) as stack, running_stack(worker_arguments=workers) as other:
        honest = Speaker(stack.ws_url, 1, pace=REAL_TIME)
        speaking = asyncio.create_task(honest.speak())
        await honest.speaking.wait()
        total, quiet, beside, attacked = Tally(), list[float](), list[float](), list[float]()
        async with Memory(stack.gateway) as memory:
            for phase in range(_PHASES):
                began, counted = asyncio.get_running_loop().time(), len(honest.heard.latencies)
                share = arguments.hostile_messages // _PHASES
                total += await flood_from_another_process(stack.ws_url, share, seed=1000 * phase)
                attacked += honest.heard.latencies[counted:]
                seconds = asyncio.get_running_loop().time() - began
                counted = len(honest.heard.latencies)
                await asyncio.sleep(seconds)
                quiet += honest.heard.latencies[counted:]
                counted = len(honest.heard.latencies)
                await flood_from_another_process(other.ws_url, share, seed=1000 * phase)
                beside += honest.heard.latencies[counted:]
        honest.enough.set()
        heard = await speaking
        stack.gateway.check_alive()
        return {
            **words([heard]),
            "hostile_messages": total.messages,
            "hostile_sockets": total.sockets,
            "sockets_closed": total.closed,
            "deaths": 0,
            # Quiet; the other gateway attacked; this one attacked.
            "final_p95_ms": [round(1000 * percentile(each, 0.95), 2) for each in (quiet, beside, attacked)],
            "final_p95_ratio": rounded(percentile(attacked, 0.95) / percentile(quiet, 0.95)),
            "final_p95_ratio_to_other": rounded(percentile(attacked, 0.95) / percentile(beside, 0.95)),
            "gateway_growth_mib": memory.growth_mib,
            "sessions": await metric(stack, "gateway_sessions"),
        }

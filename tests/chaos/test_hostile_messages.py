"""Hostile messages during an honest stream: the gateway survives, its memory stays flat, and no word is disturbed."""

from __future__ import annotations

import asyncio
from itertools import islice

from bench.harness.actions import footprint, metric
from bench.harness.hostile import flood, messages
from bench.harness.speaker import REAL_TIME, Speaker
from bench.harness.stack import running_stack

MESSAGES = 2000
MAX_GROWTH_BYTES = 150 * 1024 * 1024


async def test_two_thousand_hostile_messages_disturb_no_word() -> None:
    with running_stack(worker_arguments=("fake", "--slots", "64")) as stack:
        before = footprint(stack.gateway).rss
        honest = Speaker(stack.ws_url, 1, pace=REAL_TIME)
        speaking = asyncio.create_task(honest.speak())
        async with asyncio.timeout(60):
            await honest.speaking.wait()
        async with asyncio.timeout(100):
            tally = await flood(stack.ws_url, MESSAGES, seed=14)
        honest.enough.set()
        async with asyncio.timeout(60):
            heard = await speaking
        stack.gateway.check_alive()
        for worker in stack.workers:
            worker.check_alive()
        heard.check()
        assert heard.words
        assert tally.messages >= MESSAGES
        for code in ("bad_json", "bad_message", "payload_too_large", "unauthenticated"):
            assert await metric(stack, f'gateway_errors_total{{code="{code}"}}') > 0
        assert footprint(stack.gateway).rss - before < MAX_GROWTH_BYTES
        assert "connection failed" not in stack.gateway.log_text()


def test_the_same_seed_gives_the_same_messages_of_every_kind() -> None:
    found = list(islice(messages(14), 300))
    assert found == list(islice(messages(14), 300))
    assert {type(each) for each in found} == {str, bytes}
    assert max(len(each) for each in found) > 100_000


def test_messages_that_open_streams_can_be_left_out() -> None:
    found = [each for each in islice(messages(14, opening=False), 300) if isinstance(each, str)]
    assert found
    assert not [each for each in found if '"stream_start"' in each or '"audio"' in each or '"image"' in each]

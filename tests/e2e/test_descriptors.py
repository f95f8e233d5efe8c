"""A gateway whose file descriptors run out: it says so once, and serves again as soon as silent clients are gone."""

from __future__ import annotations

import asyncio
import resource

from bench.harness.actions import footprint
from bench.harness.stack import Program, running_stack
from tests.e2e.wire import open_wire
from tests.fakes.raw_websocket import RawWebSocket

SPARE = 30
PATIENCE_S = 60.0


def limit_descriptors(program: Program) -> None:
    """Leave a running process a few more descriptors than it has open."""
    most = footprint(program).descriptors + SPARE
    resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (most, most))


async def test_half_requests_without_descriptors_are_survived_and_logged_once() -> None:
    with running_stack(gateway_settings={"GATEWAY_HTTP_REQUEST_S": "2"}) as stack:
        lines = stack.gateway.log_text().count("\n")
        limit_descriptors(stack.gateway)
        for _ in range(3 * SPARE):
            half = await RawWebSocket.connect(stack.http_port)
            await half.send(b"GET /healthz HTTP/1.1\r\nHost:")
        async with asyncio.timeout(PATIENCE_S):
            while '"reason": "descriptors"' not in stack.gateway.log_text():
                await asyncio.sleep(0.05)
            while True:
                try:
                    async with open_wire(stack.ws_url) as wire:
                        await wire.until("session")
                        break
                except (OSError, TimeoutError):
                    await asyncio.sleep(0.2)
        RawWebSocket.abort_all()
        log = stack.gateway.log_text()
        assert log.count('"reason": "descriptors"') <= 2
        assert log.count("\n") - lines < 20
        assert "socket.accept() out of system resource" not in log

"""Every session leaves one line in the log: whose, when, how long, how much, how it ended, nothing that was said."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from gateway.access.terms import Terms
from gateway.sessions.directory import SessionDirectory
from gateway.sessions.runner import SessionRunner
from tests.unit.gateway.sessions.rig import PATIENCE_S, Socket, begin, finals, running_directory


async def ended(logs: list[Any]) -> dict[str, Any]:
    """The one line of the one session."""
    async with asyncio.timeout(PATIENCE_S):
        while not (lines := [line for line in logs if line["event"] == "session ended"]):
            await asyncio.sleep(0.005)
    assert len(lines) == 1
    return lines[0]


async def test_a_session_that_its_client_ends(directory: SessionDirectory) -> None:
    with structlog.testing.capture_logs() as logs:
        before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
        runner = await directory.open("s1", Terms(owner="acme"))
        first, second = Socket(), Socket()
        begin(runner, first)
        runner.receive(b"one1")
        await first.filled(lambda messages: len(finals(messages)) == 1)
        (said,) = finals(first.outbox.unsent())
        runner.detach(first, is_clean=False)
        runner.attach(second)
        runner.receive('{"type": "stream_end", "stream_id": "abc"}')
        await second.filled(lambda messages: any(type(m).__name__ == "StreamEnded" for m in messages))
        runner.detach(second, is_clean=True)
        runner.end_grace()
        line = await ended(logs)
    expected = {"session_id": "s1", "owner": "acme", "sockets": 2, "streams": 1, "open_streams": 0, "segments": 1}
    assert line | expected | {"ending": "client_closed"} == line
    assert before < dt.datetime.fromisoformat(line["began_at"]) < dt.datetime.now(dt.UTC)
    assert line["received_bytes"] > 4
    assert said not in str(logs)


@pytest.mark.parametrize(
    ("end", "ending"),
    [
        (SessionRunner.delete, "deleted"),
        (SessionRunner.drain, "drained"),
        (SessionRunner.yield_to_other_gateway, "taken_over"),
    ],
)
async def test_a_session_that_is_cut_off(
    directory: SessionDirectory, end: Callable[[SessionRunner], None], ending: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        runner = await directory.open("s1")
        begin(runner, Socket())
        end(runner)
        line = await ended(logs)
    assert (line["ending"], line["streams"], line["open_streams"]) == (ending, 0, 1)


async def test_a_socket_without_a_credential_is_no_session() -> None:
    with structlog.testing.capture_logs() as logs:
        async with running_directory() as directory:
            runner, socket = directory.begin_unauthenticated(), Socket()
            runner.attach_unauthenticated(socket)
            runner.detach(socket, is_clean=True)
    assert not [line for line in logs if line["event"] == "session ended"]

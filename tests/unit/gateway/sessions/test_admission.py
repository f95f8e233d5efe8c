"""What the owner of a session may begin, at a directory with a real worker."""

from __future__ import annotations

import json

from talkup.v1 import task_pb2

from gateway.access.terms import Terms
from gateway.protocol.actions import TaskKey
from gateway.sessions.directory import SessionDirectory
from tests.unit.gateway.sessions.rig import Socket, begin


async def test_the_media_of_a_day_ends_the_streams_and_refuses_new_ones(directory: SessionDirectory) -> None:
    terms = Terms(owner="a", media_minutes=1.0)
    runner = await directory.open("s1", terms)
    socket = Socket()
    begin(runner, socket)
    key = TaskKey("abc", task_pb2.SERVICE_TYPE_STT)
    for media_ms in (30_000, 59_999):
        runner._handle_item(key, task_pb2.TaskResult(progress=task_pb2.Progress(committed_media_ms=media_ms)))
    assert socket.errors() == []
    runner._handle_item(key, task_pb2.TaskResult(progress=task_pb2.Progress(committed_media_ms=60_000)))
    assert socket.errors() == ["media_limit"]
    await socket.get("stream_ended")
    begin_again = '{"type": "stream_start", "stream_id": "next", "format": "audio/pcm;rate=16000"}'
    runner.receive(begin_again)
    error = await socket.get("error")
    assert (error["data"]["code"], error["data"]["stream_id"]) == ("media_limit", "next")
    assert error["data"]["retry_after_ms"] > 0


async def refused(directory: SessionDirectory, services: list[str], terms: Terms) -> str | None:
    """Why a stream with these services does not begin; None: it does."""
    runner = await directory.open("s1", terms)
    socket = Socket()
    runner.attach(socket)
    start = {"type": "stream_start", "stream_id": "abc", "format": "audio/pcm;rate=16000", "services": services}
    runner.receive(json.dumps(start))
    found = socket.errors()
    runner.delete()
    return found[0] if found else None


async def test_delivery_has_to_be_among_a_key_s_services(directory: SessionDirectory) -> None:
    speech = Terms(owner="a", services={"stt"})
    assert await refused(directory, ["stt", "delivery"], speech) == "permission_denied"
    assert await refused(directory, ["delivery"], speech) == "permission_denied"
    assert await refused(directory, ["stt", "delivery"], Terms(owner="a", services={"stt", "delivery"})) is None


async def test_speech_with_delivery_takes_one_slot(directory: SessionDirectory) -> None:
    assert await refused(directory, ["stt", "delivery"], Terms(owner="a", streams=1)) is None


async def test_an_idle_stream_ends_for_others_unless_its_client_is_away(directory: SessionDirectory) -> None:
    runner = await directory.open("s1", Terms(owner="a"))
    socket = Socket()
    begin(runner, socket)
    key = TaskKey("abc", task_pb2.SERVICE_TYPE_STT)
    runner.detach(socket, is_clean=False)
    assert not runner._give_back(key, False)
    back = Socket()
    runner.attach(back)
    assert runner._give_back(key, False)
    assert back.errors() == ["busy"]
    await back.get("stream_ended")
    assert not runner._give_back(key, True)

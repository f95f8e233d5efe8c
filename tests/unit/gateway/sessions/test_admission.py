"""What the owner of a session may begin, at a directory with a real worker."""

from __future__ import annotations

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

"""A running session, with real upstream and store: what its client gets over several sockets."""

from __future__ import annotations

from gateway.outbox import Closing
from gateway.protocol.actions import CountForgotten, ResumeSession
from gateway.sessions.directory import SessionDirectory
from tests.unit.gateway.sessions.rig import Socket, begin, finals


async def test_finals_that_a_lost_socket_did_not_send_come_first_on_the_next(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    first, second = Socket(), Socket()
    begin(runner, first)
    runner.receive(b"one1")
    await first.filled(lambda messages: len(finals(messages)) == 1)
    runner.detach(first, is_clean=False)
    runner.attach(second)
    runner.receive(b"two2")
    assert (await second.get("session"))["data"]["resumed"]
    texts = [(await second.get("transcript_update"))["text"] for _ in range(2)]
    assert texts[0] == finals(first.outbox.unsent())[0]
    assert [text[:2] for text in texts] == ["w0", "w1"]


async def test_a_client_that_reports_its_last_final_gets_each_later_one_once(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    first, second = Socket(), Socket()
    begin(runner, first)
    for chunk in (b"one1", b"two2"):
        runner.receive(chunk)
    await first.filled(lambda messages: len(finals(messages)) == 2)
    runner.detach(first, is_clean=False)
    runner.attach(second, ResumeSession("s1", "token", {"abc": 1}))
    runner.receive('{"type": "stream_end", "stream_id": "abc"}')
    await second.filled(lambda messages: any(type(m).__name__ == "StreamEnded" for m in messages))
    assert [text[:2] for text in finals(second.outbox.unsent())] == ["w1"]


async def test_a_superseded_socket_has_no_effect_any_more(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    first, second = Socket(), Socket()
    begin(runner, first)
    runner.attach(second)
    assert first.outbox.closing == Closing(1000, "superseded")
    runner.detach(first, is_clean=True)
    assert runner.peer is second
    assert next(iter(runner.session.streams.values())).is_open
    assert not any(type(message).__name__ == "ErrorMessage" for message in second.outbox.unsent())


async def test_credentials_in_messages_go_to_the_socket(directory: SessionDirectory) -> None:
    runner = directory.begin_unauthenticated()
    socket = Socket()
    runner.attach_unauthenticated(socket)
    runner.receive('{"type": "auth", "token": "t"}')
    runner.receive('{"type": "session_resume", "session_id": "s", "token": "t"}')
    assert socket.asked[0] == "t"
    assert isinstance(socket.asked[1], ResumeSession)
    assert directory.get(runner.session_id) is None


async def test_forgotten_speech_is_counted_by_kind(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    runner.perform([CountForgotten("stretches", 2), CountForgotten("words", 5), CountForgotten("words", 1)])
    counted = directory._context.metrics.render()
    assert b'gateway_speech_forgotten_total{kind="stretches"} 2.0' in counted
    assert b'gateway_speech_forgotten_total{kind="words"} 6.0' in counted

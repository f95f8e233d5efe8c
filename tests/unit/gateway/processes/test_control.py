"""The channel between supervisor and process."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.processes.control import (
    Collect,
    Counts,
    DoorFile,
    Exposition,
    Gathered,
    Message,
    ProcessFact,
    Ready,
    Welcome,
    frame,
    read,
    read_welcome,
)
from gateway.processes.membership import joined

WELCOME = Welcome(1, (DoorFile("ws", "127.0.0.1", 8081, 7),), "a secret")
MESSAGES: list[Message] = [
    Ready(),
    Counts("ws", 5, 2),
    Collect(3),
    Exposition(3, b"x" * 100_000),
    Gathered(3, {1: b"text"}, (ProcessFact(0, True, 1, {"ws": 2}),)),
]


async def test_messages_arrive_as_they_were_sent_however_they_are_cut() -> None:
    reader = asyncio.StreamReader()
    sent = b"".join(map(frame, MESSAGES))
    for at in range(0, len(sent), 7):
        reader.feed_data(sent[at : at + 7])
    reader.feed_eof()
    assert [await read(reader) for _ in MESSAGES] == MESSAGES
    assert await read(reader) is None


async def test_what_is_no_message_ends_the_channel_and_nothing_else() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"\0\0\0\x03abc" + frame(Ready()))
    assert await read(reader) is None


def test_the_welcome_comes_first_and_hides_its_secret() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frame(WELCOME))
        assert read_welcome(theirs) == WELCOME
        assert "a secret" not in repr(WELCOME)


@pytest.mark.parametrize("sent", [b"", frame(Ready()), b"\0\0\0\x03abc"])
def test_without_a_welcome_there_is_no_process(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(sent)
        with pytest.raises(OSError, match="the supervisor of this process is gone"):
            read_welcome(theirs)


@pytest.mark.parametrize("arguments", [["process"], ["process", "x"], ["process", "99999"]])
def test_a_person_cannot_start_one_of_the_processes(arguments: list[str]) -> None:
    with pytest.raises(OSError, match="is for the processes that `processes` starts"):
        joined(arguments)


def test_other_arguments_are_left_as_they_are() -> None:
    assert joined(["--http-port", "0"]) == (None, ["--http-port", "0"])

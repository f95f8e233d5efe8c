"""From the outbox to a client of a dialect: in order, translated when sent, and bounded for one that does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager

import msgspec

from gateway.config import GatewayConfig
from gateway.doors.sender import DoorSender
from gateway.outbox import Outbox
from gateway.protocol import messages as m

PATIENCE_S = 20.0


class Reader:
    """A client at the other end of a line; it reads while `reads` is set."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.got: list[str] = []
        self.more = asyncio.Condition()
        self.ended = ""

    async def send(self, payload: bytes) -> None:
        await self.reads.wait()
        self.got.append(payload.decode())
        async with self.more:
            self.more.notify_all()

    async def close(self, code: int, reason: str) -> None:
        await self.reads.wait()
        self.ended = f"close {code}"

    def abort(self) -> None:
        self.ended = self.ended or "abort"

    async def until(self, count: int) -> list[str]:
        async with asyncio.timeout(PATIENCE_S), self.more:
            await self.more.wait_for(lambda: len(self.got) >= count)
        return self.got


def transcript(text: str, *, final: bool) -> m.TranscriptUpdate:
    data = m.TranscriptData(
        stream_id="a", segment_id=1, revision=1, is_final=final, text=text, stable_chars=0, confidence=1, language="en",
        start_ms=0, end_ms=1, words=[],
    )  # fmt: skip
    return m.TranscriptUpdate(stream_id="a", text=text, confidence=1, data=data)


@asynccontextmanager
async def line(
    max_texts: int = 100, max_messages: int = 100, max_bytes: int = 100_000
) -> AsyncIterator[tuple[Outbox, DoorSender, Reader]]:
    outbox, reader = Outbox(max_messages, 1_000_000), Reader()

    def tell(message: m.ServerMessage) -> None:
        """Two texts for each message."""
        assert isinstance(message, m.TranscriptUpdate)
        sender.say(f"{message.text}-1".encode())
        sender.say(f"{message.text}-2".encode())

    sender = DoorSender(
        reader, outbox, tell, GatewayConfig(close_timeout_s=0.05, outbox_messages=max_texts, outbox_bytes=max_bytes)
    )
    outbox.attach(sender)
    try:
        yield outbox, sender, reader
    finally:
        await sender.stop()


async def test_messages_and_texts_keep_their_order() -> None:
    async with line() as (outbox, sender, reader):
        sender.say(b"hello")
        outbox.put(transcript("a", final=True))
        outbox.put(transcript("b", final=True))
        assert await reader.until(5) == ["hello", "a-1", "a-2", "b-1", "b-2"]


async def test_a_waiting_interim_is_replaced_by_a_newer_one() -> None:
    async with line() as (outbox, _, reader):
        reader.reads.clear()
        outbox.put(transcript("first", final=True))
        await asyncio.sleep(0)
        for text in ("old", "newer", "newest"):
            outbox.put(transcript(text, final=False))
        reader.reads.set()
        assert (await reader.until(4))[2:] == ["newest-1", "newest-2"]


async def test_a_final_waits_until_it_is_stored() -> None:
    async with line() as (outbox, _, reader):
        stored: Future[None] = Future()
        outbox.put(transcript("a", final=True), stored)
        for _ in range(10):
            await asyncio.sleep(0)
        assert reader.got == []
        stored.set_result(None)
        assert await reader.until(2) == ["a-1", "a-2"]


async def test_a_close_comes_after_everything_else() -> None:
    async with line() as (outbox, sender, reader):
        outbox.put(transcript("a", final=True))
        outbox.close(1000, "")
        async with asyncio.timeout(PATIENCE_S):
            await sender.over
        assert (reader.got, reader.ended) == (["a-1", "a-2"], "close 1000")


async def test_a_client_that_does_not_read_is_dropped() -> None:
    async with line(max_texts=10) as (_, sender, reader):
        reader.reads.clear()
        for number in range(20):
            sender.say(str(number).encode())
        async with asyncio.timeout(PATIENCE_S):
            await sender.over
        assert sender.overflowed
        assert (reader.got, reader.ended) == ([], "abort")


async def test_the_bytes_that_wait_have_a_bound_too() -> None:
    async with line(max_bytes=4100) as (_, sender, reader):
        for count in range(1, 20):  # what was sent does not count any more
            sender.say(bytes(820))
            await reader.until(count)
        reader.reads.clear()
        for _ in range(5):
            sender.say(bytes(820))
        assert not sender.overflowed
        sender.say(bytes(820))
        assert sender.overflowed
        async with asyncio.timeout(PATIENCE_S):
            await sender.over
        assert reader.ended == "abort"


async def test_messages_that_nobody_reads_drop_the_client_too() -> None:
    async with line(max_messages=10) as (outbox, sender, reader):
        reader.reads.clear()
        for number in range(30):
            message = transcript(str(number), final=True)
            outbox.put(msgspec.structs.replace(message, data=msgspec.structs.replace(message.data, segment_id=number)))
        async with asyncio.timeout(PATIENCE_S):
            await sender.over
        assert outbox.overflowed
        assert reader.ended == "abort"


async def test_a_close_that_the_client_does_not_answer_does_not_wait() -> None:
    async with line() as (outbox, sender, reader):
        reader.reads.clear()
        outbox.close(1000, "")
        async with asyncio.timeout(PATIENCE_S):
            await sender.over
        assert reader.ended == "abort"

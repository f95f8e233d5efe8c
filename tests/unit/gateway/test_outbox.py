"""The outbox: order, replacement, and the bound."""

import json
from concurrent.futures import Future
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox import Closing, Outbox, Outgoing
from gateway.protocol.messages import (
    Acknowledge,
    AcknowledgeData,
    Pong,
    ServerMessage,
    TranscriptData,
    TranscriptUpdate,
)


def transcript(segment_id: int, revision: int, *, final: bool = False, stream_id: str = "abc") -> TranscriptUpdate:
    data = TranscriptData(
        stream_id=stream_id,
        segment_id=segment_id,
        revision=revision,
        is_final=final,
        text="t",
        stable_chars=0,
        confidence=0.5,
        language="en",
        start_ms=0,
        end_ms=1,
        words=[],
    )
    return TranscriptUpdate(stream_id=stream_id, text="t", confidence=0.5, data=data)


def acknowledge(received: int, **more: Any) -> Acknowledge:
    data = AcknowledgeData(stream_id="abc", received=received, committed=-1, next_sequence=received + 1, **more)
    return Acknowledge(stream_id="abc", data=data)


async def drained(outbox: Outbox) -> list[dict[str, Any]]:
    outbox.close(1000, "done")
    found = []
    while isinstance(entry := outbox.next_entry(), Outgoing):
        found.append(json.loads(entry.payload))
    return found


async def names(outbox: Outbox) -> list[tuple[int, int]]:
    return [(m["data"]["segment_id"], m["data"]["revision"]) for m in await drained(outbox)]


async def test_a_newer_interim_replaces_an_unsent_older_one() -> None:
    outbox = Outbox(10, 10_000)
    outbox.put(transcript(1, 1))
    outbox.put(transcript(2, 1))
    outbox.put(transcript(1, 2))
    outbox.put(transcript(1, 3, final=True))
    assert outbox.replaced == 2
    assert await names(outbox) == [(2, 1), (1, 3)]


async def test_streams_do_not_replace_each_other() -> None:
    outbox = Outbox(10, 10_000)
    outbox.put(transcript(1, 1))
    outbox.put(transcript(1, 1, stream_id="def"))
    assert len(outbox) == 2


async def test_only_bare_acknowledges_are_replaced() -> None:
    outbox = Outbox(10, 10_000)
    outbox.put(acknowledge(-1, accepted=True))
    outbox.put(acknowledge(0))
    outbox.put(acknowledge(1, flush_id=4))
    outbox.put(acknowledge(2))
    assert [m["data"]["received"] for m in await drained(outbox)] == [-1, 1, 2]


async def test_a_message_keeps_the_write_it_waits_for() -> None:
    outbox = Outbox(10, 10_000)
    write: Future[None] = Future()
    outbox.put(Pong(data={}), write)
    entry = outbox.next_entry()
    assert isinstance(entry, Outgoing)
    assert entry.after is write


async def test_every_message_is_stamped_with_its_own_time() -> None:
    now = 1_739_592_334.9
    outbox = Outbox(10, 10_000, lambda: now)
    outbox.put(Pong(data={}))
    now += 7
    outbox.put(Pong(data={}))
    assert [message["timestamp"] for message in await drained(outbox)] == [1_739_592_334, 1_739_592_341]


async def test_beyond_the_bound_the_socket_is_closed() -> None:
    for outbox in (Outbox(2, 10_000), Outbox(100, 400)):
        for number in range(5):
            outbox.put(transcript(number, 1, final=True))
        assert outbox.overflowed
        assert outbox.next_entry() == Closing(1008, "the client does not read its messages")
        assert outbox.closing is not None
        assert len(outbox) == 0


async def test_waiting_messages_are_sent_before_the_close_and_nothing_after_it() -> None:
    outbox = Outbox(10, 10_000)
    outbox.put(transcript(1, 1, final=True))
    outbox.close(1012, "restart")
    outbox.close(1000, "later")
    outbox.put(transcript(2, 1, final=True))
    assert isinstance(outbox.next_entry(), Outgoing)
    assert outbox.next_entry() == Closing(1012, "restart")
    assert outbox.next_entry() == Closing(1012, "restart")


messages = st.one_of(
    st.builds(transcript, st.integers(1, 4), st.integers(1, 9), final=st.booleans()),
    st.builds(acknowledge, st.integers(0, 9)),
    st.builds(lambda n: Pong(data={"n": n}), st.integers(1, 9)),
)


@given(st.lists(messages, max_size=60))
async def test_finals_and_answers_are_never_lost_and_keep_their_order(puts: list[ServerMessage]) -> None:
    outbox = Outbox(1000, 1_000_000)
    for message in puts:
        outbox.put(message)

    def kept(kind: str, revision: int | None, stamp: int) -> tuple[str, int | None, int]:
        return kind, revision, stamp

    expected = []
    for message in puts:
        match message:
            case TranscriptUpdate(data=data) if data.is_final:
                expected.append(kept("transcript_update", data.revision, data.segment_id))
            case Pong():
                expected.append(kept("pong", None, message.data["n"]))
    found = []
    for out in await drained(outbox):
        if out["type"] == "pong":
            found.append(kept("pong", None, out["data"]["n"]))
        elif out["type"] == "transcript_update" and out["data"]["is_final"]:
            found.append(kept("transcript_update", out["data"]["revision"], out["data"]["segment_id"]))
    assert found == expected


async def test_an_entry_counts_as_unsent_until_the_next_one_is_requested() -> None:
    outbox = Outbox(10, 10_000)
    first, second = transcript(1, 1, final=True), transcript(2, 1, final=True)
    outbox.put(first)
    outbox.put(second)
    outbox.next_entry()
    assert outbox.unsent() == [first, second]
    outbox.next_entry()
    assert outbox.unsent() == [second]
    outbox.close(1000, "done")
    assert isinstance(outbox.next_entry(), Closing)
    assert outbox.unsent() == []

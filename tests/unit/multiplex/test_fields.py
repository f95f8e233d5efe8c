"""The fields of a message: counted in every form in which they can come, and only as far as the bound."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import analysis_pb2, link_pb2, media_pb2, task_pb2, transcript_pb2

from multiplex.fields import BATCH_LEVELS, MAX_BATCH_FIELDS, FieldBound
from multiplex.outbox import MAX_ENTRIES

FILLING = bytes(65_537)
EMPTY_ENTRY = b"\x0a\x00"
MEBIBYTE = 1 << 20
BATCH = FieldBound(link_pb2.TaskBatch, MAX_BATCH_FIELDS, BATCH_LEVELS)
REQUEST = FieldBound(task_pb2.TaskRequest, 1_000)
RESULT = FieldBound(task_pb2.TaskResult, 1_000)


def entry_of(fields: bytes) -> bytes:
    """A batch of one entry with these fields."""
    size = len(fields)
    length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
    return b"\x0a" + length + fields


@pytest.mark.parametrize(
    "batch",
    [
        EMPTY_ENTRY * (MEBIBYTE // 2),
        b"\x0a\x02\x08\x01" * (MEBIBYTE // 4),
        entry_of(b"\x12\x00\x22\x00" * (MEBIBYTE // 4)),
        entry_of(b"\x08\x01" * (MEBIBYTE // 2)),
        b"\x78\x00" * (MEBIBYTE // 2),
        b"\x7d\x00\x00\x00\x00" * (MEBIBYTE // 4),
        b"\xfa\x7f\x00" * (MEBIBYTE // 3),
        b"\x0b\x0c" * (MEBIBYTE // 2),
        b"\x7a\x06\x12\xff\xff\xff\x7f\x00" + EMPTY_ENTRY * (MEBIBYTE // 2),
        b"\x0b\x0a\x06\x12\xff\xff\xff\x7f\x00\x0c" + EMPTY_ENTRY * (MEBIBYTE // 2),
    ],
    ids=[
        "entries",
        "calls",
        "alternating",
        "repeated",
        "unknown",
        "fixed",
        "long-tags",
        "groups",
        "behind an unknown field that looks like an entry",
        "behind a group with a field that looks like an entry",
    ],
)
def test_many_fields_are_too_many_wherever_they_are(batch: bytes) -> None:
    assert BATCH.is_exceeded(batch)


@pytest.mark.parametrize("size", [0, 1, 100, 16_384])
def test_a_full_batch_of_honest_entries_passes(size: int) -> None:
    entries = [link_pb2.TaskEntry(call=2**32 - 1, request=bytes(size))] * min(MAX_ENTRIES, 4 * MEBIBYTE // (size + 1))
    assert not BATCH.is_exceeded(link_pb2.TaskBatch(entries=entries).SerializeToString())


@given(st.binary(max_size=200), st.integers(0, 3))
def test_what_a_message_holds_is_not_looked_at(message: bytes, entries: int) -> None:
    filled = link_pb2.TaskEntry(call=1, request=message + EMPTY_ENTRY * MEBIBYTE)
    assert not BATCH.is_exceeded(link_pb2.TaskBatch(entries=[filled] * entries).SerializeToString())


@given(st.binary(max_size=100))
def test_a_batch_that_cannot_be_parsed_is_counted_up_to_its_fault(fault: bytes) -> None:
    assert BATCH.is_exceeded(EMPTY_ENTRY * (4 * MAX_ENTRIES + 1) + FILLING + fault)
    assert not BATCH.is_exceeded(b"\xff" * 65_537 + fault)


MEASURE = analysis_pb2.Measure(value=0.5, confidence=0.5)
MANY = {
    "hotwords": (
        REQUEST,
        task_pb2.TaskRequest(
            start=task_pb2.StreamStart(speech=transcript_pb2.SpeechOptions(hotwords=[""] * 50_000)),
        ),
    ),
    "delivery": (RESULT, task_pb2.TaskResult(delivery=[analysis_pb2.Analysis()] * 50_000)),
    "words": (
        RESULT,
        task_pb2.TaskResult(transcript=transcript_pb2.Transcript(words=[transcript_pb2.Word(text="a")] * 50_000)),
    ),
    "measures": (
        RESULT,
        task_pb2.TaskResult(
            delivery=[analysis_pb2.Analysis(frame=analysis_pb2.FrameSignals(motion=MEASURE))] * 10_000,
        ),
    ),
}


@pytest.mark.parametrize(("bound", "message"), MANY.values(), ids=MANY)
def test_fields_count_at_every_depth(bound: FieldBound, message: Message) -> None:
    data = message.SerializeToString()
    assert bound.is_exceeded(data)
    assert not FieldBound(type(message), 200_000).is_exceeded(data)
    # Sent again, a message that is not repeated is merged with the first.
    assert bound.is_exceeded(b"\x32\x00" * 50_000)


def test_media_and_text_are_no_fields() -> None:
    chunk = task_pb2.TaskRequest(chunk=media_pb2.Chunk(sequence=1, payload=EMPTY_ENTRY * MEBIBYTE))
    assert not REQUEST.is_exceeded(chunk.SerializeToString())
    text = task_pb2.TaskResult(transcript=transcript_pb2.Transcript(text="\n\0" * MEBIBYTE))
    assert not RESULT.is_exceeded(text.SerializeToString())


FIELD = st.recursive(
    st.binary(max_size=4),
    lambda inner: st.builds(
        lambda tag, parts: bytes([tag]) + bytes([len(b"".join(parts)) & 127]) + b"".join(parts),
        st.sampled_from([0x0A, 0x12, 0x1A, 0x32, 0x3A, 0x42, 0x7A, 0x08, 0x0B, 0x0C, 0x0D]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)


@given(st.lists(FIELD, max_size=6).map(b"".join))
def test_nothing_before_them_hides_fields_from_the_count(before: bytes) -> None:
    """A message that a parser takes has all its fields counted, whatever stands before them."""
    data = before + b"\x7a\x00" * 40_000
    try:
        parsed = task_pb2.TaskResult.FromString(data)
    except DecodeError:
        return
    assert RESULT.is_exceeded(data) or len(parsed.delivery) < 1_000

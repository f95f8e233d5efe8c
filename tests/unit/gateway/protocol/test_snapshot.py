"""A stream that changes its gateway at any moment: the same requests, no chunk skipped, no number reused."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import task_pb2, transcript_pb2

from gateway.analyses import StoredAnalysis
from gateway.protocol.actions import Action, OpenTask, StoreSegment, StoreSnapshot, StoreStreamEnd
from gateway.protocol.session import Session
from gateway.protocol.snapshot import RestoredStream, SnapshotError, StreamSnapshot, decode_snapshot, spec_of
from tests.unit.gateway.protocol.helpers import BODY, EBML, T0, chunks, ended, final, key, open_session, sent, text


class Kept:
    """What a store keeps of one stream."""

    def __init__(self) -> None:
        self.snapshot: bytes = b""
        self.finals: list[transcript_pb2.Transcript] = []
        self.analyses: dict[str, StoredAnalysis] = {}

    def record(self, actions: list[Action]) -> list[Action]:
        for action in actions:
            match action:
                case StoreSegment(_, result, snapshot, analyses):
                    self.finals.append(result.transcript)
                    self._keep(snapshot, analyses)
                case StoreSnapshot(snapshot, analyses):
                    self._keep(snapshot, analyses)
                case StoreStreamEnd(_, _, snapshot):
                    self._keep(snapshot)
        return actions

    def _keep(self, snapshot: StreamSnapshot | None, analyses: Iterable[StoredAnalysis] = ()) -> None:
        self.analyses |= {each.key: each for each in analyses}
        if snapshot is not None:
            self.snapshot = snapshot.encode()

    def successor(self) -> tuple[Session, list[Action]]:
        """The session at another gateway, with a socket."""
        session = Session("s-1")
        left = RestoredStream(decode_snapshot(self.snapshot), self.finals, [*self.analyses.values()])
        actions = self.record(session.restore([left], ["a"], T0))
        actions += session.connected(T0, resume_token="t", expires_at=1, last_segment_ids={"a": 0})
        return session, actions


def begin(kept: Kept) -> Session:
    session = open_session()
    kept.record(text(session, T0, type="stream_start", stream_id="a", format="audio/pcm", sample_rate=16000))
    return session


def send_chunk(session: Session, number: int) -> list[tuple[int, bytes, bool, int]]:
    return chunks(
        text(
            session,
            T0,
            type="stream_chunk",
            stream_id="a",
            sequence=number,
            data=base64.b64encode(bytes([number]) * 8).decode(),
        )
    )


def next_sequence(actions: list[Action]) -> int:
    state: dict[str, Any] = sent(actions, "session")[0]["data"]["streams"][0]
    assert state["stream_id"] == "a"
    return int(state["next_sequence"])


def committed(session: Session, kept: Kept, segment_id: int, replay_from: int) -> None:
    result = final(segment_id, f"word{segment_id}", replay_from=replay_from)
    result.progress.resume_state = b"state-%d" % replay_from
    kept.record(session.receive_result(key(), result, T0))


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_client_resends_what_no_final_covers(chunk_count: int, covered: int) -> None:
    covered = min(covered, chunk_count)
    kept = Kept()
    session = begin(kept)
    for number in range(chunk_count):
        send_chunk(session, number)
    if covered:
        committed(session, kept, 1, covered)
    successor, actions = kept.successor()
    (opened,) = [action for action in actions if isinstance(action, OpenTask)]
    assert opened.resumed
    assert opened.request.start.resume_state == (b"state-%d" % covered if covered else b"")
    assert opened.request.attempt > 1
    wanted = next_sequence(actions)
    if covered:
        assert wanted == covered
        assert [number for number, _, _, missing in send_chunk(successor, wanted) if not missing] == [covered]
    assert [update["text"] for update in sent(actions, "transcript_update")] == (["word1"] if covered else [])


@given(st.integers(1, 12), st.integers(0, 12))
def test_a_snapshot_counts_what_is_committed_and_no_more(chunk_count: int, covered: int) -> None:
    covered = min(covered, chunk_count)
    kept = Kept()
    session = begin(kept)
    for number in range(chunk_count):
        send_chunk(session, number)
    if covered:
        committed(session, kept, 1, covered)
    totals = decode_snapshot(kept.snapshot).totals
    assert (totals.chunks, totals.bytes) == (covered, covered * 8)


def test_revisions_of_the_current_segment_keep_rising() -> None:
    kept = Kept()
    session = begin(kept)
    send_chunk(session, 0)
    interim = task_pb2.TaskResult(transcript=transcript_pb2.Transcript(segment_id=1, revision=40, text="wor"))
    (before,) = sent(session.receive_result(key(), interim, T0), "transcript_update")
    successor, _ = kept.successor()
    interim.transcript.revision = 1
    (after,) = sent(successor.receive_result(key(), interim, T0), "transcript_update")
    assert after["data"]["revision"] > before["data"]["revision"]


def test_an_ended_stream_is_reported_again() -> None:
    kept = Kept()
    session = begin(kept)
    send_chunk(session, 0)
    text(session, T0, type="stream_end", stream_id="a")
    committed(session, kept, 1, 1)
    (message,) = sent(kept.record(session.receive_result(key(), ended(4000), T0)), "stream_ended")
    _, actions = kept.successor()
    assert not [action for action in actions if isinstance(action, OpenTask)]
    assert sent(actions, "stream_ended") == [message]


def packet(session: Session, number: int, payload: bytes) -> list[Action]:
    data = base64.b64encode(payload).decode()
    return text(session, T0, type="audio", data=data, timestamp=1, mimeType="audio/webm", sequenceNumber=number)


def test_a_restarted_recorder_does_not_fill_in_for_lost_chunks() -> None:
    """The worker's state includes chunks 1 and 2: no other chunks may reuse their numbers."""
    kept = Kept()
    session = open_session()
    for number, payload in enumerate((EBML, BODY, BODY)):
        kept.record(packet(session, number, payload))
    kept.record(session.receive_result(key("audio-1"), final(1, "word", replay_from=1), T0))
    successor, _ = kept.successor()
    actions = packet(successor, 0, EBML)
    assert chunks(actions) == [(3, EBML, True, 2)]
    (gap,) = sent(actions, "error")
    assert (gap["data"]["code"], gap["data"]["from"], gap["data"]["to"]) == ("gap", 1, 2)


def test_a_service_that_this_version_does_not_know() -> None:
    kept = Kept()
    begin(kept)
    later = msgspec.msgpack.decode(kept.snapshot)
    later["parts"][0]["service"] = 99
    with pytest.raises(SnapshotError):
        spec_of(decode_snapshot(msgspec.msgpack.encode(later)))


@pytest.mark.parametrize("encoded", [b"", b"\xc1", b"\x80", BODY, b"\x81\xa9stream_id\xa1\xff"])
def test_bytes_that_are_not_a_snapshot(encoded: bytes) -> None:
    with pytest.raises(SnapshotError):
        decode_snapshot(encoded)

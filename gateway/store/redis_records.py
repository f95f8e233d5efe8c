"""How Redis holds a session: the names of its keys, and how to read the answer of the script CLAIM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gateway.analyses import StoredAnalysis
from gateway.store.base import StoredSession, StoredStream
from gateway.store.redis_scripts import KEYS
from gateway.transcript import Segment


class StreamRecord(msgspec.Struct, frozen=True, array_like=True):
    """A stream in the list of its session's streams; `started_at` is UNIX seconds."""

    stream_key: str
    stream_id: str
    started_at: float


def keys_of(session_id: str) -> list[str]:
    """The keys of a session. Their common hash tag puts them on one node of a cluster."""
    return [f"talkup:{{{session_id}}}:{name}" for name in KEYS]


def values_of(analyses: Iterable[StoredAnalysis]) -> list[str | bytes]:
    """The values of analyses in a write: key and data in turn."""
    return [value for each in analyses for value in (each.key, each.data)]


def _pairs(flat: Sequence[bytes]) -> Mapping[bytes, bytes]:
    """The answer of HGETALL inside a script, a list of fields and values in turn, as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def stored_session(answer: Sequence[Sequence[bytes]]) -> StoredSession:
    """The session in an answer of CLAIM that is not empty."""
    session, states, segments = _pairs(answer[0]), _pairs(answer[2]), _pairs(answer[3])
    records = [msgspec.msgpack.decode(record, type=StreamRecord) for record in answer[1]]
    finals: dict[str, list[Segment]] = {record.stream_key: [] for record in records}
    for field, value in segments.items():
        finals.setdefault(field.rpartition(b":")[0].decode(), []).append(msgspec.msgpack.decode(value, type=Segment))
    analyses: dict[str, list[StoredAnalysis]] = {}
    for field, value in _pairs(answer[4]).items():
        stream_key, _, key = field.decode().partition(":")
        analyses.setdefault(stream_key, []).append(StoredAnalysis(key, value))
    return StoredSession(
        created_at=float(session.get(b"created_at", b"0")),
        closed=b"closed" in session,
        deleted=b"deleted" in session,
        owner=session.get(b"tenant", b"").decode(),
        streams=tuple(
            StoredStream(
                record.stream_key,
                record.stream_id,
                record.started_at,
                f"ended:{record.stream_key}".encode() in session,
                states.get(record.stream_key.encode(), b""),
                tuple(sorted(finals[record.stream_key], key=lambda segment: segment.segment_id)),
                tuple(analyses.get(record.stream_key, ())),
            )
            for record in records
        ),
    )

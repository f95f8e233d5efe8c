"""Who may use a slot: bounded admission, and fencing of older attempts of the same stream.

Pure bookkeeping without waiting. The invariant: `free` + admitted streams = `total`, whatever the order of admissions,
takeovers and releases; at most one attempt of a stream is admitted at a time. When `total` falls below the number of
admitted streams, all of them keep their slots, and `free` is 0 until enough of them have ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from talkup.v1 import error_pb2, task_pb2

from workers.errors import RefusedError


class StreamKey(NamedTuple):
    """The identity of a stream; its attempts share the key."""

    session_id: str
    stream_id: str


@dataclass(eq=False, slots=True)
class Lease:
    """One admitted attempt. `on_superseded` is called when a newer attempt takes its place."""

    key: StreamKey
    attempt: int
    on_superseded: Callable[[], None]


class Admission:
    """The slots of a worker."""

    def __init__(self, total: int, *, retry_after_ms: int) -> None:
        self._total = total
        self._retry_after_ms = retry_after_ms
        self._leases: dict[StreamKey, Lease] = {}

    @property
    def active(self) -> int:
        return len(self._leases)

    def slots(self) -> task_pb2.Slots:
        return task_pb2.Slots(total=self._total, free=max(0, self._total - len(self._leases)))

    def resize(self, total: int) -> None:
        """Set the number of slots, when the engine knows it or knows better; no stream loses its own."""
        self._total = total

    def admit(self, key: StreamKey, attempt: int, on_superseded: Callable[[], None]) -> Lease:
        """Give a slot, or the slot of an older attempt of the same stream.

        Raises RefusedError: SUPERSEDED when this or a newer attempt is running here, BUSY when every slot is taken.
        """
        older = self._leases.get(key)
        if older is not None and older.attempt >= attempt:
            raise RefusedError(
                error_pb2.ERROR_CODE_SUPERSEDED, "this or a newer attempt of the stream runs here", field="attempt"
            )
        if older is None and len(self._leases) >= self._total:
            raise RefusedError(
                error_pb2.ERROR_CODE_BUSY,
                "every slot is taken",
                retryable=True,
                retry_after_ms=self._retry_after_ms,
            )
        lease = Lease(key, attempt, on_superseded)
        self._leases[key] = lease
        if older is not None:
            older.on_superseded()
        return lease

    def release(self, lease: Lease) -> None:
        """Give the slot back. Does nothing for a lease whose slot a newer attempt has taken."""
        if self._leases.get(lease.key) is lease:
            del self._leases[lease.key]

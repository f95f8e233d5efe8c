"""Chunks of one media stream to 16 kHz mono samples, restartable to the sample.

The stream is a chain of recordings on one media clock. Synchronous, without I/O, without a clock of its own; the bytes
may be hostile: whatever they are, MediaError is all that leaves this module, in bounded time and memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.checkpoint import DecoderState, History, RestartPoint, resumed_point, unpack
from workers.media.errors import MediaError
from workers.media.interface import Checkpoint, Parts, run_through
from workers.media.pcm import Samples, silence
from workers.media.recording import Budget, Recording

__all__ = ["AudioDecoder", "Checkpoint", "MediaError"]

DECODED_SECONDS_LIMIT = 300.0
_SECONDS_PER_CHUNK = 30.0
_SECONDS_PER_BYTE = 0.01


class AudioDecoder:
    """One stream's decoder.

    `fmt` is the negotiated format, `state` that of a `Checkpoint` whose chunks are then decoded again, from its
    `replay_from_sequence` on. `decoded_seconds_limit` bounds what one chunk may decode to, besides 30 s and 10 ms for
    each of its bytes. Raises MediaError for a state that cannot be used.
    """

    def __init__(
        self,
        fmt: media_pb2.MediaFormat,
        state: bytes | None = None,
        *,
        decoded_seconds_limit: float = DECODED_SECONDS_LIMIT,
    ) -> None:
        self._format = fmt
        self._limit = decoded_seconds_limit
        self._history = History()
        self._recording: Recording | None = None
        self._failure: MediaError | None = None
        self._resumed = unpack(state) if state is not None else None
        self._produced = self._end = self._resumed.emit if self._resumed else 0
        self._ready: list[Samples] = []
        self._damaged_before = 0

    @property
    def damaged_bytes(self) -> int:
        """See `workers.media.interface.Decoder`."""
        return self._damaged_before + (self._recording.damaged_bytes if self._recording else 0)

    @property
    def position(self) -> int:
        """16 kHz samples of the stream handed out so far, those before a resume included."""
        return self._produced - sum(map(len, self._ready))

    def decode(self, chunk: Chunk) -> Samples:
        """The 16 kHz mono samples (full scale 1.0, shape (n,)) that this chunk completes.

        Raises MediaError for media that cannot be decoded further; then only a new recording can follow.
        """
        return run_through(self.decode_in_parts(chunk))

    def decode_in_parts(self, chunk: Chunk) -> Parts[Samples]:
        """See `workers.media.interface.Decoder`; raises as `decode`."""
        if self._failure is not None and not chunk.new_recording:
            raise MediaError(str(self._failure))
        with self._guarded():
            yield from self._decode(chunk)
        return self._hand_out()

    def finish(self) -> Samples:
        """The end of the stream: the samples that codec and resampler still hold."""
        if self._failure is None:
            with self._guarded():
                self._close()
            self._failure = MediaError("the stream has ended")
        return self._hand_out()

    def checkpoint(self, sample: int) -> Checkpoint:
        """Where a successor starts in order to continue at `sample`, a 16 kHz sample of the stream's clock.

        `sample` must have been handed out and never falls from call to call; before the first chunk there is nothing
        to restart from. Raises ValueError otherwise.
        """
        if not len(self._history) or not 0 <= sample <= self.position:
            raise ValueError("no such sample has been handed out")
        return self._history.latest(sample).checkpoint(sample)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except MediaError as error:
            self._failure = error
            raise
        except Exception as error:
            self._failure = MediaError("the media cannot be decoded")
            raise self._failure from error

    def _decode(self, chunk: Chunk) -> Parts[None]:
        recording, missing = self._recording, chunk.missing_before
        if self._resumed is not None:
            recording, missing = self._resume(self._resumed, chunk)
            self._resumed = None
        elif recording is None or chunk.new_recording:
            if self._failure is None:
                self._close_before_another()
            self._damaged_before = self.damaged_bytes
            recording, missing = self._begin(chunk.sequence), 0
        self._recording, self._failure = recording, None
        budget = Budget(min(self._limit, _SECONDS_PER_CHUNK + _SECONDS_PER_BYTE * len(chunk.payload)))
        self._ready += yield from recording.decode(chunk, missing, budget)
        self._produced, self._end = recording.emitted, recording.reached

    def _begin(self, sequence: int) -> Recording:
        point = RestartPoint(self._end, sequence, (self._end, 0, 0, 0, None))
        self._history.add(point)
        return Recording(self._format, point.state(self._produced), self._history)

    def _resume(self, state: DecoderState, chunk: Chunk) -> tuple[Recording, int]:
        """The recording that a state belongs to, and how many chunks are missing before the first one."""
        missing = chunk.missing_before
        if chunk.sequence == state.sequence:
            missing = 0
        elif chunk.new_recording:
            return self._begin(chunk.sequence), 0
        elif not missing:
            raise MediaError("the replay does not start with the chunk of the checkpoint")
        self._history.add(resumed_point(state))
        recording = Recording(self._format, state, self._history)
        if missing:
            recording.lose_start()
        return recording, missing

    def _close(self) -> None:
        if self._recording is not None:
            self._ready += self._recording.finish(Budget(self._limit))
            self._produced, self._end = self._recording.emitted, self._recording.end

    def _close_before_another(self) -> None:
        """End a recording that another follows; one that never began to sound is no reason to refuse the other."""
        try:
            self._close()
        except MediaError:
            if self._recording is None or self._recording.has_sounded:
                raise
            self._damaged_before += self._recording.header_bytes

    def _hand_out(self) -> Samples:
        parts, self._ready = self._ready, []
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else silence(0)

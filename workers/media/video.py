"""Chunks of one video stream to frames, restartable at key frames.

The counterpart of `workers.media.decoder` for pictures, run by the same child processes. Every packet is decoded, as
later ones need it; of one chunk only the newest pictures leave, `MAX_CHUNK_PIXELS` in all. Frames leave in the order in
which they are shown and are numbered in it, whatever the order of their packets (B-frames); all frames before a key
frame leave before it. After a gap or damage, packets up to the next key frame are reported as corrupt. The media clock
starts with the recording's first packet of any track, as the audio decoder's does. Whatever the bytes are, MediaError
is all that leaves this module.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.clock import FALL_BACK_MS
from workers.media.codec import VideoPacketDecoder, VideoPicture
from workers.media.containers.packet import Demuxer, Packet, Track, no_track
from workers.media.containers.sniff import Sniffer, make_demuxer
from workers.media.errors import MediaError
from workers.media.frames import MAX_SIDE, FrameFlag, FrameRecord
from workers.media.interface import Checkpoint, Parts, run_through

MAX_CHUNK_PIXELS: Final = 16 * MAX_SIDE * MAX_SIDE
_MAX_PACKETS: Final = 1_200
_MAX_OPEN_CHUNKS: Final = 4_096
_MAX_POINTS: Final = 4_096
_MAX_MEDIA_MS: Final = 1 << 31

Frames = tuple[FrameRecord, ...]

_Natural = Annotated[int, msgspec.Meta(ge=0)]


class VideoState(msgspec.Struct, frozen=True, array_like=True):
    """A restart point at key frame `index`: the chunk that holds its packet, how many bytes to skip, and the clocks."""

    container: _Natural
    prefix: bytes
    skip: _Natural
    sequence: _Natural
    reserved: _Natural
    index: _Natural
    base_ms: float
    origin: float | None
    end_ms: float


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a chunk begins in the demuxer's bytes."""

    position: int
    sequence: int


@dataclass(frozen=True, slots=True)
class _KeyFrame:
    """A restart point; `anchor` is for the demuxer, which writes the prefix when it is asked for."""

    demuxer: Demuxer
    anchor: int
    state: VideoState


class VideoDecoder:
    """One stream's decoder; see `workers.media.interface.Decoder`. Raises MediaError for a state it cannot use."""

    def __init__(self, fmt: media_pb2.MediaFormat, state: bytes | None = None) -> None:
        self._format = fmt
        self._resumed = _unpack(state) if state is not None else None
        self._index = 0
        self._packets = 0
        self._base_ms = self._end_ms = 0.0
        self._failure: MediaError | None = None
        self._points: deque[_KeyFrame] = deque(maxlen=_MAX_POINTS)
        self._records: list[FrameRecord] = []
        self._pixels = 0
        self._damaged_before = 0
        self._container = 0
        if self._resumed is not None:
            self._index = self._resumed.index
        self._reset()

    @property
    def position(self) -> int:
        """Frames given out so far, those before a resume included."""
        return self._index - len(self._records)

    @property
    def damaged_bytes(self) -> int:
        """See `workers.media.interface.Decoder`; packets that cannot be decoded count as corrupt frames instead."""
        return self._damaged_before + (self._demuxer.damaged if self._demuxer else 0)

    def decode(self, chunk: Chunk) -> Frames:
        """The frames that this chunk completes. Raises MediaError."""
        return run_through(self.decode_in_parts(chunk))

    def decode_in_parts(self, chunk: Chunk) -> Parts[Frames]:
        """See `workers.media.interface.Decoder`; raises as `decode`."""
        if self._failure is not None and not chunk.new_recording:
            raise MediaError(str(self._failure))
        with self._guarded():
            yield from self._decode(chunk)
        return self._hand_out()

    def finish(self) -> Frames:
        """The end of the stream: the frames that the codec still holds."""
        if self._failure is None:
            with self._guarded():
                self._close()
            self._failure = MediaError("the stream has ended")
        return self._hand_out()

    def checkpoint(self, position: int) -> Checkpoint:
        """The last key frame at or before a frame given out. Raises ValueError if there is none."""
        while len(self._points) > 1 and self._points[1].state.index <= position:
            self._points.popleft()
        if not self._points or self._points[0].state.index > position:
            raise ValueError("there is no key frame at or before this frame")
        point = self._points[0]
        state = msgspec.structs.replace(point.state, prefix=point.demuxer.prefix(point.anchor))
        return Checkpoint(state.sequence, msgspec.msgpack.encode(state))

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

    def _reset(self) -> None:
        """Set everything to the beginning of a recording."""
        self._demuxer: Demuxer | None = None
        self._sniffer = Sniffer(self._format)
        self._starts: deque[_Start] = deque()
        self._track: Track | None = None
        self._decoder: VideoPacketDecoder | None = None
        self._origin: float | None = None
        self._needs_key = True
        self._silent_until_key = False
        self._key_offset = -1
        self._shown: dict[int, tuple[int, bool]] = {}

    def _decode(self, chunk: Chunk) -> Parts[None]:
        self._failure = None
        skip, missing = 0, chunk.missing_before
        if self._resumed is not None:
            state, self._resumed = self._resumed, None
            if not chunk.new_recording or chunk.sequence == state.sequence:
                skip, missing = self._resume(state, chunk.sequence, missing)
            else:
                self._base_ms = state.end_ms
        elif chunk.new_recording:
            self._flush()
            self._damaged_before = self.damaged_bytes
            self._reset()
            self._base_ms = self._end_ms
        if missing and self._demuxer is not None:
            self._demuxer.resynchronise()
            self._starts.clear()
            self._needs_key = True
        if skip > len(chunk.payload):
            raise MediaError("the decoder state does not fit the chunk")
        if self._demuxer is None:
            yield from self._sniff(self._sniffer.push_chunk(chunk))
        else:
            yield from self._demux(self._demuxer, chunk, skip)

    def _resume(self, state: VideoState, sequence: int, missing: int) -> tuple[int, int]:
        """Restore the state; returns bytes to skip and chunks still missing."""
        if sequence != state.sequence and not missing:
            raise MediaError("the replay does not start with the chunk of the checkpoint")
        self._container = state.container
        self._demuxer = make_demuxer(state.container, self._format, resumed=True)
        if self._demuxer.push_bytes(state.prefix):
            raise MediaError("the decoder state is malformed")
        self._base_ms, self._origin, self._end_ms = state.base_ms, state.origin, state.end_ms
        if sequence != state.sequence:
            return 0, missing
        self._silent_until_key = True
        return state.skip, 0

    def _sniff(self, ready: list[tuple[Chunk, int]]) -> Parts[None]:
        """Begin with the chunks that the sniffer lets go of."""
        if ready:
            self._container = self._sniffer.container
            self._demuxer = make_demuxer(self._container, self._format)
            for chunk, skip in ready:
                yield from self._demux(self._demuxer, chunk, skip)

    def _demux(self, demuxer: Demuxer, chunk: Chunk, skip: int) -> Parts[None]:
        self._starts.append(_Start(demuxer.received - skip, chunk.sequence))
        pictures = 0
        for packets in demuxer.parts(chunk.payload[skip:]):
            yield
            pictures += sum(demuxer.tracks[packet.track].codec.is_video for packet in packets)
            if pictures > _MAX_PACKETS:
                raise MediaError("one chunk holds too many frames")
            for packet in packets:
                self._packet(demuxer, packet)
                yield
        if self._track is None and demuxer.tracks:
            self._choose(demuxer)
        self._start_of(demuxer.floor)
        if len(self._starts) > _MAX_OPEN_CHUNKS:
            raise MediaError("one element is spread over too many chunks")

    def _choose(self, demuxer: Demuxer) -> Track:
        track = next((track for track in demuxer.tracks.values() if track.codec.is_video), None)
        if track is None:
            raise no_track(demuxer.tracks, "video")
        self._track = track
        self._decoder = VideoPacketDecoder(track)
        return track

    def _packet(self, demuxer: Demuxer, packet: Packet) -> None:
        if self._origin is None:
            self._origin = (packet.pts or 0.0) if demuxer.origin is None else demuxer.origin
        track = self._track or self._choose(demuxer)
        self._needs_key |= packet.after_damage
        if packet.track != track.number or self._decoder is None:
            return
        if self._needs_key and not packet.key:
            if not self._silent_until_key:
                self._report(packet, FrameFlag.CORRUPT)
            return
        if packet.key:
            for picture in self._decoder.restart():
                self._show(picture)
            self._note(demuxer, packet)
        self._needs_key = self._silent_until_key = False
        number, self._packets = self._packets, self._packets + 1
        self._shown[number] = (self._media_ms(packet), packet.key)
        decoded = self._decoder.decode(packet.data, number)
        if decoded is None:
            self._shown.pop(number)
            self._needs_key = True
            self._report(packet, FrameFlag.CORRUPT)
            return
        for picture in decoded:
            self._show(picture)

    def _note(self, demuxer: Demuxer, packet: Packet) -> None:
        """Note the restart point at a key frame, if it is the first one at its byte."""
        if packet.offset == self._key_offset:
            return
        self._key_offset = packet.offset
        start = self._start_of(packet.offset)
        point = VideoState(
            self._container,
            b"",
            packet.offset - start.position,
            start.sequence,
            0,
            self._index,
            self._base_ms,
            self._origin,
            self._end_ms,
        )
        self._points.append(_KeyFrame(demuxer, packet.anchor, point))

    def _start_of(self, offset: int) -> _Start:
        """The chunk that holds a byte; forgets those before it, as offsets only rise."""
        starts = self._starts
        while len(starts) > 1 and starts[1].position <= offset:
            starts.popleft()
        return starts[0]

    def _media_ms(self, packet: Packet) -> int:
        """When a packet is shown; times that fall back are those of another recording, which follows the one before."""
        pts = packet.pts or 0.0
        elapsed = pts - (self._origin or 0.0)
        if self._base_ms + elapsed < self._end_ms - FALL_BACK_MS:
            self._base_ms, self._origin, elapsed = self._end_ms, pts, 0.0
        media_ms = min(max(0.0, self._base_ms + elapsed), _MAX_MEDIA_MS)
        self._end_ms = max(self._end_ms, media_ms)
        return round(media_ms)

    def _report(self, packet: Packet, flag: FrameFlag) -> None:
        self._records.append(FrameRecord(self._index, self._media_ms(packet), 0, 0, flag))
        self._index += 1

    def _show(self, picture: VideoPicture) -> None:
        media_ms, key = self._shown.pop(picture.number, (round(self._end_ms), False))
        for stale in [number for number in self._shown if number < picture.number - _MAX_PACKETS]:
            del self._shown[stale]
        flags = FrameFlag.KEY if key else FrameFlag.NONE
        self._records.append(FrameRecord(self._index, media_ms, picture.width, picture.height, flags, picture.planes))
        self._index += 1
        self._thin_out()

    def _thin_out(self) -> None:
        """Take the pictures from the oldest frames of the chunk that still have one, beyond what may leave."""
        newest = self._records[-1]
        self._pixels += newest.width * newest.height
        while self._pixels > MAX_CHUNK_PIXELS:
            at = next(at for at, record in enumerate(self._records) if record.picture)
            old = self._records[at]
            self._pixels -= old.width * old.height
            self._records[at] = FrameRecord(old.index, old.media_ms, 0, 0, old.flags | FrameFlag.SKIPPED)

    def _close(self) -> None:
        """The end of the last recording."""
        if self._demuxer is None:
            run_through(self._sniff(self._sniffer.finish()))
        if self._demuxer is not None and not self._demuxer.tracks and self._demuxer.received:
            raise MediaError("the recording ends before its header does")
        if self._demuxer is not None:
            for packet in self._demuxer.end():
                self._packet(self._demuxer, packet)
        self._flush()

    def _flush(self) -> None:
        if self._decoder is not None:
            for picture in self._decoder.restart():
                self._show(picture)

    def _hand_out(self) -> Frames:
        records, self._records, self._pixels = self._records, [], 0
        return tuple(records)


def _unpack(state: bytes) -> VideoState:
    try:
        return msgspec.msgpack.decode(state, type=VideoState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MediaError("the decoder state is malformed") from error

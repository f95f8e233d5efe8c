"""One recording of a stream: a chain of bytes with one container header, to 16 kHz mono on the stream's clock.

demuxer -> codec -> media clock -> mixer -> resampler. All that decides what comes out is a function of the bytes, never
of how they were cut; a recording resumed at a restart point runs through the same states as one that never stopped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.checkpoint import DecoderState, History, RestartPoint
from workers.media.clock import MediaClock
from workers.media.codec import OUTPUT_RATE, PacketDecoder, Resampler, grid, open_decoder, pre_roll_seconds
from workers.media.containers.packet import Codec, Demuxer, Packet, Track, no_track
from workers.media.containers.sniff import Sniffer, make_demuxer
from workers.media.errors import MediaError
from workers.media.interface import Parts, run_through
from workers.media.mixer import MARGIN_SECONDS, Mixing, StereoMixer
from workers.media.pcm import Samples, silence

_MAX_OPEN_CHUNKS = 65_536


@dataclass(slots=True)
class Budget:
    """How many more seconds may be decoded before MediaError: 1.6 KB of Opus can hold 24 s."""

    seconds: float

    def spend(self, seconds: float) -> None:
        """Raises MediaError when the budget is used up."""
        self.seconds -= seconds
        if self.seconds < 0:
            raise MediaError("the media decode to more audio than is allowed for their size")


@dataclass(frozen=True, slots=True)
class _ChunkStart:
    """Where a chunk begins: the demuxer's byte, its sequence number, how many chunks of the recording lie before."""

    position: int
    sequence: int
    before: int


class Recording:
    """Decodes one recording; notes restart points in `history`; raises MediaError for media that it cannot decode.

    `state` without a container is the start of a recording, one with a container resumes it: the first chunk must
    then be the one it names.
    """

    def __init__(self, fmt: media_pb2.MediaFormat, state: DecoderState, history: History) -> None:
        self.container = state.container
        self.emitted = state.emit
        self._format = fmt
        self._history = history
        self._clock = state.clock()
        self._skip = state.skip
        self._chunks = state.chunks
        self._demuxer: Demuxer | None = None
        self._sniffer = Sniffer(fmt)
        self._starts: deque[_ChunkStart] = deque()
        self._origin: float | None = None
        self._track: Track | None = None
        self._decoder: PacketDecoder | None = None
        self._resampler: Resampler | None = None
        self._mixer: StereoMixer | None = None
        self._given_mixing: Mixing | None = state.mixing
        self._next_output = state.base
        self._last_offset = -1
        self._pending: list[Samples] = []
        self._pending_samples = 0
        self._out: list[Samples] = []
        self._budget = Budget(0)
        if self.container:
            self._resume(state)

    @property
    def has_sounded(self) -> bool:
        """Whether the codec gave any samples."""
        return self._clock.rate > 0

    @property
    def header_bytes(self) -> int:
        """Bytes of a header that never became complete."""
        return self._demuxer.received if self._demuxer and not self._demuxer.tracks else 0

    @property
    def end(self) -> int:
        """The 16 kHz sample of the stream at which this recording ends so far, resampler drained."""
        return self._clock.to_output(self._clock.position)

    @property
    def reached(self) -> int:
        """The 16 kHz sample of the stream that the resampler gives next."""
        return self._next_output

    @property
    def damaged_bytes(self) -> int:
        """Bytes that container or codec could not decode and that were skipped."""
        lost = self._decoder.lost_bytes if self._decoder else 0
        return lost + (self._demuxer.damaged if self._demuxer else 0)

    def prefix(self, anchor: int) -> bytes:
        """What a successor's demuxer is fed before the bytes of a restart point."""
        return self._demuxer.prefix(anchor) if self._demuxer else b""

    def decode(self, chunk: Chunk, missing: int, budget: Budget) -> Parts[list[Samples]]:
        """Decode one chunk in parts; `missing` chunks of this recording directly before it are lost."""
        self._budget = budget
        if missing:
            self._lose(missing)
        if self._skip > len(chunk.payload):
            raise MediaError("the decoder state does not fit the chunk")
        if self._demuxer is None:
            yield from self._sniff(self._sniffer.push_chunk(chunk))
        else:
            yield from self._demux(self._demuxer, chunk)
        return self._pop_output()

    def finish(self, budget: Budget) -> list[Samples]:
        """No more bytes: the tail of demuxer, codec and resampler."""
        self._budget = budget
        if self._demuxer is None:
            run_through(self._sniff(self._sniffer.finish()))
        if self._demuxer is not None:
            if not self._demuxer.tracks and self._demuxer.received:
                raise MediaError("the recording ends before its header does")
            for packet in self._demuxer.end():
                self._packet(packet)
        if self._decoder is not None:
            for samples in self._decoder.flush():
                self._frame(samples)
        self._drain()
        return self._pop_output()

    def lose_start(self) -> None:
        """The chunk that a resumed recording starts with is among the lost ones."""
        self._skip = 0

    def _resume(self, state: DecoderState) -> None:
        self._demuxer = make_demuxer(state.container, self._format, resumed=True)
        if self._demuxer.push_bytes(state.prefix):
            raise MediaError("the decoder state is malformed")

    def _sniff(self, ready: list[tuple[Chunk, int]]) -> Parts[None]:
        """Begin with the chunks that the sniffer lets go of."""
        if not ready:
            return
        self.container = self._sniffer.container
        self._demuxer = make_demuxer(self.container, self._format)
        for chunk, self._skip in ready:
            yield from self._demux(self._demuxer, chunk)

    def _demux(self, demuxer: Demuxer, chunk: Chunk) -> Parts[None]:
        fed = demuxer.received - self._skip
        self._starts.append(_ChunkStart(fed, chunk.sequence, self._chunks))
        self._chunks += 1
        payload, self._skip = chunk.payload[self._skip :], 0
        for packets in demuxer.parts(payload):
            yield
            for packet in packets:
                self._packet(packet)
                yield
        if self._track is None and demuxer.tracks:
            self._choose(demuxer)
        self._start_of(demuxer.floor)
        if len(self._starts) > _MAX_OPEN_CHUNKS:
            raise MediaError("one element is spread over too many chunks")

    def _lose(self, chunks: int) -> None:
        if self._demuxer is None:
            self._sniffer = Sniffer(self._format)
            return
        self._demuxer.resynchronise()
        self._starts.clear()
        if not self._demuxer.has_pts:
            self._silence(self._clock.silence_for(chunks, self._chunks))
        self._chunks += chunks

    def _choose(self, demuxer: Demuxer) -> Track:
        track = next((track for track in demuxer.tracks.values() if track.codec.is_audio), None)
        if track is None:
            raise no_track(demuxer.tracks, "audio")
        self._track = track
        self._decoder = open_decoder(track)
        return track

    def _packet(self, packet: Packet) -> None:
        demuxer = self._demuxer
        if demuxer is None:
            return
        if self._origin is None:
            self._origin = packet.pts if demuxer.origin is None else demuxer.origin
        track = self._track or self._choose(demuxer)
        if packet.track != track.number or self._decoder is None:
            return
        self._silence(self._clock.silence_before(packet.pts))
        primes = track.codec is Codec.VORBIS  # after a restart the first packet gives nothing
        if not primes:
            self._note(packet)
        for samples in self._decoder.decode(packet.data):
            self._frame(samples)
        if primes:
            self._note(packet)

    def _note(self, packet: Packet) -> None:
        """Note the restart point at a packet, if it is the first one of its place."""
        clock, track = self._clock, self._track
        first = packet.offset != self._last_offset
        self._last_offset = packet.offset
        if not first or not clock.rate or track is None or self._mixer is None:
            return
        start = self._start_of(packet.offset)
        pre_roll = round((pre_roll_seconds(track.codec) + MARGIN_SECONDS) * clock.rate) + grid(clock.rate)
        self._history.add(
            RestartPoint(
                clock.to_output(clock.position + pre_roll),
                start.sequence,
                (clock.base, clock.rate, clock.trim, clock.position, clock.pts_base),
                self,
                packet.anchor,
                packet.offset - start.position,
                start.before,
                self._mixer,
            )
        )

    def _start_of(self, offset: int) -> _ChunkStart:
        """The chunk that holds a byte; forgets those before it, as offsets only rise."""
        starts = self._starts
        while len(starts) > 1 and starts[1].position <= offset:
            starts.popleft()
        return starts[0]

    def _frame(self, samples: Samples) -> None:
        """Samples fresh from the codec, at its present rate."""
        demuxer = self._demuxer
        if self._decoder is None or self._track is None or demuxer is None:
            return
        rate = self._decoder.rate
        if not self._clock.rate:
            self._clock.rate = rate
            track = demuxer.tracks.get(self._track.number, self._track)  # MP3 tells its delay with its first frame
            self._clock.trim = track.delay * rate // (track.rate or rate)
            self._begin()
        elif rate != self._clock.rate:
            self._drain()
            self._clock = MediaClock(self.end, rate)
        self._push(samples)

    def _begin(self) -> None:
        """Silence where the sound begins after the pictures."""
        samples = self._clock.begin_after(self._origin)
        if samples:
            self._budget.spend(samples / OUTPUT_RATE)
            self._output(silence(samples))

    def _silence(self, samples: int) -> None:
        while samples > 0:
            piece = min(samples, self._clock.rate)
            self._push(silence(piece)[None])
            samples -= piece

    def _push(self, channels: Samples) -> None:
        clock, size = self._clock, channels.shape[1]
        self._budget.spend(size / clock.rate)
        start = clock.position
        clock.position += size
        cut = max(0, clock.trim - start)
        if self._resampler is None:
            cut += -(start + cut - clock.trim) % grid(clock.rate)
        if cut >= size:
            return
        if self._resampler is None or self._mixer is None:
            self._resampler = Resampler(clock.rate)
            self._mixer = StereoMixer(clock.rate, start + cut, self._given_mixing)
            self._given_mixing = None
            self._next_output = clock.to_output(start + cut)
        self._gather(self._mixer.push(channels[:, cut:]), self._resampler)

    def _gather(self, samples: Samples, resampler: Resampler) -> None:
        if not len(samples):
            return
        self._pending.append(samples)
        self._pending_samples += len(samples)
        if self._pending_samples >= self._clock.rate:
            self._resample(resampler)

    def _resample(self, resampler: Resampler) -> None:
        """Resample the samples of a chunk in one piece: a third of the time goes into the calls."""
        if self._pending:
            self._output(resampler.push(np.concatenate(self._pending)))
            self._pending, self._pending_samples = [], 0

    def _drain(self) -> None:
        """End the resampler; its output is cut or padded to the length of the input, to the sample."""
        if self._resampler is None or self._mixer is None:
            return
        self._gather(self._mixer.flush(), self._resampler)
        self._resample(self._resampler)
        rest = self._resampler.flush()
        due = self.end - self._next_output
        if len(rest) < due:
            self._output(rest)
            rest = silence(due - len(rest))
        self._output(rest[:due])
        self._resampler = self._mixer = None

    def _output(self, samples: Samples) -> None:
        start = self._next_output
        self._next_output += len(samples)
        if self._next_output <= self.emitted:
            return
        fresh = samples[max(0, self.emitted - start) :]
        self._out.append(fresh)
        self.emitted += len(fresh)

    def _pop_output(self) -> list[Samples]:
        if self._resampler is not None:
            self._resample(self._resampler)
        out, self._out = self._out, []
        return out

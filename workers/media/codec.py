"""The door to PyAV: audio packets to float32 in one or two channels, mono float32 to 16 kHz, video packets to pictures.

The only module that imports `av`. Measured with av 18.1 (FFmpeg 8): the native `opus` decoder is back in step 0.64 s
after a restart, `libopus` is not after 3 s of SILK; every decoder gives a constant number of samples for a packet; a
resampler that restarts on its grid is soon identical to one that never stopped, off the grid it never is; stereo to
mono by the resampler is 3 dB louder than the mean.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Protocol

import av
import numpy as np
from av.audio.frame import format_dtypes
from av.audio.plane import AudioPlane
from av.error import FFmpegError
from numpy.typing import NDArray

from workers.media.containers.opus import packet_samples, without_pre_skip
from workers.media.containers.packet import Codec, PcmEncoding, Track, unread_track
from workers.media.containers.turn import UPRIGHT, Turn, turn_of_matrix
from workers.media.errors import MediaError
from workers.media.frames import MAX_SIDE
from workers.media.pcm import Samples, decode_pcm, finite, one_or_two, silence

OUTPUT_RATE = 16_000
"""Samples a second of all that leaves this package."""

_NAMES = {
    Codec.OPUS: "opus",
    Codec.AAC: "aac",
    Codec.MP3: "mp3float",
    Codec.FLAC: "flac",
    Codec.VORBIS: "vorbis",
    Codec.ALAC: "alac",
    Codec.ADPCM_MS: "adpcm_ms",
    Codec.ADPCM_IMA: "adpcm_ima_wav",
    Codec.GSM_MS: "gsm_ms",
    Codec.AMR_NB: "amrnb",
    Codec.AMR_WB: "amrwb",
}
_OPTIONS = {Codec.ADPCM_IMA: {"bits_per_coded_sample": "4"}}
_PRE_ROLL = {Codec.OPUS: 0.64, Codec.MP3: 0.25, Codec.AAC: 0.2, Codec.GSM_MS: 2.0, Codec.AMR_NB: 2.0, Codec.AMR_WB: 2.0}
_SHORT_PRE_ROLL = 0.02
"""For codecs whose packets stand for themselves."""

_DEFAULT_FRAME = {Codec.AAC: 1024, Codec.MP3: 1152}
_MAX_FRAME = 1 << 16
_RATES = range(4_000, 192_001)


def pre_roll_seconds(codec: Codec) -> float:
    """How much is decoded and thrown away before a restarted decoder is identical (AAC with PNS: -48 dB)."""
    return _PRE_ROLL.get(codec, _SHORT_PRE_ROLL)


def grid(rate: int) -> int:
    """Input samples after which input and output instants of a resampler from `rate` coincide again."""
    return rate // math.gcd(rate, OUTPUT_RATE)


class PacketDecoder(Protocol):
    """One track's decoder."""

    @property
    def rate(self) -> int:
        """Samples a second of what was decoded last; 0: not known yet."""
        ...

    @property
    def lost_bytes(self) -> int:
        """Bytes of packets that could not be decoded, from the first one on that could."""
        ...

    def decode(self, data: bytes) -> list[Samples]:
        """One packet's samples, shape (1 or 2, n); one that cannot be decoded gives silence of its duration."""
        ...

    def flush(self) -> list[Samples]:
        """What the decoder still holds."""
        ...


def open_decoder(track: Track) -> PacketDecoder:
    """A decoder for an audio track. Raises MediaError for a codec that is not read here."""
    if track.codec is Codec.PCM and track.pcm is not None:
        return _PcmDecoder(track.pcm, track.rate, track.channels)
    if track.codec in _NAMES:
        return _AvDecoder(track)
    raise MediaError("the codec of the audio track is not supported")


def _packet(data: bytes) -> av.Packet[Any]:
    """A packet with the zeros behind it that FFmpeg's decoders read, too (AV_INPUT_BUFFER_PADDING_SIZE).

    `av.Packet(data)` has none: its samples depend on what memory holds behind `data`.
    """
    packet = av.Packet(len(data))
    packet.update(data)
    return packet


class _PcmDecoder:
    lost_bytes = 0

    def __init__(self, encoding: PcmEncoding, rate: int, channels: int) -> None:
        if rate not in _RATES or not 1 <= channels <= 8:
            raise MediaError("the sample rate or the number of channels is out of range")
        self.rate = rate
        self._encoding = encoding
        self._channels = channels

    def decode(self, data: bytes) -> list[Samples]:
        return [decode_pcm(data, self._encoding, self._channels)]

    def flush(self) -> list[Samples]:
        return []


class _AvDecoder:
    def __init__(self, track: Track) -> None:
        self.rate = 0
        self.lost_bytes = 0
        self._codec = track.codec
        self._last_frame = _DEFAULT_FRAME.get(track.codec, 0)
        context = av.CodecContext.create(_NAMES[track.codec], "r")
        if not isinstance(context, av.AudioCodecContext):
            raise MediaError("the codec of the audio track is not supported")
        self._context = context
        self._context.thread_count = 1
        self._context.options = _OPTIONS.get(track.codec, {})
        private = without_pre_skip(track.private) if track.codec is Codec.OPUS else track.private
        if private:
            self._context.extradata = private
        if track.rate:
            self._context.sample_rate = track.rate
        if track.channels in (1, 2):
            self._context.layout = "mono" if track.channels == 1 else "stereo"

    def decode(self, data: bytes) -> list[Samples]:
        if not data:  # to FFmpeg an empty packet is the end of the stream
            return []
        try:
            frames = self._context.decode(_packet(data))
        except FFmpegError:
            return self._lost(data)
        decoded = [self._samples(frame) for frame in frames]
        if decoded:
            self._last_frame = decoded[-1].shape[1]
        return decoded

    def flush(self) -> list[Samples]:
        try:
            return [self._samples(frame) for frame in self._context.decode(None)]
        except FFmpegError:
            return []

    def _lost(self, data: bytes) -> list[Samples]:
        if self.rate:  # the first ones after a restart may depend on what came before them
            self.lost_bytes += len(data)
        samples = packet_samples(data) if self._codec is Codec.OPUS else self._last_frame
        return [silence(samples)[None]] if self.rate else []

    def _samples(self, frame: av.AudioFrame) -> Samples:
        if frame.sample_rate not in _RATES or frame.samples > _MAX_FRAME:
            raise MediaError("the audio has a sample rate or frame size out of range")
        self.rate = frame.sample_rate
        values = _values(frame)
        if values.dtype.kind == "i":
            return one_or_two(values / (1 << (8 * values.dtype.itemsize - 1)))
        return one_or_two(values)


def _values(frame: av.AudioFrame) -> NDArray[Any]:
    """The values of a frame, one row a channel.

    Without `frame.planes`, which `frame.to_ndarray` reads too: PyAV 18.1 looks for a null pointer behind those of the
    channels, and behind the eighth there is none.
    """
    channels, dtype = frame.layout.nb_channels, np.dtype(format_dtypes[frame.format.name])
    if frame.format.is_planar:
        planes = (AudioPlane(frame, channel) for channel in range(channels))
        return np.stack([np.frombuffer(memoryview(plane), dtype, frame.samples) for plane in planes])
    return np.frombuffer(memoryview(AudioPlane(frame, 0)), dtype, frame.samples * channels).reshape(-1, channels).T


class Resampler:
    """Mono float32 at `rate` to 16 kHz, in any pieces; the first sample in is the first sample out."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=OUTPUT_RATE)

    def push(self, samples: Samples) -> Samples:
        """The output that these samples complete."""
        samples = finite(samples)
        if self._rate == OUTPUT_RATE:
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate = self._rate
        return self._join(self._resampler.resample(frame))

    def flush(self) -> Samples:
        """The rest; no push may follow."""
        if self._rate == OUTPUT_RATE:
            return silence(0)
        return self._join(self._resampler.resample(None))

    @staticmethod
    def _join(frames: list[av.AudioFrame]) -> Samples:
        parts = [frame.to_ndarray()[0] for frame in frames]
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else silence(0)


_VIDEO_NAMES = {Codec.VP8: "vp8", Codec.VP9: "vp9", Codec.H264: "h264"}
_MAX_PIXELS = 4096 * 2304
"""FFmpeg refuses a larger frame before it allocates memory for it."""


@dataclass(frozen=True, slots=True)
class VideoPicture:
    """A decoded frame, upright, as planar YUV 4:2:0 with even sides; `number` is that of its packet."""

    number: int
    width: int
    height: int
    planes: bytes


class VideoPacketDecoder:
    """One video track's decoder. Raises MediaError for a codec that is not read here.

    Pictures are turned as their container asks; if it does not, as the last display orientation message since the key
    frame does (H.264, D.2.27), which lasts until the next one.
    """

    def __init__(self, track: Track) -> None:
        if track.codec not in _VIDEO_NAMES:
            raise unread_track("video", track.codec.upper())
        context = av.CodecContext.create(_VIDEO_NAMES[track.codec], "r")
        if not isinstance(context, av.VideoCodecContext):
            raise MediaError("the codec of the video track is not supported")
        context.options = {"max_pixels": str(_MAX_PIXELS)}
        context.thread_count = 1
        if track.private:
            context.extradata = track.private
        self._context = context
        self._track_turn = self._turn = track.turn

    def decode(self, data: bytes, number: int) -> list[VideoPicture] | None:
        """The pictures that one packet completes, in the order of showing; None for a packet that cannot be decoded."""
        if not data:
            return None
        packet = _packet(data)
        packet.pts = number
        try:
            return [self._picture(frame) for frame in self._context.decode(packet)]
        except FFmpegError:
            return None

    def restart(self) -> list[VideoPicture]:
        """The pictures that are still held back; a key frame must follow."""
        try:
            held = [self._picture(frame) for frame in self._context.decode(None)]
            self._context.flush_buffers()
        except FFmpegError:
            return []
        finally:
            self._turn = self._track_turn
        return held

    def _picture(self, frame: av.VideoFrame) -> VideoPicture:
        notes: Any = frame.side_data  # a mapping, which its stub takes for a dictionary of one key
        if self._track_turn == UPRIGHT and "DISPLAYMATRIX" in notes:
            a, b, _, c, d = struct.unpack_from("=5i", bytes(notes["DISPLAYMATRIX"]))
            self._turn = turn_of_matrix(a, b, c, d)
        longest = max(frame.width, frame.height, 1)
        scale = min(1.0, MAX_SIDE / longest)
        width, height = (max(2, int(side * scale) & ~1) for side in (frame.width, frame.height))
        small = frame.reformat(width=width, height=height, format="yuv420p")
        planes = b"".join(_plane(plane, self._turn) for plane in small.planes)
        if self._turn.transposed:
            width, height = height, width
        return VideoPicture(int(frame.pts or 0), width, height, planes)


def _plane(plane: av.video.plane.VideoPlane, turn: Turn) -> bytes:
    """A plane's rows without the padding at their ends, turned."""
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
    cut = rows[: plane.height, : plane.width]
    if turn.transposed:
        cut = cut.T
    cut = cut[:: -1 if turn.flip_rows else 1, :: -1 if turn.flip_columns else 1]
    data: bytes = cut.tobytes()
    return data

"""Recordings of kinds that the workers do not read, decoded here to 16-bit samples. The only module for that with PyAV.

Needs the extra `files`, so it is loaded on demand. FFmpeg reads a file with the rights of the command's user, so only
readers of plain files are allowed, none that follows names or addresses in a file, as those of playlists do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from talkup_client.errors import UnreadableFileError, UnsupportedFileError

RATE_HZ = 16_000
_SAMPLE_BYTES = 2
_MAX_LEAD_S = 600.0
_READERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gsm,iff,matroska,webm,mov,mp4,mp3,mpc,mpc8,mpeg,"
    "mpegts,mxf,nistsphere,nsv,nut,ogg,oma,paf,qcp,rm,sln,sox,tak,truehd,tta,voc,w64,wav,wv,xwma"
)


class Recording:
    """A recording that FFmpeg reads. Raises UnsupportedFileError for a file that it does not read, or without sound.

    `format` is the MIME type of its samples, `seconds` its duration if it states one, `damaged` the number of packets
    that could not be decoded so far.
    """

    def __init__(self, path: Path) -> None:
        self.damaged = 0
        self._path = path
        with self._opened() as container:
            sound = container.streams.audio[0]
            self._channels = 2 if (sound.codec_context.channels or 1) > 1 else 1
            self.seconds = container.duration / av.time_base if container.duration else None
            if next((frame for packet in self._packets(container) for frame in self._frames(packet)), None) is None:
                raise UnsupportedFileError(f"{path.name} holds no sound that can be decoded")
        self.bytes_per_second = RATE_HZ * self._channels * _SAMPLE_BYTES
        self.format = f"audio/pcm;rate={RATE_HZ};channels={self._channels};encoding=s16le"
        self.damaged = 0

    def chunks(self, size: int) -> Iterator[bytes]:
        """Its samples from the beginning, in chunks of up to `size` bytes.

        Sound that begins later than the recording follows silence, so that times stay right.
        """
        size -= size % (_SAMPLE_BYTES * self._channels)
        waiting = bytearray()
        self.damaged = 0
        for samples in self._samples():
            waiting += samples
            while len(waiting) >= size:
                yield bytes(waiting[:size])
                del waiting[:size]
        if waiting:
            yield bytes(waiting)

    def _samples(self) -> Iterator[bytes]:
        resampler = AudioResampler(format="s16", layout="stereo" if self._channels == 2 else "mono", rate=RATE_HZ)
        is_first = True
        with self._opened() as container:
            began_s = (container.start_time or 0) / av.time_base
            for packet in self._packets(container):
                for frame in self._frames(packet):
                    if is_first:
                        yield self._silence((frame.time or began_s) - began_s)
                        is_first = False
                    frame.pts = None  # the resampler would complain of clocks that jump
                    yield from map(self._bytes_of, resampler.resample(frame))
            yield from map(self._bytes_of, resampler.resample(None))

    def _packets(self, container: av.container.InputContainer) -> Iterator[Any]:
        try:
            yield from container.demux(container.streams.audio[0])
        except FFmpegError:
            self.damaged += 1  # nothing behind it can be found

    def _frames(self, packet: Any) -> Iterator[av.AudioFrame]:  # noqa: ANN401 - generic only in the library's stubs
        try:
            yield from packet.decode()
        except FFmpegError:
            self.damaged += 1

    def _silence(self, seconds: float) -> bytes:
        return bytes(round(min(max(0.0, seconds), _MAX_LEAD_S) * RATE_HZ) * self._channels * _SAMPLE_BYTES)

    def _bytes_of(self, frame: av.AudioFrame) -> bytes:
        return bytes(frame.planes[0])[: frame.samples * self._channels * _SAMPLE_BYTES]

    def _opened(self) -> av.container.InputContainer:
        try:
            options = {"format_whitelist": _READERS, "protocol_whitelist": "file"}
            container = av.open(f"file:{self._path}", options=options)
        except FFmpegError as error:
            if isinstance(error, OSError) and error.errno and error.strerror and not self._path.is_file():
                raise UnreadableFileError(f"{self._path} cannot be read: {error.strerror}") from None
            raise UnsupportedFileError(f"{self._path.name} is of no type that FFmpeg reads") from None
        if not container.streams.audio:
            container.close()
            raise UnsupportedFileError(f"{self._path.name} holds no sound")
        return container

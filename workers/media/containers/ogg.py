"""Ogg pages (RFC 3533) that carry Opus (RFC 7845), Vorbis (Vorbis I, appendix A) or FLAC (RFC 9639, 10.1).

A restart point is a page on which a packet begins; its prefix is a new page with the headers. The time of
a page's packets comes from its granule position, which is where the last packet that ends on it ends. The end trim of
RFC 7845, 4.4 is not applied: at most one packet of padding follows the speech. How long a Vorbis packet lasts its
decoder knows alone, so Vorbis goes without times.

A page that begins a stream of sound once the streams of a link have begun begins the next link of a chain (RFC 3533,
4); a radio stream has one for each title. All links are read; one decoder goes on from link to link, so the pre-skip of
later ones is heard.

What can be decoded of a page whose checksum is wrong is heard; the page counts as damage.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from dataclasses import dataclass

from workers.media.containers.ogg_mapping import AUDIO_HEADS, COMMENTS, Mapping, begin_mapping, other_name
from workers.media.containers.packet import (
    MAX_ELEMENT_BYTES,
    DamagedError,
    Demuxer,
    Incomplete,
    Packet,
    check_header,
)
from workers.media.errors import MediaError

_PAGE_HEAD = 27
_CONTINUED = 0x01
_BEGINS = 0x02
_CHECKSUM = slice(22, 26)
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MAX_LINKS = 64
"""Links whose header is remembered: restart points lie in the last ones."""


@dataclass(frozen=True, slots=True)
class _Link:
    """One logical stream of the chain."""

    serial: int
    mapping: Mapping


def _is_whole(page: bytes) -> bool:
    """Whether a page has its checksum, or none (RFC 3533, 6): zlib's CRC-32 over mirrored bytes, mirrored."""
    stored = int.from_bytes(page[_CHECKSUM], "little")
    plain = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    crc = zlib.crc32(plain.translate(_MIRRORED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return not stored or stored == int(f"{crc:032b}"[::-1], 2)


class OggDemuxer(Demuxer):
    """Bytes of an Ogg recording to the packets of its sound; other streams multiplexed into it are skipped."""

    def __init__(self, *, resumed: bool = False) -> None:
        """`resumed`: the prefix is followed by the middle of a link, or by the next one."""
        super().__init__()
        self._resumed = resumed
        self._serial: int | None = None
        self._links: deque[_Link] = deque(maxlen=_MAX_LINKS)
        self._link = -1
        self._others: list[str] = []
        self._begun = False
        self._parts: list[bytes] = []
        self._part_bytes = 0
        self._part_offset = 0

    @property
    def floor(self) -> int:
        """The page on which the packet that is not complete began."""
        return self._part_offset if self._parts else self.position

    def prefix(self, anchor: int) -> bytes:
        """The first page of the link number `anchor`: begin of stream, its headers, no checksum.

        Raises MediaError for one that is long past.
        """
        back = self._link - anchor
        if not 0 <= back < len(self._links):
            raise MediaError("the recording has too many links to resume in this one")
        link = self._links[-1 - back]
        packets = link.mapping.headers()
        lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
        page = struct.pack("<4sBBqIIIB", b"OggS", 0, _BEGINS, 0, link.serial, 0, 0, len(lacing))
        return page + lacing + b"".join(packets)

    def _broken_off(self) -> int:
        """A page whose end is missing, and the packet that it would have completed."""
        return len(self._buffer) + self._part_bytes

    def _forget(self) -> None:
        self._parts.clear()
        self._part_bytes = 0

    def _step(self, packets: list[Packet]) -> int:
        buffer = self._buffer
        if len(buffer) < _PAGE_HEAD:
            raise Incomplete
        if buffer[:4] != b"OggS" or buffer[4]:
            raise DamagedError("not an Ogg page")
        body = _PAGE_HEAD + buffer[26]
        if len(buffer) < body:
            raise Incomplete
        end = body + sum(buffer[_PAGE_HEAD:body])
        if len(buffer) < end:
            raise Incomplete
        flags, granule, serial = struct.unpack_from("<BqI", buffer, 5)
        if flags & _BEGINS:
            self._begin(bytes(buffer[body:end]), serial)
        elif self._serial is None:
            raise self._no_sound()
        else:
            self._begun = True  # all streams of a link begin before any goes on (RFC 3533, 4)
        if serial == self._serial:
            self._damaged += 0 if _is_whole(bytes(buffer[:end])) else end
            self._page(bytes(buffer[:end]), body, granule, packets, continued=bool(flags & _CONTINUED))
        return end

    def _begin(self, head: bytes, serial: int) -> None:
        """A stream begins: the first one of sound is that of its link."""
        if not head.startswith(AUDIO_HEADS):
            self._others += [other_name(head)] if len(self._others) < _MAX_LINKS else []
        elif self._serial is None or self._begun:
            self._serial, self._begun = serial, self._resumed

    def _no_sound(self) -> MediaError:
        if not self._others:
            return DamagedError("it does not begin with the header of a stream")
        names = ", ".join(sorted(set(self._others)))
        return MediaError(f"this Ogg recording holds {names}, which is not supported: send Opus, Vorbis or FLAC")

    def _page(self, page: bytes, body: int, granule: int, packets: list[Packet], *, continued: bool) -> None:
        if not continued:
            self._forget()
        whole = self._assemble(page, body, tail_only=continued and not self._parts)
        audio = [(data, offset) for data, offset in whole if self._is_audio(data)]
        if not audio:
            return
        mapping = self._links[-1].mapping
        at = granule - sum(mapping.samples(data) for data, _ in audio)
        for data, offset in audio:
            pts = at * 1000 / mapping.rate if granule >= 0 and self.has_pts else None
            packets.append(Packet(mapping.track.number, data, offset, pts=pts, anchor=self._link))
            at += mapping.samples(data)

    def _assemble(self, page: bytes, body: int, *, tail_only: bool) -> list[tuple[bytes, int]]:
        """The packets that end on this page, each with the page it began on.

        `tail_only`: the page begins with the rest of a packet whose head was never seen.
        """
        whole: list[tuple[bytes, int]] = []
        lacing = page[_PAGE_HEAD:body]
        at = start = body
        offset = self._part_offset if self._parts else self.position
        for value in lacing:
            at += value
            if value == 255:
                continue
            if not tail_only:
                whole.append((b"".join((*self._parts, page[start:at])), offset))
            self._forget()
            tail_only = False
            offset, start = self.position, at
        if (at > start or (lacing and lacing[-1] == 255)) and not tail_only:
            self._keep(page[start:at], offset)
        return whole

    def _keep(self, part: bytes, offset: int) -> None:
        self._part_bytes += len(part)
        if self._part_bytes > MAX_ELEMENT_BYTES:
            if self._parts[0].startswith(COMMENTS):  # with a large picture: the rest of it is skipped
                self._forget()
                return
            raise DamagedError("a packet is too large")
        self._parts.append(part)
        self._part_offset = offset

    def _is_audio(self, data: bytes) -> bool:
        """Whether a packet goes to the decoder rather than being a header of the first link."""
        if data.startswith(AUDIO_HEADS):
            later = self._link >= 0
            mapping = begin_mapping(data)
            if later and self._links[-1].mapping.track.codec is not mapping.track.codec:
                raise DamagedError("the codec changes from link to link")
            self._links.append(_Link(self._serial or 0, mapping))
            self._link += 1
        elif not self._links:
            raise DamagedError("the stream has no header")
        mapping = self._links[-1].mapping
        if not mapping.read_header(data):
            return True
        if mapping.is_complete:
            check_header(b"".join(mapping.headers()))
            self.tracks = self.tracks or {mapping.track.number: mapping.track}
            self.has_pts = mapping.has_pts
        return self._link > 0 and mapping.headers_in_band

    def _seek(self) -> int:
        at = self._buffer.find(b"OggS")
        if at >= 0:
            return at
        if len(self._buffer) > 3:
            return len(self._buffer) - 3
        raise Incomplete

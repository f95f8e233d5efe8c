"""Ogg pages (RFC 3533) that carry Opus (RFC 7845).

A restart point is a page on which a packet begins; its prefix is a new page with the OpusHead. The time of
a page's packets comes from its granule position, which is where the last packet that ends on it ends. The end trim of
RFC 7845, 4.4 is not applied: at most one packet of padding follows the speech.

A page that begins an Opus stream once the streams of a link have begun begins the next link of a chain (RFC 3533, 4); a
radio stream has one for each title. All links are read; one decoder goes on from link to link, so the pre-skip of later
ones is heard.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from workers.media.containers.opus import RATE, packet_samples, pre_skip
from workers.media.containers.packet import (
    MAX_ELEMENT_BYTES,
    Codec,
    DamagedError,
    Demuxer,
    Incomplete,
    Packet,
    Track,
    check_header,
)
from workers.media.errors import MediaError

_PAGE_HEAD = 27
_HEAD = b"OpusHead"
_CONTINUED = 0x01
_BEGINS = 0x02
_TRACK = 1
_MAX_LINKS = 64
"""Links whose header is remembered: restart points lie in the last ones."""


@dataclass(frozen=True, slots=True)
class _Link:
    """One logical stream of the chain; `head` is its OpusHead."""

    serial: int
    head: bytes


class OggDemuxer(Demuxer):
    """Bytes of an Ogg Opus recording to its packets; other streams multiplexed into it are passed over."""

    def __init__(self, *, resumed: bool = False) -> None:
        """`resumed`: the prefix is followed by the middle of a link, or by the next one."""
        super().__init__()
        self._resumed = resumed
        self._serial: int | None = None
        self._links: deque[_Link] = deque(maxlen=_MAX_LINKS)
        self._link = -1
        self._begun = False
        self._parts: list[bytes] = []
        self._part_bytes = 0
        self._part_offset = 0

    @property
    def floor(self) -> int:
        """The page on which the packet that is not complete began."""
        return self._part_offset if self._parts else self.position

    def prefix(self, anchor: int) -> bytes:
        """The first page of the link number `anchor`: begin of stream, OpusHead, no checksum (none is checked).

        Raises MediaError for one that is long past.
        """
        back = self._link - anchor
        if not 0 <= back < len(self._links):
            raise MediaError("the recording has too many links to go on in this one")
        link = self._links[-1 - back]
        page = struct.pack("<4sBBqIIIB", b"OggS", 0, _BEGINS, 0, link.serial, 0, 0, 1)
        return page + bytes([len(link.head)]) + link.head

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
        follows = self._begun and flags & _BEGINS and buffer[body : body + len(_HEAD)] == _HEAD
        if self._serial is None or follows:
            self._serial, self._begun = serial, self._resumed
        elif not flags & _BEGINS:
            self._begun = True  # all streams of a link begin before any goes on (RFC 3533, 4)
        if serial == self._serial:
            self._page(bytes(buffer[:end]), body, granule, packets, continued=bool(flags & _CONTINUED))
        return end

    def _page(self, page: bytes, body: int, granule: int, packets: list[Packet], *, continued: bool) -> None:
        if not continued:
            self._forget()
        whole = self._assemble(page, body, tail_only=continued and not self._parts)
        audio = [(data, offset) for data, offset in whole if self._is_audio(data)]
        at = granule - sum(packet_samples(data) for data, _ in audio)
        for data, offset in audio:
            pts = at * 1000 / RATE if granule >= 0 else None
            packets.append(Packet(_TRACK, data, offset, pts=pts, anchor=self._link))
            at += packet_samples(data)

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
            raise DamagedError("a packet is too large")
        self._parts.append(part)
        self._part_offset = offset

    def _is_audio(self, data: bytes) -> bool:
        """Whether a packet is audio rather than one of the two headers."""
        if self._links and not data.startswith(_HEAD):
            return not data.startswith(b"OpusTags")
        if not data.startswith(_HEAD) or not 19 <= len(data) < 255:
            raise DamagedError("the stream is not Opus")
        self._links.append(_Link(self._serial or 0, check_header(data)))
        self._link += 1
        self.tracks = {_TRACK: Track(_TRACK, Codec.OPUS, data, RATE, data[9], pre_skip(data))}
        return False

    def _seek(self) -> int:
        at = self._buffer.find(b"OggS")
        if at >= 0:
            return at
        if len(self._buffer) > 3:
            return len(self._buffer) - 3
        raise Incomplete

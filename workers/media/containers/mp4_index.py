"""The index of an MP4 without fragments (ISO/IEC 14496-12 8.6 and 8.7): which bytes are samples, of what, and when.

The tables are merged into one list in the order of the file, and kept compressed, in blocks. So a long recording costs
little memory, and a restart point can carry what is left of the list: the bytes of the index itself are long gone then.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from workers.media.containers.mp4_tracks import Movie, MovieTrack
from workers.media.containers.packet import MAX_ELEMENT_BYTES, Codec, DamagedError, Track
from workers.media.errors import MediaError

MAX_SAMPLES = 1 << 19
"""Three hours of AAC at 44.1 kHz, or two hours with pictures."""

MAX_INDEX_BYTES = 768 << 10
"""The compressed list; a restart point carries it."""

_BLOCK_SAMPLES = 4_096
_MAX_OFFSET = 1 << 52
_COLUMNS = (("track", "<u4"), ("gap", "<i8"), ("size", "<u4"), ("step", "<i8"), ("key", "u1"))
_SIZES = 2
_SAMPLE_BYTES = sum(np.dtype(kind).itemsize for _, kind in _COLUMNS)
_PCM_UNITS_A_SECOND = 10

_Array = NDArray[np.int64]


class IndexedSample(msgspec.Struct, frozen=True):
    """One sample: `number` in the list, `offset` in the file, `pts` in milliseconds."""

    number: int
    track: int
    offset: int
    size: int
    pts: float
    key: bool


class _Block(msgspec.Struct, array_like=True, frozen=True):
    """Up to 4,096 samples; `offset` and `ticks` (by track) are those before its first sample."""

    offset: int
    ticks: dict[int, int]
    count: int
    columns: bytes


class _Carried(msgspec.Struct, array_like=True, frozen=True):
    """What a restart point carries: tracks with timescales and shifts, the blocks that are left, the first sample."""

    tracks: list[tuple[Track, int, int]]
    blocks: list[_Block]
    first: int


class SampleIndex:
    """The samples of a movie in the order of the file, read one after the other."""

    def __init__(self, tracks: Sequence[tuple[Track, int, int]], blocks: list[_Block], first: int = 0) -> None:
        """`tracks`: each with its units a second, and the units by which its edit list shifts it."""
        self.tracks = {track.number: track for track, _, _ in tracks}
        self._all_tracks = list(tracks)
        self._clocks = {track.number: (units, shifted) for track, units, shifted in tracks}
        self._blocks = blocks
        self._numbers = range(0)
        self._waiting: list[IndexedSample] = []
        self._open_block(first // _BLOCK_SAMPLES)
        self._drop(first % _BLOCK_SAMPLES)

    @property
    def first_pts(self) -> float | None:
        """The earliest pts among the first samples, milliseconds."""
        return min((sample.pts for sample in self._waiting), default=None)

    def peek(self) -> IndexedSample | None:
        """The next sample; None behind the last."""
        return self._waiting[-1] if self._waiting else None

    def advance(self) -> None:
        """Go to the sample after the next one."""
        self._drop(1)

    def carried(self, number: int) -> bytes:
        """The list from a sample on, for `restore`."""
        block, first = divmod(number, _BLOCK_SAMPLES)
        return msgspec.msgpack.encode(_Carried(self._all_tracks, self._blocks[block:], first))

    def left_bytes(self) -> int:
        """The bytes of the next sample and of all behind it."""
        blocks = self._blocks[self._block + 1 :]
        return sum(sample.size for sample in self._waiting) + sum(sum(_columns(block)[_SIZES]) for block in blocks)

    def _drop(self, samples: int) -> None:
        del self._waiting[len(self._waiting) - samples :]
        if not self._waiting:
            self._open_block(self._block + 1)

    def _open_block(self, number: int) -> None:
        self._block = number
        if number >= len(self._blocks):
            return
        block = self._blocks[number]
        samples = _unpacked(block, self._clocks, number * _BLOCK_SAMPLES)
        self._waiting = samples[::-1]


def restore(data: bytes) -> SampleIndex:
    """The index in a restart point. Raises DamagedError."""
    try:
        carried = msgspec.msgpack.decode(data, type=_Carried)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedError("the index is malformed") from error
    if not 0 <= carried.first < _BLOCK_SAMPLES or not all(1 <= clock[1] < 1 << 32 for clock in carried.tracks):
        raise DamagedError("the index is out of range")
    return SampleIndex(carried.tracks, carried.blocks, carried.first)


def build(movie: Movie) -> SampleIndex | None:
    """The index of a movie; None where it has no samples. Raises DamagedError or MediaError for tables that lie."""
    parts: list[tuple[int, _Array, _Array, _Array, NDArray[np.bool_]]] = []
    clocks: list[tuple[Track, int, int]] = []
    total = 0
    for each in movie.tracks:
        clocks.append((each.track, each.timescale, shift(each, movie.timescale)))
        if each.track.codec is Codec.UNKNOWN:
            continue
        offsets, sizes, ticks, keys = _samples(each, MAX_SAMPLES - total)
        if each.edit.length and each.track.codec.is_audio:  # pictures lean on others, so all of them stay
            shown = ticks < each.edit.start - (-each.edit.length * each.timescale // movie.timescale)
            offsets, sizes, ticks, keys = offsets[shown], sizes[shown], ticks[shown], keys[shown]
        total += len(offsets)
        parts.append((each.track.number, offsets, sizes, ticks, keys))
    if not total:
        return None
    numbers = np.concatenate([np.full(len(part[1]), part[0], np.int64) for part in parts])
    offsets, sizes, ticks = (np.concatenate([part[column] for part in parts]) for column in (1, 2, 3))
    keys = np.concatenate([part[4] for part in parts])
    order = np.argsort(offsets, kind="stable")
    numbers, ticks = numbers[order], ticks[order]
    steps = np.zeros_like(ticks)
    for number, *_ in parts:
        steps[numbers == number] = np.diff(ticks[numbers == number], prepend=0)
    return SampleIndex(clocks, _blocks(_Table(numbers, offsets[order], sizes[order], ticks, steps, keys[order])))


class _Table(msgspec.Struct):
    """All samples in the order of the file, a column an array."""

    track: _Array
    offset: _Array
    size: _Array
    ticks: _Array
    step: _Array
    key: NDArray[np.bool_]


def shift(each: MovieTrack, timescale: int) -> int:
    """The units by which an edit list shifts a track: what is skipped of pictures, less what is waited."""
    skipped = each.edit.start if each.track.codec.is_video else 0  # audio is trimmed by its decoder
    return skipped - each.edit.wait * each.timescale // timescale


def _blocks(table: _Table) -> list[_Block]:
    ends = table.offset + table.size
    if (table.offset[1:] < ends[:-1]).any():
        raise MediaError("the samples of this MP4 overlap")
    gaps = np.diff(table.offset, prepend=0)
    gaps[1:] -= table.size[:-1]
    blocks: list[_Block] = []
    before: dict[int, int] = {}
    for at in range(0, len(ends), _BLOCK_SAMPLES):
        part = slice(at, at + _BLOCK_SAMPLES)
        columns = (table.track[part], gaps[part], table.size[part], table.step[part], table.key[part])
        planes = b"".join(_planes(column, kind) for column, (_, kind) in zip(columns, _COLUMNS, strict=True))
        packed = zlib.compress(planes, 1)
        blocks.append(_Block(int(ends[at - 1]) if at else 0, dict(before), len(columns[0]), packed))
        tracks, ticks = table.track[part], table.ticks[part]
        before.update((int(number), int(ticks[tracks == number][-1])) for number in set(tracks.tolist()))
    if sum(len(block.columns) for block in blocks) > MAX_INDEX_BYTES:
        raise too_long()
    return blocks


def _planes(column: NDArray[np.generic], kind: str) -> bytes:
    """The column byte by byte: all lowest bytes, then all next ones; most planes are zeros."""
    values = np.ascontiguousarray(column.astype(kind))
    return values.view(np.uint8).reshape(len(values), -1).T.tobytes()


def _columns(block: _Block) -> list[list[int]]:
    if not 0 < block.count <= _BLOCK_SAMPLES:
        raise DamagedError("the index is out of range")
    try:
        planes = zlib.decompressobj().decompress(block.columns, block.count * _SAMPLE_BYTES)
    except zlib.error as error:
        raise DamagedError("the index is malformed") from error
    if len(planes) != block.count * _SAMPLE_BYTES:
        raise DamagedError("the index is malformed")
    columns, at = [], 0
    for _, kind in _COLUMNS:
        width = np.dtype(kind).itemsize
        plane = np.frombuffer(planes, np.uint8, block.count * width, at).reshape(width, block.count)
        columns.append(np.ascontiguousarray(plane.T).view(kind).reshape(-1).tolist())
        at += block.count * width
    return columns


def _unpacked(block: _Block, clocks: dict[int, tuple[int, int]], number: int) -> list[IndexedSample]:
    samples: list[IndexedSample] = []
    offset, ticks = block.offset, dict(block.ticks)
    for track, gap, size, step, key in zip(*_columns(block), strict=True):
        offset += gap
        ticks[track] = ticks.get(track, 0) + step
        timescale, shifted = clocks[track]
        pts = (ticks[track] - shifted) * 1000 / timescale
        samples.append(IndexedSample(number + len(samples), track, offset, size, pts, bool(key)))
        offset += size
    return samples


def _samples(each: MovieTrack, most: int) -> tuple[_Array, _Array, _Array, NDArray[np.bool_]]:
    """Offsets, sizes, times and keys of one track's samples in the order of decoding."""
    chunks = _chunk_offsets(each.tables)
    constant, sizes, count = _sizes(each.tables)
    if each.track.codec is Codec.PCM and each.track.pcm is not None:
        return _pcm_units(each, chunks, count, most)
    if count > most:
        raise too_long()
    if sizes is None:
        sizes = np.full(count, constant, np.int64)
    per_chunk = _per_chunk(each.tables, len(chunks), count)
    chunk_of = np.repeat(np.arange(len(chunks)), per_chunk)
    if len(chunk_of) != count:
        raise DamagedError("the tables of the index do not agree")
    starts = np.cumsum(sizes) - sizes
    firsts = np.cumsum(per_chunk) - per_chunk
    offsets = chunks[chunk_of] + starts - starts[firsts[chunk_of]]
    ticks = _decode_times(each.tables, count)
    keys = np.ones(count, np.bool_)
    if b"stss" in each.tables:
        keys[:] = False
        places = _words(each.tables[b"stss"], 1)[0] - 1
        keys[places[(places >= 0) & (places < count)]] = True
    used = sizes > 0
    if count and int(sizes.max()) > MAX_ELEMENT_BYTES:
        raise DamagedError("a sample is too large")
    return offsets[used], sizes[used], ticks[used], keys[used]


def _pcm_units(
    each: MovieTrack, chunks: _Array, count: int, most: int
) -> tuple[_Array, _Array, _Array, NDArray[np.bool_]]:
    """Plain samples are counted one by one: pieces of a tenth of a second stand for them."""
    track = each.track
    frame = track.channels * (track.pcm.sample_bytes if track.pcm else 1)
    unit = max(1, track.rate // _PCM_UNITS_A_SECOND)
    per_chunk = _per_chunk(each.tables, len(chunks), count)
    pieces = -(-per_chunk // unit)
    if int(pieces.sum()) > most:
        raise too_long()
    chunk_of = np.repeat(np.arange(len(chunks)), pieces)
    piece = np.arange(len(chunk_of)) - (np.cumsum(pieces) - pieces)[chunk_of]
    samples = np.minimum(unit, per_chunk[chunk_of] - piece * unit)
    ticks = ((np.cumsum(per_chunk) - per_chunk)[chunk_of] + piece * unit) * each.timescale // max(1, track.rate)
    return chunks[chunk_of] + piece * unit * frame, samples * frame, ticks, np.ones(len(chunk_of), np.bool_)


def _words(table: bytes, columns: int, kind: str = ">u4", at: int = 4) -> list[_Array]:
    """The columns of a table of 32-bit (or other) numbers behind its count."""
    (count,) = struct.unpack_from(">I", table, at)
    width = np.dtype(kind).itemsize
    if count * columns * width > len(table) - at - 4:
        raise DamagedError("a table of the index is cut short")
    values = np.frombuffer(table, kind, count * columns, at + 4).astype(np.int64).reshape(count, columns)
    return [values[:, column] for column in range(columns)]


def _chunk_offsets(tables: dict[bytes, bytes]) -> _Array:
    offsets = _words(tables[b"co64"], 1, ">u8")[0] if b"co64" in tables else _words(tables[b"stco"], 1)[0]
    if len(offsets) and not 0 <= int(offsets.min()) <= int(offsets.max()) < _MAX_OFFSET:
        raise DamagedError("an offset of the index is out of range")
    return offsets


def _sizes(tables: dict[bytes, bytes]) -> tuple[int, _Array | None, int]:
    """The size of all samples, or that of each, and their number."""
    if b"stz2" in tables:
        width = tables[b"stz2"][7]
        if width not in (8, 16):
            raise DamagedError("the sizes of the index are of an odd width")
        sizes = _words(tables[b"stz2"], 1, ">u2" if width == 16 else "u1", 8)[0]
        return 0, sizes, len(sizes)
    constant, count = struct.unpack_from(">II", tables[b"stsz"], 4)
    return (constant, None, count) if constant else (0, _words(tables[b"stsz"], 1, at=8)[0], count)


def _expand(values: _Array, counts: _Array, total: int) -> _Array:
    """Each value as often as its count says, `total` in all; the last one goes on."""
    ends = np.minimum(np.cumsum(counts), total)
    expanded = np.repeat(values, np.diff(ends, prepend=0))
    last = values[-1] if len(values) else 0
    return np.concatenate([expanded, np.full(total - len(expanded), last, np.int64)])


def _per_chunk(tables: dict[bytes, bytes], chunks: int, count: int) -> _Array:
    """How many samples each chunk holds."""
    first, samples, _ = _words(tables[b"stsc"], 3)
    if not chunks or not len(first):
        return np.zeros(chunks, np.int64)
    if first[0] != 1 or (np.diff(first) <= 0).any():
        raise DamagedError("the chunks of the index are out of order")
    runs = np.diff(np.minimum(first - 1, chunks), append=chunks)
    ends = np.minimum(np.cumsum(np.repeat(samples, runs)), count)
    return np.diff(ends, prepend=0)


def _decode_times(tables: dict[bytes, bytes], count: int) -> _Array:
    """When each sample is shown, in the track's units."""
    counts, durations = _words(tables[b"stts"], 2)
    durations = _expand(durations, counts, count)
    ticks = np.cumsum(durations) - durations
    if b"ctts" in tables:
        counts, shifts = _words(tables[b"ctts"], 2)
        shifts = np.where(shifts >= 1 << 31, shifts - (1 << 32), shifts)
        expanded = _expand(shifts, counts, count)
        ticks = ticks + expanded
    return ticks


def too_long() -> MediaError:
    """The error for an index beyond the bounds."""
    return MediaError(
        "the index of this MP4 is too long: send a shorter recording (three hours of sound fit, less with pictures), "
        "or one in fragments"
    )

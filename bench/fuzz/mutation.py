"""Mutations of bytes: flips, edge values, cuts, repetitions, and pieces of other inputs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

MAX_BYTES = 8 << 10
_EDGES = (
    *(b"\0", b"\1", b"\x7f", b"\x80", b"\xfe", b"\xff", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff"),
    *(b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff" * 8, b"\0\0\0\1", b"\1\0\0\0", b"nan", b"1e999", b"-1", b"null"),
)


def mutated(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """A copy with one to eight changes, at most `MAX_BYTES` long."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        _change(made, others, rng)
    return bytes(made[:MAX_BYTES])


def _change(made: bytearray, others: Sequence[bytes], rng: Random) -> None:
    at = rng.randint(0, len(made))
    size = min(rng.choice((1, 2, 4, 8, 64)), len(made) - at)
    match rng.randrange(8):
        case 0 if size:
            made[at] ^= 1 << rng.randrange(8)
        case 1 if size:
            made[at] = rng.randrange(256)
        case 2:
            edge = rng.choice(_EDGES)
            made[at : at + len(edge)] = edge
        case 3:
            made[at:at] = rng.choice(_EDGES)
        case 4:
            del made[at : at + size]
        case 5:
            made[at:at] = made[at : at + size] * rng.choice((1, 2, 16))
        case 6:
            other = rng.choice(others)
            start = rng.randint(0, len(other))
            made[at : at + size] = other[start : start + rng.choice((1, 4, 16, 64, 256))]
        case _:
            del made[at:]
            made += rng.choice(others)[at:]

"""What RFC 6455 asks of a server, frame by frame, in the order of the sections of the Autobahn test suite.

Each case has variants: the bytes that a client sends after the handshake. All variants of a case have the same outcome.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.fakes.raw_websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

# A message with an answer: the gateway has no echo.
MESSAGE = b'{"type":"ping","data":"\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82"}'
HEAD, TAIL = MESSAGE[:24], MESSAGE[24:]  # cut inside a character
OPEN = "stays open"
ANSWERED = "answered"


@dataclass(frozen=True)
class Case:
    """`outcome` is what the server sends, in words."""

    section: str
    title: str
    variants: Sequence[bytes]
    outcome: str


def padded(size: int) -> bytes:
    """A message of `size` bytes."""
    return MESSAGE[:-1] + b" " * (size - len(MESSAGE)) + MESSAGE[-1:]


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)


def _framing() -> Iterator[Case]:
    sizes = (125, 126, 127, 128, 65_535, 65_536)
    yield Case("1 framing", "texts of 125 to 65,536 bytes", [frame(TEXT, padded(size)) for size in sizes], ANSWERED)
    lengths = [frame(TEXT, padded(100), length_bytes=size) for size in (2, 8)]
    yield Case("1 framing", "a length in more bytes than needed", lengths, ANSWERED)
    yield Case("1 framing", "an empty text", [frame(TEXT)], "error bad_json")
    binaries = [frame(BINARY, bytes(size)) for size in (0, 125, 126, 65_536)]
    yield Case("1 framing", "a binary message without a stream", binaries, "error unknown_stream")
    yield Case("1 framing", "a frame without a mask", [frame(TEXT, MESSAGE, masked=False)], "close 1002")
    huge = [struct.pack(">BBQ", 0x81, 0xFF, size) + bytes(4) for size in (2**31, 2**63 - 1, 2**63, 2**64 - 1)]
    yield Case("1 framing", "a length of 2 GiB and more", huge, "close 1009")


def _pings() -> Iterator[Case]:
    payloads = (b"", b"hello", bytes(range(125)))
    yield Case("2 pings and pongs", "a ping", [frame(PING, payload) for payload in payloads], "pong")
    yield Case("2 pings and pongs", "a ping of 126 bytes", [frame(PING, bytes(126))], "close 1002")
    yield Case("2 pings and pongs", "a pong that nobody asked for", [frame(PONG, b"x"), frame(PONG)], OPEN)
    yield Case("2 pings and pongs", "ten pings", [frame(PING, b"x") * 10], ", ".join(["pong"] * 10))


def _reserved() -> Iterator[Case]:
    bits = range(1, 8)
    yield Case("3 reserved bits", "on a text", [frame(TEXT, MESSAGE, rsv=rsv) for rsv in bits], "close 1002")
    yield Case("3 reserved bits", "on a binary", [frame(BINARY, b"x", rsv=rsv) for rsv in bits], "close 1002")
    control = [frame(opcode, rsv=rsv) for opcode in (PING, PONG, CLOSE) for rsv in bits]
    yield Case("3 reserved bits", "on a control frame", control, "close 1002")
    yield Case("4 opcodes", "3 to 7", [frame(opcode, b"x") for opcode in range(3, 8)], "close 1002")
    yield Case("4 opcodes", "11 to 15", [frame(opcode, b"x") for opcode in range(11, 16)], "close 1002")


def _fragments() -> Iterator[Case]:
    section = "5 fragmentation"
    first, last = frame(TEXT, HEAD, fin=False), frame(CONTINUATION, TAIL)
    single = b"".join(
        frame(CONTINUATION if index else TEXT, MESSAGE[index : index + 1], fin=index == len(MESSAGE) - 1)
        for index in range(len(MESSAGE))
    )
    yield Case(section, "a text in two frames, and in one a byte", [first + last, single], ANSWERED)
    empty = [frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 100 + frame(CONTINUATION, MESSAGE)]
    yield Case(section, "empty frames before the text", empty, ANSWERED)
    yield Case(section, "a ping between two frames", [first + frame(PING, b"x") + last], f"pong, {ANSWERED}")
    control = [frame(opcode, b"x", fin=False) for opcode in (PING, PONG, CLOSE)]
    yield Case(section, "a control frame in fragments", control, "close 1002")
    alone = [frame(CONTINUATION, MESSAGE), frame(CONTINUATION, MESSAGE, fin=False)]
    yield Case(section, "a continuation of nothing", [*alone, frame(TEXT, MESSAGE) + alone[0]], "close 1002")
    yield Case(section, "a new message inside another", [first + frame(TEXT, MESSAGE)], "close 1002")


def _texts() -> Iterator[Case]:
    section = "6 UTF-8"
    wrong = {
        "an invalid byte": b"\xff",
        "a lone continuation byte": b"\x80",
        "an overlong form": b"\xc0\xaf",
        "a surrogate": b"\xed\xa0\x80",
        "a character beyond U+10FFFF": b"\xf4\x90\x80\x80",
        "a character that is cut off": b"\xf0\x9f\x99",
    }
    for title, text in wrong.items():
        whole = frame(TEXT, b'{"type":"' + text)
        split = frame(TEXT, b'{"type":"' + text[:1], fin=False) + frame(CONTINUATION, text[1:])
        yield Case(section, title, [whole, split], "close 1007")
    characters = "\u0000\ud7ff\ue000\ufffd\uffff\U0010ffff".encode()
    yield Case(section, "the limits of Unicode", [frame(TEXT, characters)], "error bad_json")


def _closing() -> Iterator[Case]:
    section = "7 closing"
    yield Case(section, "a close frame without a code", [frame(CLOSE)], "close without a code")
    codes = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
    for code in codes:
        yield Case(section, f"a close frame with {code}", [close(code), close(code, b"bye" * 41)], f"close {code}")
    wrong = [close(code) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)]
    yield Case(section, "a close frame with a code that none may have", wrong, "close 1002")
    sizes = [frame(CLOSE, b"x"), frame(CLOSE, bytes(126))]
    yield Case(section, "a close frame of 1 byte, or of more than 125", sizes, "close 1002")
    yield Case(section, "a reason that is not UTF-8", [close(1000, b"\xed\xa0\x80")], "close 1007")
    after = [close(1000) + frame(PING, b"x"), close(1000) + frame(TEXT, MESSAGE)]
    yield Case(section, "frames after a close frame", after, "close 1000")


CASES = (*_framing(), *_pings(), *_reserved(), *_fragments(), *_texts(), *_closing())

"""Base64 as clients write it (RFC 4648): one reading of every text, or none.

Accepted: the standard and the URL-safe alphabet, with all of its padding or none (a text without padding must not look
cut off), as it stands or in a data URL (RFC 2397), in one line or in several, as MIME (RFC 2045) and Android write it.
A space is refused: it is what is left of a `+` that was decoded as a form, and to ignore it would change the bytes.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import Final

import msgspec

_NO_BREAKS: Final = str.maketrans("-_", "+/", "\r\n\t")


class Base64Error(ValueError):
    """The text is not Base64; the message says why and repeats none of it."""


def decode_base64(text: str) -> bytes:
    """The bytes that a text stands for. Raises Base64Error."""
    with suppress(msgspec.ValidationError):
        return msgspec.convert(text, bytes)  # the standard alphabet with its padding, at a third of the cost
    if text[:5].lower() == "data:":
        if len(text) == 5:  # as browsers write an empty blob
            return b""
        head, comma, text = text.partition(",")
        if not comma or not head.lower().rstrip().endswith(";base64"):
            raise Base64Error("is a data URL, but one of Base64 begins with data:TYPE;base64,")
    if not text.isalnum():
        text = text.translate(_NO_BREAKS)
    if " " in text:
        raise Base64Error("is not Base64: it has a space, perhaps for a + that was decoded as a form")
    digits = text.rstrip("=")
    padding = len(text) - len(digits)
    if padding not in (0, -len(digits) % 4):
        raise Base64Error("is not Base64: the padding does not fit the length")
    try:
        payload = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Base64Error("is not Base64") from None
    if not padding and not _ends_in_zero_bits(digits, payload):
        raise Base64Error("is not Base64: its last character has bits left over, so its end may be missing")
    return payload


def _ends_in_zero_bits(digits: str, payload: bytes) -> bool:
    """Whether the bits of the last digit beyond the last byte are zero, as every encoder writes them."""
    rest = len(digits) % 4
    return rest == 0 or base64.b64encode(payload[1 - rest :])[:rest] == digits[-rest:].encode()

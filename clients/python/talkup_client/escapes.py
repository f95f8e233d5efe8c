"""Text for a terminal or a pipe whose encoding lacks some of its characters: they become escapes, none is lost.

`\\u00e9` stands for é, as in JSON, so that a JSON document stays one. File names may hold bytes that are no text;
they become escapes as well.
"""

from __future__ import annotations

import codecs
import io

ESCAPED = "talkup_client.escaped"
"""The name of this way to encode, for `errors=`."""


def escape_what_cannot_be_encoded(stream: object) -> None:
    """Have a stream of text, such as standard output, never fail on a character."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escape, error.object[error.start : error.end])), error.end


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


codecs.register_error(ESCAPED, _escaped)

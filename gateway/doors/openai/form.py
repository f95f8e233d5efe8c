"""The form of an upload (RFC 7578), read as it arrives: options, then the recording, then perhaps more options.

A client that names its model first has usually sent all options before the file, so the file goes to a worker piece by
piece. Otherwise the options are still to come, and the file waits in memory: never on a disk, and within a bound for
all clients together.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BadContentDispositionHeader, BadContentDispositionParam

from gateway.config import GatewayConfig
from gateway.doors.body import reading
from gateway.doors.recordings import patience_of, pieces
from gateway.doors.steps import RefusedError
from gateway.protocol.errors import Code, Problem

FILE: Final = "file"
MAX_FIELDS: Final = 256
MAX_FIELD_BYTES: Final = 16 * 1024
MAX_FIELDS_BYTES: Final = 256 * 1024
"""Of all options of a form together."""

_CHUNK: Final = 8 * 1024
_SPOOL_RETRY_MS: Final = 5_000
# aiohttp would print such a header, with the name of the file.
_BAD_HEADERS: Final = (BadContentDispositionHeader, BadContentDispositionParam)
for _category in _BAD_HEADERS:
    warnings.filterwarnings("ignore", category=_category)

_PLAIN: Final = ("", "binary", "8bit", "7bit")


class SpoolBudget:
    """How many bytes of recordings may wait in memory for their options, of all clients together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.used = 0

    @contextmanager
    def share(self) -> Iterator[Spool]:
        """A spool, empty again at the end."""
        spool = Spool(self)
        try:
            yield spool
        finally:
            spool.clear()

    def reserve(self, size: int) -> None:
        """Count bytes. Raises RefusedError if there is no room."""
        if self.used + size > self._max_bytes:
            text = "too many recordings wait for their options: send the options before the file"
            raise RefusedError(Problem(Code.BUSY, text, retry_after_ms=_SPOOL_RETRY_MS))
        self.used += size

    def give_back(self, size: int) -> None:
        """Free bytes that no longer wait."""
        self.used -= size


class Spool:
    """One recording that waits."""

    def __init__(self, budget: SpoolBudget) -> None:
        self._budget = budget
        self._pieces: list[bytes] = []

    async def fill(self, recording: AsyncIterator[bytes]) -> None:
        """Keep a recording. Raises RefusedError if there is no room."""
        async for piece in recording:
            self._budget.reserve(len(piece))
            self._pieces.append(piece)

    async def empty(self) -> AsyncIterator[bytes]:
        """The recording, forgotten piece by piece."""
        self._pieces.reverse()
        while self._pieces:
            piece = self._pieces.pop()
            self._budget.give_back(len(piece))
            yield piece

    def clear(self) -> None:
        """Forget the rest."""
        self._budget.give_back(sum(map(len, self._pieces)))
        self._pieces.clear()


class Form:
    """A form with one file. Everything here raises RefusedError for a bad form, ConnectionError for a lost client."""

    def __init__(self, reader: MultipartReader, config: GatewayConfig) -> None:
        self.fields: list[tuple[str, str]] = []
        """The options so far."""
        self._reader = reader
        self._config = config
        self._patience = patience_of(config)
        self._file: BodyPartReader | None = None
        self._room = MAX_FIELDS_BYTES

    @classmethod
    async def open(cls, request: web.Request, config: GatewayConfig) -> Form:
        """Read the options before the file."""
        if request.content_type != "multipart/form-data":
            raise _bad("the body must be multipart/form-data with the recording as `file`")
        with _malformed():
            form = cls(await request.multipart(), config)
        form._file = await form._read_fields()
        if form._file is None:
            raise _bad("the form has no file", FILE)
        return form

    @property
    def has_model(self) -> bool:
        """Whether the model has been named."""
        return any(name == "model" for name, _ in self.fields)

    async def recording(self) -> AsyncIterator[bytes]:
        """The file as it arrives; at its end, the options after it are read."""
        assert self._file is not None
        try:
            with _malformed():
                max_bytes = self._config.max_form_file_bytes
                async for piece in pieces(self._config, self._read_file, max_bytes=max_bytes, patience=self._patience):
                    yield piece
        except RefusedError as error:
            problem = error.problem
            raise RefusedError(Problem(problem.code, problem.message, field=problem.field or FILE)) from None
        if await self._read_fields() is not None:
            raise _bad("the form has more than one file", FILE)

    async def _read_file(self, _size: int) -> bytes:
        """The next piece of the file; empty at its end."""
        assert self._file is not None
        while not self._file.at_eof():
            if piece := await self._file.read_chunk(_CHUNK * 8):
                return bytes(piece)
        return b""

    async def _read_fields(self) -> BodyPartReader | None:
        """Read options up to a file, or to the end."""
        while True:
            try:
                async with self._patience.waiting():
                    part = await self._next_part()
                    with _malformed():
                        if part is None or part.name == FILE:
                            return part
                        self.fields.append((part.name or "", await self._text_of(part)))
            except TimeoutError:
                raise RefusedError(Problem(Code.DEADLINE_EXCEEDED, "the form did not arrive in time")) from None
            self._patience.received(_size_of(part) + len(self.fields[-1][1]))
            if len(self.fields) > MAX_FIELDS:
                raise _bad(f"a form has at most {MAX_FIELDS} options")

    async def _next_part(self) -> BodyPartReader | None:
        with _malformed():
            part = await self._reader.next()
            if part is None:
                return None
        if not isinstance(part, BodyPartReader):
            raise _bad("a part of the form is a form itself")
        if part.headers.get("Content-Transfer-Encoding", "").lower() not in _PLAIN:
            raise _bad("parts must be sent as they are, without Content-Transfer-Encoding")
        return part

    async def _text_of(self, part: BodyPartReader) -> str:
        found = bytearray()
        while not part.at_eof():
            found += await part.read_chunk(_CHUNK)
            if len(found) > MAX_FIELD_BYTES:
                raise _bad(f"an option has at most {MAX_FIELD_BYTES} bytes", (part.name or "")[:64])
            if len(found) > self._room:
                raise _bad(f"the options of a form have at most {MAX_FIELDS_BYTES} bytes together")
        self._room -= len(found)
        return found.decode()


def _size_of(part: BodyPartReader) -> int:
    """How many bytes the header of a part has, about."""
    return sum(len(name) + len(value) for name, value in part.headers.items())


@contextmanager
def _malformed() -> Iterator[None]:
    """What aiohttp says about a body that is no form, in our words."""
    try:
        with reading():
            yield
    except (ValueError, HttpProcessingError, RuntimeError, AssertionError, LookupError, *_BAD_HEADERS):
        raise _bad("the body is not a complete multipart/form-data form") from None


def _bad(text: str, field: str | None = None) -> RefusedError:
    return RefusedError(Problem(Code.BAD_MESSAGE, text, field=field))

"""Reads a document of an identity provider over HTTPS, with bounds on its size and time. Follows no redirects."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from gateway.access.provider_rules import ProviderError

MAX_BYTES: Final = 262_144
TIME_S: Final = 5.0
_CHUNK_BYTES: Final = 16_384
# Not compressed: a short answer could else unpack to a long one.
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


async def fetch(url: str, authority: Path | None = None, time_s: float = TIME_S) -> bytes:
    """The body of an answer with status 200. `authority`: PEM root certificates; None: those of the system.

    Raises ProviderError.
    """
    host = urlsplit(url).hostname
    try:
        async with asyncio.timeout(time_s):
            return await _get(url, authority)
    except TimeoutError:
        raise ProviderError(f"{host} has not answered within {time_s:g} s") from None
    except aiohttp.ClientConnectorCertificateError:
        raise ProviderError(f"the certificate of {host} is not trusted") from None
    except aiohttp.ClientConnectorError as error:
        raise ProviderError(f"no connection to {host}: {error.os_error.strerror or 'it failed'}") from None
    except (aiohttp.ClientError, ValueError):
        raise ProviderError(f"the answer of {host} is not valid HTTP") from None
    except OSError as error:
        raise ProviderError(f"{error.filename or host}: {error.strerror or 'the connection failed'}") from None


async def _get(url: str, authority: Path | None) -> bytes:
    context = await asyncio.to_thread(ssl.create_default_context, cafile=authority)
    body = bytearray()
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, headers=_HEADERS) as session,
        session.get(url, ssl=context, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise ProviderError(f"{urlsplit(url).hostname} answers {answer.status}")
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_BYTES:
                raise ProviderError(f"the answer of {urlsplit(url).hostname} is larger than {MAX_BYTES} bytes")
    return bytes(body)

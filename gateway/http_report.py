"""The HTTP door of reports: how a session was said and seen, made from what the store keeps."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiohttp import web

from gateway.http_access import HttpAccess
from gateway.http_errors import RefusalError
from gateway.report.build import build
from gateway.report.collected import UnreadableAnalysisError
from gateway.report.document import Report
from gateway.report.formats import FORMATS, render
from gateway.report.html import POLICY
from gateway.report.texts import DEFAULT_LANGUAGE, LANGUAGES
from gateway.store.base import Store, transcript_of

log = structlog.get_logger()

REPORT: Final = "/v1/sessions/{session_id}/report"
# A long session is tens of megabytes on its way into a report; requests beyond these wait before they read any.
AT_ONCE: Final = 2


class Reports:
    """The handler."""

    def __init__(self, access: HttpAccess, store: Store) -> None:
        self._access = access
        self._store = store
        self._turns = asyncio.Semaphore(AT_ONCE)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the route of this door."""
        router.add_get(REPORT, self.report)

    async def report(self, request: web.Request) -> web.Response:
        """A session's report so far; `?format=json`, `html` or `txt`, by default what `Accept` asks for.

        `?lang=` the language of a page or text, by default what `Accept-Language` asks for. `?compare=` an earlier
        session that the caller may read, too: the report then has the same measures of both side by side.
        """
        caller = await self._access.authorized(request)
        form, language = _form(request), _language(request)
        compared = request.query.get("compare")
        if compared is not None:
            await self._access.require_session(request, caller.principal, compared)
        async with self._turns:
            earlier = None if compared is None else await self._read(compared, "compare")
            report = await self._read(caller.session_id, earlier=earlier)
            content_type, body = await asyncio.to_thread(render, report, form, language)
        policy = {"Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'"} if form == "html" else {}
        return web.Response(text=body, content_type=content_type, charset="utf-8", headers=policy)

    async def _read(self, session_id: str, field: str | None = None, *, earlier: Report | None = None) -> Report:
        record = await self._store.record(session_id)
        if record is None:
            raise RefusalError(404, "session_expired", "unknown or expired session", field)
        transcript = transcript_of(session_id, record)
        analyses = [stream.analyses for stream in record.streams]
        try:
            return await asyncio.to_thread(build, transcript, analyses, earlier=earlier)
        except UnreadableAnalysisError:
            log.warning("stored analysis cannot be read", session_id=session_id)
            raise RefusalError(500, "internal", "a stored analysis cannot be read") from None


def _form(request: web.Request) -> str:
    accepts_page = "text/html" in request.headers.get("Accept", "")
    form = request.query.get("format", "html" if accepts_page else "json")
    if form not in FORMATS:
        raise RefusalError(400, "bad_message", f"must be one of {', '.join(FORMATS)}", "format")
    return form


def _language(request: web.Request) -> str:
    language = request.query.get("lang")
    if language is None:
        wanted = (each.partition(";")[0].strip()[:2].lower() for each in _accepted_languages(request))
        return next((each for each in wanted if each in LANGUAGES), DEFAULT_LANGUAGE)
    if language not in LANGUAGES:
        raise RefusalError(400, "bad_message", f"must be one of {', '.join(LANGUAGES)}", "lang")
    return language


def _accepted_languages(request: web.Request) -> list[str]:
    """In the order in which the header names them, which browsers keep to."""
    return request.headers.get("Accept-Language", "").split(",")

"""The HTTP port: health, sessions and their transcripts, metrics, and the demo page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
import structlog
from aiohttp import ClientError, web, web_response

from gateway.access.tokens import Audience, Minted
from gateway.admission import Admission
from gateway.auth import Principal, bearer, new_session_id
from gateway.doors.routes import Doors
from gateway.http_access import HttpAccess
from gateway.http_errors import RefusalError, code_of, json_response, refused
from gateway.http_report import REPORT, Reports
from gateway.http_workers import WorkerAdmin
from gateway.long_poll import LongPolls, preferred_wait_s
from gateway.metrics import CONTENT_TYPE, OPEN_METRICS
from gateway.origins import Origins, preflight_headers
from gateway.refusals import CredentialFailures
from gateway.report.html import STYLE_SOURCE
from gateway.schemas import SCHEMA_NAMES, asyncapi, schema
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory
from gateway.status import readiness
from gateway.store.base import StoreError
from gateway.transcript_formats import FORMATS, Rendered, render
from tracing.spans import NO_TRACER

log = structlog.get_logger()

WEB_ROOT: Final = Path(__file__).parent / "web"
_ASSETS: Final[Mapping[str, str]] = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
HEALTHZ: Final = "/healthz"
READYZ: Final = "/readyz"
_TRANSCRIPT: Final = "/v1/sessions/{session_id}/transcript"
_SESSION: Final = "/v1/sessions/{session_id}"
_TOKENS: Final = "/v1/sessions/{session_id}/tokens"
# What pages of other origins may call, and how.
_FOR_PAGES: Final[Mapping[str, Sequence[str]]] = {
    _TRANSCRIPT: ("GET", "HEAD"),
    REPORT: ("GET", "HEAD"),
    _SESSION: ("DELETE",),
}
_HEADERS: Final = {
    "Server": "talkup",  # without versions
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(self)",
    # The page connects to the WebSocket ports, whose origins differ from its own. The report that it opens in a tab of
    # its own is a blob, which inherits this policy.
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' {STYLE_SOURCE}; "
        "img-src 'self' data: blob:; media-src 'self' blob:; "
        "worker-src 'self' blob:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}

# What aiohttp itself answers, to a request that it cannot parse, must not tell versions either.
web_response.SERVER_SOFTWARE = "talkup"  # type: ignore[attr-defined]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Initialization(msgspec.Struct, kw_only=True):
    """The request of TalkUp's backend; `format` and `data` are not used."""

    key: str = ""
    type: str = "initialization"
    format: str = "text"
    data: object = ""


class Api:
    """The handlers. `ready`: whether every service has a worker; `ws_url`: the WebSocket URL for a host name."""

    def __init__(
        self,
        context: GatewayContext,
        directory: SessionDirectory,
        failures: CredentialFailures,
        origins: Origins,
        admission: Admission,
        *,
        ready: Callable[[], bool],
        ws_url: Callable[[str], str],
    ) -> None:
        self._context = context
        self._directory = directory
        self._late_answers = failures.late_answers
        self._access = HttpAccess(context, directory, failures)
        self._doors = Doors(context, directory, failures, origins, admission)
        self._origins = origins
        self._admission = admission
        self._long_polls = LongPolls(directory, context.metrics, lambda: context.authenticator.owners)
        self._ready = ready
        self._ws_url = ws_url

    def application(self) -> web.Application:
        """The routes, with a middleware that turns refusals into JSON. Every answer gets the headers."""
        app = web.Application(
            client_max_size=self._context.config.max_http_body_bytes, middlewares=[self._finish_response]
        )
        app.on_response_prepare.append(_add_headers)
        app.router.add_get(HEALTHZ, self.healthz)
        app.router.add_get(READYZ, self.readyz)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_post("/v1/sessions", self.create_session)
        app.router.add_post("/process/initialization", self.initialize)
        app.router.add_get(_TRANSCRIPT, self.transcript)
        app.router.add_delete(_SESSION, self.delete_session)
        app.router.add_post(_TOKENS, self.renew_token)
        app.router.add_options(_TRANSCRIPT, self.preflight)
        app.router.add_options(REPORT, self.preflight)
        app.router.add_options(_SESSION, self.preflight)
        Reports(self._access, self._context.store).add_routes(app.router)
        WorkerAdmin(self._access, self._context.upstream).add_routes(app.router)
        app.router.add_get("/asyncapi.json", self.asyncapi)
        app.router.add_get("/schema/{name}", self.schema)
        self._doors.add_to(app)
        app.router.add_get("/", self.asset)
        app.router.add_get("/{name}", self.asset)
        return app

    @web.middleware
    async def _finish_response(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await self._serve(request, handler)
        except RefusalError as refusal:
            if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
                await self._late_answers.wait()
            response = self._refuse(refusal)
        except web.HTTPException as error:
            response = self._refuse(RefusalError(error.status, code_of(error.status), error.reason))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except StoreError:
            log.warning("transcript store failed")
            response = self._refuse(RefusalError(503, "internal", "the transcript store is not responding"))
        except web.RequestPayloadError:
            response = self._refuse(RefusalError(400, "bad_message", "the body is not valid HTTP"))
        except Exception as error:
            # The outermost edge of a request: the caller gets an answer without internals, the log gets the rest.
            if isinstance(error, ConnectionError | ClientError) and _is_gone(request):
                return web.Response(status=400)  # nobody reads it
            log.exception("request failed")
            response = self._refuse(RefusalError(500, "internal", "internal error"))
        if _path_of(request) in _FOR_PAGES:
            response.headers.update(self._origins.response_headers(request.headers.get("Origin"), request.host))
        return response

    def _refuse(self, refusal: RefusalError) -> web.Response:
        self._context.metrics.errors.labels(refusal.code).inc()
        return refused(refusal)

    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Wait for the whole request, then handle it; meanwhile, its connection is not closed to make room."""
        is_dialect = self._doors.serves(_path_of(request))
        if not is_dialect:
            try:
                async with asyncio.timeout(self._context.config.http_request_s):
                    await request.read()
            except TimeoutError:
                raise RefusalError(408, "deadline_exceeded", "the body did not arrive in time") from None
            await self._context.authenticator.prepare(bearer(request.headers.get("Authorization")))
        peer = None if request.transport is None else request.transport.get_extra_info("peername")
        visitor = self._admission.find(peer)
        if visitor is None:
            return await handler(request)
        if not is_dialect:  # a door does it once it knows its client
            self._admission.serve(visitor)
        try:
            return await handler(request)
        finally:
            self._admission.wait_again(visitor)

    # --- health

    async def healthz(self, _request: web.Request) -> web.Response:
        """The process is running and answers."""
        return json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """200 only while every configured service has a serving worker and the gateway is not draining."""
        if self._directory.draining:
            return json_response({"status": "draining"}, status=503)
        services = {status.service: readiness(status) for status in self._context.status.services()}
        ready = self._ready()
        return json_response(
            {"status": "ready" if ready else "not_ready", "services": services}, status=200 if ready else 503
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text; with traces on, OpenMetrics with exemplars for those who ask for it."""
        self._access.require_insider(request)
        metrics = self._context.metrics
        accepts = request.headers.get("Accept", "")
        alone = self._context.config.processes == 1  # the other processes answer in plain text
        if alone and self._context.tracer is not NO_TRACER and "application/openmetrics-text" in accepts:
            return web.Response(body=metrics.render_with_exemplars(), headers={"Content-Type": OPEN_METRICS})
        return web.Response(body=await metrics.render_all(), headers={"Content-Type": CONTENT_TYPE})

    # --- sessions

    async def create_session(self, request: web.Request) -> web.Response:
        """Mint a token for a new session; API key only."""
        caller = self._access.require_key(request, bearer(request.headers.get("Authorization")))
        session_id, minted = self._new_session(caller)
        body = {
            "session_id": session_id,
            "url": self._ws_url(_host(request)),
            "token": minted.token,
            "expires_at": minted.expires_at,
        }
        return json_response(body, status=201)

    async def initialize(self, request: web.Request) -> web.Response:
        """Answer TalkUp's backend with one URL that contains everything. The key may be in the request's body."""
        try:
            message = msgspec.json.decode(await request.read() or b"{}", type=Initialization)
        except msgspec.ValidationError:
            raise RefusalError(400, "bad_message", "a field has the wrong type") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RefusalError(400, "bad_json", "the body is not a JSON object") from None
        if message.type != "initialization":
            raise RefusalError(400, "bad_message", "must be initialization", "type")
        await self._context.authenticator.prepare(message.key)
        caller = self._access.require_key(request, bearer(request.headers.get("Authorization")) or message.key)
        session_id, minted = self._new_session(caller)
        url = f"{self._ws_url(_host(request))}?{urlencode({'session_id': session_id, 'token': minted.token})}"
        return json_response({"key": "", "type": "initialization_response", "format": "text", "data": url})

    async def transcript(self, request: web.Request) -> web.Response:
        """A session's finals, live or stored; `?format=` one of FORMATS, `?stream_id=` for one stream only.

        Conditional (RFC 9110 13.1.2): a caller that already has the transcript may wait for a change with `Prefer:
        wait` (RFC 7240 4.3).
        """
        caller = await self._access.authorized(request)
        session_id = caller.session_id
        name = request.query.get("format", "json")
        if name not in FORMATS:
            raise RefusalError(400, "bad_message", f"must be one of {', '.join(FORMATS)}", "format")
        stream_id = request.query.get("stream_id")
        tags = [tag.value for tag in request.if_none_match or ()]  # "*" matches any transcript
        wait_s = preferred_wait_s(request.headers.getall("Prefer", []))

        async def read() -> Rendered:
            return await self._render_transcript(session_id, stream_id, name)

        owner = caller.principal.terms.owner
        rendered = await self._long_polls.wait_until_new(session_id, tags, wait_s, read, owner=owner)
        headers = {"ETag": f'"{rendered.tag}"'}
        if rendered.tag in tags or "*" in tags:
            return web.Response(status=304, headers=headers)
        return web.Response(text=rendered.body, content_type=rendered.content_type, charset="utf-8", headers=headers)

    async def _render_transcript(self, session_id: str, stream_id: str | None, name: str) -> Rendered:
        kept = await self._context.store.transcript(session_id)
        if kept is None:
            raise _unknown_session()
        if stream_id is not None:
            kept = kept.for_stream(stream_id)
            if not kept.streams:
                raise RefusalError(404, "unknown_stream", "nothing is stored of this stream", "stream_id")
        return render(kept, name)

    async def delete_session(self, request: web.Request) -> web.Response:
        """End a session and delete its text, immediately and permanently. No token can open it again."""
        caller = await self._access.authorized(request)
        live = self._directory.get(caller.session_id) is not None
        known = await self._context.store.delete(caller.session_id)
        self._directory.delete(caller.session_id)
        # Its own token proves that the session exists, even if nobody has opened it yet.
        if not (known or live or caller.principal.session_id is not None):
            raise _unknown_session()
        return web.Response(status=204)

    async def renew_token(self, request: web.Request) -> web.Response:
        """Mint another token for a session that exists; API key only. Its client renews its credential with it."""
        caller = self._access.require_key(request, bearer(request.headers.get("Authorization")))
        session_id = request.match_info["session_id"]
        owner = await self._directory.owner_of(session_id)
        if owner is None:
            raise _unknown_session()
        if not caller.may_use(session_id, owner):
            raise RefusalError(403, "permission_denied", "the session belongs to another key")
        mint = self._context.authenticator.mint
        minted = mint(session_id, Audience.SESSION, caller.terms, caller.tokens_until)
        body = {"session_id": session_id, "token": minted.token, "expires_at": minted.expires_at}
        return json_response(body, status=201)

    async def asyncapi(self, request: web.Request) -> web.Response:
        """The AsyncAPI document, with the WebSocket address for this caller."""
        self._access.require_insider(request)
        return json_response(asyncapi(self._ws_url(_host(request))))

    async def schema(self, request: web.Request) -> web.Response:
        """The JSON Schema of one direction."""
        self._access.require_insider(request)
        name = request.match_info["name"]
        if name not in SCHEMA_NAMES:
            raise RefusalError(404, "bad_message", f"the schema must be one of {', '.join(SCHEMA_NAMES)}")
        return json_response(schema(name))

    async def asset(self, request: web.Request) -> web.Response:
        """A file of the demo page."""
        name = request.match_info.get("name", "index.html")
        path = WEB_ROOT / name
        if path.suffix not in _ASSETS or path.parent != WEB_ROOT or not path.is_file():
            raise RefusalError(404, "bad_message", "no such page")
        return web.Response(body=path.read_bytes(), content_type=_ASSETS[path.suffix], charset="utf-8")

    async def preflight(self, request: web.Request) -> web.Response:
        """A browser asks whether a page of another origin may send a request."""
        return web.Response(status=204, headers=preflight_headers(_FOR_PAGES[_path_of(request)]))

    # --- credentials

    def _new_session(self, caller: Principal) -> tuple[str, Minted]:
        session_id = new_session_id()
        mint = self._context.authenticator.mint
        return session_id, mint(session_id, Audience.SESSION, caller.terms, caller.tokens_until)


def _unknown_session() -> RefusalError:
    return RefusalError(404, "session_expired", "unknown or expired session")


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Before an answer is sent, also one that is sent in parts."""
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)


def _is_gone(request: web.Request) -> bool:
    """Whether the client has left before its answer."""
    return request.transport is None or request.transport.is_closing()


def _path_of(request: web.Request) -> str:
    """The route of a request as it is declared; empty for one that does not exist."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def _host(request: web.Request) -> str:
    """The host name, without the port, that the caller used; localhost if it is invalid."""
    try:
        return urlsplit(f"//{request.host}").hostname or "localhost"
    except ValueError:
        return "localhost"

"""`/v1/realtime` on the HTTP port: transcription sessions, and ephemeral keys for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from aiohttp import web
from msgspec import json

from gateway.access.terms import Door
from gateway.access.tokens import Audience
from gateway.auth import Principal, new_session_id
from gateway.credentials import Credential
from gateway.doors.access import authorization
from gateway.doors.body import whole_body
from gateway.doors.entrance import Entrance
from gateway.doors.openai.errors import refusal
from gateway.doors.openai_realtime.client_secrets import (
    DEFAULT_S,
    configuration_of,
    configured,
    is_secret,
    request_of,
    secret_of,
    token_of,
)
from gateway.doors.openai_realtime.configuration import Configuration
from gateway.doors.openai_realtime.conversation import RealtimeConversation
from gateway.doors.options import Option, Treatment, sort_options
from gateway.doors.session import DoorSession
from gateway.doors.sockets import DoorSocket, upgrade
from gateway.doors.steps import RefusedError
from gateway.protocol.errors import Code, Problem

PATH: Final = "/v1/realtime"
SECRETS: Final = f"{PATH}/client_secrets"
BETA_SECRETS: Final = f"{PATH}/transcription_sessions"
MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""The largest event: a minute of sound at 24 kHz in Base64."""

_SUBPROTOCOL: Final = "realtime"
_KEY: Final = "openai-insecure-api-key."
_BETA: Final = "openai-beta.realtime-v1"
_ONLY: Final = "only transcription sessions are supported"

QUERY_OPTIONS: Final = (
    Option("intent", Treatment.SUPPORTED, "the only kind of session", ("transcription",)),
    Option("intent", Treatment.REFUSED, _ONLY),
    Option("model", Treatment.IGNORED, "the workers' model transcribes", ("*whisper*", "*transcribe*")),
    Option("model", Treatment.REFUSED, f"{_ONLY}; add intent=transcription", ("*realtime*", "*audio*")),
    Option("model", Treatment.IGNORED, "the workers' model transcribes"),
    Option("call_id", Treatment.REFUSED, "there are no calls here"),
)
"""The options of the URL. With `intent=transcription` or a client secret, `model` may be any name."""


class RealtimeDoor:
    """The handlers of Realtime sessions."""

    name = "openai-realtime"

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance

    def routes(self) -> Sequence[web.RouteDef]:
        """The door's routes."""
        return [
            web.get(PATH, self.live, allow_head=False),
            web.post(SECRETS, self.client_secret),
            web.post(BETA_SECRETS, self.beta_client_secret),
        ]

    async def live(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket. Everything that can be refused at once is refused before the upgrade."""
        context = self._entrance.context
        offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        try:
            principal, kept = await self._admit(request, offered)
            if request.headers.get("Upgrade", "").lower() != "websocket":
                raise RefusedError(Problem(Code.BAD_MESSAGE, "a Realtime session needs a WebSocket"))
            configuration = _asked(kept, request.query.items())
            door = await DoorSession.open(context, self._entrance.directory, principal)
        except RefusedError as error:
            return self._refusal(error.problem)
        self._entrance.served(self.name)
        is_beta = _BETA in offered or "realtime=v1" in request.headers.get("OpenAI-Beta", "")
        conversation = RealtimeConversation(configuration, door.session_id, is_beta=is_beta)
        protocols = (_SUBPROTOCOL,) if _SUBPROTOCOL in offered else ()
        headers = {"x-request-id": door.session_id}
        try:
            socket = await upgrade(context, request, protocols=protocols, headers=headers, max_bytes=MAX_EVENT_BYTES)
        except BaseException:
            door.leave(is_clean=False)
            raise
        served = DoorSocket(self._entrance, door, conversation, principal)
        return await served.serve(request, socket, opening=conversation.opening())

    async def client_secret(self, request: web.Request) -> web.StreamResponse:
        """An ephemeral key; API key only."""
        return await self._mint(request, is_beta=False)

    async def beta_client_secret(self, request: web.Request) -> web.StreamResponse:
        """The same, as the beta had it."""
        return await self._mint(request, is_beta=True)

    async def _admit(self, request: web.Request, offered: Sequence[str]) -> tuple[Principal, Configuration | None]:
        """The caller, and the configuration of its secret. Raises RefusedError."""
        credential = authorization(request)
        if credential.text is None:
            keys = (name.removeprefix(_KEY) for name in offered if name.startswith(_KEY))
            credential = Credential(next(keys, None))
        access, secret = self._entrance.access, credential.text
        if secret is None or not is_secret(secret):
            return await access.admit(request, credential), None
        principal = await access.admit(request, Credential(token_of(secret), may_be_key=False), Door.EPHEMERAL)
        # A secret limits when its session may begin, not how long it lasts.
        return replace(principal, expires_at=None), configuration_of(secret)

    async def _mint(self, request: web.Request, *, is_beta: bool) -> web.StreamResponse:
        context = self._entrance.context
        try:
            principal = await self._entrance.access.admit(request, authorization(request))
            if principal.session_id is not None:
                raise RefusedError(Problem(Code.PERMISSION_DENIED, "only an API key makes client secrets"))
            asked = request_of(await whole_body(request, context.config.http_request_s, "session"), is_beta=is_beta)
            session = asked.session
            configuration = configured(session, is_beta=is_beta)
            seconds = DEFAULT_S if asked.expires_after is None else asked.expires_after.seconds
            session_id, not_after = new_session_id(), context.clock() + seconds
            if principal.expires_at is not None:
                not_after = min(not_after, principal.expires_at)
            minted = context.authenticator.mint(session_id, Audience.EPHEMERAL, principal.terms, not_after)
            value = secret_of(minted.token, session, is_beta=is_beta)
        except RefusedError as error:
            return self._refusal(error.problem)
        self._entrance.served(self.name)
        if is_beta:
            secret = {"value": value, "expires_at": minted.expires_at}
            return _json({**configuration.as_beta_session(session_id), "client_secret": secret})
        session = configuration.as_session(session_id)
        return _json({"value": value, "expires_at": minted.expires_at, "session": session})

    def _refusal(self, problem: Problem) -> web.Response:
        self._entrance.refused(self.name, problem)
        return refusal(problem)


def _asked(before: Configuration | None, query: Iterable[tuple[str, str]]) -> Configuration:
    """The configuration with what the URL says. Raises RefusedError."""
    pairs = list(query)
    is_sure = before is not None or ("intent", "transcription") in pairs
    named = [value for name, value in pairs if name == "model"]
    given = sort_options(QUERY_OPTIONS, [(name, value) for name, value in pairs if not (is_sure and name == "model")])
    ignored = dict(given.ignored)
    if named and is_sure:
        ignored["model"] = "the workers' model transcribes"
    before = before or Configuration()
    return replace(before, ignored={**ignored, **(before.ignored or {})})


def _json(body: Mapping[str, Any]) -> web.Response:
    return web.Response(body=json.encode(body), content_type="application/json")

"""`/v1/listen` on the HTTP port: the WebSocket and the upload of Deepgram's dialect."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from gateway.access.tokens import Audience
from gateway.auth import Principal, new_session_id
from gateway.credentials import Credential
from gateway.doors.access import authorization
from gateway.doors.body import whole_body
from gateway.doors.deepgram import options
from gateway.doors.deepgram.errors import refusal_of, words_for
from gateway.doors.deepgram.live import LiveConversation
from gateway.doors.deepgram.messages import encode
from gateway.doors.deepgram.prerecorded import Heard, answer
from gateway.doors.entrance import Entrance
from gateway.doors.options import as_header
from gateway.doors.recordings import Upload, pieces
from gateway.doors.session import DoorSession
from gateway.doors.sockets import DoorSocket, upgrade
from gateway.doors.split import ChannelSplitter
from gateway.doors.steps import RefusedError
from gateway.protocol.errors import Code, Problem

PATH: Final = "/v1/listen"
GRANT_PATH: Final = "/v1/auth/grant"
_SCHEME: Final = "token"
_RETRY_MS: Final = 2_000
_SUBPROTOCOLS: Final = ("token", "bearer")


class ListenDoor:
    """The handlers of Deepgram's dialect."""

    name = "deepgram"

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance

    def routes(self) -> Sequence[web.RouteDef]:
        """The door's routes."""
        return [
            web.get(PATH, self.live, allow_head=False),
            web.post(PATH, self.recorded),
            web.post(GRANT_PATH, self.grant),
        ]

    async def live(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket. Everything that can be refused at once is refused before the upgrade."""
        context = self._entrance.context
        try:
            principal, protocols = await self._admit(request)
            if request.headers.get("Upgrade", "").lower() != "websocket":
                raise RefusedError(Problem(Code.BAD_MESSAGE, "live transcription needs a WebSocket; POST a recording"))
            wishes = options.live(request.query.items())
            door = await DoorSession.open(context, self._entrance.directory, principal)
        except RefusedError as error:
            return self._refusal(error.problem, new_session_id())
        try:
            for start in wishes.starts:
                door.start(start)
        except RefusedError as error:
            door.leave(is_clean=True)
            return self._refusal(error.problem, door.session_id)
        self._entrance.served(self.name)
        conversation = LiveConversation(wishes, door.session_id, door.models, context.clock())
        headers = {"dg-request-id": door.session_id} | as_header(wishes.warnings)
        try:
            socket = await upgrade(context, request, protocols=protocols, headers=headers)
        except BaseException:
            door.leave(is_clean=False)
            raise
        return await DoorSocket(self._entrance, door, conversation, principal).serve(request, socket)

    async def recorded(self, request: web.Request) -> web.StreamResponse:
        """An upload."""
        try:
            principal, _ = await self._admit(request)
            if request.content_type == "application/json":
                raise options.url_refused()
            wishes = options.recorded(request.query.items())
            with self._entrance.recordings.place():
                return await self._record(request, principal, wishes)
        except RefusedError as error:
            return self._refusal(error.problem, new_session_id())

    async def grant(self, request: web.Request) -> web.StreamResponse:
        """A token for a browser: one of ours, for a session of its own. API keys only."""
        context = self._entrance.context
        try:
            principal, _ = await self._admit(request)
            if principal.session_id is not None:
                raise RefusedError(Problem(Code.PERMISSION_DENIED, "a token grants no further tokens"))
            seconds = options.grant_seconds(await whole_body(request, context.config.http_request_s))
        except RefusedError as error:
            return self._refusal(error.problem, new_session_id())
        not_after = context.clock() + seconds
        if principal.tokens_until is not None:
            not_after = min(not_after, principal.tokens_until)
        minted = context.authenticator.mint(new_session_id(), Audience.SESSION, principal.terms, not_after)
        self._entrance.served(self.name)
        body = {"access_token": minted.token, "expires_in": int(minted.expires_at - context.clock())}
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def _record(self, request: web.Request, principal: Principal, wishes: options.Listen) -> web.Response:
        door = await DoorSession.open(self._entrance.context, self._entrance.directory, principal)
        try:
            response = await self._transcribe(request, door, wishes)
        except RefusedError as error:
            return self._refusal(error.problem, door.session_id)
        self._entrance.served(self.name)
        return response

    async def _transcribe(self, request: web.Request, door: DoorSession, wishes: options.Listen) -> web.Response:
        context = self._entrance.context
        began, digest, sound = context.clock(), hashlib.sha256(), wishes.sound
        splitter = ChannelSplitter(sound.channels, sound.sample_bytes) if sound.streams > 1 else None

        def split(piece: bytes) -> Sequence[bytes]:
            digest.update(piece)
            return [piece] if splitter is None else splitter.split(piece)

        is_clean = False
        try:
            upload = Upload(context, door, wishes.starts)
        except RefusedError:
            door.leave(is_clean=True)
            raise
        try:
            recording = pieces(context.config, request.content.read, request.content_length)
            done = await upload.transcribe(request, recording, split)
            is_clean = True
        finally:
            await upload.close(is_clean=is_clean)
        heard: list[Heard] = [(each.finals, each.ended) for each in done if each.ended is not None]
        body = answer(wishes, door.session_id, door.models, heard, sha256=digest.hexdigest(), began=began)
        headers = {"dg-request-id": door.session_id} | as_header(wishes.warnings)
        return web.Response(body=msgspec.json.encode(body), content_type="application/json", headers=headers)

    async def _admit(self, request: web.Request) -> tuple[Principal, Sequence[str]]:
        """The caller, and the subprotocol to confirm. Raises RefusedError."""
        offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        credential = authorization(request, _SCHEME)
        protocols: Sequence[str] = ()
        if credential.text is None and len(offered) == 2 and offered[0].lower() in _SUBPROTOCOLS:
            credential, protocols = Credential(offered[1]), (offered[0],)
        return await self._entrance.access.admit(request, credential), protocols

    def _refusal(self, problem: Problem, request_id: str) -> web.Response:
        words = words_for(problem.code)
        self._entrance.refused(self.name, problem)
        headers = {"dg-request-id": request_id, "dg-error": words.err_code}
        if words.status in (429, 503):
            headers["Retry-After"] = str(-(-(problem.retry_after_ms or _RETRY_MS) // 1000))
        body = encode(refusal_of(problem, request_id))
        response = web.Response(body=body, status=words.status, content_type="application/json", headers=headers)
        if words.status == 401:
            response.headers["WWW-Authenticate"] = "Token"
        return response

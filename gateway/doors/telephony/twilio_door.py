"""`/v1/twilio` on the HTTP port: a call as Twilio Media Streams sends it.

Twilio sends no headers of one's own and no query: the credential is a custom parameter of the stream or the last part
of the path. A socket whose credential comes with `start` has as much time and room for it as one of our own protocol.
But for one `connected`, what comes before `start` counts as refused, so that ever new sockets are read slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import WSMessage, WSMsgType, web

from gateway.auth import Principal
from gateway.credentials import Credential
from gateway.doors.access import authorization
from gateway.doors.early import Early
from gateway.doors.entrance import Entrance
from gateway.doors.session import DoorSession
from gateway.doors.sockets import DoorSocket, upgrade
from gateway.doors.steps import RefusedError
from gateway.doors.telephony.plain_answers import refusal
from gateway.doors.telephony.twilio import Event, TwilioCall, closing, read
from gateway.inbound import FRAME_OVERHEAD
from gateway.protocol.errors import CloseCode, Code, Problem

log = structlog.get_logger()

PATH: Final = "/v1/twilio"
MAX_MESSAGE_BYTES: Final = 64 * 1024
"""A hundred times the message of a track's 20 ms."""


class TwilioDoor:
    """The handlers of Twilio's dialect."""

    name = "twilio"

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance

    def routes(self) -> Sequence[web.RouteDef]:
        """The door's routes."""
        return [web.get(PATH, self.call, allow_head=False), web.get(f"{PATH}/{{token}}", self.call, allow_head=False)]

    async def call(self, request: web.Request) -> web.StreamResponse:
        """A call, from its upgrade to its end."""
        access, context = self._entrance.access, self._entrance.context
        token = request.match_info.get("token")
        credential = authorization(request) if token is None else Credential(token, may_be_key=False)
        try:
            access.check_start(request)
            principal = None if credential.text is None else await access.admit(request, credential)
            if request.headers.get("Upgrade", "").lower() != "websocket":
                raise RefusedError(Problem(Code.BAD_MESSAGE, "calls come over a WebSocket"))
        except RefusedError as error:
            self._entrance.refused(self.name, error.problem)
            return refusal(error.problem)
        socket = await upgrade(context, request, max_bytes=MAX_MESSAGE_BYTES)
        early = Early(context, access.address(request), principal)
        room = MAX_MESSAGE_BYTES if principal is not None else context.config.max_unauthenticated_bytes
        opening = await _Beginning(socket, early, context.config.auth_timeout_s).read(room)
        if opening is None or opening.start is None:
            if principal is None:
                access.count_absent(request)
            await socket.close(code=CloseCode.POLICY, message=b"no start message in time, or too many others first")
            return socket
        try:
            call = TwilioCall(opening)
            caller = principal or await self._caller(request, opening)
            door = await DoorSession.open(context, self._entrance.directory, caller)
        except RefusedError as error:
            return await self._close(socket, error.problem)
        try:
            for start in call.starts:
                door.start(start)
        except RefusedError as error:
            door.leave(is_clean=True)
            return await self._close(socket, error.problem)
        self._entrance.served(self.name)
        await DoorSocket(self._entrance, door, call, caller).serve(request, socket, early)
        if call.missing:
            log.warning("messages of a call are missing", session_id=door.session_id, messages=call.missing)
        return socket

    async def _caller(self, request: web.Request, opening: Event) -> Principal:
        """The caller by its custom parameter. Raises RefusedError."""
        assert opening.start is not None
        token = opening.start.custom_parameters.get("token")
        return await self._entrance.access.admit(request, Credential(token or None))

    async def _close(self, socket: web.WebSocketResponse, problem: Problem) -> web.WebSocketResponse:
        self._entrance.refused(self.name, problem)
        how = closing(problem)
        await socket.close(code=how.code, message=how.reason.encode()[:120])
        return socket


class _Beginning:
    """A call until its `start`. `early` gets what comes before."""

    def __init__(self, socket: web.WebSocketResponse, early: Early, patience_s: float) -> None:
        self._socket = socket
        self._early = early
        self._patience_s = patience_s
        self._is_connected = False

    async def read(self, max_bytes: int) -> Event | None:
        """The first `start`; None: none came in time and within `max_bytes`."""
        held = 0
        try:
            async with asyncio.timeout(self._patience_s):
                while held <= max_bytes:
                    match await self._socket.receive():
                        case WSMessage(type=WSMsgType.TEXT, data=str(text)):
                            event = read(text)
                            if event is not None and event.event == "start" and event.start is not None:
                                return event
                            await self._put_aside(event, text)
                            held += len(text) + FRAME_OVERHEAD
                        case WSMessage(type=WSMsgType.BINARY, data=data):
                            await self._early.slow_down()
                            held += len(data) + FRAME_OVERHEAD
                        case WSMessage(type=WSMsgType.PING, data=data):
                            await self._socket.pong(data)
                            held += FRAME_OVERHEAD
                        case WSMessage(type=WSMsgType.PONG):
                            held += FRAME_OVERHEAD
                        case _:
                            return None
        except (TimeoutError, ConnectionError):
            pass
        return None

    async def _put_aside(self, event: Event | None, text: str) -> None:
        """Keep a message that came before `start`: it may have overtaken it."""
        if event is None:
            await self._early.slow_down()
        elif event.event == "connected" and not self._is_connected:
            self._is_connected = True
        else:
            self._early.texts.append(text)
            await self._early.slow_down()

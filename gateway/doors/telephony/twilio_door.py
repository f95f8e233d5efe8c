"""`/v1/twilio` on the HTTP port: a call as Twilio Media Streams sends it.

Twilio sends no headers of one's own and no query: the credential is a custom parameter of the stream or the last part
of the path. A socket whose credential comes with `start` has as much time and room for it as one of our own protocol.
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
        early: list[str] = []
        room = MAX_MESSAGE_BYTES if principal is not None else context.config.max_unauthenticated_bytes
        opening = await _start_of(socket, early, context.config.auth_timeout_s, room)
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


async def _start_of(socket: web.WebSocketResponse, early: list[str], patience_s: float, max_bytes: int) -> Event | None:
    """The first `start`, with those that overtook it in `early`; None: none came in time and within `max_bytes`."""
    held = 0
    try:
        async with asyncio.timeout(patience_s):
            while held <= max_bytes:
                match await socket.receive():
                    case WSMessage(type=WSMsgType.TEXT, data=str(text)):
                        event = read(text)
                        if event is not None and event.event == "start" and event.start is not None:
                            return event
                        early.append(text)
                        held += len(text) + FRAME_OVERHEAD
                    case WSMessage(type=WSMsgType.PING, data=data):
                        await socket.pong(data)
                    case WSMessage(type=WSMsgType.PONG):
                        pass
                    case _:
                        return None
    except (TimeoutError, ConnectionError):
        pass
    return None

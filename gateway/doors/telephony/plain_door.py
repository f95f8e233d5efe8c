"""`/v1/telephony` on the HTTP port: a call as a socket of raw samples."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aiohttp import WSMessage, WSMsgType, web

from gateway.credentials import of_handshake
from gateway.doors.entrance import Entrance
from gateway.doors.options import as_header
from gateway.doors.session import DoorSession
from gateway.doors.sockets import DoorSocket, upgrade
from gateway.doors.steps import RefusedError
from gateway.doors.telephony.plain import PlainCall, format_of, given_options
from gateway.doors.telephony.plain_answers import refusal
from gateway.doors.telephony.twilio import closing
from gateway.protocol.errors import Code, Problem

PATH: Final = "/v1/telephony"

_MOST_PINGS: Final = 64
"""Pings and pongs before the first message."""


class PlainDoor:
    """The handlers of sockets of raw samples."""

    name = "telephony"

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance

    def routes(self) -> Sequence[web.RouteDef]:
        """The door's routes."""
        return [web.get(PATH, self.call, allow_head=False)]

    async def call(self, request: web.Request) -> web.StreamResponse:
        """A call, from its upgrade to its end."""
        context = self._entrance.context
        offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        try:
            credential = of_handshake(request.path_qs, request.headers.get("Authorization"), offered)
            principal = await self._entrance.access.admit(request, credential)
            if request.headers.get("Upgrade", "").lower() != "websocket":
                raise RefusedError(Problem(Code.BAD_MESSAGE, "calls come over a WebSocket"))
            given = given_options(request.query.items())
            mime = given.first("format")
            call = PlainCall(given, mime, context.clock()) if mime else None
            door = await DoorSession.open(context, self._entrance.directory, principal)
        except RefusedError as error:
            return self._refusal(error.problem)
        headers = {"talkup-session": door.session_id} | as_header(given.ignored)
        try:
            if call is not None:
                _start(door, call)
            socket = await upgrade(context, request, headers=headers)
        except RefusedError as error:
            door.leave(is_clean=True)
            return self._refusal(error.problem)
        except BaseException:
            door.leave(is_clean=False)
            raise
        if call is None:
            try:
                found = await _format_from(socket, context.config.auth_timeout_s)
                call = PlainCall(given, found, context.clock())
                _start(door, call)
            except RefusedError as error:
                door.leave(is_clean=True)
                self._entrance.refused(self.name, error.problem)
                how = closing(error.problem)
                await socket.close(code=how.code, message=how.reason.encode()[:120])
                return socket
            except BaseException:
                door.leave(is_clean=False)
                raise
        self._entrance.served(self.name)
        return await DoorSocket(self._entrance, door, call, principal).serve(request, socket)

    def _refusal(self, problem: Problem) -> web.Response:
        self._entrance.refused(self.name, problem)
        return refusal(problem)


def _start(door: DoorSession, call: PlainCall) -> None:
    for start in call.starts:
        door.start(start)


async def _format_from(socket: web.WebSocketResponse, patience_s: float) -> str:
    """The format in the first message. Raises RefusedError if it names none."""
    try:
        async with asyncio.timeout(patience_s):
            for _ in range(_MOST_PINGS + 1):
                match await socket.receive():
                    case WSMessage(type=WSMsgType.TEXT, data=str(text)) if (found := format_of(text)) is not None:
                        return found
                    case WSMessage(type=WSMsgType.PING, data=data):
                        await socket.pong(data)
                    case WSMessage(type=WSMsgType.PONG):
                        pass
                    case _:
                        break
    except (TimeoutError, ConnectionError):
        pass
    text = "name the format in the query or in the first message: format=audio/l16;rate=8000"
    raise RefusedError(Problem(Code.UNSUPPORTED_FORMAT, text, field="format"))

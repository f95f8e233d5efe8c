"""Puts the doors that are switched on onto the HTTP port."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from aiohttp import web

from gateway.admission import Admission
from gateway.doors.access import DoorAccess
from gateway.doors.deepgram.listen import ListenDoor
from gateway.doors.entrance import Entrance, RecordingPlaces
from gateway.doors.openai.audio import AudioDoor
from gateway.doors.openai_realtime.door import RealtimeDoor
from gateway.doors.telephony.plain_door import PlainDoor
from gateway.doors.telephony.twilio_door import TwilioDoor
from gateway.origins import Origins
from gateway.refusals import CredentialFailures
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory


class DialectDoor(Protocol):
    """The handlers of a dialect."""

    def routes(self) -> Sequence[web.RouteDef]:
        """Where they are. They read bodies themselves, and answer every RefusedError in the dialect's words."""
        ...


DIALECTS: Final[Mapping[str, Callable[[Entrance], DialectDoor]]] = {
    "deepgram": ListenDoor,
    "openai": AudioDoor,
    "openai-realtime": RealtimeDoor,
    "twilio": TwilioDoor,
    "telephony": PlainDoor,
}
"""Every dialect by its name in the setting `doors`; `gateway.config.DOORS` has the same names."""


class Doors:
    """The doors of one gateway."""

    def __init__(
        self,
        context: GatewayContext,
        directory: SessionDirectory,
        failures: CredentialFailures,
        origins: Origins,
        admission: Admission,
    ) -> None:
        access = DoorAccess(context, directory, failures, origins, admission)
        entrance = Entrance(context, directory, access, RecordingPlaces(context))
        self._routes = [route for name in context.config.open_doors for route in DIALECTS[name](entrance).routes()]
        self._paths = frozenset(route.path for route in self._routes)

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_routes(self._routes)

    def serves(self, path: str) -> bool:
        """Whether a route, as it is declared, is a door's: nothing but the door reads its requests."""
        return path in self._paths

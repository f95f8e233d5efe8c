"""The HTTP door of operators: which workers there are, and taking one out of rotation and back.

The state lives in the worker, so one request at one gateway holds for all gateways, and a restarted worker is back.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from aiohttp import web

from gateway.http_access import HttpAccess
from gateway.http_errors import RefusalError, json_response
from gateway.metrics_upstream import service_label
from gateway.upstream.failures import CallFailed
from gateway.upstream.pool import Upstream

log = structlog.get_logger()

_WORKERS: Final = "/v1/workers"
_ANSWER_S: Final = 5.0
_TOO_OLD: Final = "UNIMPLEMENTED"


class WorkerAdmin:
    """The handlers."""

    def __init__(self, access: HttpAccess, upstream: Upstream) -> None:
        self._access = access
        self._upstream = upstream

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes of this door."""
        router.add_get(_WORKERS, self.workers)
        router.add_post(f"{_WORKERS}/{{address}}/drain", self.drain)
        router.add_post(f"{_WORKERS}/{{address}}/resume", self.resume)

    async def workers(self, request: web.Request) -> web.Response:
        """Every worker address, as this gateway sees it."""
        self._access.require_admin(request)
        found = [
            {
                "service": service_label(service),
                "address": view.address,
                "serving": view.serving,
                "draining": view.draining,
                "slots": None if view.slots is None else view.slots[0],
                "slots_used": None if view.slots is None else view.slots[0] - view.slots[1],
                "streams": view.streams,
            }
            for service, views in self._upstream.workers().items()
            for view in views
        ]
        return json_response({"workers": found})

    async def drain(self, request: web.Request) -> web.Response:
        """Take a worker out of rotation: it admits no streams, and its streams move to others when these have room.

        Refused if no other worker of its service has room, unless `?force=true`: then its streams stay where they are.
        """
        return await self._set(request, draining=True)

    async def resume(self, request: web.Request) -> web.Response:
        """Take a worker back into rotation."""
        return await self._set(request, draining=False)

    async def _set(self, request: web.Request, *, draining: bool) -> web.Response:
        principal = self._access.require_admin(request)
        address = request.match_info["address"]
        pool = self._upstream.placement_of(address)
        if pool is None:
            raise RefusalError(404, "no_worker", "no worker has this address; GET /v1/workers lists them", "address")
        if draining and request.query.get("force") != "true" and not pool.has_other(address):
            text = "no other worker of this service has room, so its streams could not move (force drains it even so)"
            raise RefusalError(409, "no_worker", text)
        try:
            streams = await pool.set_draining(address, draining, _ANSWER_S)
        except CallFailed as failure:
            is_old = failure.status == _TOO_OLD
            text = "the worker is of a version that cannot be drained from here" if is_old else "it does not answer"
            raise RefusalError(502, "worker_failed", f"{text} ({failure.reason})") from None
        key_id = None if principal.key is None else principal.key.id
        log.warning("worker drained" if draining else "worker resumed", target=address, key_id=key_id, streams=streams)
        body: dict[str, Any] = {"address": address, "draining": draining, "streams": streams}
        return json_response(body)

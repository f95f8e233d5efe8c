"""What every call passes before it reaches a service: the caller's identity, its token, and its first message.

Client certificates come from the TLS handshake (see tls.py); `allowed_clients` says whose are accepted. If names and
tokens are both configured, both are needed. `Health.Check` is open to everyone who can connect, because probes of
orchestrators send no token. `Health.Watch` and reflection follow the same rules as the service.

gRPC itself sets no deadline for the first message, and for calls with a single request it calls no code of ours before
that message has come. So the guard serves every method as one with a stream of requests and reads the first itself.
Calls without a first message wait in bounded places of their own, and so do health watches. Whatever their number, they
leave the places of running calls free.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Never

import grpc
import structlog
from grpc_health.v1 import health
from talkup.v1 import error_pb2, worker_service_pb2

from workers.auth import AccessRules
from workers.errors import RefusedError, details, status_of, trailing_metadata
from workers.link_calls import parse_batch
from workers.places import FairPlaces
from workers.requests import parse_request

_log = structlog.get_logger()

if TYPE_CHECKING:  # generic in the stubs only
    _Handler = grpc.RpcMethodHandler[object, object]
    _Context = grpc.aio.ServicerContext[object, object]
    _Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]]

SERVICE_NAME: Final[str] = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name
CHECK: Final = f"/{health.SERVICE_NAME}/Check"
WATCH: Final = f"/{health.SERVICE_NAME}/Watch"
STREAM_TASK: Final = f"/{SERVICE_NAME}/StreamTask"
STREAM_TASKS: Final = f"/{SERVICE_NAME}/StreamTasks"
_PARSERS: Final[dict[str, Callable[[bytes], object]]] = {STREAM_TASK: parse_request, STREAM_TASKS: parse_batch}
"""Parsers that look first at what a message costs; those of other methods hold no repeated fields."""
_RETRY_AFTER_MS: Final = 1_000
_ENDING_SHARE: Final = 3


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """Bounds of one worker: seconds to the first message, calls with and without one, and health watches."""

    start_seconds: float = 10.0
    running: int = 1_000
    waiting: int = 256
    watches: int = 256

    @property
    def for_grpc(self) -> int:
        """The bound that gRPC itself keeps, which would refuse honest calls too.

        A refused call still counts there until its status is sent, and a flood begins calls faster than they end. Calls
        to Check wait in places apart.
        """
        return _ENDING_SHARE * (self.running + 2 * self.waiting + self.watches)


class GuardInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Lets calls through to the services. `count_refused` gets the name of the ErrorCode of each refusal."""

    def __init__(self, rules: AccessRules, limits: GuardLimits, count_refused: Callable[[str], None]) -> None:
        self._rules = rules
        self._start_seconds = limits.start_seconds
        self._room = limits.running
        self._waiting = FairPlaces(limits.waiting)
        self._waiting_checks = FairPlaces(limits.waiting)
        self._watches = FairPlaces(limits.watches)
        self._count_refused = count_refused

    async def intercept_service(
        self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> _Handler:
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler  # type: ignore[unreachable]  # a method that does not exist, which the stubs leave out
        method = handler_call_details.method
        metadata = handler_call_details.invocation_metadata
        behaviour = _as_stream(handler)

        async def serve(requests: AsyncIterator[object], context: _Context) -> object:
            try:
                if method != CHECK:
                    self._rules.check(metadata, context.auth_context())
                first = await self._first(requests, context.peer(), method)
                if method == WATCH:
                    return await self._watch(behaviour(first, requests, context), context.peer())
                return await self._run(behaviour(first, requests, context))
            except RefusedError as error:
                return await self._refuse(context, error)

        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        parse = _PARSERS.get(method, handler.request_deserializer)
        return make(serve, parse, handler.response_serializer)

    async def _first(self, requests: AsyncIterator[object], peer: str, method: str) -> object:
        """The first message. Raises RefusedError if it does not come in time, or if too many calls wait for theirs."""
        places = self._waiting_checks if method == CHECK else self._waiting
        field = "start" if method == STREAM_TASK else ""
        try:
            return await _displaceable(anext(requests), places, peer, self._start_seconds)
        except StopAsyncIteration:
            raise RefusedError(error_pb2.ERROR_CODE_BAD_MESSAGE, "the first message is missing", field=field) from None
        except TimeoutError:
            raise RefusedError(
                error_pb2.ERROR_CODE_DEADLINE_EXCEEDED, "no first message in time", field=field
            ) from None

    async def _run(self, call: Coroutine[Any, Any, object]) -> object:
        if self._room <= 0:
            call.close()
            raise _busy("too many calls")
        self._room -= 1
        try:
            return await call
        finally:
            self._room += 1

    async def _watch(self, watching: Awaitable[object], peer: str) -> object:
        return await _displaceable(watching, self._watches, peer, None)

    async def _refuse(self, context: _Context, error: RefusedError) -> Never:
        self._count_refused(error_pb2.ErrorCode.Name(error.code))
        await context.abort(status_of(error.code), details(error), trailing_metadata(error))
        raise AssertionError("abort returned")


async def _displaceable(work: Awaitable[object], places: FairPlaces, peer: str, seconds: float | None) -> object:
    """Wait in a place. Raises TimeoutError after `seconds`, and RefusedError if another call takes the place."""
    displaced = asyncio.Event()
    loop = asyncio.get_running_loop()
    deadline = asyncio.timeout(seconds)

    def displace() -> None:
        displaced.set()
        deadline.reschedule(loop.time())

    try:
        async with deadline:
            place = places.take(peer, displace)
            try:
                return await work
            finally:
                places.release(place)
    except TimeoutError:
        if not displaced.is_set():
            raise
        raise _busy("too many idle calls") from None


def _busy(message: str) -> RefusedError:
    return RefusedError(error_pb2.ERROR_CODE_BUSY, message, retryable=True, retry_after_ms=_RETRY_AFTER_MS)


def _as_stream(handler: _Handler) -> Callable[[object, AsyncIterator[object], _Context], Coroutine[Any, Any, object]]:
    """The behaviour of a handler of any shape, called with the first request, the iterator of all others, context."""
    shapes = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    behaviour: Any = next(shape for shape in shapes if shape is not None)

    async def serve(first: object, others: AsyncIterator[object], context: _Context) -> object:
        answer = behaviour(_chained(first, others) if handler.request_streaming else first, context)
        if not inspect.isasyncgen(answer):
            return await answer
        async for each in answer:
            await context.write(each)
        return None

    return serve


async def _chained(first: object, others: AsyncIterator[object]) -> AsyncIterator[object]:
    yield first
    async for each in others:
        yield each

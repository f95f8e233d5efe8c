"""`/v1/audio/…` and `/v1/models` on the HTTP port: OpenAI's dialect for recordings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiohttp import web
from msgspec import json

from gateway.auth import Principal
from gateway.doors.access import authorization
from gateway.doors.entrance import Entrance
from gateway.doors.openai.answers import Delta, Deltas, Done, Failed, Heard, answer, event
from gateway.doors.openai.errors import details_of, of_upload, refusal
from gateway.doors.openai.form import Form, SpoolBudget
from gateway.doors.openai.options import LATE, Wishes, recorded
from gateway.doors.options import as_header, refused
from gateway.doors.recordings import Transcribed, Upload
from gateway.doors.session import DoorSession
from gateway.doors.steps import RefusedError
from gateway.protocol.errors import Code, Problem
from gateway.protocol.messages import ServerMessage, TranscriptUpdate

TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
TRANSLATIONS: Final = "/v1/audio/translations"
MODELS: Final = "/v1/models"
_QUIET_S: Final = 15.0
_COMMENT: Final = b": transcribing\n\n"


class AudioDoor:
    """The handlers of uploads and of the list of models."""

    name = "openai"

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._spools = SpoolBudget(entrance.context.config.max_form_spool_bytes)

    def routes(self) -> Sequence[web.RouteDef]:
        """The door's routes."""
        return [
            web.post(TRANSCRIPTIONS, self.transcribe),
            web.post(TRANSLATIONS, self.translate),
            web.get(MODELS, self.models, allow_head=False),
            web.get(f"{MODELS}/{{model}}", self.model, allow_head=False),
        ]

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        """An upload."""
        try:
            principal = await self._admit(request)
            form = await Form.open(request, self._entrance.context.config)
            if form.has_model:
                response = await self._work(request, principal, form, form.recording())
            else:
                with self._spools.share() as spool:
                    await spool.fill(form.recording())
                    response = await self._work(request, principal, form, spool.empty())
        except RefusedError as error:
            return self._refusal(error.problem)
        self._entrance.served(self.name)
        return response

    async def _work(
        self, request: web.Request, principal: Principal, form: Form, recording: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        work = _Work(self._entrance, request, form, recorded(form.fields))
        with self._entrance.recordings.place():
            return await work.run(principal, recording)

    async def translate(self, request: web.Request) -> web.StreamResponse:
        """The workers' models write what is said in its own language."""
        try:
            await self._admit(request)
        except RefusedError as error:
            return self._refusal(error.problem)
        text = "the workers' model does not translate: use /v1/audio/transcriptions"
        return self._refusal(Problem(Code.BAD_MESSAGE, text, field="model"))

    async def models(self, request: web.Request) -> web.StreamResponse:
        """The models that transcribe."""
        try:
            await self._admit(request)
        except RefusedError as error:
            return self._refusal(error.problem)
        return _json({"object": "list", "data": [_model(name) for name in self._names()]})

    async def model(self, request: web.Request) -> web.StreamResponse:
        """One model that transcribes."""
        name = request.match_info["model"]
        try:
            await self._admit(request)
        except RefusedError as error:
            return self._refusal(error.problem)
        if name in self._names():
            return _json(_model(name))
        response = refusal(Problem(Code.BAD_MESSAGE, "no worker has this model; any name transcribes", field="model"))
        response.set_status(404)
        return response

    def _names(self) -> list[str]:
        services = self._entrance.context.status.services()
        return [name for status in services if status.service == "stt" for name in status.models]

    async def _admit(self, request: web.Request) -> Principal:
        return await self._entrance.access.admit(request, authorization(request))

    def _refusal(self, problem: Problem) -> web.Response:
        self._entrance.refused(self.name, problem)
        return refusal(of_upload(problem))


class _Work:
    """One upload while it is transcribed."""

    def __init__(self, entrance: Entrance, request: web.Request, form: Form, wishes: Wishes) -> None:
        self._entrance = entrance
        self._request = request
        self._form = form
        self._wishes = wishes
        self._early = len(form.fields)
        self._arrived = asyncio.Event()
        self._said: asyncio.Queue[bytes] = asyncio.Queue()
        self._deltas = Deltas()

    async def run(self, principal: Principal, recording: AsyncIterator[bytes]) -> web.StreamResponse:
        """Transcribe and answer. Raises RefusedError, ConnectionError."""
        context = self._entrance.context
        door = await DoorSession.open(context, self._entrance.directory, principal)
        try:
            upload = Upload(context, door, [self._wishes.start], self._listen)
        except RefusedError:
            door.leave(is_clean=True)
            raise
        is_clean = False
        work = asyncio.create_task(upload.transcribe(self._request, self._complete(recording)))
        arrived = asyncio.create_task(self._arrived.wait())
        try:
            await asyncio.wait({work, arrived}, return_when=asyncio.FIRST_COMPLETED)
            if self._wishes.is_streamed and arrived.done():
                response = await self._stream(work, door.session_id)
            else:
                response = self._answer(_heard(await work), door.session_id)
            is_clean = True
            return response
        finally:
            arrived.cancel()
            work.cancel()
            await asyncio.gather(arrived, work, return_exceptions=True)
            await upload.close(is_clean=is_clean)

    async def _complete(self, recording: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The recording, and at its end the options after it."""
        async for piece in recording:
            yield piece
        late = self._form.fields[self._early :]
        for name in (name.partition("[")[0] for name, _ in late):
            if name not in LATE:
                raise refused(name, "must come before the file if the model does")
        if late:
            self._wishes = recorded(self._form.fields)
        self._arrived.set()

    def _listen(self, message: ServerMessage) -> None:
        if isinstance(message, TranscriptUpdate) and message.data.is_final:
            text = self._deltas.add(message.data.text, message.data.language)
            if text:
                self._said.put_nowait(event(Delta(text)))

    def _headers(self, session_id: str) -> dict[str, str]:
        return {"x-request-id": session_id} | as_header(self._wishes.warnings)

    def _answer(self, heard: Heard, session_id: str) -> web.Response:
        content_type, body = answer(self._wishes, heard)
        charset = None if content_type == "application/json" else "utf-8"
        headers = self._headers(session_id)
        return web.Response(body=body, content_type=content_type, charset=charset, headers=headers)

    async def _stream(self, work: asyncio.Task[list[Transcribed]], session_id: str) -> web.StreamResponse:
        """Events as the text comes. An error before the first one is an ordinary answer."""
        work.add_done_callback(lambda _: self._said.put_nowait(b""))
        said = await self._said.get()
        if not said:
            work.result()  # raises what went wrong, if anything did
        response = web.StreamResponse(headers=self._headers(session_id) | {"Cache-Control": "no-store"})
        response.content_type = "text/event-stream"
        await response.prepare(self._request)
        while said:
            await response.write(said)
            said = await self._next(response)
        try:
            heard = _heard(work.result())
            await response.write(event(Done(heard.text, heard.usage)))
        except RefusedError as error:
            self._entrance.context.metrics.errors.labels(error.problem.code).inc()
            await response.write(event(Failed(details_of(of_upload(error.problem)))))
        await response.write_eof()
        return response

    async def _next(self, response: web.StreamResponse) -> bytes:
        """The next event; empty at the end. A proxy between sees that the connection lives."""
        while True:
            try:
                async with asyncio.timeout(_QUIET_S):
                    return await self._said.get()
            except TimeoutError:
                await response.write(_COMMENT)


def _heard(done: Sequence[Transcribed]) -> Heard:
    [stream] = done
    assert stream.ended is not None
    return Heard([final.data for final in stream.finals], stream.ended)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "talkup"}


def _json(body: object) -> web.Response:
    return web.Response(body=json.encode(body), content_type="application/json")

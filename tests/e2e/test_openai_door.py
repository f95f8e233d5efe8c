"""OpenAI's dialect for recordings at a running gateway: answers, refusals, hostile forms, neighbours."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from talkup.v1 import error_pb2

from bench.harness import hostile
from gateway.doors.openai.form import MAX_FIELD_BYTES, MAX_FIELDS_BYTES
from tests.e2e.gateway_rig import KEY, Rig, eventually, rig
from tests.fakes.worker_server import Script

PATH = "/v1/audio/transcriptions"
BEARER = {"Authorization": f"Bearer {KEY}"}
MODEL = ("model", "whisper-1")
SOUND = bytes(100_000)
MANY = [("keywords", "x" * MAX_FIELD_BYTES)] * (MAX_FIELDS_BYTES // MAX_FIELD_BYTES)
"""With the model, a few bytes more than all options of a form may have."""


def form(*fields: tuple[str, str], sound: bytes = SOUND, late: tuple[tuple[str, str], ...] = ()) -> aiohttp.FormData:
    """A form with options before and after its file."""
    made = aiohttp.FormData()
    for name, value in fields:
        made.add_field(name, value)
    made.add_field("file", sound, filename="talk.ogg", content_type="application/octet-stream")
    for name, value in late:
        made.add_field(name, value)
    return made


async def post(at: Rig, body: Any, headers: Mapping[str, str] = BEARER, path: str = PATH) -> tuple[int, Any, Any]:
    """Status, body and headers of the answer."""
    async with at.http.post(at.url(path), headers=headers, data=body) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if answer.content_type == "application/json" else text, answer.headers


def events(text: str) -> list[dict[str, Any]]:
    """The events of a stream."""
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


async def test_an_upload_is_answered_with_its_text() -> None:
    async with rig() as at:
        status, body, headers = await post(at, form(MODEL, ("language", "english"), ("prompt", "Talk")))
        assert status == 200
        assert len(body["text"].split()) >= 2
        assert body["usage"]["type"] == "duration"
        assert headers["talkup-ignored-options"] == "model"
        transcript = await at.transcript(headers["x-request-id"], lambda found: found["text"] == body["text"])
        assert len(transcript["streams"]) == 1
        [seen] = at.worker.seen
        speech = seen.start.start.speech
        assert (speech.mode, speech.language, speech.initial_prompt) == (2, "en", "Talk")
        assert sum(len(request.chunk.payload) for request in seen.requests) == len(SOUND)
        await at.until_metric("gateway_sessions 0.0")
        await at.until_metric('gateway_door_requests_total{answer="served",door="openai"} 1.0')


async def test_options_may_follow_the_file() -> None:
    async with rig() as at:
        status, first, _ = await post(at, form(MODEL, ("language", "de")))
        assert status == 200
        status, body, _ = await post(at, form(late=(MODEL, ("language", "de"), ("response_format", "text"))))
        assert status == 200
        assert body.strip() == first["text"]
        assert [seen.start.start.speech.language for seen in at.worker.seen] == ["de", "de"]


async def test_options_that_come_too_late_are_refused() -> None:
    async with rig() as at:
        status, body, _ = await post(at, form(MODEL, late=(("response_format", "text"),)))
        assert (status, len(body.split()) >= 2) == (200, True)
        status, body, _ = await post(at, form(MODEL, late=(("language", "de"),)))
        assert (status, body["error"]["param"]) == (400, "language")
        await at.until_metric("gateway_sessions 0.0")


async def test_a_stream_of_events_is_the_text_in_pieces() -> None:
    async with rig() as at:
        for body in (form(MODEL, ("stream", "true")), form(late=(MODEL, ("stream", "true")))):
            status, text, headers = await post(at, body)
            assert status == 200
            assert headers["Content-Type"] == "text/event-stream"
            assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
            *deltas, done = events(text)
            assert {each["type"] for each in deltas} == {"transcript.text.delta"}
            assert done["type"] == "transcript.text.done"
            assert "".join(each["delta"] for each in deltas) == done["text"]
            assert len(done["text"].split()) >= 2


async def test_a_stream_of_events_that_fails_says_so() -> None:
    error = error_pb2.Error(
        code=error_pb2.ERROR_CODE_MEDIA_ERROR, message="this is no sound", status_code=3, fatal=True
    )
    async with rig(Script(error_at=1, error=error)) as at:
        status, text, _ = await post(at, form(MODEL, ("stream", "true")))
        assert status == 200
        *deltas, failed = events(text)
        assert [each["type"] for each in deltas] == ["transcript.text.delta"]
        assert (failed["error"]["code"], failed["error"]["message"]) == ("audio_unprocessable", "this is no sound")
        status, body, _ = await post(at, form(MODEL))
        assert (status, body["error"]["param"]) == (400, "file")
        await at.until_metric("gateway_sessions 0.0")


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (form(MODEL, sound=bytes(5000)), 413, "payload_too_large", "file"),
        (form(sound=bytes(5000), late=(MODEL,)), 413, "payload_too_large", "file"),
        (form(MODEL, sound=b""), 400, "invalid_value", "file"),
        (form(MODEL, ("response_format", "diarized_json"), sound=b"x"), 400, "invalid_value", "response_format"),
        (form(MODEL, ("stream", "true"), ("response_format", "srt"), sound=b"x"), 400, "invalid_value", "stream"),
        (form(MODEL, ("language", "not a language!"), sound=b"x"), 400, "invalid_value", "language"),
        (form(MODEL, ("prompt", "x" * (MAX_FIELD_BYTES + 1)), sound=b"x"), 400, "invalid_value", "prompt"),
        (form(MODEL, *MANY, sound=b"x"), 400, "invalid_value", None),
        (b"no form", 400, "invalid_value", None),
    ],
)  # fmt: skip
async def test_an_upload_is_refused_in_openais_words(body: Any, status: int, code: str, param: str | None) -> None:
    async with rig(max_form_file_bytes="4096") as at:
        found, answer, _ = await post(at, body)
        error = answer["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert (found, error["code"], error["param"]) == (status, code, param)
        assert error["type"] == "invalid_request_error"
        await at.until_metric("gateway_sessions 0.0")


async def test_credentials_are_keys_and_tokens() -> None:
    async with rig() as at:
        minted = await at.mint()
        assert (await post(at, form(MODEL), {"Authorization": f"Bearer {minted['token']}"}))[0] == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            status, body, more = await post(at, form(MODEL), headers)
            assert (status, body["error"]["code"]) == (401, "invalid_api_key")
            assert more["WWW-Authenticate"] == "Bearer"


async def test_a_full_gateway_says_when_to_come_back() -> None:
    async with rig(Script(answer_end=False), max_sessions="1") as at:
        waiting = asyncio.create_task(post(at, form(MODEL)))
        await at.until_metric("gateway_sessions 1.0")
        status, body, headers = await post(at, form(MODEL))
        assert (status, body["error"]["code"], body["error"]["type"]) == (503, "busy", "server_error")
        assert int(headers["Retry-After"]) >= 1
        waiting.cancel()
        await at.until_metric("gateway_sessions 0.0")


async def test_recordings_that_wait_for_their_options_have_a_bound() -> None:
    async with rig(max_form_spool_bytes="65536") as at:
        status, body, headers = await post(at, form(late=(MODEL,)))
        assert (status, body["error"]["code"]) == (503, "busy")
        assert "Retry-After" in headers
        # What waited is forgotten, and who names the model first does not wait.
        assert (await post(at, form(sound=bytes(60_000), late=(MODEL,))))[0] == 200
        assert (await post(at, form(MODEL)))[0] == 200


async def test_the_models_that_run_are_listed() -> None:
    async with rig() as at:
        await eventually(lambda: _models(at), bool)
        [model] = await _models(at)
        async with at.http.get(at.url(f"/v1/models/{model['id']}"), headers=BEARER) as answer:
            assert await answer.json() == model
        async with at.http.get(at.url("/v1/models/whisper-1"), headers=BEARER) as answer:
            assert (answer.status, (await answer.json())["error"]["param"]) == (404, "model")
        async with at.http.get(at.url("/v1/models")) as answer:
            assert answer.status == 401


async def _models(at: Rig) -> Any:
    async with at.http.get(at.url("/v1/models"), headers=BEARER) as answer:
        body = await answer.json()
        assert body["object"] == "list"
        return body["data"]


async def test_translations_are_refused() -> None:
    async with rig() as at:
        status, body, _ = await post(at, form(MODEL), path="/v1/audio/translations")
        assert (status, body["error"]["param"]) == (400, "model")
        assert at.worker.seen == []


async def test_a_client_that_leaves_during_its_upload_frees_its_slot() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n'
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + bytes(70_000)
        await asyncio.Event().wait()

    headers = {**BEARER, "Content-Type": "multipart/form-data; boundary=b"}
    async with rig() as at:
        leaving = asyncio.create_task(post(at, slow(), headers))
        await at.until_metric("gateway_sessions 1.0")
        leaving.cancel()
        await at.until_metric("gateway_sessions 0.0")
        await at.until_metric('gateway_streams{service="stt"} 0.0')


async def test_hostile_forms_disturb_no_neighbour() -> None:
    rng, sent, statuses = random.Random(18), 0, set()
    valid = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + bytes(64) + b"\r\n--b--\r\n"
    )
    noise = hostile.messages(18)
    headers = {**BEARER, "Content-Type": "multipart/form-data; boundary=b"}
    async with rig(Script(slots=64), http_request_s="2") as at:

        async def attack() -> None:
            nonlocal sent
            while sent < 2000:
                sent += 1
                status, _, _ = await post(at, _broken(rng, valid, next(noise)), headers)
                statuses.add(status)

        await asyncio.gather(*(attack() for _ in range(8)))
        assert statuses <= {200, 400, 413}
        assert 400 in statuses
        assert (await post(at, form(MODEL)))[0] == 200
        await at.until_metric("gateway_sessions 0.0")


def _broken(rng: random.Random, valid: bytes, noise: str | bytes) -> bytes:
    """A form that was cut, mutated, doubled, or replaced by noise."""
    raw = noise.encode("utf-8", "surrogatepass") if isinstance(noise, str) else noise
    at = rng.randrange(len(valid))
    match rng.randrange(5):
        case 0:
            return valid[:at]
        case 1:
            return valid[:at] + rng.randbytes(rng.randrange(1, 40)) + valid[at:]
        case 2:
            return valid[:at] + raw[:2000] + valid[at:]
        case 3:
            return valid[:at] + valid
        case _:
            return raw[:20_000]


async def test_a_body_that_is_cut_off_is_no_form() -> None:
    headers = {**BEARER, "Content-Type": "multipart/form-data; boundary=b"}
    cut = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n--b\r\nContent-Disp'
    async with rig() as at:
        with suppress(aiohttp.ClientOSError):
            status, body, _ = await post(at, cut, headers)
            assert (status, body["error"]["code"]) == (400, "invalid_value")
        await at.until_metric("gateway_sessions 0.0")

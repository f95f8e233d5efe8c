"""Clients of other dialects that send known bytes: the words show every byte that is lost or doubled."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from websockets.asyncio.client import ClientConnection, connect

from bench.harness.stack import KEY, Stack
from workers.fake.engine import expected_words

_INTERVAL_S = 0.02
_CHUNK = 1600
FRAME = 160
"""Bytes of 20 ms of a track."""
_TOKEN = {"Authorization": f"Token {KEY}"}
_BEARER = {"Authorization": f"Bearer {KEY}"}


@dataclass
class Exchange:
    """What a client sent, and the words it received, per stream."""

    sent: dict[str, bytearray] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)
    close_code: int | None = None

    def losses(self) -> tuple[int, int]:
        """Words lost and words doubled; words out of order count as both."""
        lost = doubled = 0
        for name, payload in self.sent.items():
            expected, heard = expected_words(bytes(payload)), self.words.get(name, [])
            lost += (Counter(expected) - Counter(heard)).total()
            doubled += (Counter(heard) - Counter(expected)).total()
            if Counter(expected) == Counter(heard) and expected != heard:
                lost, doubled = lost + len(heard), doubled + len(heard)
        return lost, doubled


class DialectSpeaker(Protocol):
    """Speaks until `enough` is set, then waits for the last words."""

    enough: asyncio.Event
    streams: int

    async def speak(self, stack: Stack) -> Exchange: ...


class _Speaker:
    streams = 1

    def __init__(self, seed: int) -> None:
        self.enough = asyncio.Event()
        self.exchange = Exchange()
        self._random = random.Random(seed)

    def _next(self, stream: str, size: int) -> bytes:
        payload = self._random.randbytes(size)
        self.exchange.sent.setdefault(stream, bytearray()).extend(payload)
        return payload

    async def _pause(self) -> bool:
        """Wait for the next chunk's turn; whether there is one."""
        await asyncio.sleep(_INTERVAL_S)
        return not self.enough.is_set()


class DeepgramSpeaker(_Speaker):
    """A live conversation of mu-law over `/v1/listen`."""

    async def speak(self, stack: Stack) -> Exchange:
        url = f"{stack.http_url.replace('http', 'ws')}/v1/listen?encoding=mulaw&model=x"
        async with connect(url, additional_headers=_TOKEN, proxy=None, compression=None) as socket:
            reader = asyncio.create_task(self._read(socket))
            while await self._pause():
                await socket.send(self._next("0", _CHUNK))
            await socket.send('{"type":"CloseStream"}')
            await reader
            self.exchange.close_code = socket.close_code
        return self.exchange

    async def _read(self, socket: ClientConnection) -> None:
        async for message in socket:
            event = json.loads(message)
            if event["type"] == "Results" and event["is_final"]:
                text = event["channel"]["alternatives"][0]["transcript"]
                self.exchange.words.setdefault("0", []).extend(text.split())


class DeepgramUpload(_Speaker):
    """A recording that arrives slowly at `/v1/listen`."""

    async def speak(self, stack: Stack) -> Exchange:
        async with (
            aiohttp.ClientSession(headers=_TOKEN) as http,
            http.post(f"{stack.http_url}/v1/listen?encoding=mulaw&model=x", data=self._body()) as answer,
        ):
            body = await answer.json()
            assert answer.status == 200, body
        text = body["results"]["channels"][0]["alternatives"][0]["transcript"]
        self.exchange.words["0"] = text.split()
        return self.exchange

    async def _body(self) -> AsyncIterator[bytes]:
        yield self._next("0", _CHUNK)
        while await self._pause():
            yield self._next("0", _CHUNK)


class OpenAiUpload(_Speaker):
    """A form whose recording arrives slowly at `/v1/audio/transcriptions`."""

    async def speak(self, stack: Stack) -> Exchange:
        form = aiohttp.FormData([("model", "whisper-1")])
        form.add_field("file", self._body(), filename="talk.ogg", content_type="audio/ogg")
        url = f"{stack.http_url}/v1/audio/transcriptions"
        async with aiohttp.ClientSession(headers=_BEARER) as http, http.post(url, data=form) as answer:
            body = await answer.json()
            assert answer.status == 200, body
        self.exchange.words["0"] = body["text"].split()
        return self.exchange

    async def _body(self) -> AsyncIterator[bytes]:
        self.exchange.sent["0"] = bytearray(b"OggS")
        yield b"OggS"
        while await self._pause():
            yield self._next("0", _CHUNK)


class RealtimeSpeaker(_Speaker):
    """A transcription session over `/v1/realtime`, with one commit at the end."""

    async def speak(self, stack: Stack) -> Exchange:
        url = f"{stack.http_url.replace('http', 'ws')}/v1/realtime?intent=transcription"
        async with connect(url, additional_headers=_BEARER, proxy=None, compression=None) as socket:
            reader = asyncio.create_task(self._read(socket))
            turns = {"audio": {"input": {"turn_detection": None}}}
            await socket.send(json.dumps({"type": "session.update", "session": turns}))
            while await self._pause():
                audio = base64.b64encode(self._next("0", _CHUNK)).decode()
                await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            await socket.send(json.dumps({"type": "input_audio_buffer.commit"}))
            await reader
        self.exchange.close_code = socket.close_code
        return self.exchange

    async def _read(self, socket: ClientConnection) -> None:
        async for message in socket:
            event = json.loads(message)
            assert event["type"] != "error", event
            if event["type"] == "conversation.item.input_audio_transcription.completed":
                self.exchange.words["0"] = event["transcript"].split()
                return


class TwilioSpeaker(_Speaker):
    """A call with two tracks over `/v1/twilio`; its text comes from the transcript."""

    streams = 2

    async def speak(self, stack: Stack) -> Exchange:
        session = await asyncio.to_thread(_request, f"{stack.http_url}/v1/sessions", "POST")
        tracks = ("inbound", "outbound")
        start = {"streamSid": "MZ", "tracks": tracks, "customParameters": {"token": session["token"]}}
        url = f"{stack.http_url.replace('http', 'ws')}/v1/twilio"
        async with connect(url, proxy=None, compression=None) as socket:
            await socket.send(json.dumps({"event": "connected"}))
            await socket.send(json.dumps({"event": "start", "sequenceNumber": "1", "start": start}))
            number = 1
            while await self._pause():
                for track in tracks:
                    number += 1
                    payload = base64.b64encode(self._next(f"{track}-MZ", FRAME)).decode()
                    media = {"track": track, "payload": payload}
                    message = {"event": "media", "sequenceNumber": str(number), "media": media}
                    await socket.send(json.dumps(message))
            await socket.send(json.dumps({"event": "stop", "sequenceNumber": str(number + 1)}))
            await socket.wait_closed()
            self.exchange.close_code = socket.close_code
        url = f"{stack.http_url}/v1/sessions/{session['session_id']}/transcript"
        found = await asyncio.to_thread(_request, url, "GET")
        for stream in found["streams"]:
            text = " ".join(segment["text"] for segment in stream["segments"])
            self.exchange.words[stream["stream_id"]] = text.split()
        return self.exchange


class TelephonySpeaker(_Speaker):
    """A call of raw samples over `/v1/telephony`; the text after its end comes from the transcript."""

    async def speak(self, stack: Stack) -> Exchange:
        url = f"{stack.http_url.replace('http', 'ws')}/v1/telephony?format=audio/l16;rate=8000"
        async with connect(url, additional_headers=_BEARER, proxy=None, compression=None) as socket:
            assert socket.response is not None
            session_id = socket.response.headers["talkup-session"]
            while await self._pause():
                await socket.send(self._next("0", 2 * FRAME))
        self.exchange.close_code = socket.close_code
        self.exchange.words["0"] = await _text_of(
            stack, session_id, len(expected_words(bytes(self.exchange.sent["0"])))
        )
        return self.exchange


class WyomingSpeaker(_Speaker):
    """A request of 16 kHz sound over Wyoming's own port."""

    async def speak(self, stack: Stack) -> Exchange:
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.wyoming_port)
        sound = {"rate": 16_000, "width": 2, "channels": 1}
        writer.write(wyoming_event("audio-start", sound))
        while await self._pause():
            writer.write(wyoming_event("audio-chunk", sound, self._next("0", 2 * FRAME)))
            await writer.drain()
        writer.write(wyoming_event("audio-stop"))
        event = await read_wyoming(reader)
        while event is not None and event[0] not in ("transcript", "error"):
            event = await read_wyoming(reader)
        writer.close()
        assert event is not None
        assert event[0] == "transcript", event
        self.exchange.words["0"] = event[1]["text"].split()
        return self.exchange


def wyoming_event(kind: str, data: Any = None, payload: bytes = b"") -> bytes:
    """An event as Wyoming's clients send it."""
    line = {"type": kind, "data": data or {}, "payload_length": len(payload)}
    return json.dumps(line).encode() + b"\n" + payload


async def read_wyoming(reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]] | None:
    """The type and data of the next event; None at the end."""
    line = await reader.readline()
    if not line:
        return None
    header = json.loads(line)
    size = header.get("data_length") or 0
    return header["type"], json.loads(await reader.readexactly(size)) if size else {}


async def _text_of(stack: Stack, session_id: str, words: int) -> list[str]:
    """The words of a session, once there are `count`, or after a while."""
    url = f"{stack.http_url}/v1/sessions/{session_id}/transcript"
    found: list[str] = []
    for _ in range(200):
        found = (await asyncio.to_thread(_request, url, "GET"))["text"].split()
        if len(found) >= words:
            break
        await asyncio.sleep(0.05)
    return found


def _request(url: str, method: str) -> Any:
    request = urllib.request.Request(url, headers=_BEARER, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


SPEAKERS: dict[str, type[_Speaker]] = {
    "deepgram": DeepgramSpeaker,
    "deepgram_upload": DeepgramUpload,
    "openai_upload": OpenAiUpload,
    "openai_realtime": RealtimeSpeaker,
    "twilio": TwilioSpeaker,
    "telephony": TelephonySpeaker,
    "wyoming": WyomingSpeaker,
}
"""Every way in, by its name in the results."""

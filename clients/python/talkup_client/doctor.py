"""`talkup doctor`: checks an installation from a client's machine; each check yields a finding, if need be with a hint.

The checks go from the outside in: HTTP port, readiness, TLS, WebSocket and credential, workers and models, clock, round
trip, and captions of a built-in clip of speech. If one fails, the checks that depend on it are skipped.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from importlib import resources
from typing import Any

from talkup_client.client import Client
from talkup_client.errors import ConnectionLostError, RefusedError, SettingError, TalkupError
from talkup_client.events import StreamEnded, TranscriptUpdate
from talkup_client.http_api import HttpApi
from talkup_client.media_file import MediaFile, identify
from talkup_client.sources import paced
from talkup_client.transport import Certificate, read_certificate

CLIP_WORDS = frozenset(
    {"name", "alice", "have", "worked", "software", "engineer", "for", "seven", "years"}
)  # the words of clip.ogg that every model recognises
_SPEECH_BEGINS_S = 0.3
_SPEECH_ENDS_S = 4.85
_EXPIRES_SOON_DAYS = 30
_CLOCK_SLACK_S = 2.0
_SLOW_ROUND_TRIP_S = 0.25
_LATE_CAPTION_S = 2.0
_PINGS = 5
_CLIP_DEADLINE_S = 60.0


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was checked, the result, and what to do if something is wrong."""

    level: Level
    subject: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<4}  {self.subject:<10}  {self.text}"
        return f"{line}; {self.hint}" if self.hint else line


async def examine(client: Client, api: HttpApi) -> AsyncIterator[Finding]:
    """Yield findings as the checks finish. `client` must not be entered yet."""
    async for finding in http_findings(api):
        yield finding
    for url in client.gateways.urls:
        tls = await _tls(client, url)
        yield tls
        if tls.level is Level.FAIL:
            return
    try:
        async with client:
            yield Finding(Level.OK, "websocket", f"{client.gateways.urls[0]} takes the credential")
            async for finding in _inside(client):
                yield finding
    except TalkupError as error:
        yield Finding(Level.FAIL, "websocket", error.message, _HINTS.get(error.code, ""))


_HINTS: Mapping[str, str] = {
    "unauthenticated": "give the gateway's API key: --key or TALKUP_API_KEY",
    "permission_denied": "give the gateway's API key: --key or TALKUP_API_KEY",
    "busy": "try again later, or add workers",
}


async def _inside(client: Client) -> AsyncIterator[Finding]:
    """Checks within a session. Raises TalkupError when the connection is lost."""
    status = (await client.status()).data
    if status.get("state") == "draining":
        yield Finding(Level.WARN, "gateway", "is shutting down", "wait until it has restarted")
    services = status.get("services") or []
    for finding in workers(services):
        yield finding
    yield clock(await client.clock_offset())
    yield round_trip(statistics.median([await client.ping() for _ in range(_PINGS)]))
    if any(service.get("service") == "stt" and service.get("workers_serving") for service in services):
        with resources.as_file(resources.files("talkup_client") / "data" / "clip.ogg") as path:
            yield await _captions(client, identify(path))


async def http_findings(api: HttpApi) -> AsyncIterator[Finding]:
    """Whether the HTTP port answers, and whether the gateway is ready."""
    try:
        health = await api.get("/healthz")
        ready = await api.get("/readyz")
    except ConnectionLostError as error:
        yield Finding(Level.FAIL, "http", error.message)
        return
    except TalkupError as error:
        yield Finding(Level.FAIL, "http", error.message)
        return
    is_hidden = ready.status == HTTPStatus.NOT_FOUND
    if health.status != HTTPStatus.OK or not (is_hidden or isinstance(ready.body, dict)):
        yield Finding(Level.FAIL, "http", f"{api.url} is not a gateway's HTTP port", "name it with --http-url")
        return
    yield Finding(Level.OK, "http", f"{api.url} answers")
    if is_hidden:
        yield Finding(Level.OK, "readiness", "a proxy keeps /readyz from clients; the services below say what serves")
    elif ready.status == HTTPStatus.OK:
        yield Finding(Level.OK, "readiness", "every configured service has a serving worker")
    else:
        counts = ready.body.get("services", {}).items()
        missing = ", ".join(_absent(name, one) for name, one in counts)
        text = f"not ready ({missing or ready.body.get('status')})"
        yield Finding(Level.FAIL, "readiness", text, "look at the workers' logs")


def _absent(name: str, service: Mapping[str, Any]) -> str:
    """A service in the answer of /readyz, with the causes why its workers do not serve."""
    causes = ", ".join(service.get("troubles") or ())
    return f"{name} {service['serving']} of {service['workers']} workers" + (f": {causes}" if causes else "")


async def _tls(client: Client, url: str) -> Finding:
    try:
        certificate = await read_certificate(url, client.gateways.tls_of(url))
    except SettingError as error:
        return Finding(Level.FAIL, "tls", error.message)
    except ConnectionLostError as error:
        return Finding(Level.FAIL, "websocket", error.message)
    return certificate_finding(certificate)


def certificate_finding(certificate: Certificate | None) -> Finding:
    """The finding for a valid certificate; None: the port uses no TLS (loopback)."""
    if certificate is None:
        return Finding(Level.OK, "tls", "none: plain text on this machine")
    days = int(certificate.seconds_left // 86_400)
    text = f"certificate for {', '.join(certificate.names)}, valid for {days} days"
    if days < _EXPIRES_SOON_DAYS:
        return Finding(Level.WARN, "tls", text, "renew it: the gateway reloads it when the file changes")
    return Finding(Level.OK, "tls", text)


def workers(services: list[Mapping[str, Any]]) -> Iterator[Finding]:
    """A finding for every service."""
    if not services:
        yield Finding(
            Level.FAIL, "workers", "no service is configured", "set GATEWAY_STT_WORKERS, GATEWAY_VISION_WORKERS"
        )
    for service in services:
        name = str(service.get("service"))
        total, serving = service.get("workers_total", 0), service.get("workers_serving", 0)
        models = ", ".join(service.get("models") or ()) or "no model"
        free = service.get("free_slots", 0)
        text = f"{serving} of {total} workers serve, {free} streams free, {models}"
        causes = "; ".join(_cause(trouble) for trouble in service.get("troubles") or ())
        if not serving:
            yield Finding(Level.FAIL, name, text, causes or "look at the workers' logs")
        elif serving < total:
            yield Finding(Level.WARN, name, text, causes or "look at the log of the worker that does not serve")
        elif not free:
            yield Finding(Level.WARN, name, text, "add workers")
        else:
            yield Finding(Level.OK, name, text)


def _cause(trouble: Mapping[str, Any]) -> str:
    """Why some workers do not serve; the gateway's log names them."""
    return f"{trouble.get('workers', '?')} x {trouble.get('cause', 'unknown')}: {trouble.get('message', '')}"


def clock(offset_s: float) -> Finding:
    """The finding for the clocks; `offset_s` is how far the gateway's is ahead of this one."""
    text = f"the gateway's is {abs(offset_s):.1f} s {'ahead of' if offset_s > 0 else 'behind'} this machine's"
    if abs(offset_s) > _CLOCK_SLACK_S:
        return Finding(Level.WARN, "clock", text, "tokens may expire early or late: synchronise both (NTP)")
    return Finding(Level.OK, "clock", text)


def round_trip(seconds: float) -> Finding:
    """The finding for the median time to the gateway and back."""
    text = f"{seconds * 1000:.1f} ms"
    if seconds > _SLOW_ROUND_TRIP_S:
        return Finding(Level.WARN, "round trip", text, "captions arrive that much later: use a nearby gateway")
    return Finding(Level.OK, "round trip", text)


@dataclass(slots=True)
class Heard:
    """Captions of the clip; times are seconds since the stream began, None until known."""

    first_s: float | None = None
    last_final_s: float | None = None
    sent_s: float = 0.0
    text: str = ""
    problem: TalkupError | None = None


async def _captions(client: Client, clip: MediaFile) -> Finding:
    try:
        async with asyncio.timeout(_CLIP_DEADLINE_S):
            return captions_finding(await _play_clip(client, clip, asyncio.get_running_loop().time))
    except RefusedError as refused:
        return captions_finding(Heard(problem=refused))
    except TimeoutError:
        return Finding(Level.FAIL, "captions", f"none within {_CLIP_DEADLINE_S:g} s", "look at the workers' logs")


async def _play_clip(client: Client, clip: MediaFile, now: Callable[[], float]) -> Heard:
    """Send the clip to the gateway in real time, like a person speaking."""
    heard = Heard()
    async with client.stream(format=clip.format, services=("stt",), language="en") as stream:
        began = now()

        async def speak() -> None:
            async for chunk in paced(clip, asyncio.sleep):
                await stream.send(chunk)
            heard.sent_s = now() - began
            await stream.end()

        speaking = asyncio.create_task(speak())
        try:
            async for event in stream:
                if isinstance(event, TranscriptUpdate) and event.text.strip():
                    heard.first_s = heard.first_s or now() - began
                    if event.is_final:
                        heard.last_final_s = now() - began
                elif isinstance(event, StreamEnded):
                    heard.text = event.text
            await speaking
        except TalkupError as error:
            heard.problem = error
        finally:
            speaking.cancel()
    return heard


def captions_finding(heard: Heard) -> Finding:
    """The finding for the clip's captions."""
    if heard.problem is not None:
        hint = _HINTS.get(heard.problem.code, "look at the workers' logs")
        return Finding(Level.FAIL, "captions", heard.problem.message, hint)
    if heard.first_s is None or heard.last_final_s is None:
        return Finding(Level.FAIL, "captions", "no captions arrived for the spoken words", "look at the workers' logs")
    first = max(0.0, heard.first_s - _SPEECH_BEGINS_S)
    late = max(0.0, heard.last_final_s - max(_SPEECH_ENDS_S, heard.sent_s))
    text = f"first words {first:.1f} s after the speaker began, last {late:.1f} s after the end"
    words = {word.strip(".,!?").lower() for word in heard.text.split()}
    if len(words & CLIP_WORDS) < len(CLIP_WORDS) // 2:
        return Finding(
            Level.WARN, "captions", text, "the captions differ from what was spoken: is this the scripted engine?"
        )
    if max(first, late) > _LATE_CAPTION_S:
        return Finding(Level.WARN, "captions", text, "the worker is slow: fewer streams, a smaller model or a GPU")
    return Finding(Level.OK, "captions", text)

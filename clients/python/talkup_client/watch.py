"""Following another client's session: its final captions, read from the transcript as it grows.

The gateway holds a request back until the transcript has changed (`If-None-Match` with `Prefer: wait`, RFC 7240 4.3);
one that does not do so is asked once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from talkup_client import backoff
from talkup_client.changes import ConnectionBroken, ConnectionRestored, Listener
from talkup_client.errors import BadAnswerError, ConnectionLostError
from talkup_client.http_api import Answer, HttpApi
from talkup_client.terminal import Captions

WAIT_S = 20
LINGER_S = 5
_ASK_AGAIN_S = 1.0


@dataclass(slots=True)
class Followed:
    """What is known of a session: of each stream, in their order, the last final shown; `ended` when all have."""

    shown: dict[int, int] = field(default_factory=dict)
    ended: bool = False

    def take(self, transcript: object) -> Iterator[tuple[int, str]]:
        """Start (ms on the stream's clock) and text of each final that is new. Raises BadAnswerError."""
        try:
            streams = transcript["streams"]  # type: ignore[index]  # checked by the except below
            self.ended = bool(streams) and all(stream["ended"] for stream in streams)
            for place, stream in enumerate(streams):
                yield from self._new(place, stream["segments"])
        except (LookupError, TypeError, ValueError):
            raise BadAnswerError("the answer is no transcript") from None

    def _new(self, place: int, segments: list[Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
        for segment in segments:
            if segment["segment_id"] > self.shown.get(place, 0):
                self.shown[place] = int(segment["segment_id"])
                yield int(segment["start_ms"]), str(segment["text"]).strip()


async def watch(
    api: HttpApi,
    session_id: str,
    captions: Captions,
    tell: Listener,
    *,
    retry_s: float,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    rng: Callable[[], float],
) -> None:
    """Show finals until every stream of the session has ended and none began for five seconds.

    Raises the gateway's refusal (SessionLostError for a session that is unknown or expired), and ConnectionLostError
    when there is no connection for `retry_s` seconds.
    """
    followed = Followed()
    clock = asyncio.get_running_loop().time
    etag = ""
    while True:
        asked = clock()
        wait_s = LINGER_S if followed.ended else WAIT_S
        answer = await _persistently(api, session_id, etag, wait_s, tell, retry_s=retry_s, sleep=sleep, rng=rng)
        news = [] if answer.status == HTTPStatus.NOT_MODIFIED else list(followed.take(answer.body))
        etag = answer.headers.get("etag", etag)
        for start_ms, text in news:
            captions.final(start_ms, text)
        if news or (answer.status != HTTPStatus.NOT_MODIFIED and etag):
            continue
        waited_s = clock() - asked
        if waited_s < wait_s:
            await sleep(min(_ASK_AGAIN_S, wait_s - waited_s) if not followed.ended else wait_s - waited_s)
        if followed.ended:
            return


async def _persistently(
    api: HttpApi,
    session_id: str,
    etag: str,
    wait_s: int,
    tell: Listener,
    *,
    retry_s: float,
    sleep: Callable[[float], Awaitable[object]],
    rng: Callable[[], float],
) -> Answer:
    """The transcript, or that it has not changed; asked again while there is no connection."""
    path = f"/v1/sessions/{quote(session_id, safe='')}/transcript?format=json"
    headers = {"Prefer": f"wait={wait_s}", **({"If-None-Match": etag} if etag else {})}
    clock = asyncio.get_running_loop().time
    broken_at: float | None = None
    attempt = 0
    while True:
        try:
            answer = (await api.get(path, headers=headers, wait_s=wait_s)).checked()
        except ConnectionLostError as error:
            if broken_at is None:
                if not etag:
                    raise  # never reached: a wrong address is no outage
                broken_at = clock()
                tell(ConnectionBroken(error.message, retry_s))
            if clock() - broken_at >= retry_s:
                raise
            await sleep(backoff.delay_s(attempt, rng))
            attempt += 1
            continue
        if broken_at is not None:
            tell(ConnectionRestored(clock() - broken_at))
        return answer

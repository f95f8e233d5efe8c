"""Follows another client's session: reads its final captions from the transcript as it grows.

The gateway holds a request until the transcript has changed (`If-None-Match` with `Prefer: wait`, RFC 7240 4.3). If a
gateway does not hold requests, the client asks once per second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from talkup_client import backoff
from talkup_client.changes import ConnectionBroken, ConnectionRestored, Listener, SpeakerAwaited
from talkup_client.errors import BadAnswerError, TalkupError
from talkup_client.http_api import HttpApi
from talkup_client.terminal import Captions

WAIT_S = 20
LINGER_S = 5
_ASK_AGAIN_S = 1.0


@dataclass(slots=True)
class Followed:
    """The state of a followed session: the last final shown of each stream, and whether all streams have ended."""

    shown: dict[int, int] = field(default_factory=dict)
    ended: bool = False

    def new_finals(self, transcript: object) -> Iterator[tuple[int, str]]:
        """Start (ms on the stream's clock) and text of each new final. Raises BadAnswerError."""
        try:
            streams = transcript["streams"]  # type: ignore[index]  # checked by the except below
            self.ended = bool(streams) and all(stream["ended"] for stream in streams)
            for place, stream in enumerate(streams):
                yield from self._new_of_stream(place, stream["segments"])
        except (LookupError, TypeError, ValueError):
            raise BadAnswerError("the answer is not a transcript") from None

    def _new_of_stream(self, place: int, segments: list[Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
        for segment in segments:
            if segment["segment_id"] > self.shown.get(place, 0):
                self.shown[place] = int(segment["segment_id"])
                yield int(segment["start_ms"]), str(segment["text"]).strip()


async def watch(
    api: HttpApi,
    session_id: str,
    captions: Captions,
    notify: Listener,
    *,
    retry_s: float,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    rng: Callable[[], float],
) -> None:
    """Show finals until every stream of the session has ended and no new one has started for five seconds.

    Raises the gateway's refusal: SessionLostError for a session that is unknown or expired. Raises ConnectionLostError
    if the first connection fails, or if reconnecting fails for `retry_s` seconds. A status of 500 or more, as a proxy
    sends while its gateway restarts, counts as a lost connection.
    """
    followed = Followed()
    source = _Source(api, session_id, notify, retry_s=retry_s, sleep=sleep, rng=rng)
    clock = asyncio.get_running_loop().time
    while True:
        asked = clock()
        had_ended = followed.ended
        wait_s = LINGER_S if had_ended else WAIT_S
        transcript = await source.changed(wait_s)
        news = [] if transcript is None else list(followed.new_finals(transcript))
        for start_ms, text in news:
            captions.final(start_ms, text)
        if news or (followed.ended and not had_ended):
            continue
        left_s = wait_s - (clock() - asked)  # of the time for which the gateway should have held the request
        if left_s > 0:
            await sleep(left_s if followed.ended else min(_ASK_AGAIN_S, left_s))
        if followed.ended:
            return


class _Source:
    """Polls the transcript of a session."""

    def __init__(
        self,
        api: HttpApi,
        session_id: str,
        notify: Listener,
        *,
        retry_s: float,
        sleep: Callable[[float], Awaitable[object]],
        rng: Callable[[], float],
    ) -> None:
        self._api = api
        self._path = f"/v1/sessions/{quote(session_id, safe='')}/transcript?format=json"
        self._notify = notify
        self._retry_s = retry_s
        self._sleep = sleep
        self._rng = rng
        self._reached = False
        self._etag = ""

    async def changed(self, wait_s: int) -> object | None:
        """The transcript; None when it has not changed. Retries while the gateway cannot be reached."""
        clock = asyncio.get_running_loop().time
        broken_at: float | None = None
        attempt = 0
        was_reached = self._reached
        while True:
            try:
                transcript = await self._ask(wait_s)
            except TalkupError as error:
                is_awaited = not self._reached and error.code == "session_expired"
                if not is_awaited and not (self._reached and error.retryable):
                    raise  # a first failure means a wrong address, not an outage
                if (broken_at is not None and clock() - broken_at >= self._retry_s) or not self._retry_s:
                    raise
                if broken_at is None:
                    broken_at = clock()
                    awaited = SpeakerAwaited(self._retry_s)
                    self._notify(awaited if is_awaited else ConnectionBroken(error.message, self._retry_s))
                await self._sleep(_ASK_AGAIN_S if is_awaited else backoff.delay_s(attempt, self._rng))
                attempt += 1
                continue
            if broken_at is not None and was_reached:
                self._notify(ConnectionRestored(clock() - broken_at))
            return transcript

    async def _ask(self, wait_s: int) -> object | None:
        headers = {"Prefer": f"wait={wait_s}"} | ({"If-None-Match": self._etag} if self._etag else {})
        answer = (await self._api.get(self._path, headers=headers, wait_s=wait_s)).checked()
        self._reached = True
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        self._etag = answer.headers.get("etag", "")
        return answer.body or {}

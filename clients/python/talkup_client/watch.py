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
from talkup_client.errors import BadAnswerError, TalkupError
from talkup_client.http_api import HttpApi
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
            raise BadAnswerError("the answer is not a transcript") from None

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
    when there is no connection at first, or none again for `retry_s` seconds. A status of 500 and above, as a proxy
    gives while its gateway restarts, counts as no connection.
    """
    followed = Followed()
    source = _Source(api, session_id, tell, retry_s=retry_s, sleep=sleep, rng=rng)
    clock = asyncio.get_running_loop().time
    while True:
        asked = clock()
        had_ended = followed.ended
        wait_s = LINGER_S if had_ended else WAIT_S
        transcript = await source.changed(wait_s)
        news = [] if transcript is None else list(followed.take(transcript))
        for start_ms, text in news:
            captions.final(start_ms, text)
        if news or (followed.ended and not had_ended):
            continue
        left_s = wait_s - (clock() - asked)  # of the time that a gateway which holds requests back would have taken
        if left_s > 0:
            await sleep(left_s if followed.ended else min(_ASK_AGAIN_S, left_s))
        if followed.ended:
            return


class _Source:
    """A session's transcript, asked for again and again."""

    def __init__(
        self,
        api: HttpApi,
        session_id: str,
        tell: Listener,
        *,
        retry_s: float,
        sleep: Callable[[float], Awaitable[object]],
        rng: Callable[[], float],
    ) -> None:
        self._api = api
        self._path = f"/v1/sessions/{quote(session_id, safe='')}/transcript?format=json"
        self._tell = tell
        self._retry_s = retry_s
        self._sleep = sleep
        self._rng = rng
        self._reached = False
        self._etag = ""

    async def changed(self, wait_s: int) -> object | None:
        """The transcript; None when it has not changed. Asked again while there is no connection, or no gateway."""
        clock = asyncio.get_running_loop().time
        broken_at: float | None = None
        attempt = 0
        while True:
            try:
                transcript = await self._ask(wait_s)
            except TalkupError as error:
                if not self._reached or not error.retryable:
                    raise  # a wrong address is no outage
                if broken_at is None:
                    broken_at = clock()
                    self._tell(ConnectionBroken(error.message, self._retry_s))
                if clock() - broken_at >= self._retry_s:
                    raise
                await self._sleep(backoff.delay_s(attempt, self._rng))
                attempt += 1
                continue
            if broken_at is not None:
                self._tell(ConnectionRestored(clock() - broken_at))
            return transcript

    async def _ask(self, wait_s: int) -> object | None:
        headers = {"Prefer": f"wait={wait_s}"} | ({"If-None-Match": self._etag} if self._etag else {})
        answer = (await self._api.get(self._path, headers=headers, wait_s=wait_s)).checked()
        self._reached = True
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        self._etag = answer.headers.get("etag", "")
        return answer.body or {}

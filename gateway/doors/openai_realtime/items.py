"""The items of one stream: where one ends, which finals it holds, when its text is complete. Pure.

With turn detection an item ends where speech ends, else with a commit. The worker reports the end of speech before the
last words of the segment are final; so the item is complete with the first final after that report or, if all its words
were final already, after a while. A commit is a flush: everything before its answer belongs to the item. No final is
ever left out: one that comes late is an item of its own.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from msgspec import Struct

from gateway.doors.openai.answers import Deltas, Usage
from gateway.doors.openai.errors import details_of
from gateway.doors.openai_realtime.events import (
    Committed,
    Completed,
    Delta,
    Failed,
    ItemNews,
    Message,
    SpeechStarted,
    SpeechStopped,
)
from gateway.protocol.errors import Problem
from gateway.protocol.joining import join_finals
from gateway.protocol.messages import SpeechEventData, TranscriptData

_LAST_WORDS_S: Final = 1.0
_ANY_WORDS_S: Final = 5.0


class Numbers:
    """Counters of a session's events: their ids, and the order of items. `is_beta`: the form of the events."""

    def __init__(self, *, is_beta: bool = False) -> None:
        self.is_beta = is_beta
        self.last_item_id: str | None = None
        self._events = count(1)

    def event_id(self) -> str:
        """A new one."""
        return f"event_{next(self._events)}"


@dataclass(slots=True, eq=False)
class _Item:
    id: str = field(default_factory=lambda: f"item_{secrets.token_hex(8)}")
    start_ms: int = 0
    end_ms: int = 0
    is_announced: bool = False
    is_dropped: bool = False
    is_committed: bool = False
    flush_id: int | None = None
    due: float | None = None
    finals: list[tuple[str, str]] = field(default_factory=list)
    deltas: Deltas = field(default_factory=Deltas)
    segment_id: int = -1
    sent: str = ""
    """What the deltas have said of the segment that is not final."""
    has_interim: bool = False


class StreamItems:
    """One stream's items. Every `now` is UNIX seconds; `offset_ms`: the sound of the session before the stream."""

    def __init__(self, numbers: Numbers, offset_ms: int = 0, *, has_turns: bool = True) -> None:
        self._numbers = numbers
        self._offset_ms = offset_ms
        self._has_turns = has_turns
        self._current: _Item | None = None
        self._waiting: deque[_Item] = deque()
        self._is_speaking = False

    @property
    def unanswered(self) -> int:
        """How many commits wait for their text."""
        return sum(item.flush_id is not None for item in self._waiting)

    def deadline(self) -> float | None:
        """When `tick` is due; None: never."""
        return self._waiting[0].due if self._waiting else None

    def tick(self, now: float) -> Iterator[Struct]:
        """Complete the items that have waited long enough for last words."""
        while self._waiting and (due := self._waiting[0].due) is not None and now >= due:
            yield from self._complete(self._waiting.popleft())

    def spoke(self, event: SpeechEventData, now: float) -> Iterator[Struct]:
        """The voice detector heard speech begin or end."""
        at = self._offset_ms + event.media_time_ms
        was_speaking, self._is_speaking = self._is_speaking, event.event == "speech_started"
        if not self._has_turns or any(item.flush_id is not None and at <= item.end_ms for item in self._waiting):
            return  # of a commit, all speech is one item
        if self._is_speaking:
            item = self._open(at)
            if not (was_speaking or item.is_announced):
                item.is_announced, item.start_ms = True, at
                yield SpeechStarted(self._numbers.event_id(), item.id, at)
        elif (ended := self._current) is not None:
            self._current = None
            ended.end_ms = max(at, ended.start_ms)
            yield SpeechStopped(self._numbers.event_id(), ended.id, ended.end_ms)
            yield from self._commit(ended)
            self._waiting.append(ended)
            has_all = bool(ended.finals) and not ended.has_interim
            ended.due = now + (_LAST_WORDS_S if has_all else _ANY_WORDS_S)

    def heard(self, data: TranscriptData) -> Iterator[Struct]:
        """An interim or a final."""
        item = yield from self._owner(data)
        if not data.is_final:
            item.has_interim = bool(data.text.strip())
            yield from self._more(item, data, data.text[: data.stable_chars].strip())
            return
        yield from self._more(item, data, data.text.strip())
        item.finals.append((data.text, data.language))
        item.segment_id, item.sent, item.has_interim = -1, "", False
        if item.due is not None:
            self._waiting.remove(item)
            yield from self._complete(item)
        elif self._has_turns and item is self._current and not self._is_speaking:
            self._current = None
            item.end_ms = max(item.start_ms, self._offset_ms + data.end_ms)
            yield from self._complete(item)

    def commit(self, flush_id: int, end_ms: int) -> Iterator[Struct]:
        """What was received so far becomes an item; `flushed` follows. `end_ms`: all sound of the session."""
        item = self._take(flush_id, end_ms)
        yield from self._commit(item)

    def clear(self, flush_id: int, end_ms: int) -> None:
        """What was received so far becomes no item; `flushed` follows."""
        self._take(flush_id, end_ms).is_dropped = True

    def flushed(self, flush_id: int) -> Iterator[Struct]:
        """Everything before a commit or a clear is final."""
        while any(item.flush_id == flush_id for item in self._waiting):
            yield from self._complete(self._waiting.popleft())

    def ended(self, problem: Problem | None = None) -> Iterator[Struct]:
        """The stream is over, perhaps because of a problem."""
        if self._current is not None and (self._current.finals or self._current.is_announced):
            self._waiting.append(self._current)
        self._current = None
        while self._waiting:
            item = self._waiting.popleft()
            if problem is None or item.is_dropped or item.due is not None:
                yield from self._complete(item)
                continue
            yield from self._commit(item)
            yield Failed(self._numbers.event_id(), item.id, details_of(problem))

    def _open(self, start_ms: int) -> _Item:
        if self._current is None:
            self._current = _Item(start_ms=start_ms)
        return self._current

    def _take(self, flush_id: int, end_ms: int) -> _Item:
        item = self._open(end_ms if not self._waiting else self._waiting[-1].end_ms)
        self._current = None
        item.flush_id, item.end_ms = flush_id, end_ms
        self._waiting.append(item)
        return item

    def _owner(self, data: TranscriptData) -> Generator[Struct, None, _Item]:
        """The item of a text; those before it have all their words."""
        start_ms = self._offset_ms + data.start_ms
        while self._waiting:
            item = self._waiting[0]
            if item.flush_id is not None or start_ms < item.end_ms:
                return item
            if not data.is_final:
                break
            yield from self._complete(self._waiting.popleft())
        return self._open(start_ms)

    def _more(self, item: _Item, data: TranscriptData, certain: str) -> Iterator[Struct]:
        """The text that is certain by now, as far as the client does not have it."""
        if item.is_dropped:
            return
        if item.segment_id != data.segment_id:
            item.segment_id, item.sent = data.segment_id, ""
        if len(certain) <= len(item.sent) or not certain.startswith(item.sent):
            return
        more = certain[len(item.sent) :]
        if not item.sent:
            more = item.deltas.add(certain, data.language)
        item.sent = certain
        yield Delta(self._numbers.event_id(), item.id, more)

    def _commit(self, item: _Item) -> Iterator[Struct]:
        if item.is_committed:
            return
        item.is_committed = True
        before, self._numbers.last_item_id = self._numbers.last_item_id, item.id
        yield Committed(self._numbers.event_id(), item.id, before)
        for kind in ("created",) if self._numbers.is_beta else ("added", "done"):
            yield ItemNews(f"conversation.item.{kind}", self._numbers.event_id(), Message(item.id), before)

    def _complete(self, item: _Item) -> Iterator[Struct]:
        if item.is_dropped:
            return
        yield from self._commit(item)
        seconds = max(0, item.end_ms - item.start_ms) / 1000
        yield Completed(self._numbers.event_id(), item.id, join_finals(item.finals), Usage(seconds))

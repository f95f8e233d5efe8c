"""No final is lost, doubled or moved, whatever the order of speech, finals, commits and their answers."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.openai_realtime.events import Committed, Completed, Delta, Failed, SpeechStarted, SpeechStopped
from gateway.doors.openai_realtime.items import Numbers, StreamItems
from gateway.protocol.messages import SpeechEventData, TranscriptData

MOVES = st.lists(
    st.sampled_from(["speech_started", "speech_ended", "final", "interim", "commit", "answer", "time"]), max_size=60
)


class Stream:
    """A worker that hears what the test says, in order, and a client that sends as fast as it likes."""

    def __init__(self, *, has_turns: bool) -> None:
        self.items = StreamItems(Numbers(), has_turns=has_turns)
        self.received: list[Any] = []
        self.words: list[str] = []
        self.now, self.at, self.flushes, self.answered = 0.0, 0, 0, 0

    def move(self, kind: str) -> None:
        self.now += 0.3
        self.at += 100
        match kind:
            case "speech_started" | "speech_ended":
                event = SpeechEventData(stream_id="s", event=kind, media_time_ms=self.at)  # type: ignore[arg-type]
                self.received += self.items.spoke(event, self.now)
            case "final" | "interim":
                self.hear(is_final=kind == "final")
            case "commit":
                self.flushes += 1
                self.received += self.items.commit(self.flushes, self.at + 500)
            case "answer" if self.answered < self.flushes:
                self.answered += 1
                self.received += self.items.flushed(self.answered)
            case "time":
                self.now += 2.0
                if (due := self.items.deadline()) is not None and due <= self.now:
                    self.received += self.items.tick(self.now)

    def hear(self, *, is_final: bool) -> None:
        word = f"w{len(self.words)}"
        data = TranscriptData(
            stream_id="s", segment_id=len(self.words), revision=0, is_final=is_final, text=word,
            stable_chars=len(word), confidence=1.0, language="en", start_ms=self.at - 80, end_ms=self.at, words=[],
        )  # fmt: skip
        self.received += self.items.heard(data)
        if is_final:
            self.words.append(word)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.received if isinstance(event, kind)]


@given(moves=MOVES, has_turns=st.booleans())
def test_every_final_is_sent_once_and_in_order(moves: list[str], has_turns: bool) -> None:
    stream = Stream(has_turns=has_turns)
    for move in moves:
        stream.move(move)
    stream.received += stream.items.ended()
    completed = stream.of(Completed)
    assert [word for event in completed for word in event.transcript.split()] == stream.words
    # Every item is committed once, before its text, and completed once, in the same order.
    committed = [event.item_id for event in stream.of(Committed)]
    assert [event.item_id for event in completed] == committed
    assert len(set(committed)) == len(committed)
    assert [event.previous_item_id for event in stream.of(Committed)] == [None, *committed][: len(committed)]
    for item in committed:
        deltas = "".join(event.delta for event in stream.of(Delta) if event.item_id == item)
        [text] = [event.transcript for event in completed if event.item_id == item]
        assert text.split() == [word for word in deltas.split() if word in stream.words][: len(text.split())]
    started = [event.item_id for event in stream.of(SpeechStarted)]
    assert len(set(started)) == len(started)
    assert {event.item_id for event in stream.of(SpeechStopped)} <= set(committed)
    assert not stream.of(Failed)
    assert stream.items.deadline() is None

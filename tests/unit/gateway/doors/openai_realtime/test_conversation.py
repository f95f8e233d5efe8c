"""Golden conversations in OpenAI's Realtime dialect: what each side says, and what the other one gets."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from gateway.doors.openai_realtime.configuration import Configuration
from gateway.doors.openai_realtime.conversation import MAX_TEXT, RealtimeConversation
from gateway.doors.steps import Close, ToClient, ToSession
from gateway.protocol import messages as m
from gateway.protocol.errors import Code, Problem
from gateway.protocol.negotiation import StreamSpec, negotiate

NOW = 1_790_000_000.0
SECOND = bytes(48_000)
COMMIT = {"type": "input_audio_buffer.commit"}
NO_TURNS = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}}
TEXT = "conversation.item.input_audio_transcription"


class Talk:
    """A conversation, step by step."""

    def __init__(self, *, is_beta: bool = False, turns: bool = True) -> None:
        self.conversation = RealtimeConversation(Configuration(), "abc", is_beta=is_beta)
        [self.created] = _seen(self.conversation.opening())
        self.stream = ""
        if not turns:
            self.client(NO_TURNS)

    def client(self, event: Any, now: float = NOW) -> list[Any]:
        text = event if isinstance(event, str) else json.dumps(event)
        return self._note(_seen(self.conversation.receive_text(text, now)))

    def append(self, audio: bytes = SECOND) -> list[Any]:
        return self.client({"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()})

    def session(self, message: m.ServerMessage, now: float = NOW) -> list[Any]:
        return self._note(_seen(self.conversation.on_message(message, now)))

    def time(self, now: float) -> list[Any]:
        return _seen(self.conversation.tick(now))

    def said(
        self, text: str, start_ms: int = 0, *, final: bool = True, stable: int = 0, segment: int = 1, stream: str = ""
    ) -> list[Any]:
        name = stream or self.stream
        data = m.TranscriptData(
            stream_id=name, segment_id=segment, revision=1, is_final=final, text=text, stable_chars=stable,
            confidence=0.7, language="en", start_ms=start_ms, end_ms=start_ms + 500, words=[],
        )  # fmt: skip
        return self.session(m.TranscriptUpdate(stream_id=name, text=text, confidence=0.7, data=data))

    def spoke(self, event: Any, media_time_ms: int, now: float = NOW) -> list[Any]:
        data = m.SpeechEventData(stream_id=self.stream, event=event, media_time_ms=media_time_ms)
        return self.session(m.SpeechEvent(stream_id=self.stream, data=data), now)

    def acknowledged(self, flush_id: int | None = None) -> list[Any]:
        data = m.AcknowledgeData(stream_id=self.stream, received=0, committed=0, next_sequence=1)
        if flush_id is not None:
            data = msgspec.structs.replace(data, flush_id=flush_id)
        return self.session(m.Acknowledge(stream_id=self.stream, data=data))

    def ended(self, stream: str = "") -> list[Any]:
        data = m.StreamEndedData(
            stream_id=stream or self.stream, chunks=1, bytes=2, media_seconds=1.5, segments=1, gaps=0,
            missing_chunks=0, damaged_bytes=0, speech_without_words_ms=0, duplicate_chunks=0, orphan_chunks=0,
            dropped=m.DroppedData(), failovers=0, text="", text_id="",
        )  # fmt: skip
        return self.session(m.StreamEnded(stream_id=stream or self.stream, data=data))

    def failed(self, code: Code, *, stream: bool = True) -> list[Any]:
        data = m.ErrorData(code=str(code), message="why", retryable=False)
        if stream:
            data = msgspec.structs.replace(data, stream_id=self.stream)
        return self.session(m.ErrorMessage(data=data))

    def _note(self, seen: list[Any]) -> list[Any]:
        for each in seen:
            if isinstance(each, m.StreamStart):
                self.stream = str(each.stream_id)
        return seen


def _seen(steps: Any) -> list[Any]:
    """Steps as a reader sees them: the dialect's JSON, our messages, closes."""
    seen: list[Any] = []
    for step in steps:
        match step:
            case ToClient(payload):
                seen.append(msgspec.json.decode(payload))
            case ToSession(message):
                seen.append(message)
            case Close(code, reason):
                seen.append(("close", int(code), reason))
    return seen


def kinds(seen: list[Any]) -> list[str]:
    return [each["type"].removeprefix("conversation.item.").removeprefix("input_audio_") for each in seen]


def test_the_session_is_sent_first_and_when_it_changes() -> None:
    talk = Talk()
    assert talk.created["type"] == "session.created"
    assert talk.created["session"]["type"] == "transcription"
    assert talk.created["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    transcription = {"model": "gpt-4o-transcribe", "language": "de", "prompt": "Names"}
    sound = {"format": {"type": "audio/pcmu"}, "transcription": transcription, "turn_detection": None}
    update = {"type": "session.update", "session": {"type": "transcription", "audio": {"input": sound}}}
    [updated] = talk.client(update)
    assert updated["type"] == "session.updated"
    assert updated["session"]["audio"]["input"] == {**sound, "noise_reduction": None}
    ignored = updated["session"]["talkup_ignored_options"]
    assert [each["parameter"] for each in ignored] == ["audio.input.transcription.model"]
    start, chunk = talk.append()
    assert (start.format, start.language) == ("audio/pcm;rate=8000;channels=1;encoding=mulaw", "de")
    assert (start.initial_prompt, start.endpointing_ms) == ("Names", None)
    assert isinstance(negotiate(start, "s"), StreamSpec)
    assert chunk == m.StreamChunk(stream_id=talk.stream, payload=SECOND)


def test_the_beta_has_its_own_names() -> None:
    talk = Talk(is_beta=True)
    assert talk.created["type"] == "transcription_session.created"
    session = {"input_audio_format": "g711_alaw", "turn_detection": {"type": "server_vad", "silence_duration_ms": 700}}
    [updated] = talk.client({"type": "transcription_session.update", "session": session})
    assert updated["type"] == "transcription_session.updated"
    assert {name: updated["session"][name] for name in session} == session
    start, _ = talk.append()
    assert (start.format, start.endpointing_ms) == ("audio/pcm;rate=8000;channels=1;encoding=alaw", 700)
    talk.acknowledged()
    assert kinds(talk.client(COMMIT)[:-1]) == ["buffer.committed", "created"]


def test_no_sound_no_stream_and_large_sound_in_pieces() -> None:
    talk = Talk()
    assert talk.append(b"") == []
    start, *chunks = talk.append(bytes(150_000))
    assert isinstance(start, m.StreamStart)
    assert [len(chunk.payload) for chunk in chunks] == [65536, 65536, 18928]


def test_an_item_ends_where_speech_ends() -> None:
    talk = Talk()
    talk.append()
    talk.acknowledged()
    [started] = talk.spoke("speech_started", 100)
    assert (started["type"], started["audio_start_ms"]) == ("input_audio_buffer.speech_started", 100)
    [delta] = talk.said("Hello there", 100)
    assert (delta["type"], delta["delta"], delta["item_id"]) == (f"{TEXT}.delta", "Hello there", started["item_id"])
    stopped, committed, *added = talk.spoke("speech_ended", 900)
    assert (stopped["type"], stopped["audio_end_ms"]) == ("input_audio_buffer.speech_stopped", 900)
    assert (committed["item_id"], committed["previous_item_id"]) == (started["item_id"], None)
    assert kinds(added) == ["added", "done"]
    delta, completed = talk.said("you.", 700, segment=2)
    assert delta["delta"] == " you."
    assert completed == {
        "type": f"{TEXT}.completed", "event_id": completed["event_id"], "item_id": started["item_id"],
        "content_index": 0, "transcript": "Hello there you.", "usage": {"type": "duration", "seconds": 0.8},
    }  # fmt: skip
    assert talk.conversation.deadline() is None


def test_an_item_without_last_words_is_complete_after_a_while() -> None:
    talk = Talk()
    talk.append()
    talk.spoke("speech_started", 100)
    talk.said("Hello.", 100)
    talk.spoke("speech_ended", 900)
    due = talk.conversation.deadline()
    assert due == NOW + 1.0
    assert talk.time(due - 0.1) == []
    [completed] = talk.time(due)
    assert completed["transcript"] == "Hello."
    assert talk.conversation.deadline() is None


def test_words_that_are_known_to_come_are_waited_for() -> None:
    talk = Talk()
    talk.append()
    talk.spoke("speech_started", 100)
    talk.said("Hello", 100, final=False)
    talk.spoke("speech_ended", 900)
    assert talk.conversation.deadline() == NOW + 5.0


def test_late_words_are_an_item_of_their_own() -> None:
    talk = Talk()
    talk.append()
    talk.spoke("speech_started", 100)
    talk.spoke("speech_ended", 900)
    [completed] = talk.time(NOW + 5.0)
    assert completed["transcript"] == ""
    assert kinds(talk.said("late", 300)) == [
        "transcription.delta",
        "buffer.committed", "added", "done", "transcription.completed",
    ]  # fmt: skip


def test_the_next_speech_has_its_own_item() -> None:
    talk = Talk()
    talk.append()
    [first] = talk.spoke("speech_started", 100)
    talk.spoke("speech_ended", 900)
    [second] = talk.spoke("speech_started", 1500)
    assert second["item_id"] != first["item_id"]
    delta, completed = talk.said("one", 300)
    assert delta["item_id"] == completed["item_id"] == first["item_id"]
    [delta] = talk.said("two", 1600, segment=2)
    assert delta["item_id"] == second["item_id"]
    _, committed, *_ = talk.spoke("speech_ended", 2500)
    assert committed["previous_item_id"] == first["item_id"]
    talk.spoke("speech_started", 3000)
    # A final of the third item: the second one has all its words.
    assert [each.get("transcript") for each in talk.said("three", 3100, segment=3)] == ["two", None]


def test_a_commit_makes_everything_before_it_final() -> None:
    talk = Talk(turns=False)
    talk.append()
    talk.acknowledged()
    assert talk.spoke("speech_started", 0) == []
    assert kinds(talk.said("one", 0)) == ["transcription.delta"]
    committed, _, _, flush = talk.client(COMMIT)
    assert flush == m.StreamFlush(stream_id=talk.stream, flush_id=1)
    talk.append()
    assert kinds(talk.said("two", 500, segment=2)) == ["transcription.delta"]
    second, _, _, flush = talk.client(COMMIT)
    assert (flush.flush_id, second["previous_item_id"]) == (2, committed["item_id"])
    [completed] = talk.acknowledged(1)
    assert (completed["item_id"], completed["transcript"]) == (committed["item_id"], "one two")
    assert completed["usage"]["seconds"] == 1.0
    talk.said("three", 1200, segment=3)
    [completed] = talk.acknowledged(2)
    assert (completed["item_id"], completed["transcript"]) == (second["item_id"], "three")


def test_speech_within_a_commit_begins_no_item() -> None:
    talk = Talk()
    talk.append()
    talk.acknowledged()
    [committed, *_] = talk.client(COMMIT)
    assert talk.spoke("speech_started", 100) == talk.spoke("speech_ended", 800) == []
    assert kinds(talk.said("one", 200)) == ["transcription.delta"]
    [completed] = talk.acknowledged(1)
    assert (completed["item_id"], completed["transcript"]) == (committed["item_id"], "one")
    talk.append()
    assert kinds(talk.spoke("speech_started", 1200)) == ["buffer.speech_started"]


def test_an_empty_buffer_cannot_be_committed() -> None:
    talk = Talk(turns=False)
    for _ in range(2):
        [error] = talk.client({**COMMIT, "event_id": "mine"})
        assert (error["type"], error["error"]["code"]) == ("error", "input_audio_buffer_commit_empty")
        assert error["error"]["event_id"] == "mine"
        talk.append()
        talk.client(COMMIT)


def test_cleared_sound_is_no_item() -> None:
    talk = Talk(turns=False)
    talk.append()
    talk.acknowledged()
    flush, cleared = talk.client({"type": "input_audio_buffer.clear"})
    assert (flush.flush_id, cleared["type"]) == (1, "input_audio_buffer.cleared")
    assert talk.said("nothing", 0) == []
    assert talk.acknowledged(1) == []
    assert kinds(talk.client({"type": "input_audio_buffer.clear"})) == ["buffer.cleared"]
    talk.append()
    talk.client(COMMIT)
    talk.said("something", 1100, segment=2)
    [completed] = talk.acknowledged(2)
    assert completed["transcript"] == "something"


def test_deltas_are_what_will_not_change() -> None:
    talk = Talk(turns=False)
    talk.append()
    deltas = [talk.said(*said, final=False, stable=stable) for said, stable in (
        (("The quick",), 0), (("The quick brown",), 4), (("The quick brown fox",), 10),
    )]  # fmt: skip
    assert [each["delta"] for seen in deltas for each in seen] == ["The", " quick"]
    assert [each["delta"] for each in talk.said("The quick brown fox.")] == [" brown fox."]
    assert [each["delta"] for each in talk.said("Jumps", 900, segment=2)] == [" Jumps"]
    # A hypothesis that changed after all: the completed text is what counts.
    talk.said("over a", 1500, segment=3, final=False, stable=6)
    assert talk.said("over the dog", 1500, segment=3) == []
    talk.client(COMMIT)
    [completed] = talk.acknowledged(1)
    assert completed["transcript"] == "The quick brown fox. Jumps over the dog"


def test_a_change_while_sound_flows_begins_a_new_stream() -> None:
    talk = Talk()
    talk.append()
    talk.acknowledged()
    first = talk.stream
    end, updated = talk.client(
        {"type": "session.update", "session": {"audio": {"input": {"transcription": {"language": "fr"}}}}}
    )
    assert (end, updated["type"]) == (m.StreamEnd(stream_id=first), "session.updated")
    start, _ = talk.append()
    assert start.language == "fr"
    talk.acknowledged()
    assert kinds(talk.said("old", 0, stream=first))[-1] == "transcription.completed"
    assert talk.ended(first) == []
    # Times count all sound of the session.
    [started] = talk.spoke("speech_started", 250)
    assert started["audio_start_ms"] == 1250
    # The same configuration again changes nothing.
    again = {"type": "session.update", "session": {"audio": {"input": {"transcription": {"language": "fr"}}}}}
    assert kinds(talk.client(again)) == ["session.updated"]


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"type": "realtime"}, "type"),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "audio.input.format.type"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 7}}}}, "audio.input.format.rate"),
        ({"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 16000}}}}, "audio.input.format.rate"),
        ({"audio": {"input": {"transcription": None}}}, "audio.input.transcription"),
        ({"audio": {"input": {"transcription": {"language": "not a language!"}}}}, "language"),
        ({"audio": {"input": {"turn_detection": {"type": "magic"}}}}, "audio.input.turn_detection.type"),
        ({"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}}, "a.a.a.a.a.a.a.a.a"),
        ({"include": [{"x": 1}]}, "include"),
    ],
)
def test_updates_that_cannot_be_followed_change_nothing(session: Any, param: str) -> None:
    talk = Talk()
    [error] = talk.client({"type": "session.update", "event_id": "e", "session": session})
    assert (error["type"], error["error"]["param"], error["error"]["event_id"]) == ("error", param, "e")
    start, _ = talk.append()
    assert (start.format, start.language) == ("audio/pcm;rate=24000;channels=1;encoding=s16le", "auto")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_value"),
        ('{"type":1}', "invalid_value"),
        ('{"type":"response.create"}', "unknown_event"),
        ('{"type":"input_audio_buffer.append","audio":"!"}', "invalid_value"),
        ('{"type":"input_audio_buffer.append"}', "invalid_value"),
        ('{"type":"session.update","session":[]}', "invalid_value"),
        ("[" * 100_000, "payload_too_large"),
        ('{"type":"session.update","session":{"x":"' + "x" * MAX_TEXT + '"}}', "payload_too_large"),
    ],
)
def test_nonsense_gets_an_error_and_the_session_continues(text: str, code: str) -> None:
    talk = Talk()
    [error] = talk.client(text)
    assert (error["type"], error["error"]["type"], error["error"]["code"]) == ("error", "invalid_request_error", code)
    assert len(talk.append()) == 2


def test_binary_messages_are_no_events() -> None:
    [error] = _seen(Talk().conversation.receive_bytes(b"x", NOW))
    assert error["type"] == "error"


def test_a_stream_without_a_slot_is_busy() -> None:
    talk = Talk(turns=False)
    talk.append()
    committed, *_ = talk.client(COMMIT)
    failed, error, close = talk.failed(Code.BUSY)
    assert (failed["type"], failed["item_id"]) == (f"{TEXT}.failed", committed["item_id"])
    assert (failed["error"]["code"], error["error"]["code"], error["error"]["type"]) == ("busy", "busy", "server_error")
    assert close == ("close", 1013, "busy")
    assert talk.ended() == []


def test_a_stream_that_fails_later_says_why_once_it_ends() -> None:
    talk = Talk()
    talk.append()
    talk.acknowledged()
    assert talk.failed(Code.GAP) == talk.failed(Code.WORKER_FAILED) == []
    error, close = talk.ended()
    assert (error["error"]["code"], close) == ("internal_error", ("close", 1011, "worker_failed"))


def test_a_gateway_that_restarts_sends_what_it_has() -> None:
    talk = Talk()
    talk.append()
    talk.acknowledged()
    talk.spoke("speech_started", 0)
    talk.said("Hello", 0)
    *events, close = talk.ended()
    assert events[-1]["transcript"] == "Hello"
    assert close == ("close", 1012, "the gateway is restarting")


def test_sound_that_came_too_late_for_a_restart_is_no_item_without_words() -> None:
    talk = Talk(turns=False)
    talk.append()
    talk.acknowledged()
    talk.said("Hello", 0)
    talk.client(COMMIT)
    talk.acknowledged(1)
    talk.append()
    assert talk.failed(Code.UNKNOWN_STREAM, stream=False) == []
    committed, *_ = talk.client(COMMIT)
    failed, close = talk.ended()
    assert (failed["item_id"], failed["error"]["code"]) == (committed["item_id"], "busy")
    assert close == ("close", 1012, "the gateway is restarting")


def test_a_client_that_breaks_the_rules_gets_an_error_and_is_closed() -> None:
    error, close = _seen(Talk().conversation.refused(Problem(Code.RATE_LIMITED, "too many messages")))
    assert error["error"]["code"] == "rate_limit_exceeded"
    assert close == ("close", 1008, "rate_limited")
    [_, close] = Talk().failed(Code.SESSION_EXPIRED, stream=False)
    assert close == ("close", 1008, "session_expired")


def test_null_and_nothing_are_the_defaults_again() -> None:
    configuration = Configuration().updated(
        {"audio": {"input": {"transcription": {"language": "de", "prompt": "Talk", "keywords": ["TalkUp"]},
                             "turn_detection": {"type": "server_vad", "silence_duration_ms": 900}}}}
    )  # fmt: skip
    shown: dict[str, Any] = {"language": None, "prompt": "", "keywords": [], "model": None, "delay": None}
    turns = {"type": "server_vad", "silence_duration_ms": None, "threshold": None}
    again = configuration.updated(
        {
            "type": "transcription",
            "include": None,
            "audio": {"input": {"transcription": shown, "turn_detection": turns}},
        }
    )
    assert again.start().language == "auto"
    assert (again.prompt, list(again.keywords), again.silence_ms, again.has_turns) == ("", [], 500, True)
    assert again.ignored == {}


def test_a_session_may_be_sent_back_as_it_was_told() -> None:
    talk = Talk()
    settings = {name: value for name, value in talk.created["session"].items() if name not in ("id", "object")}
    del settings["talkup_ignored_options"]
    [updated] = talk.client({"type": "session.update", "session": settings})
    assert updated["type"] == "session.updated"
    assert updated["session"] == talk.created["session"]


def test_many_updates_with_unknown_options_are_remembered_within_a_bound() -> None:
    configuration = Configuration()
    for number in range(100):
        configuration = configuration.updated({f"x{number}.{inner}": 1 for inner in range(40)})
    assert configuration.ignored is not None
    assert len(configuration.ignored) <= 41
    assert "and more" in configuration.ignored

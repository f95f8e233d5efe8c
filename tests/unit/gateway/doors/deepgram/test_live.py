"""Golden conversations in Deepgram's dialect: what each side says, and what the other one gets."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from gateway.doors.deepgram.live import LiveConversation
from gateway.doors.deepgram.options import live
from gateway.doors.steps import Close, ToClient, ToSession
from gateway.protocol import messages as m
from gateway.protocol.errors import Code, Problem

NOW = 1_790_000_000.0
PCM = [("model", "nova-3"), ("encoding", "linear16"), ("sample_rate", "16000")]


class Talk:
    """A conversation, step by step."""

    def __init__(self, *options: tuple[str, str]) -> None:
        self.conversation = LiveConversation(live([*PCM, *options]), "request-1", ["base"], NOW)
        self.ids = [str(start.stream_id) for start in self.conversation.starts]

    def client(self, message: str | bytes, now: float = NOW) -> list[Any]:
        if isinstance(message, str):
            return _seen(self.conversation.receive_text(message, now))
        return _seen(self.conversation.receive_bytes(message, now))

    def session(self, message: m.ServerMessage, now: float = NOW) -> list[Any]:
        return _seen(self.conversation.on_message(message, now))

    def time(self, now: float) -> list[Any]:
        return _seen(self.conversation.tick(now))

    def said(self, text: str, *, final: bool = True, channel: int = 0, end_ms: int = 900) -> list[Any]:
        words = [m.WordData(word=word, start_ms=100, end_ms=end_ms, confidence=0.8) for word in text.split()]
        data = m.TranscriptData(
            stream_id=self.ids[channel], segment_id=1, revision=1, is_final=final, text=text, stable_chars=0,
            confidence=0.7, language="en", start_ms=100, end_ms=end_ms, words=words,
        )  # fmt: skip
        return self.session(m.TranscriptUpdate(stream_id=self.ids[channel], text=text, confidence=0.7, data=data))

    def spoke(self, event: Any, media_time_ms: int = 1000, now: float = NOW) -> list[Any]:
        data = m.SpeechEventData(stream_id=self.ids[0], event=event, media_time_ms=media_time_ms)
        return self.session(m.SpeechEvent(stream_id=self.ids[0], data=data), now)

    def flushed(self, flush_id: int, channel: int = 0) -> list[Any]:
        name = self.ids[channel]
        data = m.AcknowledgeData(stream_id=name, received=0, committed=0, next_sequence=1, flush_id=flush_id)
        return self.session(m.Acknowledge(stream_id=name, data=data))

    def committed(self, sequence: int) -> list[Any]:
        data = m.AcknowledgeData(stream_id=self.ids[0], received=9, committed=sequence, next_sequence=10)
        return self.session(m.Acknowledge(stream_id=self.ids[0], data=data))

    def ended(self, channel: int = 0) -> list[Any]:
        data = m.StreamEndedData(
            stream_id=self.ids[channel], chunks=1, bytes=2, media_seconds=1.5, segments=1, gaps=0, missing_chunks=0,
            damaged_bytes=0, speech_without_words_ms=0, duplicate_chunks=0, orphan_chunks=0, dropped=m.DroppedData(),
            failovers=0, text="", text_id="",
        )  # fmt: skip
        return self.session(m.StreamEnded(stream_id=self.ids[channel], data=data))

    def failed(self, code: Code, text: str = "why", stream: bool = True, **more: Any) -> list[Any]:
        data = m.ErrorData(code=str(code), message=text, retryable=False, **more)
        if stream:
            data = msgspec.structs.replace(data, stream_id=self.ids[0])
        return self.session(m.ErrorMessage(data=data))


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


def _text(result: Any) -> str:
    return str(result["channel"]["alternatives"][0]["transcript"])


def test_sound_goes_to_the_stream_as_it_comes() -> None:
    talk = Talk()
    assert talk.client(b"\1\2") == [m.StreamChunk(stream_id=talk.ids[0], payload=b"\1\2")]


def test_interims_and_finals_have_words_times_and_confidences() -> None:
    talk = Talk(("interim_results", "true"))
    [interim] = talk.said("Hello", final=False)
    assert (interim["type"], interim["is_final"], interim["speech_final"]) == ("Results", False, False)
    [final] = talk.said("Hello, World.")
    assert final == {
        "type": "Results",
        "channel_index": [0, 1],
        "start": 0.1,
        "duration": 0.8,
        "is_final": True,
        "speech_final": False,
        "from_finalize": False,
        "channel": {
            "alternatives": [
                {
                    "transcript": "Hello, World.",
                    "confidence": 0.7,
                    "words": [
                        {"word": "hello", "punctuated_word": "Hello,", "start": 0.1, "end": 0.9, "confidence": 0.8},
                        {"word": "world", "punctuated_word": "World.", "start": 0.1, "end": 0.9, "confidence": 0.8},
                    ],
                }
            ]
        },
        "metadata": {
            "request_id": "request-1",
            "model_uuid": final["metadata"]["model_uuid"],
            "model_info": {"name": "base", "version": "1", "arch": "talkup"},
        },
    }


def test_the_last_words_of_a_segment_are_its_speech_final() -> None:
    talk = Talk()
    assert [result["speech_final"] for result in talk.said("one")] == [False]
    assert talk.spoke("speech_ended") == []
    assert [result["speech_final"] for result in talk.said("two")] == [True]
    assert talk.conversation.deadline() is None


def test_a_segment_without_last_words_ends_with_an_empty_result() -> None:
    talk = Talk()
    talk.said("one")
    talk.spoke("speech_ended")
    due = talk.conversation.deadline()
    assert due == NOW + 1.0
    assert talk.time(due - 0.1) == []
    [result] = talk.time(due)
    assert (_text(result), result["is_final"], result["speech_final"], result["start"]) == ("", True, True, 0.9)


def test_silence_that_is_committed_without_words_ends_the_segment_at_once() -> None:
    talk = Talk()
    talk.said("one")
    assert talk.committed(4) == []
    talk.spoke("speech_ended")
    assert talk.committed(4) == []
    [result] = talk.committed(5)
    assert (_text(result), result["is_final"], result["speech_final"]) == ("", True, True)
    assert talk.conversation.deadline() is None


def test_speech_started_is_sent_only_if_it_is_wanted() -> None:
    assert Talk().spoke("speech_started") == []
    started = Talk(("vad_events", "true")).spoke("speech_started", 1500)
    assert started == [{"type": "SpeechStarted", "channel": [0, 1], "timestamp": 1.5}]


def test_an_utterance_ends_once_nobody_has_spoken_for_a_while() -> None:
    talk = Talk(("utterance_end_ms", "1500"), ("endpointing", "300"))
    talk.spoke("speech_ended")
    talk.said("one", end_ms=800)
    assert talk.conversation.deadline() == NOW + 1.2
    assert talk.time(NOW + 1.2) == [{"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.8}]
    assert talk.conversation.deadline() is None


def test_speech_that_continues_ends_no_utterance() -> None:
    talk = Talk(("utterance_end_ms", "1500"))
    talk.spoke("speech_ended")
    talk.said("one")
    talk.spoke("speech_started")
    assert talk.conversation.deadline() is None


def test_finalize_is_answered_with_the_last_words() -> None:
    talk = Talk()
    [flush] = talk.client('{"type":"Finalize"}')
    assert flush == m.StreamFlush(stream_id=talk.ids[0], flush_id=1)
    assert talk.said("one") == []
    assert [(_text(result), result["from_finalize"]) for result in talk.said("two")] == [("one", False)]
    assert [(_text(result), result["from_finalize"]) for result in talk.flushed(1)] == [("two", True)]


def test_finalize_is_answered_without_words_too() -> None:
    talk = Talk()
    talk.client('{"type":"Finalize"}')
    [result] = talk.flushed(1)
    assert (_text(result), result["is_final"], result["from_finalize"]) == ("", True, True)


def test_every_finalize_is_answered() -> None:
    talk = Talk()
    assert len(talk.client('{"type":"Finalize"}')) == 1
    assert talk.client('{"type":"Finalize"}') == talk.client('{"type":"Finalize"}') == []
    first, flush = talk.flushed(1)
    assert first["from_finalize"]
    assert flush == m.StreamFlush(stream_id=talk.ids[0], flush_id=2)
    assert [result["from_finalize"] for result in talk.flushed(2)] == [True, True]


def test_a_finalize_on_its_way_is_answered_by_the_end() -> None:
    talk = Talk()
    talk.client('{"type":"Finalize"}')
    talk.client('{"type":"Finalize"}')
    talk.client('{"type":"CloseStream"}')
    talk.client('{"type":"Finalize"}')
    talk.said("one")
    ended = talk.ended()
    assert [message["type"] for message in ended[:-1]] == ["Results", "Results", "Results", "Metadata"]
    assert [_text(result) for result in ended[:3]] == ["one", "", ""]
    assert all(result["from_finalize"] for result in ended[:3])


@pytest.mark.parametrize("message", ['{"type":"CloseStream"}', b""])
def test_the_end_is_the_last_words_the_metadata_and_a_close(message: str | bytes) -> None:
    talk = Talk(("tag", "x"))
    talk.client(b"\1\2\3")
    assert talk.client(message) == [m.StreamEnd(stream_id=talk.ids[0])]
    assert talk.client(message) == talk.client(b"late") == []
    [last] = talk.said("bye")
    assert _text(last) == "bye"
    metadata, close = talk.ended()
    assert close == ("close", 1000, "")
    model_uuid = metadata["models"][0]
    assert metadata == {
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": "request-1",
        "sha256": hashlib.sha256(b"\1\2\3").hexdigest(),
        "created": "2026-09-21T14:13:20.000+00:00",
        "duration": 1.5,
        "channels": 1,
        "models": [model_uuid],
        "model_info": {model_uuid: {"name": "base", "version": "1", "arch": "talkup"}},
        "warnings": [
            {
                "parameter": "model",
                "type": "ignored_option",
                "message": "the workers' model transcribes; `model_info` names it",
            },
            {"parameter": "tag", "type": "ignored_option", "message": "there is no usage reporting"},
        ],
    }


def test_keep_alive_changes_nothing() -> None:
    assert Talk().client('{"type":"KeepAlive"}') == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"type":1}', '{"type":"Nonsense"}', "[" * 100_000, "x" * 20_000])
def test_nonsense_gets_an_error_and_the_stream_continues(text: str) -> None:
    talk = Talk()
    [error] = talk.client(text)
    assert (error["type"], error["variant"]) == ("Error", "SchemaError")
    assert len(talk.client(b"\1\2")) == 1


def test_options_do_not_change_while_the_stream_runs() -> None:
    [failure] = Talk().client('{"type":"Configure","keyterms":["x"]}')
    assert failure["type"] == "ConfigureFailure"


def test_channels_are_streams_of_their_own() -> None:
    talk = Talk(("channels", "2"), ("multichannel", "true"))
    left, right = talk.client(b"LlRrLlRr")
    assert (left.stream_id, left.payload) == (talk.ids[0], b"LlLl")
    assert (right.stream_id, right.payload) == (talk.ids[1], b"RrRr")
    assert [result["channel_index"] for result in talk.said("one", channel=1)] == [[1, 2]]
    assert len(talk.client('{"type":"CloseStream"}')) == 2
    assert talk.ended(0) == []
    metadata, close = talk.ended(1)
    assert (metadata["channels"], close) == (2, ("close", 1000, ""))


def test_a_failed_stream_says_why_and_closes() -> None:
    talk = Talk()
    assert talk.failed(Code.MEDIA_ERROR, "this is no sound") == []
    error, close = talk.ended()
    assert (error["type"], error["variant"], error["description"]) == ("Error", "Bad Request", "this is no sound")
    assert close == ("close", 1008, "DATA-0000")


def test_a_stream_without_a_slot_is_busy() -> None:
    talk = Talk()
    talk.failed(Code.BUSY, "every worker slot is taken")
    error, close = talk.ended()
    assert error["variant"] == "SERVICE_UNAVAILABLE"
    assert close == ("close", 1013, "BUSY")


def test_a_stream_that_waited_for_a_worker_ends_well() -> None:
    talk = Talk()
    assert talk.failed(Code.NO_WORKER, retry_after_ms=2000) == []
    talk.client('{"type":"CloseStream"}')
    assert talk.ended()[-1] == ("close", 1000, "")


def test_a_gateway_that_restarts_sends_what_it_has() -> None:
    metadata, close = Talk().ended()
    assert metadata["type"] == "Metadata"
    assert close == ("close", 1012, "the gateway is restarting")


def test_a_client_that_breaks_the_rules_gets_an_error_and_is_closed() -> None:
    error, close = _seen(Talk().conversation.refused(Problem(Code.RATE_LIMITED, "too many messages")))
    assert error["variant"] == "TOO_MANY_REQUESTS"
    assert close == ("close", 1008, "RATE_LIMITED")

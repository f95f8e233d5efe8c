"""Golden conversations in Wyoming: what a client says, what the session says, and what each of them gets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from gateway.doors.steps import Close, ToClient, ToSession
from gateway.doors.wyoming.conversation import Begin, WyomingConversation
from gateway.doors.wyoming.framing import Event
from gateway.protocol import messages as m
from gateway.protocol.errors import Code, Problem

SOUND = {"rate": 16_000, "width": 2, "channels": 1}


class Talk:
    """A conversation, step by step."""

    def __init__(self, *services: m.ServiceStatus) -> None:
        self.conversation = WyomingConversation(lambda: services)
        self.starts: list[m.StreamStart] = []
        self.ignored: list[str] = []

    def say(self, kind: str, data: Any = None, payload: bytes = b"") -> list[Any]:
        return self._seen(self.conversation.receive(Event(kind, data or {}, payload)))

    def heard(self, text: str, *, final: bool = True, language: str = "en") -> list[Any]:
        name = str(self.starts[-1].stream_id)
        data = m.TranscriptData(
            stream_id=name, segment_id=1, revision=1, is_final=final, text=text, stable_chars=0,
            confidence=0.7, language=language, start_ms=100, end_ms=200, words=[],
        )  # fmt: skip
        message = m.TranscriptUpdate(stream_id=name, text=text, confidence=0.7, data=data)
        return self._seen(self.conversation.on_message(message))

    def ended(self, text: str) -> list[Any]:
        name = str(self.starts[-1].stream_id)
        data = m.StreamEndedData(
            stream_id=name, chunks=1, bytes=1, media_seconds=1.0, segments=1, gaps=0, missing_chunks=0,
            damaged_bytes=0, speech_without_words_ms=0, duplicate_chunks=0, orphan_chunks=0, dropped=m.DroppedData(),
            failovers=0, text=text, text_id="",
        )  # fmt: skip
        return self._seen(self.conversation.on_message(m.StreamEnded(stream_id=name, data=data)))

    def failed(self, code: Code, stream_id: str | None = None, **more: Any) -> list[Any]:
        more = more if stream_id is None else {**more, "stream_id": stream_id}
        data = m.ErrorData(code=code, message="why", retryable=False, **more)
        return self._seen(self.conversation.on_message(m.ErrorMessage(data=data)))

    def _seen(self, steps: Iterable[Any]) -> list[Any]:
        found: list[Any] = []
        for step in steps:
            match step:
                case Begin(start, ignored):
                    self.starts.append(start)
                    self.ignored += ignored
                    found.append("begin")
                case ToSession(m.StreamChunk(payload=payload)):
                    found.append(payload)
                case ToSession(m.StreamEnd()):
                    found.append("end")
                case ToClient(payload):
                    line, _, body = payload.partition(b"\n")
                    header = json.loads(line)
                    assert header.get("data_length", 0) == len(body)
                    found.append((header["type"], json.loads(body) if body else {}))
                case Close():
                    found.append("close")
        return found


def test_a_request_and_its_answer() -> None:
    talk = Talk()
    asked = {
        "language": "de",
        "name": "base",
        "transcript_names": ["Ada"],
        "transcript_terms": ["Uhr"],
        "shade": "blue",
    }
    assert talk.say("transcribe", asked) == []
    assert talk.say("audio-start", {**SOUND, "timestamp": None}) == ["begin"]
    assert talk.say("audio-chunk", SOUND, b"abcd") == [b"abcd"]
    assert talk.heard("guten", final=False) == []
    assert talk.heard("Guten Tag.", language="de") == [
        ("transcript-start", {"language": "de"}),
        ("transcript-chunk", {"text": "Guten Tag."}),
    ]
    assert talk.heard(" Wie spät ist es?", language="de") == [("transcript-chunk", {"text": " Wie spät ist es?"})]
    assert talk.say("audio-stop") == ["end"]
    assert talk.conversation.is_answering
    assert talk.ended("Guten Tag. Wie spät ist es?") == [
        ("transcript", {"text": "Guten Tag. Wie spät ist es?", "language": "de"}),
        ("transcript-stop", {}),
    ]
    assert not talk.conversation.is_busy
    [start] = talk.starts
    assert (start.format, start.language) == ("audio/pcm;rate=16000;channels=1;encoding=s16le", "de")
    assert start.hotwords == ["Ada", "Uhr"]
    assert sorted(talk.ignored) == ["name", "shade"]


def test_languages_without_spaces_are_joined_without_them() -> None:
    talk = Talk()
    talk.say("audio-start", SOUND)
    talk.heard("你好", language="zh")
    assert talk.heard("世界", language="zh") == [("transcript-chunk", {"text": "世界"})]


def test_wishes_hold_for_one_request() -> None:
    talk = Talk()
    talk.say("transcribe", {"language": "de"})
    for language in ("de", "auto"):
        talk.say("audio-chunk", SOUND, b"ab")
        talk.say("audio-stop")
        assert talk.ended("") == [("transcript-start", {}), ("transcript", {"text": ""}), ("transcript-stop", {})]
        assert talk.starts[-1].language == language
    assert talk.starts[0].stream_id != talk.starts[1].stream_id


def test_silence_is_an_empty_transcript() -> None:
    kinds = [kind for kind, _ in Talk().say("audio-stop")]
    assert kinds == ["transcript-start", "transcript", "transcript-stop"]


def test_a_failure_is_an_error_and_the_end() -> None:
    talk = Talk()
    talk.say("audio-start", SOUND)
    name = str(talk.starts[0].stream_id)
    assert talk.failed(Code.GAP, name) == []
    assert talk.failed(Code.NO_WORKER, name) == []
    assert talk.ended("some words") == [("error", {"text": "why", "code": "no_worker"}), "close"]
    assert talk.say("audio-start", SOUND) == []
    assert talk.conversation.refused(Problem(Code.BUSY, "later")) == []


def test_a_stream_that_waited_for_a_worker_has_its_words() -> None:
    talk = Talk()
    talk.say("audio-start", SOUND)
    assert talk.failed(Code.NO_WORKER, str(talk.starts[0].stream_id), retry_after_ms=2000) == []
    talk.say("audio-stop")
    assert talk.ended("some words")[1] == ("transcript", {"text": "some words"})


def test_an_error_of_the_session_ends_it_at_once() -> None:
    talk = Talk()
    talk.say("audio-start", SOUND)
    assert talk.failed(Code.INTERNAL) == [("error", {"text": "why", "code": "internal"}), "close"]


def test_an_end_that_the_client_did_not_ask_for_is_a_restart() -> None:
    talk = Talk()
    talk.say("audio-start", SOUND)
    assert talk.ended("some words") == [("error", {"text": "the gateway is restarting", "code": "busy"}), "close"]


@pytest.mark.parametrize(
    "sound",
    [{}, {**SOUND, "width": 1}, {**SOUND, "rate": 7_999}, {**SOUND, "channels": 9}, {**SOUND, "rate": "16000"}],
)
def test_sound_that_is_not_understood_is_refused(sound: dict[str, Any]) -> None:
    [(kind, data), close] = Talk().say("audio-start", sound)
    assert (kind, data["code"], close) == ("error", "bad_message", "close")


@pytest.mark.parametrize("asked", [{"transcript_names": ["x"] * 101}, {"transcript_terms": ["x" * 65]}])
def test_too_many_hot_words_are_refused(asked: dict[str, Any]) -> None:
    talk = Talk()
    talk.say("transcribe", asked)
    assert talk.say("audio-start", SOUND)[-1] == "close"


def test_unknown_events_are_skipped_and_pings_answered() -> None:
    talk = Talk()
    assert talk.say("select-program", {"name": "talkup"}) == []
    assert talk.say("ping", {"text": 5}) == [("pong", {"text": None})]


def test_the_models_are_those_of_the_speech_workers() -> None:
    speech = m.ServiceStatus(
        service="stt",
        workers_total=1,
        workers_serving=1,
        free_slots=1,
        models=["base"],
        languages=["en-US", "en", "de"],
    )
    vision = m.ServiceStatus(service="vision", workers_total=1, workers_serving=1, free_slots=1, models=["face"])
    [(kind, data)] = Talk(speech, vision).say("describe")
    [program] = data["asr"]
    assert kind == "info"
    assert [(model["name"], model["languages"]) for model in program["models"]] == [("base", ["de", "en"])]

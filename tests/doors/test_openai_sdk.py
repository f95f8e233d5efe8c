"""OpenAI's own Python SDK, unmodified, against real processes: it parses every answer, and no word is lost."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from bench.harness.stack import KEY, Stack
from tests.doors.conftest import SDK, run_sdk
from tests.fakes.readme import example
from workers.fake.engine import expected_words

pytestmark = pytest.mark.doors


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.ogg"
    path.write_bytes(b"OggS\0\2" + random.Random(8).randbytes(40_000))
    return path


def test_uploads_have_every_word(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    words = expected_words(recording.read_bytes())
    calls = [
        *({"response_format": name} for name in ("json", "text", "srt", "vtt")),
        {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"], "language": "fr"},
        {"call": "models"},
        {"response_format": "diarized_json"},
        {"call": "translate"},
        {"key": "wrong"},
        {"stream": True},
    ]
    given = [json.dumps(call) for call in calls]
    results = run_sdk(sdk_python, SDK / "openai_file.py", fake_stack.http_url, KEY, recording, *given)
    plain, text, srt, vtt, full, models, refused, translated, wrong, *deltas, done = results
    assert plain[0] == "Transcription"
    assert plain[1]["text"].split() == words
    assert plain[1]["usage"]["type"] == "duration"
    assert text == ["str", f"{plain[1]['text']}\n"]
    for kind, cues in (srt, vtt):
        lines = [line for line in cues.splitlines() if line and "-->" not in line and not line.isdigit()]
        assert kind == "str"
        assert " ".join(lines).removeprefix("WEBVTT ").split() == words
    assert (full[0], full[1]["language"]) == ("TranscriptionVerbose", "french")
    assert [word["word"] for word in full[1]["words"]] == words
    assert " ".join(segment["text"] for segment in full[1]["segments"]).split() == words
    assert all(segment["start"] < segment["end"] for segment in full[1]["segments"])
    assert [model["id"] for model in models[1]["data"]] == ["fake"]
    assert (refused[0], refused[1]["param"]) == ("BadRequestError", "response_format")
    assert (translated[0], translated[1]["status"]) == ("BadRequestError", 400)
    assert (wrong[0], wrong[1]["code"]) == ("AuthenticationError", "invalid_api_key")
    assert {kind for kind, _ in deltas} == {"TranscriptionTextDeltaEvent"}
    assert done[0] == "TranscriptionTextDoneEvent"
    assert "".join(event["delta"] for _, event in deltas) == done[1]["text"] == plain[1]["text"]


def test_a_realtime_session_has_every_word(fake_stack: Stack, sdk_python: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.s16le"
    path.write_bytes(random.Random(9).randbytes(60_000))
    sound = {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": {"model": "whisper-1"}}
    session = {"type": "transcription", "audio": {"input": {**sound, "turn_detection": None}}}
    script = SDK / "openai_realtime.py"
    results = run_sdk(sdk_python, script, fake_stack.http_url, KEY, path, json.dumps(session))
    kinds = [kind for kind, _ in results]
    assert kinds[:2] == ["SessionCreatedEvent", "SessionUpdatedEvent"]
    assert "RealtimeErrorEvent" not in kinds
    prefix = "ConversationItemInputAudioTranscription"
    completed = [event for kind, event in results if kind == f"{prefix}CompletedEvent"]
    words = [word for event in completed for word in event["transcript"].split()]
    assert words == expected_words(path.read_bytes(), breaks=[30_000])
    for event in completed:
        deltas = [
            each["delta"]
            for kind, each in results
            if kind == f"{prefix}DeltaEvent" and each["item_id"] == event["item_id"]
        ]
        assert "".join(deltas) == event["transcript"]
    committed = [event["item_id"] for kind, event in results if kind == "InputAudioBufferCommittedEvent"]
    assert committed == [event["item_id"] for event in completed]


def test_the_example_of_the_page_prints_the_words(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    code = example("openai-example", "docs/doors.md")
    command = [sdk_python, "-c", code, fake_stack.http_url, KEY, recording]
    done = subprocess.run(command, env={}, capture_output=True, check=False, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == expected_words(recording.read_bytes())


def test_the_example_of_a_session_prints_the_words(fake_stack: Stack, sdk_python: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.s16le"
    path.write_bytes(random.Random(10).randbytes(48_000))
    code = example("openai-realtime-example", "docs/doors.md")
    command = [sdk_python, "-c", code, fake_stack.http_url, KEY, path]
    done = subprocess.run(command, env={}, capture_output=True, check=False, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == expected_words(path.read_bytes())


def test_the_sdk_for_javascript_has_every_word(fake_stack: Stack, recording: Path) -> None:
    script = Path(__file__).parent / "node" / "openai_all.mjs"
    verbose, streamed, completed = run_sdk(Path("node"), script, fake_stack.http_url, KEY, recording)
    words = expected_words(recording.read_bytes())
    assert verbose["text"].split() == words
    assert verbose["language"] == "french"
    assert streamed["deltas"] == streamed["text"] == verbose["text"]
    assert completed["transcript"].split() == words

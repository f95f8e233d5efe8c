"""OpenAI's own Python SDK, unmodified, against real processes: it parses every answer, and no word is lost."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import av
import pytest
from talkup_client import Client

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


def uploads(stack: Stack, python: Path, recording: Path, *options: dict[str, Any], key: str = KEY) -> list[Any]:
    given = [json.dumps(each) for each in options]
    return run_sdk(python, SDK / "openai_file.py", stack.http_url, key, recording, *given)


def test_every_format_has_every_word(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    words = expected_words(recording.read_bytes())
    both = ["word", "segment"]
    formats = [{"response_format": name} for name in ("json", "text", "srt", "vtt")]
    verbose = {"response_format": "verbose_json", "timestamp_granularities": both, "language": "fr"}
    plain, text, srt, vtt, full, models = uploads(
        fake_stack, sdk_python, recording, *formats, verbose, {"call": "models"}
    )
    assert plain[0] == "Transcription"
    assert plain[1]["text"].split() == words
    assert plain[1]["usage"]["type"] == "duration"
    assert text == ["str", f"{plain[1]['text']}\n"]
    for kind, cues in (srt, vtt):
        lines = [line for line in cues.splitlines() if line and "-->" not in line and not line.isdigit()]
        assert kind == "str"
        assert " ".join(lines).removeprefix("WEBVTT ").split() == words
    assert full[0] == "TranscriptionVerbose"
    assert full[1]["language"] == "french"
    assert [word["word"] for word in full[1]["words"]] == words
    assert " ".join(segment["text"] for segment in full[1]["segments"]).split() == words
    assert all(segment["start"] < segment["end"] for segment in full[1]["segments"])
    assert [model["id"] for model in models[1]["data"]] == ["fake"]


def test_events_come_as_the_sdk_knows_them(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    *deltas, done = uploads(fake_stack, sdk_python, recording, {"stream": True})
    assert {kind for kind, _ in deltas} == {"TranscriptionTextDeltaEvent"}
    assert done[0] == "TranscriptionTextDoneEvent"
    assert "".join(event["delta"] for _, event in deltas) == done[1]["text"]
    assert done[1]["text"].split() == expected_words(recording.read_bytes())


def test_a_realtime_session_has_every_word(fake_stack: Stack, sdk_python: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.s16le"
    path.write_bytes(random.Random(9).randbytes(60_000))
    sound = {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": {"model": "whisper-1"}}
    session = {"type": "transcription", "audio": {"input": {**sound, "turn_detection": None}}}
    script = SDK / "openai_realtime.py"
    told = run_sdk(sdk_python, script, fake_stack.http_url, KEY, path, json.dumps(session))
    kinds = [kind for kind, _ in told]
    assert kinds[:2] == ["SessionCreatedEvent", "SessionUpdatedEvent"]
    assert "RealtimeErrorEvent" not in kinds
    prefix = "ConversationItemInputAudioTranscription"
    completed = [event for kind, event in told if kind == f"{prefix}CompletedEvent"]
    words = [word for event in completed for word in event["transcript"].split()]
    assert words == expected_words(path.read_bytes(), breaks=[30_000])
    for event in completed:
        deltas = [
            each["delta"]
            for kind, each in told
            if kind == f"{prefix}DeltaEvent" and each["item_id"] == event["item_id"]
        ]
        assert "".join(deltas) == event["transcript"]
    committed = [event["item_id"] for kind, event in told if kind == "InputAudioBufferCommittedEvent"]
    assert committed == [event["item_id"] for event in completed]


def test_refusals_are_the_sdks_errors(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    diarized = {"response_format": "diarized_json"}
    refused, translated = uploads(fake_stack, sdk_python, recording, diarized, {"call": "translate"})
    assert (refused[0], refused[1]["param"]) == ("BadRequestError", "response_format")
    assert (translated[0], translated[1]["status"]) == ("BadRequestError", 400)
    [wrong] = uploads(fake_stack, sdk_python, recording, {}, key="wrong")
    assert (wrong[0], wrong[1]["code"]) == ("AuthenticationError", "invalid_api_key")


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


@pytest.mark.model
async def test_text_is_that_of_our_own_protocol(model_stack: Stack, sdk_python: Path, speech_ogg: Path) -> None:
    async with (
        Client(model_stack.ws_url, key=KEY) as client,
        client.stream(format="audio", mode="file", language="en") as stream,
    ):
        await stream.send(speech_ogg.read_bytes())
        await stream.end()
        own = [final.text async for final in stream.finals()]
    [[kind, body]] = uploads(model_stack, sdk_python, speech_ogg, {"language": "en"})
    assert kind == "Transcription"
    assert body["text"].split() == " ".join(own).split()


@pytest.mark.model
def test_turns_have_every_word_of_the_session(
    model_stack: Stack, sdk_python: Path, speech_ogg: Path, tmp_path: Path
) -> None:
    path = tmp_path / "talk.s16le"
    path.write_bytes(samples(speech_ogg, rate=24_000, seconds=10) + bytes(3 * 48_000))
    session_id, texts = run_sdk(sdk_python, SDK / "openai_turns.py", model_stack.http_url, KEY, path)
    url = f"{model_stack.http_url}/v1/sessions/{session_id.removeprefix('sess_')}/transcript"
    request = Request(url, headers={"Authorization": f"Bearer {KEY}"})
    with build_opener(ProxyHandler({})).open(request, timeout=20) as answer:
        stored = json.load(answer)["text"]
    assert len(texts) >= 2
    assert " ".join(texts).split() == stored.split()
    assert len(stored.split()) > 10


def samples(recording: Path, *, rate: int, seconds: int) -> bytes:
    """The start of a recording as mono samples of 16 bits."""
    resampler = av.AudioResampler("s16", "mono", rate)
    with av.open(str(recording)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return b"".join(frame.to_ndarray().tobytes() for frame in frames)[: 2 * rate * seconds]

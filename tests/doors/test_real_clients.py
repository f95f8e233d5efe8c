"""Clients as people have them, against real processes: Deepgram's unmodified SDKs, the examples of docs/doors.md."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import wave
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from bench.harness.stack import KEY, Stack, child_environment
from tests.doors.conftest import SDK, run_sdk
from tests.fakes.readme import example
from workers.fake.engine import expected_words

pytestmark = pytest.mark.doors

PAGE = "docs/doors.md"
RAW = {"encoding": "linear16", "sample_rate": 16000}
HALF = 19_200


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.s16le"
    path.write_bytes(random.Random(3).randbytes(2 * HALF))
    return path


def live(stack: Stack, python: Path, recording: Path, **options: Any) -> list[Any]:
    script = SDK / "deepgram_live.py"
    return run_sdk(python, script, stack.http_url, KEY, recording, json.dumps({**RAW, **options}))


def finals(events: list[Any]) -> list[Any]:
    return [body for kind, body in events if kind == "ListenV1Results" and body["is_final"]]


def words(results: list[Any]) -> list[str]:
    return [word for each in results for word in each["channel"]["alternatives"][0]["transcript"].split()]


def test_a_live_conversation_has_every_word(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    events = live(fake_stack, sdk_python, recording, interim_results="true", vad_events="true", smart_format="true")
    kinds = [kind for kind, _ in events]
    assert set(kinds) == {"ListenV1SpeechStarted", "ListenV1Results", "ListenV1Metadata", "close"}
    assert kinds[-2:] == ["ListenV1Metadata", "close"]
    assert words(finals(events)) == expected_words(recording.read_bytes(), breaks=[HALF])
    assert any(not body["is_final"] for kind, body in events if kind == "ListenV1Results")
    assert sum(bool(each["from_finalize"]) for each in finals(events)) == 1
    for each in finals(events):
        spoken = each["channel"]["alternatives"][0]
        assert [word["punctuated_word"] for word in spoken["words"]] == spoken["transcript"].split()
    [metadata] = [body for kind, body in events if kind == "ListenV1Metadata"]
    assert metadata["duration"] == pytest.approx(2 * HALF / 32_000)


def test_the_sdk_for_javascript_has_every_word(fake_stack: Stack, recording: Path) -> None:
    script = Path(__file__).parent / "node" / "deepgram_live.mjs"
    options = json.dumps({**RAW, "interim_results": "true"})
    events = run_sdk(Path("node"), script, fake_stack.http_url, KEY, recording, options)
    results = [each for each in events if each["type"] == "Results" and each["is_final"]]
    assert words(results) == expected_words(recording.read_bytes(), breaks=[HALF])
    assert [each["type"] for each in events[-3:-1]] == ["Metadata", "close"]
    assert events[-2]["code"] == 1000
    assert events[-1]["text"].split() == expected_words(recording.read_bytes())


def test_two_channels_are_kept_apart(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    events = live(fake_stack, sdk_python, recording, channels=2, multichannel="true")
    media = recording.read_bytes()
    for channel in (0, 1):
        track = b"".join(media[at : at + 2] for at in range(2 * channel, len(media), 4))
        heard = [each for each in finals(events) if each["channel_index"] == [channel, 2]]
        assert words(heard) == expected_words(track, breaks=[HALF // 2])


def test_an_upload_has_every_word(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    options = json.dumps({"encoding": "mulaw", "utterances": True})
    [[kind, body]] = run_sdk(sdk_python, SDK / "deepgram_file.py", fake_stack.http_url, KEY, recording, options)
    assert kind == "ListenV1Response"
    [channel] = body["results"]["channels"]
    assert channel["alternatives"][0]["transcript"].split() == expected_words(recording.read_bytes())
    assert [word["punctuated_word"] for word in channel["alternatives"][0]["words"]] == expected_words(
        recording.read_bytes()
    )
    assert len(body["results"]["utterances"]) == 1


def test_a_token_granted_by_the_sdk_lets_it_in(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    [[kind, body]] = run_sdk(sdk_python, SDK / "deepgram_file.py", fake_stack.http_url, KEY, recording, "grant")
    assert kind == "ListenV1Response"
    text = body["results"]["channels"][0]["alternatives"][0]["transcript"]
    assert text.split() == expected_words(recording.read_bytes())


def test_refusals_are_the_sdks_errors(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    script = SDK / "deepgram_file.py"
    [[kind, status, body]] = run_sdk(sdk_python, script, fake_stack.http_url, "wrong", recording, "{}")
    assert (kind, status, body["err_code"]) == ("ApiError", 401, "INVALID_AUTH")
    [[kind, status, body]] = run_sdk(
        sdk_python, script, fake_stack.http_url, KEY, recording, json.dumps({"redact": "pci"})
    )
    assert (kind, status) == ("BadRequestError", 400)
    assert "redact" in body["err_msg"]


def test_the_example_of_the_page_prints_the_words(fake_stack: Stack, sdk_python: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.ogg"
    path.write_bytes(b"OggS\0\2" + random.Random(4).randbytes(5000))
    code = example("deepgram-example", PAGE)
    command = [sdk_python, "-c", code, fake_stack.http_url, KEY, path]
    done = subprocess.run(command, env={}, capture_output=True, check=False, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == expected_words(path.read_bytes())


def test_a_client_of_wyoming_has_every_word(fake_stack: Stack, sdk_python: Path, recording: Path) -> None:
    """Two requests on one connection; the events that stream the text say the same as the transcript."""
    uri = f"tcp://127.0.0.1:{fake_stack.wyoming_port}"
    events = run_sdk(sdk_python, SDK / "wyoming_requests.py", uri, recording)
    expected = expected_words(recording.read_bytes())
    assert events[0] == ["info", "talkup", True]
    for requested in (events[1:6], events[6:11]):
        assert [kind for kind, _ in requested] == ["start", "chunks", "transcript", "stop", "pong"]
        assert requested[1][1].split() == requested[2][1].split() == expected
    assert len(events) == 11


def test_the_example_of_wyoming_prints_the_words(fake_stack: Stack, sdk_python: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    samples = random.Random(9).randbytes(32_000)
    with wave.open(str(path), "wb") as writing:
        writing.setparams((1, 2, 16_000, 0, "NONE", ""))
        writing.writeframes(samples)
    command = [sdk_python, "-c", example("wyoming-example", PAGE), f"tcp://127.0.0.1:{fake_stack.wyoming_port}", path]
    done = subprocess.run(command, env={}, capture_output=True, check=False, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == expected_words(samples)


def run_example(name: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-c", example(name, PAGE), *arguments]
    done = subprocess.run(command, env=child_environment({}), capture_output=True, check=False, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_answer_to_a_call_names_the_stream_and_its_token(fake_stack: Stack) -> None:
    answer = ET.fromstring(run_example("twilio-example", fake_stack.http_url, KEY, "wss://talkup.example/v1/twilio"))
    stream = answer.find("Start/Stream")
    assert stream is not None
    assert stream.get("url") == "wss://talkup.example/v1/twilio"
    parameter = stream.find("Parameter")
    assert parameter is not None
    assert (parameter.get("name"), str(parameter.get("value")).count(".")) == ("token", 2)


def test_the_example_of_a_call_prints_finals(fake_stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "call.s16le"
    path.write_bytes(random.Random(6).randbytes(16_000))
    request = Request(f"{fake_stack.http_url}/v1/sessions", headers={"Authorization": f"Bearer {KEY}"}, method="POST")
    with build_opener(ProxyHandler({})).open(request, timeout=20) as answer:
        token = json.load(answer)["token"]
    said = run_example("telephony-example", fake_stack.http_url.replace("http", "ws"), token, path)
    assert said.split() == expected_words(path.read_bytes())

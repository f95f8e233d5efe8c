"""The examples of docs/doors.md that need no SDK run as they are."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from bench.harness.stack import KEY, Stack, child_environment
from tests.fakes.readme import example
from workers.fake.engine import expected_words

PAGE = "docs/doors.md"


def run(name: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-c", example(name, PAGE), *arguments]
    done = subprocess.run(command, env=child_environment({}), capture_output=True, check=False, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_answer_to_a_call_names_the_stream_and_its_token(fake_stack: Stack) -> None:
    answer = ET.fromstring(run("twilio-example", fake_stack.http_url, KEY, "wss://talkup.example/v1/twilio"))
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
    said = run("telephony-example", fake_stack.http_url.replace("http", "ws"), token, path)
    assert said.split() == expected_words(path.read_bytes())

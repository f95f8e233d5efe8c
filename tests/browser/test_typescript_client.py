"""The TypeScript client: its types are the specification's, it compiles strictly, and it loses nothing in Node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gateway.schemas import asyncapi
from tests.fakes.stack import ROOT, Stack
from workers.fake_words import expected_words

CLIENT = ROOT / "clients" / "typescript"
PAGE_CLIENT = ROOT / "gateway" / "web" / "talkup-client.js"
AUDIO_BYTES = 160_000
NODE_TIMEOUT_S = 90


def node(*arguments: str, given: str | None = None) -> str:
    """Run Node in the client's folder; its standard output. Fails the test with what it says."""
    assert (CLIENT / "node_modules").is_dir(), "the npm packages are not installed: make test does it, or npm ci"
    result = subprocess.run(
        ["node", *arguments],
        cwd=CLIENT,
        check=False,
        capture_output=True,
        text=True,
        input=given,
        timeout=NODE_TIMEOUT_S,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built() -> Path:
    """The client, compiled."""
    node("node_modules/typescript/bin/tsc", "-p", ".")
    return CLIENT / "dist"


def test_the_types_are_those_of_the_schemas() -> None:
    assert node("scripts/types.mjs", "--stdout") == (CLIENT / "src" / "messages.ts").read_text(), "make schemas"


def test_the_page_carries_this_client(built: Path) -> None:
    assert node("scripts/page.mjs", "--stdout") == PAGE_CLIENT.read_text(), "make schemas"


def test_its_parts(built: Path) -> None:
    node("--test", *(str(path) for path in sorted((CLIENT / "test").glob("*.test.mjs"))))


def test_nothing_is_lost_with_the_network(built: Path, fake_stack: Stack) -> None:
    arguments = ("test/session.mjs", fake_stack.http_url, fake_stack.key, str(AUDIO_BYTES))
    told = json.loads(node("--experimental-websocket", "--no-warnings", *arguments))
    audio = bytes((index * 31 + (index >> 8)) & 255 for index in range(AUDIO_BYTES))
    assert " ".join(final["text"] for final in told["finals"]).split() == expected_words(audio)
    assert told["totals"]["bytes"] == AUDIO_BYTES
    assert told["totals"]["gaps"] == 0
    assert told["states"] == ["connecting", "open", "suspended", "reconnecting", "open", "closed"]
    assert told["services"] == ["stt"]


def test_the_asyncapi_document_is_valid() -> None:
    node("scripts/asyncapi.mjs", given=json.dumps(asyncapi("wss://localhost:8443/ws")))


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (CLIENT / "package-lock.json").read_text()

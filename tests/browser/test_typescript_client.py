"""The TypeScript client: its types match the specification, it compiles strictly, and it loses nothing in Node."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.harness.schema_check import checked
from bench.harness.stack import ROOT, Stack
from gateway.schemas import asyncapi
from tests.fakes.line import Line
from workers.fake.words import expected_words

CLIENT = ROOT / "clients" / "typescript"
WEB = ROOT / "gateway" / "web"
AUDIO_BYTES = 160_000
NODE_TIMEOUT_S = 90


def node(*arguments: str, given: str | None = None) -> str:
    """Run Node in the client's folder and return its standard output. If it fails, fail the test with its output."""
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


def test_the_page_carries_this_client(built: Path, tmp_path: Path) -> None:
    node("scripts/page.mjs", str(tmp_path))
    for name in ("talkup-client.js", "pcm-processor.js"):
        assert (tmp_path / name).read_text() == (WEB / name).read_text(), "make schemas"


def test_its_parts(built: Path) -> None:
    node("--test", *(str(path) for path in sorted((CLIENT / "test").glob("*.test.mjs"))))


def converse(stack: Stack, *port: str) -> dict[str, Any]:
    """Send AUDIO_BYTES from Node, check every word, and return the results."""
    arguments = ("test/session.mjs", stack.http_url, stack.key, str(AUDIO_BYTES), *port)
    result: dict[str, Any] = json.loads(node("--experimental-websocket", "--no-warnings", *arguments))
    audio = bytes((index * 31 + (index >> 8)) & 255 for index in range(AUDIO_BYTES))
    assert " ".join(final["text"] for final in result["finals"]).split() == expected_words(audio)
    assert result["totals"]["bytes"] == AUDIO_BYTES
    assert result["totals"]["gaps"] == 0
    assert [message["type"] for message in map(checked, result["messages"])].count("session") == 2
    assert result["services"] == ["stt"]
    assert result["flushed"] == result["totals"]["text"]
    return result


def test_nothing_is_lost_while_the_client_is_suspended(built: Path, fake_stack: Stack) -> None:
    states = converse(fake_stack)["states"]
    assert states == ["connecting", "open", "suspended", "reconnecting", "open", "closed"]


async def test_nothing_is_lost_when_the_line_breaks(built: Path, fake_stack: Stack) -> None:
    async with Line(fake_stack.ws_port, cut_after=AUDIO_BYTES // 2).open() as line:
        result = await asyncio.to_thread(converse, fake_stack, str(line.port))
        assert line.cuts == 1
    assert result["states"] == ["connecting", "open", "reconnecting", "open", "closed"]


def test_the_asyncapi_document_is_valid() -> None:
    node("scripts/asyncapi.mjs", given=json.dumps(asyncapi("wss://localhost:8443/ws")))


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (CLIENT / "package-lock.json").read_text()

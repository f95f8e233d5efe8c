"""The `talkup` command against a small gateway on loopback, and the caption formats."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from talkup_client import Client, SlowReaderError, captions, cli
from talkup_client.events import TranscriptUpdate, Word
from talkup_client.inbox import Inbox
from talkup_client.media_file import identify
from talkup_client.overview import overview
from talkup_client.terminal import Terminal
from talkup_client.transcribe import Transcript, transcribe

from tests.fakes.gateway_server import KEY, FakeGateway


def segment(number: int, text: str, *, is_final: bool = True, revision: int = 1) -> TranscriptUpdate:
    start = (number - 1) * 3_661_500
    return TranscriptUpdate(
        "s", number, revision, is_final, text, 0, 0.5, "fr", start, start + 1_250, (Word("a", start, start + 9, 0.5),)
    )


SEGMENTS = [segment(1, " Bonjour <b>. "), segment(2, "Ça va ?")]


def test_no_text_breaks_its_cue() -> None:
    assert captions.as_srt([segment(1, "a -->\n\nb")]) == "1\n00:00:00,000 --> 00:00:01,250\na -> b\n\n"


def test_captions_in_every_format() -> None:
    assert captions.as_txt(SEGMENTS) == "Bonjour <b>.\n\nÇa va ?\n"
    assert captions.as_srt(SEGMENTS) == (
        "1\n00:00:00,000 --> 00:00:01,250\nBonjour <b>.\n\n2\n01:01:01,500 --> 01:01:02,750\nÇa va ?\n\n"
    )
    assert captions.as_vtt(SEGMENTS) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nBonjour &lt;b&gt;.\n\n01:01:01.500 --> 01:01:02.750\nÇa va ?\n\n"
    )
    value = json.loads(captions.as_json(SEGMENTS))
    assert (value["text"], value["language"]) == ("Bonjour <b>. Ça va ?", "fr")
    assert value["segments"][1]["words"][0]["word"] == "a"
    chinese = [replace(segment(number, text), language="zh") for number, text in enumerate(("你 ", "", "好"), start=1)]
    assert json.loads(captions.as_json([*chinese, SEGMENTS[1]]))["text"] == "你好 Ça va ?"
    assert json.loads(captions.as_json([])) == {"text": "", "language": None, "segments": []}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.s16le"
    path.write_bytes(bytes(range(256)) * 400)
    return path


async def command(gateway: FakeGateway, *arguments: str) -> int:
    environment = {"TALKUP_API_KEY": KEY}
    return await cli.run([arguments[0], "--url", gateway.url, *arguments[1:]], environment)


@pytest.mark.parametrize("format_", ["txt", "json", "srt", "vtt"])
async def test_transcribe_writes_the_text(recording: Path, format_: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeGateway().serving() as gateway:
        assert await command(gateway, "transcribe", "--format", format_, str(recording)) == 0
    finals = [final["text"] for final in gateway.streams()[0].finals]
    printed = capsys.readouterr().out
    assert all(text in printed for text in finals)
    assert b"".join(gateway.streams()[0].chunks) == recording.read_bytes()


async def test_a_file_that_cannot_be_transcribed_does_not_end_a_batch(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no media")
    async with FakeGateway().serving() as gateway:
        paths = map(str, (tmp_path / "missing.wav", recording, notes, recording))
        assert await command(gateway, "transcribe", *paths) == cli.EXIT_FAILED
    printed = capsys.readouterr()
    assert printed.out.split() == [final["text"] for stream in gateway.streams() for final in stream.finals]
    assert len(gateway.streams()) == 2
    assert "missing.wav: there is no such file (unreadable_file)" in printed.err
    assert "notes.txt is not of a type" in printed.err


async def test_a_stream_that_is_refused_does_not_end_a_batch(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reject = {"code": "unsupported_format", "message": "not this one", "field": "format"}
    async with FakeGateway(reject=reject).serving() as gateway:
        assert await command(gateway, "transcribe", str(recording), str(recording)) == cli.EXIT_FAILED
    assert capsys.readouterr().err.count("talk.s16le: not this one") == 2


async def test_without_a_session_the_rest_of_a_batch_is_named(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.s16le"
    other.write_bytes(bytes(3_200))
    gateway = FakeGateway(drop_after_chunks=(1,))
    gateway.forget_sessions = True
    async with gateway.serving():
        assert await command(gateway, "transcribe", str(recording), str(other), str(other)) == cli.EXIT_FAILED
    assert "talkup: not transcribed: other.s16le, other.s16le" in capsys.readouterr().err


async def test_an_unknown_language_is_called_so_and_nothing_else(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reject = {"code": "bad_message", "message": "this model does not know the language", "field": "language"}
    async with FakeGateway(reject=reject).serving() as gateway:
        assert await command(gateway, "transcribe", "--language", "xx", str(recording)) == cli.EXIT_FAILED
    said = capsys.readouterr().err
    assert "does not know the language (bad_message, field language)" in said
    assert "known languages: de, en, or auto" in said
    assert "damaged" not in said


async def test_several_languages_are_those_to_expect(recording: Path) -> None:
    async with FakeGateway().serving() as gateway:
        assert await command(gateway, "transcribe", "--language", "en, fr", str(recording)) == 0
    [stream] = gateway.streams()
    assert (stream.start.get("language", "auto"), stream.start["languages"]) == ("auto", ["en", "fr"])


async def test_output_goes_to_a_file_and_several_files_follow_each_other(recording: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    async with FakeGateway().serving() as gateway:
        assert await command(gateway, "transcribe", "--output", str(output), str(recording), str(recording)) == 0
    assert len(gateway.streams()) == 2
    assert output.read_text().split() == [final["text"] for stream in gateway.streams() for final in stream.finals]


async def test_status_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeGateway().serving() as gateway:
        assert await command(gateway, "status") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("gateway    serving, version 0")
    assert shown[-1].split() == ["stt", "0", "0", "0", "fake", "en,", "de"]


def test_the_overview_of_a_status_is_short_and_knows_nothing_for_sure() -> None:
    service = {"service": "stt", "workers_total": 2, "workers_serving": 1, "free_slots": 11, "models": ["base"]}
    languages = [f"l{number}" for number in range(99)]
    trouble = {"cause": "connection_refused", "message": "is it running?", "workers": 1}
    shown = overview(
        {
            "state": "draining",
            "version": "1.2",
            "uptime_seconds": 90_061,
            "protocol_versions": ["1.0"],
            "services": [{**service, "languages": languages, "troubles": [trouble]}],
        }
    )
    assert shown.splitlines()[0] == "gateway    draining, version 1.2, up 1 d 1 h"
    assert shown.splitlines()[-3:] == [
        "service  workers  serving  free slots  models  languages",
        "stt      2        1        11          base    l0, l1, l2, l3, l4, l5 and 93 more",
        "stt: 1 not serving (connection_refused): is it running?",
    ]
    assert overview({"services": None, "session": 7}).endswith("no services\n")


async def test_status_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeGateway().serving() as gateway:
        assert await command(gateway, "status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "serving"


async def test_what_goes_wrong_is_one_line_and_a_status(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no media")
    reject = {"code": "unsupported_format", "message": "not this one", "field": "format"}
    async with FakeGateway(reject=reject).serving() as gateway:
        assert await command(gateway, "transcribe", str(text)) == cli.EXIT_FAILED
        assert "notes.txt is not of a type" in capsys.readouterr().err
        assert await command(gateway, "transcribe", str(recording)) == cli.EXIT_FAILED
        assert "not this one (unsupported_format, field format)" in capsys.readouterr().err
        assert await command(gateway, "transcribe", "--key", "wrong", str(recording)) == cli.EXIT_FAILED
        assert "refuses this credential" in capsys.readouterr().err
    assert await cli.run(["status", "--url", "http://x"], {}) == cli.EXIT_USAGE
    assert await cli.run(["status", "--url", "ws://example.org/ws", "--key", "k"], {}) == cli.EXIT_USAGE


async def test_an_interrupted_file_gives_what_is_there(recording: Path) -> None:
    stop = asyncio.Event()
    transcript = Transcript()

    class StopsEarly:
        def update(self, sent_bytes: int, captioned_ms: int) -> None:
            stop.set()

    async with FakeGateway().serving() as gateway, Client(gateway.url, key=KEY) as client:
        await transcribe(client, identify(recording), transcript, StopsEarly(), stop=stop)
    assert transcript.complete
    assert len(gateway.streams()[0].chunks) == 1
    assert len(transcript.segments) == 1


async def test_realtime_sends_slices_of_a_tenth_of_a_second(tmp_path: Path) -> None:
    path = tmp_path / "short.pcm"
    path.write_bytes(b"\1" * 9_600)
    transcript = Transcript()
    async with FakeGateway().serving() as gateway, Client(gateway.url, key=KEY) as client:
        with Terminal().meter("short", 9_600) as bar:
            await transcribe(client, identify(path), transcript, bar, realtime=True)
    assert [len(chunk) for chunk in gateway.streams()[0].chunks] == [3_200, 3_200, 3_200]
    assert "mode" not in gateway.streams()[0].start


async def test_a_file_is_transcribed_as_a_recording(recording: Path) -> None:
    async with FakeGateway().serving() as gateway:
        assert await command(gateway, "transcribe", str(recording)) == cli.EXIT_OK
    assert gateway.streams()[0].start["mode"] == "file"


async def test_a_newer_interim_replaces_the_unread_older_one_and_unread_events_are_bounded() -> None:
    inbox = Inbox(2)
    for revision in range(5):
        inbox.put(segment(1, f"r{revision}", is_final=False, revision=revision))
    inbox.put(segment(1, "final"))
    first = await inbox.get()
    assert isinstance(first, TranscriptUpdate)
    assert first.text == "final"
    for number in (2, 3, 4):
        inbox.put(segment(number, "x"))
    assert [await inbox.get(), await inbox.get()] == [segment(2, "x"), segment(3, "x")]
    with pytest.raises(SlowReaderError):
        await inbox.get()
    assert await inbox.get() is None


async def test_a_place_for_the_output_is_looked_for_before_the_work(recording: Path, tmp_path: Path) -> None:
    async with FakeGateway().serving() as gateway:
        place = str(tmp_path / "missing" / "out.txt")
        assert await command(gateway, "transcribe", "--output", place, str(recording)) != 0
    assert not gateway.streams()


def test_keys_are_managed_by_the_gateway_of_this_machine(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "talkup_client", "keys"]
    where = ["--file", str(tmp_path / "keys.json")]
    made = subprocess.run([*command, "add", "backend", *where], capture_output=True, text=True, timeout=120, check=True)
    assert made.stdout.startswith("tk_")
    listed = subprocess.run([*command, "list", *where], capture_output=True, text=True, timeout=120, check=True)
    assert "backend" in listed.stdout
    assert made.stdout.strip() not in listed.stdout
    refused = subprocess.run(
        [*command, "revoke", "0" * 12, *where], capture_output=True, text=True, timeout=120, check=False
    )
    assert refused.returncode == 2
    assert "no key has the id" in refused.stderr

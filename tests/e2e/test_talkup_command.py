"""The `talkup` command against real gateways on the scripted engine: its output, messages and exit statuses."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from talkup_client import Client, StreamEnded

from bench.harness.cluster import SECRET, cluster
from bench.harness.stack import HOST, Stack, free_port, running_stack
from deploy.dev import certs
from tests.fakes.talkup import at, over_http, run, talkup
from workers.fake.engine import expected_words

PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"


def samples(seconds: float, seed: int = 1) -> bytes:
    """Noise of whole words for the scripted engine: 16 kHz, mono, s16le."""
    return random.Random(seed).randbytes(int(seconds * 32) * 1000)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.s16le"
    path.write_bytes(samples(3))
    return path


def words_of(text: str) -> list[str]:
    return text.split()


# --- microphone


async def test_a_microphone_is_captioned_while_it_is_spoken_into(fake_stack: Stack, tmp_path: Path) -> None:
    device = tmp_path / "microphone"
    os.mkfifo(device)
    spoken = samples(4)
    async with talkup("transcribe", *at(fake_stack), "--microphone", "--device", device) as command:
        await command.until_said("listening, ^C ends")
        with await asyncio.to_thread(device.open, "wb", buffering=0) as mouth:
            await asyncio.to_thread(mouth.write, spoken[:64_000])
            first = await command.line()  # before the speaker has ended
            await asyncio.to_thread(mouth.write, spoken[64_000:])
        status, rest = await command.ended()
    assert status == 0
    assert words_of(f"{first} {rest}") == expected_words(spoken)


async def test_an_interrupted_microphone_gives_the_last_words(fake_stack: Stack, tmp_path: Path) -> None:
    device = tmp_path / "microphone"
    os.mkfifo(device)
    spoken = samples(1)
    arguments = ("--microphone", "--device", device, "--format", "json")
    async with talkup("transcribe", *at(fake_stack), *arguments) as command:
        await command.until_said("talkup watch ")
        session_id = command.said.partition("talkup watch ")[2].partition(")")[0]
        with await asyncio.to_thread(device.open, "wb", buffering=0) as mouth:
            await asyncio.to_thread(mouth.write, spoken)
            async with talkup("watch", *over_http(fake_stack), session_id) as watching:
                assert await watching.line()  # words have arrived at the gateway, and nothing more is spoken
            command.process.send_signal(signal.SIGINT)
            status, out = await command.ended()
    assert status == 0
    assert words_of(json.loads(out)["text"]) == expected_words(spoken)


@pytest.mark.parametrize(
    ("device", "complaint"),
    [
        ("/dev/no-such-microphone", "there is no such device"),
        (__file__, "it is a file"),
        ("-", "cannot be used as a microphone"),
    ],
)
async def test_what_is_no_microphone_is_named(fake_stack: Stack, device: str, complaint: str) -> None:
    status, _, said = await run("transcribe", *at(fake_stack), "--microphone", "--device", device)
    assert (status, complaint in said) == (1, True), said


async def test_without_its_package_a_microphone_is_explained(fake_stack: Stack) -> None:
    absent = "import sys; sys.modules['sounddevice'] = None; from talkup_client.cli import main; sys.exit(main())"
    async with talkup("transcribe", *at(fake_stack), "--microphone", code=absent) as command:
        status, _ = await command.ended()
    assert status == 1
    assert f"{sys.executable} -m pip install 'sounddevice>=0.5,<1'" in command.said


@pytest.mark.parametrize(
    "arguments", [(), ("--microphone", "x.wav"), ("--device", "1", "x.wav"), ("--retry-seconds", "-1", "x.wav")]
)
async def test_options_that_do_not_go_together_are_refused(arguments: tuple[str, ...]) -> None:
    status, _, said = await run("transcribe", *arguments)
    assert status == 2
    assert "Traceback" not in said


# --- watch, token


async def test_watch_follows_a_session_to_its_end(fake_stack: Stack) -> None:
    spoken = samples(3, seed=2)
    async with Client(fake_stack.ws_url, key=fake_stack.key) as client, client.stream(format=PCM) as stream:
        await stream.send(spoken[:32_000])
        await stream.flush()
        async with talkup("watch", *over_http(fake_stack), client.session_id) as watching:
            first = [await watching.line()]
            while len(words_of(" ".join(first))) < 32:
                first.append(await watching.line())
            await stream.send(spoken[32_000:])
            await stream.end()
            assert [event async for event in stream if isinstance(event, StreamEnded)]
            status, rest = await watching.ended()
    assert status == 0
    assert words_of(" ".join([*first, rest])) == expected_words(spoken, breaks=[32_000])


async def test_watch_waits_for_a_speaker_who_has_not_connected(fake_stack: Stack) -> None:
    minted = json.loads((await run("token", "--json", *over_http(fake_stack)))[1])
    async with talkup("watch", *over_http(fake_stack), minted["session_id"]) as watching:
        await watching.until_said("waiting for its speaker")
        spoken = samples(1)
        async with Client(fake_stack.ws_url, token=minted["token"]) as client, client.stream(format=PCM) as stream:
            await stream.send(spoken)
            await stream.end()
            status, out = await watching.ended()
    assert status == 0
    assert words_of(out) == expected_words(spoken)


async def test_watch_names_a_session_that_is_not_there(fake_stack: Stack) -> None:
    status, out, said = await run("watch", *over_http(fake_stack), "--retry-seconds", "0", "never-was")
    assert (status, out) == (1, "")
    assert "unknown or expired session" in said


async def test_a_token_opens_its_session_and_no_other(fake_stack: Stack) -> None:
    status, out, said = await run("token", *over_http(fake_stack))
    token = out.strip()
    session_id = said.split()[2]
    assert status == 0
    async with Client(fake_stack.ws_url, token=token) as client:
        assert client.session_id == session_id
    where = ("--url", fake_stack.ws_url, "--http-url", fake_stack.http_url)
    status, _, said = await run("watch", *where, "--token", token, "another")
    assert (status, "the session belongs to another token or key" in said) == (1, True)
    minted = json.loads((await run("token", "--json", *over_http(fake_stack)))[1])
    assert minted.keys() == {"session_id", "url", "token", "expires_at"}
    status, out, said = await run("token", *where, "--key", "wrong")
    assert (status, out, "the API key is invalid" in said) == (1, "", True)


# --- doctor


@pytest.fixture(scope="module")
def tls_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, int, Path]]:
    """A gateway with a certificate for localhost, its wss port and its CA."""
    folder = tmp_path_factory.mktemp("tls")
    identity = certs.ensure(folder, {"localhost": ["localhost"]}, dt.datetime.now(dt.UTC))["localhost"]
    port = free_port()
    settings = {
        "GATEWAY_TLS_CERT": str(identity.certificate),
        "GATEWAY_TLS_KEY": str(identity.key),
        "GATEWAY_WSS_PORT": str(port),
    }
    with running_stack(folder=folder, gateway_settings=settings) as stack:
        yield stack, port, identity.ca


def levels(printed: str) -> dict[str, str]:
    """Level by subject."""
    return {line[6:18].strip(): line[:4].strip() for line in printed.splitlines()}


async def test_doctor_finds_a_sound_installation_sound(tls_stack: tuple[Stack, int, Path]) -> None:
    stack, port, ca = tls_stack
    url = f"wss://localhost:{port}/ws"
    options = ("--url", url, "--key", stack.key, "--http-url", stack.http_url, "--ca", ca)
    status, out, said = await run("doctor", *options)
    found = levels(out)
    assert status == 0, out + said
    assert {found[name] for name in ("http", "readiness", "tls", "websocket", "stt", "clock")} == {"ok"}
    assert found["round trip"] != "fail"
    assert found["captions"] == "warn"
    assert "certificate for localhost, valid for 36" in out
    assert "is this the scripted engine?" in out


@pytest.mark.parametrize("trouble", ["ca", "name", "key", "plain", "http", "nobody"])
async def test_doctor_names_what_is_wrong(tls_stack: tuple[Stack, int, Path], trouble: str) -> None:
    stack, port, ca = tls_stack
    url, http_url, key, trusted = f"wss://localhost:{port}/ws", stack.http_url, stack.key, ["--ca", ca]
    match trouble:
        case "ca":
            trusted, expected = [], ("tls", "--ca FILE")
        case "name":
            url, expected = url.replace("localhost", HOST), ("tls", "mismatch")
        case "key":
            key, expected = "wrong", ("websocket", "TALKUP_API_KEY")
        case "plain":
            url, expected = (
                f"wss://localhost:{stack.ws_port}/ws",
                ("websocket", "if the port does not use TLS, use ws://"),
            )
        case "http":
            http_url, expected = f"http://{HOST}:{stack.ws_port}", ("http", "--http-url")
        case _:
            url, expected = f"ws://{HOST}:{free_port()}/ws", ("websocket", "nobody listens there")
    status, out, said = await run("doctor", "--url", url, "--key", key, "--http-url", http_url, *trusted)
    subject, hint = expected
    assert (status, levels(out)[subject]) == (1, "fail"), out + said
    assert hint in out


async def test_doctor_finds_a_service_without_workers() -> None:
    with running_stack() as sound:
        sound.workers[0].kill()
        status, out, _ = await run("doctor", *over_http(sound))
    assert status == 1
    assert {levels(out)["readiness"], levels(out)["stt"]} == {"fail"}


# --- connections that are lost, gateways that are busy


async def test_a_gateway_that_was_stopped_is_reported_and_given_up(tmp_path: Path) -> None:
    device = tmp_path / "microphone"
    os.mkfifo(device)
    with running_stack(folder=tmp_path) as stack:
        arguments = ("--retry-seconds", "1", "--microphone", "--device", device)
        async with talkup("transcribe", *at(stack), *arguments) as command:
            await command.until_said("listening")
            with await asyncio.to_thread(device.open, "wb", buffering=0) as mouth:
                await asyncio.to_thread(mouth.write, samples(1))
                await command.line()
                await asyncio.to_thread(stack.gateway.stop)
                await command.until_said(
                    "connection lost (the gateway is restarting or was stopped), retrying for up to 1 s"
                )
                status, _ = await command.ended()
    assert status == 1
    assert "gave up after 1 s: no connection to" in command.said
    assert "nobody listens there" in command.said


async def test_an_interrupt_while_the_gateway_is_away_gives_what_is_there(tmp_path: Path) -> None:
    device = tmp_path / "microphone"
    os.mkfifo(device)
    with running_stack(folder=tmp_path) as stack:
        arguments = ("--microphone", "--device", device, "--format", "json")
        async with talkup("transcribe", *at(stack), *arguments) as command:
            await command.until_said("talkup watch ")
            session_id = command.said.partition("talkup watch ")[2].partition(")")[0]
            with await asyncio.to_thread(device.open, "wb", buffering=0) as mouth:
                await asyncio.to_thread(mouth.write, samples(1))
                async with talkup("watch", *over_http(stack), session_id) as watching:
                    assert await watching.line()
                    watching.process.send_signal(signal.SIGINT)
                    assert (await watching.ended())[0] == 130
                await asyncio.to_thread(stack.gateway.kill)
                await command.until_said("connection lost (the connection broke)")
                command.process.send_signal(signal.SIGINT)
                status, out = await command.ended()
    assert status == 130
    assert words_of(json.loads(out)["text"])


async def test_a_gateway_that_comes_back_loses_no_word(tmp_path: Path) -> None:
    recording = tmp_path / "talk.s16le"
    recording.write_bytes(samples(4))
    with cluster(tmp_path, f"sqlite:///{tmp_path / 'kept.db'}") as found:
        seat = found.seats[0]
        where = ("--url", seat.ws_url, "--key", seat.settings["GATEWAY_API_KEYS"])
        assert seat.settings["GATEWAY_TOKEN_SECRET"] == SECRET
        async with talkup("transcribe", *where, "--realtime", recording) as command:
            assert seat.program is not None
            await asyncio.to_thread(seat.program.wait_for_log, "stream opened")
            await asyncio.to_thread(seat.kill)
            await command.until_said("connection lost (the connection broke), retrying")
            await asyncio.to_thread(seat.begin)
            await command.until_said("reconnected after")
            status, out = await command.ended()
    assert status == 0, command.said
    assert words_of(out) == expected_words(recording.read_bytes())


async def test_a_busy_gateway_is_waited_for(tmp_path: Path, recording: Path) -> None:
    with running_stack(folder=tmp_path, worker_settings={"WORKER_SLOTS": "1"}) as stack:
        async with Client(stack.ws_url, key=stack.key) as client, client.stream(format=PCM) as stream:
            await stream.send(samples(1))
            await stream.flush()
            status, _, said = await run("transcribe", *at(stack), "--retry-seconds", "0", recording)
            assert (status, "(busy)" in said) == (1, True)
            async with talkup("transcribe", *at(stack), "--retry-seconds", "60", recording) as command:
                await command.until_said("the gateway is busy (every worker slot is taken), retrying in")
                await stream.end()
                status, out = await command.ended()
    assert status == 0, command.said
    assert words_of(out) == expected_words(recording.read_bytes())


# --- files


async def test_an_interrupted_file_gives_the_text_so_far_and_frees_its_slot(tmp_path: Path, recording: Path) -> None:
    """The gateway is behind, so that it does not read what the command says; minutes of work wait at the worker."""
    long = tmp_path / "long.s16le"
    long.write_bytes(samples(240))
    with running_stack(folder=tmp_path, worker_settings={"WORKER_SLOTS": "1", "WORKER_DELAY_MS": "300"}) as stack:
        async with talkup("transcribe", *at(stack), "--retry-seconds", "0", long) as command:
            first = await command.line()  # while the rest is still being transcribed
            command.process.send_signal(signal.SIGINT)
            await command.until_said("interrupted: the text so far follows; ^C again stops at once")
            status, rest = await command.ended()
        heard = words_of(f"{first} {rest}")
        assert status == 130
        assert command.said == "talkup: interrupted: the text so far follows; ^C again stops at once\n"
        assert 0 < len(heard) < len(expected_words(long.read_bytes()))
        assert heard == expected_words(long.read_bytes())[: len(heard)]
        status, out, said = await run("transcribe", *at(stack), "--retry-seconds", "5", recording)
    assert status == 0, said
    assert words_of(out) == expected_words(recording.read_bytes())


async def test_an_interrupted_document_is_written_and_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    long = tmp_path / "long.s16le"
    long.write_bytes(samples(60))
    output = tmp_path / "long.json"
    with running_stack(folder=tmp_path, worker_settings={"WORKER_HANG_AFTER": "4"}) as stack:
        arguments = ("--format", "json", "--output", output)
        async with talkup("transcribe", *at(stack), *arguments, long) as command:
            await asyncio.to_thread(stack.gateway.wait_for_log, "stream opened")
            command.process.send_signal(signal.SIGTERM)
            await command.until_said("interrupted: the text so far follows")
            command.process.send_signal(signal.SIGINT)
            status, _ = await command.ended()
    assert status == 130
    assert "Traceback" not in command.said
    assert json.loads(output.read_text()).keys() == {"text", "language", "segments"}


async def test_a_damaged_recording_is_transcribed_and_called_damaged(
    fake_stack: Stack, speech_ogg: Path, tmp_path: Path
) -> None:
    whole, damaged = speech_ogg.read_bytes(), tmp_path / "damaged.ogg"
    damaged.write_bytes(whole[:9_000] + bytes(4_000) + whole[13_000:])
    status, out, said = await run("transcribe", *at(fake_stack), damaged)
    assert (status, bool(out)) == (3, True)
    assert "damaged.ogg: warning: the recording is damaged at byte" in said
    status, _, said = await run("transcribe", *at(fake_stack), speech_ogg)
    assert (status, said) == (0, "")


async def test_a_reader_that_has_enough_ends_the_command(fake_stack: Stack, recording: Path) -> None:
    async with talkup("transcribe", *at(fake_stack), "--realtime", recording) as command:
        assert command.process.stdout is not None
        command.process.stdout._transport.close()  # type: ignore[attr-defined]
        await command.reading_ended()
        assert await command.process.wait() == 1
    assert command.said == ""


async def test_files_that_are_missing_or_folders_are_called_so(fake_stack: Stack, tmp_path: Path) -> None:
    status, _, said = await run("transcribe", *at(fake_stack), tmp_path / "missing.wav")
    assert (status, "there is no such file (unreadable_file)" in said) == (1, True)
    status, _, said = await run("transcribe", *at(fake_stack), tmp_path)
    assert (status, "is a folder" in said) == (1, True)

"""The `talkup` command."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from talkup_client import captions
from talkup_client.analyze import analyze, drawing_of
from talkup_client.client import DEFAULT_URL, DEV_KEY, Client
from talkup_client.errors import SettingError, TalkupError
from talkup_client.media_file import MediaFile, identify
from talkup_client.progress import meter
from talkup_client.transcribe import Transcript, transcribe
from talkup_client.transport import is_loopback

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", default=DEFAULT_URL, help="WebSocket URL of the gateway (%(default)s)")
    common.add_argument("--key", help="API key (environment: TALKUP_API_KEY; on loopback: dev-key)")
    common.add_argument("--token", help="session token, in place of a key")
    common.add_argument("--ca", type=Path, metavar="FILE", help="PEM file of a private CA, for wss://")
    root = argparse.ArgumentParser(prog="talkup", description="Live captions from a TalkUp gateway.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    files = commands.add_parser("transcribe", parents=[common], help="media files to text, on standard output")
    files.add_argument("files", nargs="+", type=Path, metavar="FILE")
    files.add_argument("--language", default="auto", help="BCP-47 tag such as fr or en-GB, or auto (%(default)s)")
    files.add_argument("--realtime", action="store_true", help="send as a live source would, not as fast as possible")
    files.add_argument("--format", choices=tuple(captions.FORMATS), default="txt", help="(%(default)s)")
    files.add_argument("--output", type=Path, metavar="FILE", help="write there, not to standard output")
    recording = commands.add_parser("analyze", parents=[common], help="events and a summary of a video recording")
    recording.add_argument("--annotate", type=Path, metavar="OUT.mp4", help="draw what was found into the recording")
    recording.add_argument("file", type=Path, metavar="FILE")
    commands.add_parser("status", parents=[common], help="how the gateway and its workers are, as JSON")
    return root


def make_client(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Client:
    """A client by the options common to all commands. Raises SettingError."""
    key = arguments.key or (None if arguments.token else environment.get("TALKUP_API_KEY"))
    if key is None and arguments.token is None and is_loopback(arguments.url):
        key = DEV_KEY
    return Client(arguments.url, key=key, token=arguments.token, ca_file=arguments.ca)


async def run_status(client: Client) -> int:
    """Print the gateway's status."""
    async with client:
        status = await client.status()
    _out(json.dumps(status.data, ensure_ascii=False, indent=2) + "\n", None)
    return EXIT_OK


async def run_analyze(client: Client, arguments: argparse.Namespace) -> int:
    """Stream a recording in real time and print its events and its summary; draw them on demand."""
    media = identify(arguments.file)
    drawing = drawing_of(media, arguments.annotate)
    async with client:
        await analyze(client, media, lambda line: _out(f"{line}\n", None), drawing.findings if drawing else None)
    if drawing is not None:
        _complain(drawing.write())
    return EXIT_OK


async def run_transcribe(client: Client, arguments: argparse.Namespace) -> int:
    """Transcribe every file, one after the other; ^C ends the stream and prints what is there."""
    media = [identify(path) for path in arguments.files]
    if arguments.output is not None and not arguments.output.parent.is_dir():
        raise SettingError(f"{arguments.output}: there is no such folder", field="--output")
    stop = asyncio.Event()
    render = captions.FORMATS[arguments.format]
    texts: list[str] = []
    exit_code = EXIT_OK
    async with client, _interrupts(stop):
        for item in media:
            transcript = Transcript()
            complaint = await _one(client, item, transcript, arguments, stop)
            texts.append(render(transcript.segments))
            if complaint:
                exit_code = EXIT_FAILED
                _complain(complaint)
            if stop.is_set():
                break
    _out("".join(texts), arguments.output)
    return EXIT_INTERRUPTED if stop.is_set() else exit_code


async def _one(
    client: Client, media: MediaFile, transcript: Transcript, arguments: argparse.Namespace, stop: asyncio.Event
) -> str:
    """Transcribe a file; what went wrong, or nothing."""
    name = media.path.name
    try:
        with meter(name, media.size_bytes) as bar:
            await transcribe(
                client, media, transcript, bar, language=arguments.language, realtime=arguments.realtime, stop=stop
            )
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    except TalkupError as error:
        return f"{name}: {_described(error)}"
    for notice in transcript.notices:
        _complain(f"{name}: {notice.message}")
    return f"{name}: {_described(transcript.errors[0])}" if transcript.errors else ""


@asynccontextmanager
async def _interrupts(stop: asyncio.Event) -> AsyncIterator[None]:
    """The first ^C ends the stream and waits for the last words, the second gives up on them."""
    main_task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stop.is_set() and main_task is not None:
            main_task.cancel()
        stop.set()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _described(error: TalkupError) -> str:
    field = f", field {error.field}" if error.field else ""
    return f"{error.message} ({error.code}{field})"


def _out(text: str, path: Path | None) -> None:
    if path is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        path.write_text(text, encoding="utf-8")


def _complain(text: str) -> None:
    sys.stderr.write(f"talkup: {text}\n")


async def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Carry out a command line; its exit status."""
    options = parser().parse_args(arguments)
    try:
        client = make_client(options, environment)
        if options.command == "status":
            return await run_status(client)
        if options.command == "analyze":
            return await run_analyze(client, options)
        return await run_transcribe(client, options)
    except SettingError as error:
        _complain(error.message)
        return EXIT_USAGE
    except TalkupError as error:
        _complain(_described(error))
        return EXIT_FAILED
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}")
        return EXIT_FAILED


def main() -> int:
    """Entry point of the installed command."""
    try:
        return asyncio.run(run(sys.argv[1:], os.environ))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED

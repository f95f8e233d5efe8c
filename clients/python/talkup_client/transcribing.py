"""`talkup transcribe`: turns recordings or a microphone into text, and reports problems."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from talkup_client import captions, status
from talkup_client.client import Client
from talkup_client.errors import SettingError, TalkupError
from talkup_client.live import listen
from talkup_client.losses import doubts
from talkup_client.media_file import MediaFile, identify
from talkup_client.microphone import open_microphone
from talkup_client.terminal import Terminal
from talkup_client.transcribe import Transcript, transcribe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--microphone", action="store_true", help="listen instead of reading files; ^C ends")
    parser.add_argument("--device", help="microphone by name or number, a path to read samples from, or - for stdin")
    parser.add_argument("--language", default="auto", help="BCP-47 tag such as fr or en-GB, or auto (%(default)s)")
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="send in real time, as a live source does, instead of as fast as possible",
    )
    parser.add_argument("--format", choices=tuple(captions.FORMATS), default="txt", help="(%(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to this file instead of standard output")


async def run_transcribe(client: Client, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Transcribe files one after the other, or a microphone; the first ^C ends the stream.

    Raises SettingError for options that exclude each other, UnsupportedFileError before anything is sent.
    """
    _check(arguments)
    media = [identify(path) for path in arguments.files]
    work = _Work(client, arguments, terminal)
    async with client, _interrupts(client, work.stop):
        if arguments.microphone:
            await work.listen()
        for item in media:
            await work.transcribe(item)
            if work.stop.is_set():
                break
    work.write()
    return status.INTERRUPTED if work.stop.is_set() and not arguments.microphone else work.status


def _check(arguments: argparse.Namespace) -> None:
    if arguments.microphone and arguments.files:
        raise SettingError("give files or --microphone, not both", field="--microphone")
    if not arguments.microphone and not arguments.files:
        raise SettingError("name a file, or listen with --microphone", field="FILE")
    if arguments.device is not None and not arguments.microphone:
        raise SettingError("--device goes with --microphone", field="--device")
    if arguments.output is not None and not arguments.output.parent.is_dir():
        raise SettingError(f"{arguments.output}: there is no such folder", field="--output")


class _Work:
    """One run of the command: its texts and its status so far."""

    def __init__(self, client: Client, arguments: argparse.Namespace, terminal: Terminal) -> None:
        self.stop = asyncio.Event()
        self.status = status.OK
        self._client = client
        self._arguments = arguments
        self._terminal = terminal
        self._texts: list[str] = []

    async def transcribe(self, media: MediaFile) -> None:
        """Transcribe one file."""
        transcript = Transcript()
        arguments = self._arguments
        async with self._reported(media.path.name, transcript):
            with self._terminal.meter(media.path.name, media.size_bytes) as bar:
                await transcribe(
                    self._client,
                    media,
                    transcript,
                    bar,
                    language=arguments.language,
                    realtime=arguments.realtime,
                    stop=self.stop,
                )
        self._texts.append(captions.FORMATS[arguments.format](transcript.segments))

    async def listen(self) -> None:
        """Transcribe the microphone until ^C or its end. Plain text appears on standard output as you speak."""
        transcript = Transcript()
        arguments = self._arguments
        at_once = arguments.format == "txt" and arguments.output is None
        source = open_microphone(arguments.device)
        async with self._reported("microphone", transcript), source:
            self._terminal.say(f"listening, ^C ends (to follow it elsewhere: talkup watch {self._client.session_id})")
            with self._terminal.captions(on_stdout=at_once) as view:
                await listen(self._client, source, transcript, view, language=arguments.language, stop=self.stop)
        if not at_once:
            self._texts.append(captions.FORMATS[arguments.format](transcript.segments))

    def write(self) -> None:
        """Write the texts to standard output or the `--output` file."""
        text = "".join(self._texts)
        if self._arguments.output is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            self._arguments.output.write_text(text, encoding="utf-8")

    @asynccontextmanager
    async def _reported(self, name: str, transcript: Transcript) -> AsyncIterator[None]:
        """Print what went wrong, and record it in the exit status."""
        try:
            yield
        except asyncio.CancelledError:
            if not self.stop.is_set():
                raise
            self.status = status.INTERRUPTED  # second ^C, or ^C while offline: print the text so far
            return
        except TalkupError as error:
            transcript.errors.insert(0, error)
        for problem in transcript.errors:
            self._terminal.say(f"{name}: {status.described(problem)}")
            self.status = status.FAILED
        for loss in transcript.losses:
            self._terminal.say(f"{name}: warning: {loss}")
            self.status = self.status or status.LOST
        for doubt in doubts(transcript.ended):
            self._terminal.say(f"{name}: warning: {doubt}")
        if not transcript.errors and not transcript.segments:
            self._terminal.say(f"{name}: no speech was found")


@asynccontextmanager
async def _interrupts(client: Client, stop: asyncio.Event) -> AsyncIterator[None]:
    """The first ^C ends the stream and waits for the last words; the second, or one while offline, gives up on them."""
    main_task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if main_task is not None and (stop.is_set() or not client.online):
            main_task.cancel()
        stop.set()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)

"""`talkup transcribe`: turns recordings or a microphone into text, and reports problems."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from talkup_client import captions, report, status
from talkup_client.client import Client
from talkup_client.errors import SettingError, TalkupError, UnwritableFileError
from talkup_client.events import StreamEvent, TranscriptUpdate
from talkup_client.http_api import HttpApi
from talkup_client.live import listen
from talkup_client.losses import doubts
from talkup_client.media_file import MediaFile, identify
from talkup_client.microphone import open_microphone
from talkup_client.output import Output
from talkup_client.sources import playing_s
from talkup_client.spool import STANDARD_INPUT, Spool
from talkup_client.terminal import Terminal
from talkup_client.transcribe import Speech, Transcript, transcribe

GRACE_S = 0.75
"""How long after ^C a file's last words are waited for."""

DEADLINE_S = 1.75
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="recordings; - reads one from standard input")
    parser.add_argument("--microphone", action="store_true", help="listen instead of reading files; ^C ends")
    parser.add_argument("--device", help="microphone by name or number, a path to read samples from, or - for stdin")
    parser.add_argument(
        "--language",
        default="auto",
        metavar="TAG[,TAG...]",
        help="BCP-47 tag such as fr or en-GB, several to expect (en,fr), or auto (%(default)s)",
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="send and transcribe in real time, as a live source, instead of as fast as possible",
    )
    parser.add_argument("--format", choices=tuple(captions.FORMATS), default="txt", help="(%(default)s)")
    parser.add_argument("--output", type=Path, metavar="PATH", help="write to this file, or into this folder")
    report.add_page_arguments(parser, "how one file, or the microphone, was said")


async def run_transcribe(
    client: Client, arguments: argparse.Namespace, terminal: Terminal, api: HttpApi | None = None
) -> int:
    """Transcribe files one after the other, or a microphone; ^C ends the command.

    A file that cannot be transcribed is reported, and the next one follows. Raises SettingError for options that
    exclude each other, UnwritableFileError, and what connecting raises. `api` is where `--report` gets its report.
    """
    _check(arguments)
    work = _Work(client, arguments, terminal)
    session_id = ""
    try:
        with Spool() as spool:
            async with _interrupts(client, work):
                media = await work.identify(arguments.files, spool)
                if not media and not arguments.microphone:
                    return work.status
                async with client:
                    if arguments.microphone:
                        await work.listen()
                    await work.transcribe(media)
                    session_id = client.session_id
    except asyncio.CancelledError:
        if not work.stop.is_set():
            raise
    work.output.close()
    if api is not None and arguments.report is not None and session_id and not work.is_cut_short:
        await report.save(api, session_id, arguments.report, terminal, language=arguments.report_lang)
    return status.INTERRUPTED if work.stop.is_set() and not arguments.microphone else work.status


def _check(arguments: argparse.Namespace) -> None:
    if arguments.microphone and arguments.files:
        raise SettingError("give files or --microphone, not both", field="--microphone")
    if not arguments.microphone and not arguments.files:
        raise SettingError("name a file, or listen with --microphone", field="FILE")
    if arguments.device is not None and not arguments.microphone:
        raise SettingError("--device goes with --microphone", field="--device")
    if arguments.report is not None and len(arguments.files) > 1:
        raise SettingError("a report is of one file: name one", field="--report")
    report.check_page(arguments)


class _Work:
    """One run of the command: its output and its status so far. `stop` is set by ^C."""

    def __init__(self, client: Client, arguments: argparse.Namespace, terminal: Terminal) -> None:
        self.stop = asyncio.Event()
        self.status = status.OK
        self.output = Output(arguments.format, arguments.output, list(map(_place, arguments.files)), terminal.write)
        self.terminal = terminal
        self.is_live: bool = arguments.microphone
        self._client = client
        self._arguments = arguments
        self._services = ("stt",) if arguments.report is None else report.SPEECH

    @property
    def is_cut_short(self) -> bool:
        """Whether nothing is there that a report could be made of: a failure, or ^C while a file was transcribed."""
        return self.status in (status.FAILED, status.INTERRUPTED) or (self.stop.is_set() and not self.is_live)

    async def identify(self, names: Sequence[str], spool: Spool) -> list[tuple[int, MediaFile]]:
        """The recordings that can be streamed, each with its place among `names`; the others are reported."""
        found: list[tuple[int, MediaFile]] = []
        for number, name in enumerate(names):
            try:
                found.append((number, identify(await spool.file(name), may_decode=True)))
            except TalkupError as error:
                self.terminal.say(status.described(error))
                self.status = status.FAILED
        return found

    async def transcribe(self, media: Sequence[tuple[int, MediaFile]]) -> None:
        """Transcribe files until the last, ^C, or the end of the session."""
        for done, (number, item) in enumerate(media):
            if not self.stop.is_set() and not self._client.failed:
                await self._transcribe(number, item)
            elif names := ", ".join(each.name for _, each in media[done:]):
                self.terminal.say(f"not transcribed: {names}")
                return

    async def _transcribe(self, number: int, media: MediaFile) -> None:
        transcript = Transcript()
        arguments = self._arguments

        def watch(event: StreamEvent) -> None:
            if isinstance(event, TranscriptUpdate) and event.is_final:
                self.output.final(event)

        self.output.begin(number)
        async with self._reported(media.name, transcript):
            with self.terminal.meter(media.name, media.size_bytes, playing_s(media)) as bar:
                await transcribe(
                    self._client,
                    media,
                    transcript,
                    bar,
                    language=arguments.language,
                    realtime=arguments.realtime,
                    services=self._services,
                    stop=self.stop,
                    grace_s=GRACE_S,
                    watch=watch,
                )
        playing_ms = round(transcript.ended.media_seconds * 1000) if transcript.ended is not None else 0
        self.output.end(media.name, transcript.segments, playing_ms)

    async def listen(self) -> None:
        """Transcribe the microphone until ^C or its end. Plain text appears on standard output as you speak."""
        transcript = Transcript()
        arguments = self._arguments
        at_once = arguments.format == "txt" and arguments.output is None
        source = open_microphone(arguments.device)
        async with self._reported("microphone", transcript), source:
            self.terminal.say(f"listening, ^C ends (to follow it elsewhere: talkup watch {self._client.session_id})")
            with self.terminal.captions(on_stdout=at_once) as view:
                speech = Speech(arguments.language, services=self._services)
                await listen(self._client, source, transcript, view, speech=speech, stop=self.stop)
        if not at_once:
            for segment in transcript.segments:
                self.output.final(segment)
            self.output.end("microphone", transcript.segments, 0)

    @asynccontextmanager
    async def _reported(self, name: str, transcript: Transcript) -> AsyncIterator[None]:
        """Print what went wrong, and record it in the exit status."""
        try:
            yield
        except asyncio.CancelledError:
            if not self.stop.is_set():
                raise
            self.status = status.INTERRUPTED  # ^C while offline, a second one, or a gateway that does not answer it
            return
        except UnwritableFileError:
            raise
        except TalkupError as error:
            transcript.errors.insert(0, error)
        for problem in transcript.errors:
            self.terminal.say(f"{name}: {status.described(problem)}")
            if (problem.field or "").endswith(("language", "languages")) and (known := await _languages(self._client)):
                self.terminal.say(f"known languages: {known}, or auto")
            self.status = status.FAILED
        for loss in transcript.losses:
            self.terminal.say(f"{name}: warning: {loss}")
            self.status = self.status or status.LOST
        for doubt in doubts(transcript.ended):
            self.terminal.say(f"{name}: warning: {doubt}")
        if not transcript.errors and not transcript.segments and not self.stop.is_set():
            self.terminal.say(f"{name}: no speech was found")


def _place(name: str) -> Path:
    return Path("standard input" if name == STANDARD_INPUT else name)


async def _languages(client: Client) -> str:
    """The languages of the speech workers, joined; empty if the gateway does not tell."""
    with suppress(TalkupError):
        services = (await client.status()).data.get("services") or ()
        return ", ".join(sorted({str(language) for each in services for language in each.get("languages") or ()}))
    return ""


@asynccontextmanager
async def _interrupts(client: Client, work: _Work) -> AsyncIterator[None]:
    """The first ^C ends the stream, a second one at once; so do SIGTERM, and SIGHUP when a terminal is closed.

    Of a file, what is not text within `GRACE_S` seconds is discarded, and the command ends `DEADLINE_S` seconds after
    the ^C at the latest. A microphone's last words are waited for. Without a connection nothing is.
    """
    main_task = asyncio.current_task()
    assert main_task is not None
    loop = asyncio.get_running_loop()

    def give_up() -> None:
        client.abort()
        main_task.cancel()

    def interrupted() -> None:
        is_first = not work.stop.is_set()
        work.stop.set()
        if not is_first or not client.online:
            give_up()
            return
        if not work.is_live:
            deadlines.append(loop.call_later(DEADLINE_S, give_up))
        what = "waiting for the last words" if work.is_live else "the text so far follows"
        with suppress(OSError):  # the terminal may be gone
            work.terminal.say(f"interrupted: {what}; ^C again stops at once")

    deadlines: list[asyncio.TimerHandle] = []
    taken = [number for number in _SIGNALS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    for number in taken:  # keep what `nohup` has set
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for deadline in deadlines:
            deadline.cancel()
        for number in taken:
            loop.remove_signal_handler(number)

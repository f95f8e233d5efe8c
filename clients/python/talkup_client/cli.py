"""The `talkup` command."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from talkup_client import completion, report, rotation, status, transcribing
from talkup_client.analyze import analyze, drawing_of
from talkup_client.client import DEFAULT_URL, DEV_KEY, Client
from talkup_client.doctor import Level, examine
from talkup_client.errors import BadAnswerError, SettingError, TalkupError, UnwritableFileError
from talkup_client.escapes import escape_what_cannot_be_encoded
from talkup_client.http_api import HttpApi, http_url_of
from talkup_client.overview import overview
from talkup_client.sight_file import identify_sight
from talkup_client.spool import Spool
from talkup_client.terminal import Terminal
from talkup_client.transport import is_loopback
from talkup_client.watch import watch

EXIT_OK = status.OK
EXIT_FAILED = status.FAILED
EXIT_USAGE = status.USAGE
EXIT_LOST = status.LOST
EXIT_INTERRUPTED = status.INTERRUPTED
_STATUSES = "exit status: 0 done, 1 failed, 2 usage error, 3 done but something was lost, 130 interrupted"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", default=DEFAULT_URL, help="WebSocket URL of the gateway (%(default)s)")
    common.add_argument("--key", help="API key (environment: TALKUP_API_KEY; on loopback: dev-key)")
    common.add_argument("--token", help="session token, in place of a key")
    common.add_argument("--ca", type=Path, metavar="FILE", help="PEM file of a private CA, for wss:// and https://")
    common.add_argument(
        "--retry-seconds",
        type=_seconds,
        default=120.0,
        metavar="N",
        help="how long to retry if the connection breaks or the gateway is busy; 0: not at all (%(default)g)",
    )
    over_http = argparse.ArgumentParser(add_help=False)
    over_http.add_argument("--http-url", help="the gateway's HTTP port (environment: TALKUP_HTTP_URL; from --url)")
    root = argparse.ArgumentParser(prog="talkup", description="Live captions from a TalkUp gateway.", epilog=_STATUSES)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    files = commands.add_parser(
        "transcribe",
        parents=[common, over_http],
        help="turn media files or a microphone into text on standard output",
        epilog=_STATUSES,
    )
    transcribing.add_arguments(files)
    recording = commands.add_parser(
        "analyze", parents=[common, over_http], help="events and a summary of a video or picture"
    )
    recording.add_argument("--annotate", type=Path, metavar="OUT.mp4", help="draw the findings into the recording")
    report.add_page_arguments(recording, "what was seen and said")
    recording.add_argument("file", metavar="FILE", help="a video or a picture; - reads one from standard input")
    session = commands.add_parser(
        "watch", parents=[common, over_http], help="follow the captions of a session in which somebody else speaks"
    )
    session.add_argument("session_id", metavar="SESSION")
    report.add_arguments(
        commands.add_parser(
            "report", parents=[common, over_http], help="how a session was said and seen, from what is stored of it"
        )
    )
    token = commands.add_parser("token", parents=[common, over_http], help="a new session and the token for it")
    token.add_argument("--json", action="store_true", help="session, URL and expiry too, as JSON")
    state = commands.add_parser("status", parents=[common], help="the state of the gateway and its workers")
    state.add_argument("--json", action="store_true", help="everything that the gateway says, as JSON")
    commands.add_parser(
        "doctor", parents=[common, over_http], help="check an installation: ports, TLS, workers, clock, latency"
    )
    commands.add_parser(
        "workers", parents=[common, over_http], help="the workers of a gateway (needs a key with the door admin)"
    )
    draining = commands.add_parser(
        "drain", parents=[common, over_http], help="take a worker out of rotation; its streams move to others"
    )
    draining.add_argument("worker", metavar="WORKER", help="its address, as `talkup workers` shows it")
    draining.add_argument("--force", action="store_true", help="even if no other worker has room for its streams")
    waiting = "seconds to wait until its streams have left (%(default)g)"
    draining.add_argument("--wait", type=_seconds, default=60.0, metavar="N", help=waiting)
    resuming = commands.add_parser("resume", parents=[common, over_http], help="take a worker back into rotation")
    resuming.add_argument("worker", metavar="WORKER", help="its address")
    keys = commands.add_parser(
        "keys", help="API keys of the gateway on this machine: add, list, revoke", add_help=False, prefix_chars="\0"
    )
    keys.add_argument("arguments", nargs="*")  # options too: the gateway's own command reads them
    certs = commands.add_parser(
        "certs",
        help="a private CA for several hosts: init, issue, renew, list",
        add_help=False,
        prefix_chars="\0",
    )
    certs.add_argument("arguments", nargs="*")
    shell = commands.add_parser("completion", help="a script with which a shell completes this command")
    shell.add_argument("shell", choices=completion.SHELLS)
    root.add_argument("--version", action="version", version=f"talkup {_version()}")
    return root


def _version() -> str:
    """The version of the package that this module belongs to: the client's own, or the project's."""
    for name in ("talkup-client", "talkup-gateway"):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "of unknown version"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError("must lie between 0 and 86400")
    return seconds


def _key(arguments: argparse.Namespace, environment: Mapping[str, str]) -> str | None:
    key: str | None = arguments.key or (None if arguments.token else environment.get("TALKUP_API_KEY"))
    if key is None and arguments.token is None and is_loopback(arguments.url):
        return DEV_KEY
    return key


def make_client(arguments: argparse.Namespace, environment: Mapping[str, str], terminal: Terminal) -> Client:
    """A client with the options that all commands share. Raises SettingError."""
    return Client(
        arguments.url,
        key=_key(arguments, environment),
        token=arguments.token,
        ca_file=arguments.ca,
        resume_s=arguments.retry_seconds,
        busy_s=arguments.retry_seconds,
        on_change=lambda change: terminal.say(status.in_words(change)),
    )


def make_api(arguments: argparse.Namespace, environment: Mapping[str, str]) -> HttpApi:
    """The gateway's HTTP port, with the same options. Raises SettingError."""
    url = arguments.http_url or environment.get("TALKUP_HTTP_URL") or http_url_of(arguments.url)
    return HttpApi(url, credential=arguments.token or _key(arguments, environment), ca_file=arguments.ca)


async def run_status(client: Client, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Print the gateway's status."""
    async with client:
        answer = await client.status()
    as_json = arguments.json
    terminal.write(json.dumps(answer.data, ensure_ascii=False, indent=2) + "\n" if as_json else overview(answer.data))
    return EXIT_OK


async def run_analyze(client: Client, api: HttpApi, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Have a recording analysed, print its events and its summary, draw them and write a report if asked."""
    page: Path | None = arguments.report
    report.check_page(arguments)
    with Spool() as spool:
        media = identify_sight(await spool.file(arguments.file))
        drawing = drawing_of(media, arguments.annotate)
        async with client:
            findings = drawing.findings if drawing else None
            lost = await analyze(
                client, media, lambda line: terminal.write(f"{line}\n"), findings, for_report=page is not None
            )
            if page is not None:
                await report.save(api, client.session_id, page, terminal, language=arguments.report_lang)
        for loss in lost:
            terminal.say(f"{media.name}: warning: {loss}")
        if drawing is not None:
            terminal.say(drawing.write())
    return status.LOST if lost else EXIT_OK


async def run_token(api: HttpApi, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Print a token for a new session; with `--json`, everything about the session."""
    minted = (await api.post("/v1/sessions")).checked().body
    if not isinstance(minted, dict) or not {"session_id", "url", "token", "expires_at"} <= minted.keys():
        raise BadAnswerError("the answer does not describe a session")
    if arguments.json:
        terminal.write(json.dumps(minted, ensure_ascii=False, indent=2) + "\n")
        return EXIT_OK
    terminal.say(f"session {minted['session_id']} at {minted['url']}")
    terminal.write(f"{minted['token']}\n")
    return EXIT_OK


async def run_on_gateway(name: str, arguments: Sequence[str], terminal: Terminal) -> int:
    """Run `python -m gateway NAME`, which knows the files of keys and certificates. It needs no gateway that runs."""
    if importlib.util.find_spec("gateway") is None:
        terminal.say(f"run `talkup {name}` where the gateway is installed: it changes the gateway's files")
        return EXIT_FAILED
    command = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", name, *arguments)
    return await command.wait()


async def run_rotation(api: HttpApi, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """List workers, or take one out of rotation or back; the status says whether no stream is left."""
    match arguments.command:
        case "workers":
            terminal.write(await rotation.list_workers(api))
        case "resume":
            await rotation.resume(api, arguments.worker)
            terminal.say(f"{arguments.worker} is back in rotation")
        case _:
            wait_s, force = arguments.wait, arguments.force
            if not await rotation.drain(api, arguments.worker, terminal.say, wait_s=wait_s, force=force):
                return EXIT_FAILED
    return EXIT_OK


async def run_watch(api: HttpApi, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Print the finals of a session as they arrive, until its streams have ended or ^C is pressed."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    with terminal.captions(on_stdout=True) as captions:
        try:
            await watch(
                api,
                arguments.session_id,
                captions,
                lambda change: terminal.say(status.in_words(change)),
                retry_s=arguments.retry_seconds,
                rng=random.random,
            )
        finally:
            loop.remove_signal_handler(signal.SIGINT)
    return EXIT_OK


async def run_doctor(client: Client, api: HttpApi, terminal: Terminal) -> int:
    """Print the findings; the status says whether one of them failed."""
    code = EXIT_OK
    async for finding in examine(client, api):
        terminal.write(f"{finding}\n")
        if finding.level is Level.FAIL:
            code = EXIT_FAILED
    return code


async def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command line; return its exit status."""
    options = parser().parse_args(arguments)
    terminal = Terminal()
    try:
        match options.command:
            case "status":
                return await run_status(make_client(options, environment, terminal), options, terminal)
            case "keys" | "certs":
                return await run_on_gateway(options.command, options.arguments, terminal)
            case "completion":
                terminal.write(completion.script(parser(), options.shell))
                return EXIT_OK
            case "analyze":
                client, api = make_client(options, environment, terminal), make_api(options, environment)
                return await run_analyze(client, api, options, terminal)
            case "workers" | "drain" | "resume":
                return await run_rotation(make_api(options, environment), options, terminal)
            case "watch":
                return await run_watch(make_api(options, environment), options, terminal)
            case "report":
                return await report.run_report(make_api(options, environment), options, terminal)
            case "token":
                return await run_token(make_api(options, environment), options, terminal)
            case "doctor":
                client, api = make_client(options, environment, terminal), make_api(options, environment)
                return await run_doctor(client, api, terminal)
            case _:
                client = make_client(options, environment, terminal)
                for_report = None if options.report is None else make_api(options, environment)
                return await transcribing.run_transcribe(client, options, terminal, for_report)
    except SettingError as error:
        terminal.say(error.message)
        return EXIT_USAGE
    except UnwritableFileError as error:
        terminal.say(status.described(error))
        _drop_unwritten_text()
        return EXIT_FAILED
    except TalkupError as error:
        terminal.say(status.described(error))
        return EXIT_FAILED
    except BrokenPipeError:  # the reader of standard output has read enough (`| head`)
        _drop_unwritten_text()
        return EXIT_FAILED
    except OSError as error:
        terminal.say(f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror}")
        return EXIT_FAILED


def _drop_unwritten_text() -> None:
    """Standard output takes no more: Python must not try to flush the rest at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> int:
    """Entry point of the installed command."""
    for stream in (sys.stdout, sys.stderr):
        escape_what_cannot_be_encoded(stream)
    try:
        return asyncio.run(run(sys.argv[1:], os.environ))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED

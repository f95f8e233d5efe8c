"""What is tried on a ground, in a process that runs there: `python -m bench.grounds.scenario NAME FOLDER`.

Prints one JSON object: for each program, `works` or what it said. A program that ends with a traceback has failed, and
so has one that ends without a word.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from bench.harness.speaker import Speaker
from bench.harness.stack import (
    HOST,
    KEY,
    ROOT,
    Program,
    StackError,
    child_environment,
    free_port,
    start,
    wait_until_ready,
)
from gateway.store.sqlite import SqliteStore

WORKS = "works"
RECORDING = ROOT / "tests" / "data" / "speech" / "interview.ogg"
SAID = "software engineer"
_TALKUP = "import sys; from talkup_client.cli import main; sys.exit(main())"
_TALKUP_S = 120.0
_CHUNKS = 40


class EndedError(Exception):
    """A program has ended by itself, with these words."""


def last_words(program: Program) -> str:
    """The one line that a program has said at its end; `traceback` or `nothing` instead."""
    text = program.log_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("{")]
    if "Traceback" in text:
        return f"traceback: {text.splitlines()[-1]}"
    return f"status {program.process.wait()}: {' '.join(lines)}" if lines else "nothing"


@contextmanager
def running(name: str, arguments: tuple[str, ...], settings: dict[str, str], folder: Path) -> Iterator[Program]:
    """A program; it has to end with status 0 and without a traceback. Raises EndedError."""
    program = start(name, arguments, settings, folder)
    try:
        yield program
        status = program.stop()
        if status != 0 or "Traceback" in program.log_text():
            raise EndedError(f"ended with status {status}: {last_words(program)}")
    except StackError:
        if program.process.poll() is None:
            raise
        raise EndedError(last_words(program)) from None
    finally:
        program.stop()


@contextmanager
def worker(name: str, folder: Path, settings: dict[str, str] | None = None) -> Iterator[int]:
    """A speech worker; yields its port."""
    port = free_port()
    with running(name, ("-m", "workers", name), {"WORKER_PORT": str(port), **(settings or {})}, folder) as program:
        program.wait_for_log("worker serving")
        yield port


@contextmanager
def gateway(
    name: str, folder: Path, store: str, worker_port: int, more: Mapping[str, str] | None = None
) -> Iterator[tuple[str, str, Program]]:
    """A gateway, with `more` settings; yields the URLs of its ports."""
    http, ws = free_port(), free_port()
    settings = {
        "GATEWAY_HTTP_PORT": str(http),
        "GATEWAY_WS_PORT": str(ws),
        "GATEWAY_API_KEYS": KEY,
        "GATEWAY_STORE": store,
        "GATEWAY_STT_WORKERS": f"{HOST}:{worker_port}",
        "GATEWAY_DRAIN_S": "1",
        **(more or {}),
    }
    with running(name, ("-m", "gateway"), settings, folder) as program:
        wait_until_ready(program, http)
        yield f"ws://localhost:{ws}/ws", f"http://localhost:{http}", program


def talkup(*arguments: str) -> str:
    """What `talkup` writes. Raises EndedError."""
    command = [sys.executable, "-c", _TALKUP, *arguments]
    done = subprocess.run(command, env=child_environment({}), capture_output=True, timeout=_TALKUP_S, check=False)
    if done.returncode != 0:
        raise EndedError(f"status {done.returncode}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout.decode(errors="replace")


def attempt(found: dict[str, str], program: str, action: Callable[[], None]) -> None:
    """Note whether a program works."""
    try:
        action()
    except EndedError as end:
        found[program] = str(end)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        found[program] = f"failed: {type(error).__name__}: {str(error)[-500:]}"
    else:
        found[program] = WORKS


def everything(folder: Path) -> dict[str, str]:
    """Each program in use: words through gateway and fake worker, the command, words of the real model."""
    found: dict[str, str] = {}
    port, urls = 0, ("", "")
    with ExitStack() as exits:

        def fake_worker() -> None:
            nonlocal port
            port = exits.enter_context(worker("fake", folder))

        def serve() -> None:
            nonlocal urls
            store = f"sqlite:///{folder / 'kept' / 'gateway.db'}"
            urls = exits.enter_context(gateway("gateway", folder, store, port))[:2]
            asyncio.run(Speaker(urls[0], 1).speak(_CHUNKS)).check()

        def command() -> None:
            where = ("--url", urls[0], "--key", KEY)
            assert "serving" in talkup("status", *where)
            assert talkup("transcribe", *where, str(RECORDING)).strip()

        attempt(found, "fake worker", fake_worker)
        attempt(found, "gateway", serve)
        attempt(found, "talkup", command)
        attempt(found, "at the end", exits.close)
    attempt(found, "speech worker", lambda: real_words(folder))
    if found["at the end"] == WORKS:
        del found["at the end"]
    return found


def without_cache(folder: Path) -> dict[str, str]:
    """The same, and a model whose packages hold its weights in parts, which are joined in the cache."""
    found = everything(folder)
    attempt(found, "model in parts", lambda: _resolve("base"))
    return found


def _resolve(model: str) -> None:
    command = [sys.executable, "-m", "workers", "models", model]
    done = subprocess.run(command, env=child_environment({}), capture_output=True, timeout=_TALKUP_S, check=False)
    if done.returncode != 0:
        raise EndedError(f"status {done.returncode}: {done.stderr.decode(errors='replace').strip()}")


def real_words(folder: Path) -> None:
    """The real model hears what was said."""
    with (
        worker("stt", folder, {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "2"}) as port,
        gateway("gateway-2", folder, "memory://", port) as (ws, _, _),
    ):
        assert SAID in talkup("transcribe", "--url", ws, "--key", KEY, str(RECORDING))


def full_disk(folder: Path) -> dict[str, str]:
    """SQLite in a folder that is full at the start, or fills up: what clients get, and what is kept in the end."""
    found: dict[str, str] = {}
    small = folder / "small"
    with worker("fake", folder) as port:
        filler = small / "filler"
        _fill(filler)

        def begin(**more: str) -> None:
            with gateway(f"gateway-{len(found)}", folder, f"sqlite:///{small / 'first.db'}", port, more):
                pass

        attempt(found, "gateway, full from the start", begin)
        attempt(found, "the same with a token_secret", lambda: begin(GATEWAY_TOKEN_SECRET="s" * 32))
        filler.unlink()
        attempt(found, "gateway, full later", lambda: asyncio.run(_fill_later(folder, small, port)))
    return found


async def _fill_later(folder: Path, small: Path, port: int) -> None:
    path, filler = small / "second.db", small / "filler"
    with gateway("gateway-later", folder, f"sqlite:///{path}", port) as (url, http, program):
        speaker = Speaker(url, 1)
        speaking = asyncio.create_task(speaker.speak())
        await speaker.until_final_after(0)
        _fill(filler)
        full_since = asyncio.get_running_loop().time()
        while not await asyncio.to_thread(_failed_writes, http):
            program.check_alive()
            await speaker.until_final_after(asyncio.get_running_loop().time())
        await speaker.until_final_after(full_since + 0.5)
        filler.unlink()
        room_since = asyncio.get_running_loop().time()
        await speaker.until_final_after(room_since + 0.5)
        speaker.enough.set()
        heard = await speaking
        heard.check()
        session_id = speaker.client.session_id
    store = SqliteStore(path)
    await store.start()
    kept = await store.transcript(str(session_id))
    await store.close()
    assert kept is not None, "the session was not kept"
    assert [word for segment in kept.streams[0].segments for word in segment.text.split()] == heard.words


def _failed_writes(url: str) -> float:
    with build_opener(ProxyHandler({})).open(f"{url}/metrics", timeout=10) as response:
        found = re.search(r"^gateway_store_failures_total (\S+)$", response.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def _fill(path: Path) -> None:
    """Write until there is no room left."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass


SCENARIOS = {"everything": everything, "without_cache": without_cache, "full_disk": full_disk}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(SCENARIOS[sys.argv[1]](Path(sys.argv[2]))))

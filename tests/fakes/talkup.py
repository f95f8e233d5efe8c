"""The `talkup` command as a process, and the messages that it writes to standard error."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.harness.stack import Stack, child_environment

PATIENCE_S = 60.0
_CODE = "import sys; from talkup_client.cli import main; sys.exit(main())"


class Command:
    """A running command. Its messages are read as they come."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""
        self._reader = asyncio.create_task(self._read_stderr())
        self._more = asyncio.Condition()

    async def line(self) -> str:
        """The next line on standard output; empty at its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def until_said(self, text: str) -> None:
        """Wait for a text on standard error."""
        async with asyncio.timeout(PATIENCE_S), self._more:
            await self._more.wait_for(lambda: text in self.said or self._reader.done())
        assert text in self.said

    async def ended(self) -> tuple[int, str]:
        """Exit status and the rest of standard output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            rest = await self.process.stdout.read()
            await self._reader
            return await self.process.wait(), rest.decode()

    async def reading_ended(self) -> None:
        """Wait for the end of standard error."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reader

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        while piece := await self.process.stderr.read(4096):
            async with self._more:
                self.said += piece.decode()
                self._more.notify_all()
        async with self._more:
            self._more.notify_all()

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reader


@asynccontextmanager
async def talkup(*arguments: str | Path, code: str = _CODE, **environment: str) -> AsyncIterator[Command]:
    """`talkup ARGUMENTS`, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *arguments),
        env=_environment(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    command = Command(process)
    try:
        yield command
    finally:
        await command.stop()


async def run(*arguments: str | Path, **environment: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `talkup ARGUMENTS`."""
    async with talkup(*arguments, **environment) as command:
        status, out = await command.ended()
        return status, out, command.said


def at(stack: Stack) -> tuple[str, ...]:
    """The options that name a gateway."""
    return ("--url", stack.ws_url, "--key", stack.key)


def over_http(stack: Stack) -> tuple[str, ...]:
    """The same for the commands that use its HTTP port."""
    return (*at(stack), "--http-url", stack.http_url)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in child_environment({}).items() if not name.startswith("TALKUP_")}
    return {**kept, **more}

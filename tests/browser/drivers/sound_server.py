"""A sound server whose loudspeaker is nobody's: Firefox moves no sound through a page on a machine without any."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.browser.drivers.browser import stop

_START_S: Final = 30.0
_POLL_S: Final = 0.05


@asynccontextmanager
async def sound_server(folder: Path) -> AsyncIterator[Mapping[str, str]]:
    """Start PulseAudio; gives the environment of a program that uses it. `folder` is for its files."""
    program = shutil.which("pulseaudio")
    assert program, "PulseAudio is not installed: make test-browsers installs it"
    socket = folder / "sound.socket"
    home = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *(program, "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes"),
        *("-L", "module-null-sink", "-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1"),
        env={**os.environ, **home},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_START_S):
            while not socket.exists():
                assert process.returncode is None, "PulseAudio ended"
                await asyncio.sleep(_POLL_S)
        yield {**home, "PULSE_SERVER": f"unix:{socket}"}
    finally:
        await stop(process)

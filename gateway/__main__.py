"""`python -m gateway`: read the settings, serve until SIGTERM or SIGINT, drain, and go.

Exit status: 0 after a drain, 1 when a port, certificate or the store cannot be had, 2 for a bad setting.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sys
from collections.abc import Sequence

from gateway import logs
from gateway.config import GatewayConfig, load
from gateway.server import running
from gateway.store.base import StoreError

# A connection is a descriptor; systems start processes with 1,024 of them and let them have more on demand.
_DESCRIPTORS = 65_536


def allow_descriptors() -> None:
    """Raise the soft limit of open files as far as is useful and the hard limit allows (setrlimit(2)).

    A system that does not allow that much, whatever its hard limit says, leaves it as it is: no reason not to serve.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def serve(config: GatewayConfig) -> None:
    """Serve until the process is told to stop. Raises what `running` raises."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config):
        await stop.wait()


def main(arguments: Sequence[str]) -> int:
    """Run a gateway; returns the exit status."""
    config = load(arguments)
    logs.configure(config.log_level, config.log_format)
    allow_descriptors()
    try:
        asyncio.run(serve(config))
    except (OSError, StoreError, ValueError) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

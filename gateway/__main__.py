"""`python -m gateway`: read the settings, serve until SIGTERM or SIGINT, then drain and exit.

`python -m gateway keys` manages API keys instead, `python -m gateway certs` the certificates of hosts; `--check` only
looks for faults, and `--show-config` prints the settings. Exit status: 0 after a drain, 1 if a port, a certificate or
the store cannot be opened, 2 for an invalid setting and for any fault that `--check` finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import sys
from collections.abc import Callable, Sequence

import structlog

from gateway import check, key_commands, logs
from gateway.certificates import commands as certificate_commands
from gateway.config import GatewayConfig, load
from gateway.processes.membership import Membership, joined
from gateway.processes.supervisor import Supervisor
from gateway.store.base import StoreError
from settings.command_line import faults
from settings.errors import ConfigError
from settings.memory import forbid_core_dumps

# Each connection needs a file descriptor; by default a process may have 1,024 and can raise this limit itself.
_DESCRIPTORS = 65_536
# Objects made and not yet freed, before the garbage collector looks for cycles among them.
_COLLECT_AFTER = 20_000
_CHECK = "--check"


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to what is useful and what the hard limit allows (setrlimit(2)).

    Some systems refuse values below the hard limit; the gateway then runs with the limit it has.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def serve(config: GatewayConfig, membership: Membership | None = None) -> None:
    """Serve until SIGTERM or SIGINT, alone or as one of several processes. Raises what `running` raises."""
    from gateway.server import running  # noqa: PLC0415 - the supervisor of several processes does without it

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config, membership) as gateway:
        _relieve_garbage_collector()
        if membership is None:
            await stop.wait()
        else:
            await membership.serve_until(stop, gateway.metrics.render)


async def supervise(config: GatewayConfig, arguments: Sequence[str]) -> int:
    """Serve with several processes until SIGTERM or SIGINT; the exit status. Raises OSError."""
    return await Supervisor(config, arguments).run()


# Commands that need no gateway that runs: each returns what to print.
COMMANDS: dict[str, Callable[[Sequence[str]], str]] = {"keys": key_commands.run, "certs": certificate_commands.run}


def manage(command: str, arguments: Sequence[str]) -> int:
    """Run a command about keys or certificates; returns the exit status."""
    try:
        sys.stdout.write(COMMANDS[command](arguments))
    except ConfigError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"gateway: {error.filename or command}: {error.strerror or error}\n")
        return 1
    return 0


def check_all(arguments: Sequence[str]) -> int:
    """Print a line per fault of settings, certificates, keys and store; returns the exit status."""
    found = faults(GatewayConfig, arguments)
    if not found:
        found = [str(fault) for fault in asyncio.run(_found_by_check(load(arguments)))]
    sys.stderr.write("".join(f"gateway: {fault}\n" for fault in found))
    if found:
        return 2
    sys.stdout.write("gateway: settings, certificates, keys and store are in order\n")
    return 0


async def _found_by_check(config: GatewayConfig) -> list[ConfigError]:
    return [fault async for fault in check.faults(config)]


def _relieve_garbage_collector() -> None:
    """Collect less often, and leave out what lives as long as the process.

    A chunk leaves no reference cycles behind. With Python's own threshold of 700 objects, looking for some took 2 % of
    the gateway's CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])


def main(arguments: Sequence[str]) -> int:
    """Run a gateway; returns the exit status."""
    if arguments and arguments[0] in COMMANDS:
        return manage(arguments[0], arguments[1:])
    if _CHECK in arguments:
        return check_all([argument for argument in arguments if argument != _CHECK])
    try:
        membership, own = joined(arguments)
        config = load(own)
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    logs.configure(config.log_level, config.log_format)
    raise_descriptor_limit()
    forbid_core_dumps()
    try:
        if membership is not None:
            structlog.contextvars.bind_contextvars(process=membership.index)
            asyncio.run(serve(membership.own_settings(config), membership))
        elif config.processes > 1:
            return asyncio.run(supervise(config, arguments))
        else:
            asyncio.run(serve(config))
    except (OSError, StoreError, ValueError) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

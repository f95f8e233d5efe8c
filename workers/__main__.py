"""`python -m workers SERVICE` serves an engine; `python -m workers models` makes weights ready."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Final, cast

from workers import config, logs, models, server
from workers.engine import Engine

ENGINES: Final = {"stt": "workers.stt.service", "vision": "workers.vision.service", "fake": "workers.fake.engine"}
"""Where each service's `create_engine(config)` lives; loaded only when asked for, with the libraries it needs."""

_USAGE: Final = """\
usage: python -m workers COMMAND [--help] ...

  stt             serve speech to text
  vision          serve behaviour signals from pictures
  fake            serve a scripted engine without a model
  models [NAME]   resolve and verify weights; without names, base and tiny.en
"""


def main(argv: Sequence[str]) -> int:
    """Run a command; returns the exit status: 0, 1 for a failure, 2 for settings that cannot be used."""
    match argv:
        case ["models", *names]:
            return _models(names)
        case [service, *options] if service in ENGINES:
            return _serve(service, options)
        case ["-h" | "--help", *_]:
            print(_USAGE, end="")
            return 0
        case _:
            print(_USAGE, end="", file=sys.stderr)
            return 2


def _serve(service: str, options: Sequence[str]) -> int:
    try:
        settings = config.parse(service, options)
        logs.configure(settings.log_level, settings.log_format)
        asyncio.run(server.serve(settings, load_engine(settings)))
    except config.ConfigError as error:
        print(f"python -m workers {service}: {error}", file=sys.stderr)
        return 2
    except (models.ModelError, OSError) as error:
        print(f"python -m workers {service}: {error}", file=sys.stderr)
        return 1
    return 0


def load_engine(settings: config.WorkerConfig) -> Engine:
    """Make the engine of a service. Raises ConfigError when what it needs is not installed."""
    name = ENGINES[settings.service]
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise config.ConfigError(f"{settings.service} is not installed here: no module {error.name}") from None
    create = cast("Callable[[config.WorkerConfig], Engine]", module.create_engine)
    return create(settings)


def _models(arguments: Sequence[str]) -> int:
    try:
        names, cache = config.parse_models(arguments)
        for name in names:
            found = models.resolve(name, cache)
            print(f"{found.name}  {found.sha256}  {found.licence}  {found.origin}  {found.path}")
    except (models.ModelError, config.ConfigError) as error:
        print(f"python -m workers models: {error}", file=sys.stderr)
        return 2 if isinstance(error, config.ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m workers SERVICE` serves an engine; `python -m workers models` makes weights ready."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, cast

from talkup.v1 import task_pb2

from settings.command_line import load
from settings.errors import ConfigError
from settings.memory import forbid_core_dumps
from workers import logs, models, server
from workers.config import ModelsConfig, WorkerConfig
from workers.deferred_engine import DeferredEngine
from workers.engine import Engine


class Service(NamedTuple):
    """Where a service's settings class is (`module:Class`), and the module of its `create_engine(settings)`.

    Both are imported on demand: an engine needs libraries that other services do not install. An engine with a `type`
    is made behind the open port, since its weights may have to be downloaded.
    """

    settings: str
    engine: str
    purpose: str
    type: task_pb2.ServiceType | None = None


SERVICES: Final = {
    "stt": Service(
        "workers.config:WorkerConfig", "workers.stt.service", "Serve speech to text.", task_pb2.SERVICE_TYPE_STT
    ),
    "vision": Service(
        "workers.vision.settings:VisionSettings",
        "workers.vision.service",
        "Serve behaviour signals from pictures.",
        task_pb2.SERVICE_TYPE_VISION,
    ),
    "fake": Service(
        "workers.fake.settings:FakeSettings",
        "workers.fake.engine",
        "Serve a scripted engine without a model: deterministic words from the bytes received.",
    ),
}

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
        case [service, *options] if service in SERVICES:
            return _serve(service, options)
        case ["-h" | "--help", *_]:
            print(_USAGE, end="")
            return 0
        case _:
            print(_USAGE, end="", file=sys.stderr)
            return 2


def _serve(service: str, options: Sequence[str]) -> int:
    try:
        settings = parse(service, options)
        logs.configure(settings.log_level, settings.log_format)
        forbid_core_dumps()
        asyncio.run(server.serve(settings, engine_of(service, settings)))
    except ConfigError as error:
        print(f"python -m workers {service}: {error}", file=sys.stderr)
        return 2
    except (models.ModelError, OSError) as error:
        print(f"python -m workers {service}: {error}", file=sys.stderr)
        return 1
    return 0


def parse(service: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> WorkerConfig:
    """The settings of `python -m workers SERVICE`. Raises ConfigError; `--help` prints and raises SystemExit(0)."""
    module, _, name = SERVICES[service].settings.partition(":")
    cls: type[WorkerConfig] = getattr(importlib.import_module(module), name)
    purpose = SERVICES[service].purpose
    return load(cls, arguments, environment, prog=f"python -m workers {service}", description=purpose)


def parse_models(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> ModelsConfig:
    """The settings of `python -m workers models`; raises as `parse` does."""
    return load(
        ModelsConfig,
        arguments,
        environment,
        prog="python -m workers models",
        description="Resolve weights and check them by sha256.",
        config_file=False,
    )


def engine_of(service: str, settings: WorkerConfig) -> Engine:
    """The engine of a service, made now or when it is loaded. Raises ConfigError as `load_engine` does."""
    service_type = SERVICES[service].type
    if service_type is None:
        return load_engine(service, settings)
    return DeferredEngine(service_type, partial(load_engine, service, settings))


def load_engine(service: str, settings: WorkerConfig) -> Engine:
    """Make the engine of a service. Raises ConfigError when a library that it needs is not installed."""
    try:
        module = importlib.import_module(SERVICES[service].engine)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{service} is not installed here: no module {error.name}") from None
    create = cast("Callable[[WorkerConfig], Engine]", module.create_engine)
    return create(settings)


def _models(arguments: Sequence[str]) -> int:
    try:
        settings = parse_models(arguments)
        for name in settings.names:
            found = models.resolve(name, settings.model_cache)
            print(f"{found.name}  {found.sha256}  {found.licence}  {found.origin}  {found.path}")
    except (models.ModelError, ConfigError) as error:
        print(f"python -m workers models: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

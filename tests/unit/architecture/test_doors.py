"""The import rules of docs/design.md: who never imports whom, and one door per library."""

from __future__ import annotations

import ast
import fnmatch
import subprocess
import sys

import pytest

from tests.unit.architecture.source import MODULES, ROOT, within

# Package prefix -> prefixes it must not import.
FORBIDDEN = [
    ("gateway", "workers"),
    ("gateway", "talkup_client"),
    ("workers", "gateway"),
    ("workers", "talkup_client"),
    ("gateway.protocol", "gateway.report"),
    ("gateway.protocol", "gateway.upstream"),
    ("gateway.protocol", "gateway.connection"),
    ("gateway.protocol", "gateway.server"),
    ("gateway.protocol", "grpc"),
    ("gateway.protocol", "asyncio"),
    ("gateway.protocol", "socket"),
    ("gateway.protocol", "ssl"),
    ("gateway.protocol", "websockets"),
    ("gateway.report", "gateway.store"),
    ("gateway.report", "gateway.upstream"),
    ("gateway.report", "grpc"),
    ("gateway.report", "asyncio"),
    ("gateway.report", "socket"),
    ("gateway.report", "settings"),
    ("gateway.report", "tracing"),
    ("gateway.upstream", "gateway.protocol"),
    ("gateway.upstream", "gateway.connection"),
    ("gateway.upstream", "gateway.server"),
    ("workers.stt", "workers.vision"),
    ("workers.vision", "workers.stt"),
    ("workers.delivery", "workers.stt"),
    ("workers.delivery", "workers.vision"),
    ("workers.delivery", "grpc"),
    ("workers.vision", "workers.delivery"),
    ("workers.media", "workers.stt"),
    ("workers.media", "workers.vision"),
    ("workers.media", "grpc"),
    ("workers.stt", "grpc"),
    ("workers.vision", "grpc"),
    ("settings", "gateway"),
    ("settings", "workers"),
    ("settings", "talkup_client"),
    ("settings", "talkup"),
    ("gateway.protocol", "settings"),
    ("gateway.protocol", "tracing"),
    ("tracing", "gateway"),
    ("tracing", "workers"),
    ("tracing", "talkup_client"),
    ("multiplex", "gateway"),
    ("multiplex", "workers"),
    ("multiplex", "settings"),
    ("multiplex", "talkup"),
    ("multiplex", "grpc"),
    ("talkup_client", "tracing"),
    ("talkup_client", "settings"),
    ("workers.config", "workers.fake"),
    ("talkup_client", "gateway"),
    ("talkup_client", "workers"),
    ("talkup_client", "talkup"),
]

# Library -> modules that may import it.
DOORS = {
    "tenacity": ["gateway.upstream.retry"],
    "av": ["workers.media.codec", "talkup_client.annotate", "talkup_client.decoding"],
    "faster_whisper": ["workers.stt.transcriber", "workers.stt.vad"],
    "ctranslate2": ["workers.stt.transcriber"],
    "cv2": ["workers.vision.opencv_net", "workers.vision.pictures", "workers.vision.pose", "talkup_client.annotate"],
    "ai_edge_litert": ["workers.vision.litert_net"],
    "aiohttp": [
        "gateway.access.provider_fetch",
        "gateway.http",
        "gateway.http_access",
        "gateway.http_errors",
        "gateway.http_report",
        "gateway.http_workers",
        "gateway.server",
        "gateway.doors.access",
        "gateway.doors.body",
        "gateway.doors.recordings",
        "gateway.doors.routes",
        "gateway.doors.sockets",
        "gateway.doors.deepgram.listen",
        "gateway.doors.openai.audio",
        "gateway.doors.openai.errors",
        "gateway.doors.openai.form",
        "gateway.doors.openai_realtime.door",
        "gateway.doors.telephony.*",
    ],
    "jinja2": ["gateway.report.html"],
    "markupsafe": ["gateway.report.html"],
    "jwt": ["gateway.access.tokens", "gateway.access.issued_tokens"],
    "sqlite3": ["gateway.store.sqlite", "gateway.store.sqlite_*"],
    "cryptography": ["gateway.store.encryption", "gateway.certificates.authority", "gateway.certificate_files"],
    "redis": ["gateway.store.redis"],
    "rich": ["talkup_client.terminal"],
    "sounddevice": ["talkup_client.microphone"],
    "websockets": [
        "gateway.server",
        "gateway.handshakes",
        "gateway.opening",
        "gateway.connection",
        "gateway.keepalive",
        "gateway.sender",
        "gateway.client_socket",
        "talkup_client.transport",
    ],
    "configargparse": ["settings.command_line"],
    "opentelemetry": ["tracing.otel"],
    "structlog": ["gateway.*", "workers.*"],
    "prometheus_client": ["gateway.metrics*", "gateway.processes.exposition", "workers.metrics*"],
}

ENVIRONMENT_READERS = [
    "settings.command_line",
    "tracing.setup",
    "workers",
    "talkup_client.cli",
]
PRINTERS = ["*.__main__", "talkup_client.cli"]


def test_the_packages_are_there() -> None:
    assert {name.partition(".")[0] for name in MODULES} == {
        "gateway",
        "workers",
        "settings",
        "tracing",
        "multiplex",
        "talkup_client",
    }


@pytest.mark.parametrize(("package", "forbidden"), FORBIDDEN)
def test_who_may_import_whom(package: str, forbidden: str) -> None:
    broken = [
        f"{name} imports {imported}"
        for name, module in MODULES.items()
        if within(name, package)
        for imported in module.imports()
        if within(imported, forbidden)
    ]
    assert not broken


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_library_is_imported_by_its_door_only(library: str) -> None:
    broken = [
        name
        for name, module in MODULES.items()
        if any(within(imported, library) for imported in module.imports())
        and not any(fnmatch.fnmatchcase(name, door) for door in DOORS[library])
    ]
    assert not broken


def test_only_config_reads_the_environment() -> None:
    broken = [
        name
        for name, module in MODULES.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and name not in ENVIRONMENT_READERS
    ]
    assert not broken


def test_nothing_prints_but_commands() -> None:
    broken = [
        name
        for name, module in MODULES.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and not any(fnmatch.fnmatchcase(name, printer) for printer in PRINTERS)
    ]
    assert not broken


def test_the_protocol_core_loads_no_network() -> None:
    code = (
        "import pkgutil, importlib, sys, gateway.protocol as p\n"
        "for m in pkgutil.iter_modules(p.__path__): importlib.import_module('gateway.protocol.' + m.name)\n"
        "loaded = {'grpc', 'asyncio', 'socket', 'ssl'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or 0)"
    )
    search = [str(ROOT), str(ROOT / "generated")]
    program = [sys.executable, "-c", f"import sys; sys.path[:0] = {search!r}\n{code}"]
    result = subprocess.run(program, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr

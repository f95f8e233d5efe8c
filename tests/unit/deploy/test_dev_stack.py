"""`make run`: settings, plan of processes, certificates, and what it does when a process dies."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.harness.stack import child_environment, free_port
from deploy.dev import certs, check_node, check_python, ensure_programs, plan, processes, run
from deploy.dev.settings import DevSettings, SettingsError, from_environment

NOW = dt.datetime.now(dt.UTC)
IDENTITY = certs.identity(Path("tls"), "localhost")


def test_defaults_are_the_fixed_points() -> None:
    settings = from_environment({"HTTP_PORT": ""})
    assert list(settings.ports()) == [
        ("HTTP_PORT", 8080),
        ("WS_PORT", 8081),
        ("WSS_PORT", 8443),
        ("STT_PORT", 50051),
        ("VISION_PORT", 50052),
    ]
    assert (settings.stt_model, settings.engine) == ("base", "model")


def test_more_workers_stand_ten_ports_apart() -> None:
    assert from_environment({"STT_WORKERS": "3", "STT_PORT": "6000"}).stt_ports == (6000, 6010, 6020)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"HTTP_PORT": "x"}, "HTTP_PORT"),
        ({"WS_PORT": "70000"}, "WS_PORT"),
        ({"WS_PORT": "8080"}, "HTTP_PORT"),
        ({"STT_WORKERS": "0"}, "STT_WORKERS"),
        ({"ENGINE": "magic"}, "ENGINE"),
    ],
)
def test_a_bad_setting_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        from_environment(environment)


def test_the_token_secret_is_kept(tmp_path: Path) -> None:
    secret = certs.token_secret(tmp_path / "tls")
    assert len(secret) == 64
    assert certs.token_secret(tmp_path / "tls") == secret
    assert (tmp_path / "tls" / "token-secret").stat().st_mode & 0o777 == 0o600


def test_without_a_vision_package_there_is_no_vision_worker() -> None:
    programs = plan.workers(DevSettings(), has_vision=False)
    gateway = plan.gateway(DevSettings(), IDENTITY, Path("run"), "secret", has_vision=False)
    assert [program.name for program in programs] == ["stt-1"]
    assert "GATEWAY_VISION_WORKERS" not in gateway.environment
    assert "not part of this version" in plan.banner(DevSettings(), IDENTITY, has_vision=False, talkup="talkup")


def test_the_fake_engine_serves_everything() -> None:
    settings = DevSettings(engine="fake", stt_workers=2)
    programs = plan.workers(settings, has_vision=False)
    assert [(program.name, program.arguments[2:]) for program in programs] == [
        ("stt-1", ("fake", "--service", "stt")),
        ("stt-2", ("fake", "--service", "stt")),
        ("vision-1", ("fake", "--service", "vision")),
    ]
    gateway = plan.gateway(settings, IDENTITY, Path("run"), "secret", has_vision=False).environment
    assert gateway["GATEWAY_STT_WORKERS"] == "127.0.0.1:50051,127.0.0.1:50061"
    assert gateway["GATEWAY_VISION_WORKERS"] == "127.0.0.1:50052"


def test_both_drains_stay_under_ten_seconds() -> None:
    assert run.GATEWAY_GRACE_S + run.WORKER_GRACE_S < 10


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind((plan.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = DevSettings(http_port=port)
        assert ("HTTP_PORT", port) in run.busy_ports(settings)


def test_certificates_serve_tls_and_are_kept(tmp_path: Path) -> None:
    names = {"gateway": ["gateway", "127.0.0.1"], "worker": ["worker"]}
    made = certs.ensure(tmp_path, names, NOW)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert certs.ensure(tmp_path, names, NOW + dt.timedelta(days=300)) == made
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert not list(tmp_path.glob("ca-key*"))
    assert made["worker"].key.stat().st_mode & 0o077 == 0

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made["gateway"].certificate, made["gateway"].key)
    server.load_verify_locations(made["gateway"].ca)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=made["gateway"].ca)
    client.load_cert_chain(made["worker"].certificate, made["worker"].key)
    assert handshake(server, client, "gateway") == handshake(server, client, "127.0.0.1") == "worker"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client, "elsewhere")


def test_every_role_has_a_name_of_its_own() -> None:
    names = certs.parse_names(["gateway", "stt-worker", "proxy=a.example,b.example"])
    assert names == {"gateway": ["gateway"], "stt-worker": ["stt-worker"], "proxy": ["a.example", "b.example"]}


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """Both ends in memory; the common name that the client showed."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    peer = far.getpeercert()
    assert peer is not None
    return str(dict(pair[0] for pair in peer["subject"])["commonName"])  # type: ignore[misc]


@pytest.mark.parametrize("damage", ["expired", "names", "key", "ca"])
def test_unusable_certificates_are_replaced(tmp_path: Path, damage: str) -> None:
    first = certs.ensure(tmp_path, {"localhost": ["localhost"]}, NOW)["localhost"]
    before = first.certificate.read_bytes()
    names, now = ["localhost"], NOW
    match damage:
        case "expired":
            now = NOW + dt.timedelta(days=340)
        case "names":
            names = ["localhost", "::1"]
        case "key":
            first.key.write_bytes(b"")
        case "ca":
            other = certs.ensure(tmp_path / "other", {"localhost": names}, NOW)["localhost"]
            first.ca.write_bytes(other.ca.read_bytes())
    certs.ensure(tmp_path, {"localhost": names}, now)
    assert first.certificate.read_bytes() != before


async def test_a_child_is_stopped_with_everything_it_started(tmp_path: Path) -> None:
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    program = plan.Program("parent", ("-c", code), {})
    child = await processes.start(program, tmp_path, tmp_path, dict(os.environ))
    assert (tmp_path / "parent.pid").read_text() == f"{child._process.pid}\n"
    grandchild = int(await first_line(child.log))
    await child.stop(5.0, asyncio.Event())
    assert child.returncode == -signal.SIGTERM
    assert not (tmp_path / "parent.pid").exists()
    await gone(grandchild)


async def test_a_stubborn_child_is_killed_when_hurried(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    child = await processes.start(plan.Program("deaf", ("-c", code), {}), tmp_path, tmp_path, dict(os.environ))
    await first_line(child.log)
    hurry = asyncio.Event()
    hurry.set()
    await child.stop(60.0, hurry)
    assert child.returncode == -signal.SIGKILL


async def first_line(log: Path) -> str:
    async with asyncio.timeout(10):
        while not (text := log.read_text()).endswith("\n"):
            await asyncio.sleep(0.01)
    return text


async def gone(pid: int) -> None:
    """An orphan stays a zombie until somebody reaps it: that counts as gone."""
    async with asyncio.timeout(10):
        while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            await asyncio.sleep(0.01)


async def test_a_child_that_dies_early_ends_the_run_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = [plan.Program("stt-1", ("-c", "import sys; sys.exit('no such model')"), {})]
    monkeypatch.setattr(plan, "workers", lambda *_, **__: programs)
    monkeypatch.setattr(
        plan, "gateway", lambda *_, **__: plan.Program("gateway", ("-c", "import time; time.sleep(60)"), {})
    )
    stack = run.Stack(DevSettings(http_port=9), tmp_path, lambda _: None, has_vision=False)
    with pytest.raises(run.StackError, match=r"stt-1 ended with status 1.*\n.*no such model"):
        await stack.run(dict(os.environ))
    assert not list(tmp_path.glob("*.pid"))


@asynccontextmanager
async def scripted_stack(run_dir: Path) -> AsyncIterator[tuple[run.Stack, asyncio.Task[None], list[str]]]:
    """The whole stack with scripted engines, once it serves; interrupted at the end."""
    http, ws, wss, stt, vision = (free_port() for _ in range(5))
    settings = DevSettings(http_port=http, ws_port=ws, wss_port=wss, stt_port=stt, vision_port=vision, engine="fake")
    said: list[str] = []
    up = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        up.set()

    stack = run.Stack(settings, run_dir, say, has_vision=True)
    running = asyncio.create_task(stack.run(child_environment({})))
    try:
        await asyncio.wait({running, asyncio.create_task(up.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert up.is_set()
        yield stack, running, said
    finally:
        stack.interrupt()
        await asyncio.gather(running, return_exceptions=True)


async def pid_of(run_dir: Path, name: str, but: int = 0) -> int:
    """The pid in a pid file, waited for until it is another one than `but`."""
    file = run_dir / f"{name}.pid"
    async with asyncio.timeout(20):
        while True:
            text = file.read_text(encoding="ascii").strip() if file.exists() else ""
            if text and int(text) != but:
                return int(text)
            await asyncio.sleep(0.02)


async def test_what_is_killed_is_started_again_and_nothing_else(tmp_path: Path) -> None:
    async with scripted_stack(tmp_path) as (stack, running, said):
        names = ("gateway", "stt-1", "vision-1")
        before = {name: await pid_of(tmp_path, name) for name in names}
        for name in ("vision-1", "gateway"):
            os.kill(before[name], signal.SIGKILL)
            await pid_of(tmp_path, name, but=before[name])
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(run.is_ready, stack._settings.http_port):
                await asyncio.sleep(0.1)
        assert await pid_of(tmp_path, "stt-1") == before["stt-1"]
        assert not running.done()
    assert [line for line in said if "ended with" in line] == [
        "vision-1 ended with status -9: restarted",
        "gateway ended with status -9: restarted",
    ]
    assert not list(tmp_path.glob("*.pid"))


async def test_what_keeps_ending_ends_the_run(tmp_path: Path) -> None:
    async with scripted_stack(tmp_path) as (_, running, _):
        pid = 0
        for _ in range(run.MAX_ENDS):
            pid = await pid_of(tmp_path, "stt-1", but=pid)
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(run.StackError, match="5 times within 60 s"):
            await asyncio.wait_for(running, 20)
    assert not list(tmp_path.glob("*.pid"))


async def test_an_interrupted_stack_says_that_it_stops_and_when_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = ("-c", "import time; time.sleep(60)")
    monkeypatch.setattr(plan, "workers", lambda *_, **__: [plan.Program("stt-1", sleeper, {})])
    monkeypatch.setattr(plan, "gateway", lambda *_, **__: plan.Program("gateway", sleeper, {}))
    said: list[str] = []
    stack = run.Stack(DevSettings(http_port=9), tmp_path, said.append, has_vision=False)
    stack.interrupt()
    await stack.run(dict(os.environ))
    assert [line.partition(":")[0] for line in said] == ["stopping", "stopped"]
    assert not list(tmp_path.glob("*.pid"))


_MAIN = """
import sys
from pathlib import Path
from deploy.dev import run
run.RUN_DIR = Path(sys.argv[1])
from deploy.dev.__main__ import main
sys.exit(main())
"""


@asynccontextmanager
async def make_run(run_dir: Path, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program of `make run` on free ports and scripted engines."""
    ports = {name: str(free_port()) for name in ("HTTP_PORT", "WS_PORT", "WSS_PORT", "STT_PORT", "VISION_PORT")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MAIN, run_dir),
        env=child_environment({"ENGINE": "fake", **ports, **settings}),
        cwd=run.ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_line(process: asyncio.subprocess.Process, begin: str) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while line := (await process.stdout.readline()).decode():
            if line.startswith(begin):
                return line
    raise AssertionError(f"it ended without the line {begin!r}")


@pytest.mark.parametrize("moment", ["TalkUp is starting", "waiting for the gateway", "TalkUp gateway is up"])
async def test_an_interrupt_at_any_moment_ends_it_without_a_traceback(tmp_path: Path, moment: str) -> None:
    """A proxy in the environment does not keep it from becoming ready."""
    dead = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    async with make_run(tmp_path, **dead, no_proxy="") as process:
        await until_line(process, moment)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        said = (await process.stdout.read()).decode()
        assert await process.wait() in (0, 130)
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("stopped")
    assert not list(tmp_path.glob("*.pid"))


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with make_run(tmp_path / "file" / "run") as process:
        said = await until_line(process, "run: ")
        assert await process.wait() == 2
    assert said == f"run: {tmp_path}/file/run: Not a directory\n"


def test_what_a_start_waits_for_is_said() -> None:
    answers = {
        b'{"services": {"stt": {"workers": 1, "serving": 0}, "vision": {"workers": 1, "serving": 1}}}': (
            "the speech worker to load its models"
        ),
        b'{"services": {"stt": {"workers": 1, "serving": 0}, "vision": {"workers": 1, "serving": 0}}}': (
            "the speech worker to load its models and the vision worker to load its models"
        ),
        b'{"status": "draining"}': "the gateway",
        b"no JSON": "the gateway",
    }
    for body, expected in answers.items():
        with socket.create_server((plan.HOST, 0)) as server, ThreadPoolExecutor() as pool:
            found = pool.submit(run.missing, server.getsockname()[1])
            peer, _ = server.accept()
            with peer:
                peer.recv(4_096)
                head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {len(body)}\r\n\r\n"
                peer.sendall(head.encode() + body)
            assert found.result(10) == expected


def test_python_and_its_venv_are_checked_in_words() -> None:
    assert check_python.problem((3, 12), has_venv=True) == ""
    assert "3.11 or newer" in check_python.problem((3, 10), has_venv=True)
    assert "apt-get install python3.11-venv" in check_python.problem((3, 11), has_venv=False)


def test_programs_are_installed_only_where_that_can_be() -> None:
    packages = ["chromium", "redis-server"]
    assert ensure_programs.install_commands(packages, is_root=False, has_apt=True, has_sudo=False) == []
    as_root = ensure_programs.install_commands(packages, is_root=True, has_apt=True, has_sudo=False)
    assert as_root[-1][-2:] == packages
    assert ensure_programs.install_commands(packages, is_root=False, has_apt=True, has_sudo=True)[0][0] == "sudo"


def test_a_program_is_missing_if_none_of_its_names_is_found(tmp_path: Path) -> None:
    (tmp_path / "libsound.so").touch()
    programs = {
        "shell": ("no-such-shell", "sh"),
        "sound": (f"{tmp_path}/lib*.so",),
        "none": (f"{tmp_path}/*.a", "no-such"),
    }
    assert ensure_programs.missing(tuple(programs), programs) == ["none"]


def test_the_version_of_node_is_read() -> None:
    assert [check_node.major(said) for said in ("v20.20.2\n", "v8.1.0", "", "not found")] == [20, 8, 0, 0]


def test_compose_file_and_dockerfiles_are_valid() -> None:
    root = run.ROOT
    tools = Path(sys.executable).parent
    compose = [tools / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", root / "docker-compose.yml"]
    dockerfiles = [tools / "hadolint", *sorted((root / "deploy" / "docker").glob("*.Dockerfile"))]
    for command in (compose, dockerfiles):
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "path", sorted((run.ROOT / "deploy" / "requirements").glob("*.txt")), ids=lambda path: path.name
)
def test_requirements_are_pinned_by_hash_and_name_no_index(path: Path) -> None:
    text = path.read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert pins
    assert all("==" in line and line.endswith("\\") for line in pins)
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text

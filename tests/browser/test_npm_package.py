"""The published npm package: packed, installed into a Vite project, compiled strictly, used in Chromium."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from bench.harness.browsing import Visit, visiting, write_tone
from bench.harness.stack import HOST, ROOT, Stack, running_stack
from tests.browser.drivers.site import mint_session
from tests.browser.test_typescript_client import CLIENT, node

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

EMPTY = ROOT / "tests" / "browser" / "vite_project"
"""A project with React and Vite in it, and with pages for the client's examples."""
EXAMPLES = ("recorder", "samples", "camera")
"""What the client's README shows, in its order."""
TYPES = {".html": "text/html", ".js": "text/javascript"}


def npm(folder: Path, *arguments: str) -> None:
    """Run npm in a folder. If it fails, fail the test with its output."""
    command = ["npm", *arguments]
    result = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=90)
    assert result.returncode == 0, result.stdout + result.stderr


def readme_examples() -> dict[str, str]:
    found = re.findall(r"```ts\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    return dict(zip(EXAMPLES, found, strict=True))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built project: the packed client is installed, and the examples are its sources."""
    assert (EMPTY / "node_modules").is_dir(), "the npm packages are not installed: make test does it, or npm ci"
    folder = tmp_path_factory.mktemp("project") / "captions"
    shutil.copytree(EMPTY, folder, symlinks=True)
    node("node_modules/typescript/bin/tsc", "-p", ".")
    npm(CLIENT, "pack", "--ignore-scripts", "--silent", "--pack-destination", str(folder))
    (tarball,) = folder.glob("*.tgz")
    npm(folder, "install", "--offline", "--silent", f"./{tarball.name}")
    shutil.copy(CLIENT / "examples" / "live-captions.tsx", folder / "src")
    for name, text in readme_examples().items():
        (folder / "src" / f"{name}.ts").write_text(text)
    npm(folder, "run", "--silent", "build")
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Gateway, speech and vision."""
    with running_stack(vision=True, folder=tmp_path_factory.mktemp("package-stack")) as stack:
        yield stack


@asynccontextmanager
async def opened(project: Path, stack: Stack, page: str, folder: Path) -> AsyncIterator[Visit]:
    """A page of a developer's site, which also creates sessions, in the browser."""

    async def session(_: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(mint_session, stack))

    async def serve(request: web.Request) -> web.Response:
        path = project / "dist" / request.path.removeprefix("/")
        return web.Response(text=path.read_text(), content_type=TYPES[path.suffix])

    application = web.Application()
    application.router.add_get("/my-backend/talkup-session", session)
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    microphone = folder / "tone.wav"
    write_tone(microphone)
    try:
        async with visiting(f"http://localhost:{runner.addresses[0][1]}/{page}.html", microphone) as visit:
            yield visit
    finally:
        await runner.cleanup()


def test_the_package_holds_what_it_needs_and_no_more(project: Path) -> None:
    installed = project / "node_modules" / "talkup-client"
    assert {path.name for path in installed.iterdir()} == {"README.md", "dist", "package.json", "schema"}
    assert "dependencies" not in json.loads((installed / "package.json").read_text())
    assert not installed.is_symlink()


async def test_the_react_example_shows_captions(project: Path, stack: Stack, tmp_path: Path) -> None:
    async with opened(project, stack, "index", tmp_path) as visit:
        await visit.page.click("button")
        await visit.until("() => document.querySelector('[aria-live]').textContent.split(' ').length >= 8")
        await visit.page.click("button")
        await visit.until("() => document.querySelector('button').textContent === 'Start'")
        assert visit.problems == []


async def test_the_react_example_tells_what_went_wrong(project: Path, stack: Stack, tmp_path: Path) -> None:
    async with opened(project, stack, "index", tmp_path) as visit:
        await visit.page.route(
            "**/my-backend/talkup-session", lambda route: route.fulfill(json={"url": "ftp://nowhere"})
        )
        await visit.page.click("button")
        await visit.page.wait_for_selector("[role=alert]")
        assert "address" in await visit.page.inner_text("[role=alert]")
        assert await visit.page.inner_text("button") == "Start"
        await visit.page.unroute("**/my-backend/talkup-session")
        await visit.page.click("button")
        await visit.until("() => document.querySelector('[aria-live]').textContent.split(' ').length >= 4")
        assert visit.problems == []


@pytest.mark.parametrize("example", ["recorder", "samples"])
async def test_the_examples_of_its_readme_show_captions(
    project: Path, stack: Stack, tmp_path: Path, example: str
) -> None:
    async with opened(project, stack, example, tmp_path) as visit:
        await visit.when(lambda: len(" ".join(visit.said).split()) >= 8)
        assert visit.problems == []


async def test_the_camera_example_counts_faces(project: Path, stack: Stack, tmp_path: Path) -> None:
    async with opened(project, stack, "camera", tmp_path) as visit:
        await visit.when(lambda: len(visit.said) >= 3)
        assert visit.said == [str(count) for count in visit.face_counts()[: len(visit.said)]]
        assert visit.problems == []


def test_the_lock_of_the_project_names_no_registry() -> None:
    assert "resolved" not in (EMPTY / "package-lock.json").read_text()

"""The npm package as others get it: packed, installed into an empty project, compiled strictly, used in Chromium."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.browser.browsing import visiting, write_tone
from tests.browser.test_readme_browser import mint_session
from tests.browser.test_typescript_client import CLIENT, node
from tests.fakes.stack import HOST, Stack

pytestmark = pytest.mark.browser

PAGE = (
    "<!doctype html><meta charset=utf-8><title>app</title><link rel=icon href=data:,>"
    "<body><div id=root></div><script type=module src=app.js></script>"
)
MAIN = """
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { Captions } from "./live-captions.js";

const session = async () => (await fetch("/my-backend/talkup-session")).json();
createRoot(document.getElementById("root") as HTMLElement).render(createElement(Captions, { session }));
"""
STRICT = {
    "compilerOptions": {
        "target": "ES2022",
        "module": "NodeNext",
        "moduleResolution": "NodeNext",
        "lib": ["ES2022", "DOM"],
        "jsx": "react-jsx",
        "strict": True,
        "noEmit": True,
        "types": [],
    },
    "include": ["*.ts", "*.tsx"],
}


def readme_example() -> str:
    found = re.search(r"```ts\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A React project with nothing but React and the packed client in it."""
    folder = tmp_path_factory.mktemp("project")
    packages = folder / "node_modules"
    packages.mkdir()
    for name in ("react", "react-dom", "scheduler", "@types", "csstype"):
        (packages / name).symlink_to(CLIENT / "node_modules" / name)
    node("node_modules/typescript/bin/tsc", "-p", ".")
    pack = ["npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    subprocess.run(pack, cwd=CLIENT, check=True, capture_output=True, timeout=60)
    (tarball,) = folder.glob("*.tgz")
    with tarfile.open(tarball) as archive:
        archive.extractall(folder, filter="data")
    (folder / "package").rename(packages / "talkup-client")
    (folder / "live-captions.tsx").write_text((CLIENT / "examples" / "live-captions.tsx").read_text())
    (folder / "readme.ts").write_text(readme_example())
    (folder / "main.tsx").write_text(MAIN)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps(STRICT))
    return folder


@asynccontextmanager
async def website(project: Path, stack: Stack) -> AsyncIterator[str]:
    """The developer's own site, with the endpoint that mints sessions."""
    bundle = node("scripts/bundle.mjs", str(project / "main.tsx"))

    async def serve(request: web.Request) -> web.Response:
        if request.path == "/my-backend/talkup-session":
            return web.json_response(await asyncio.to_thread(mint_session, stack))
        script = request.path == "/app.js"
        return web.Response(text=bundle if script else PAGE, content_type="text/javascript" if script else "text/html")

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://localhost:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def test_the_package_holds_what_it_needs_and_no_more(project: Path) -> None:
    files = {path.name for path in (project / "node_modules" / "talkup-client").iterdir()}
    assert files == {"README.md", "dist", "package.json", "schema"}
    assert "dependencies" not in json.loads((project / "node_modules/talkup-client/package.json").read_text())


def test_examples_compile_strictly(project: Path) -> None:
    node("node_modules/typescript/bin/tsc", "-p", str(project))


async def test_the_react_example_shows_captions(project: Path, fake_stack: Stack, tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav")
    async with website(project, fake_stack) as address, visiting(address, tmp_path / "tone.wav") as visit:
        await visit.page.click("button")
        await visit.until("() => document.querySelector('[aria-live]').textContent.split(' ').length >= 8")
        await visit.page.click("button")
        await visit.until("() => document.querySelector('button').textContent === 'Start'")
        assert visit.problems == []

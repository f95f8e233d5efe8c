"""The browser example of the README in a real Chromium: fake microphone, real gateway, scripted engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.harness.browsing import visiting, write_tone
from bench.harness.stack import Stack
from tests.browser.drivers.site import serving
from tests.fakes.readme import example

pytestmark = pytest.mark.browser

PAGE = (
    "<!doctype html><meta charset=utf-8><title>example</title><link rel=icon href=data:,>"
    "<body><script type=module src=example.js></script>"
)


@pytest.fixture
async def site(fake_stack: Stack) -> AsyncIterator[str]:
    """A developer's site: the page, the example, and the endpoint that creates a session."""
    async with serving(fake_stack, {"index.html": PAGE, "example.js": example("browser-example")}) as address:
        yield f"{address}index.html"


READ_TRANSCRIPT = """async ([url, token]) => {
  const answer = await fetch(url, { headers: { Authorization: `Bearer ${token}`, Prefer: "wait=0" } });
  return [answer.status, answer.headers.get("ETag"), (await answer.json()).text];
}"""


async def test_the_browser_client_of_the_readme_shows_captions_and_may_read_its_transcript(
    site: str, fake_stack: Stack, tmp_path: Path
) -> None:
    assert len(example("browser-example").splitlines()) <= 12
    microphone = tmp_path / "microphone.wav"
    write_tone(microphone)
    async with visiting(site, microphone) as visit:
        await visit.until("() => document.body.innerText.trim().length > 0")
        session = next(message["data"] for message in visit.received if message["type"] == "session")
        address = f"{fake_stack.http_url}/v1/sessions/{session['session_id']}/transcript"
        status, tag, text = await visit.page.evaluate(READ_TRANSCRIPT, [address, session["resume_token"]])
        assert (status, bool(tag), bool(text)) == (200, True, True)
        assert visit.problems == []

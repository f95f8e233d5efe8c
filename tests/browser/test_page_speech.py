"""Speech into the demo page's microphone, with the real model: what was said is what is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scoring import word_errors
from tests.browser.browsing import visiting, write_speech
from tests.fakes.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.model]

# tiny.en has 2.4 % word errors on this recording as a file; a browser's Opus may add five points.
MAX_WORD_ERRORS = 7.5


@pytest.mark.timeout(180)
@pytest.mark.parametrize("pulled", [False, True], ids=["online", "plug-pulled"])
async def test_what_is_said_is_read(
    model_stack: Stack, speech_ogg: Path, speech_text: str, tmp_path: Path, pulled: bool
) -> None:
    microphone = tmp_path / "speech.wav"
    seconds = write_speech(microphone, speech_ogg)
    async with visiting(f"http://localhost:{model_stack.http_port}/", microphone, once=True) as visit:
        await visit.page.fill("#key", model_stack.key)
        await visit.page.select_option("#language", "en")
        await visit.page.click("#toggle")
        await visit.until("() => document.getElementById('interim').innerText.length > 0")
        if pulled:
            await visit.page.click("#plug")
            await visit.page.wait_for_timeout(2000)  # two seconds of speech without a network
            await visit.page.click("#plug")
            await visit.until_state("open")
        await visit.page.wait_for_timeout(seconds * 1000)  # the microphone plays in real time
        await visit.until("() => document.getElementById('speech').dataset.on === 'false'")
        await visit.page.click("#toggle")
        await visit.until_state("closed")
        assert word_errors(speech_text, await visit.finals(), "en").percent <= MAX_WORD_ERRORS
        assert await visit.page.inner_text("#interim") == ""
        assert visit.problems == []

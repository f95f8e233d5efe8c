"""Real faces and a real voice in one recording: what begins at the same moment is reported with the same time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.corpus.test_vision_corpus import clips_of
from tests.e2e.test_one_clock import EDGE_MS, FPS, MOMENT_MS, both_services, first_word_and_smile, voice
from tests.unit.workers.media.video_material import filmed

pytestmark = [pytest.mark.corpus, pytest.mark.model]


@pytest.mark.parametrize("speech", ["en/jfk.flac", "en/lj_LJ001-0005.flac"])
async def test_a_voice_and_a_smile_of_the_same_moment(corpus: Path, speech: str, tmp_path: Path) -> None:
    """A portrait that does not smile, in silence; then a smiling man, and somebody speaks."""
    by_name = {clip.name: [picture for _, picture in clip.pictures] for clip in clips_of(corpus)}
    smiling = by_name["video/male_smile/vp9.webm"][: 3 * FPS]
    height, width = smiling[0].shape[:2]
    still = by_name["images/portrait_neutral.jpg"][0]
    scale = min(height / still.shape[0], width / still.shape[1])
    fitted = cv2.warpAffine(still, np.array([[scale, 0, 0], [0, scale, 0]]), (width, height))
    pictures = [np.asarray(fitted, np.uint8)] * (MOMENT_MS * FPS // 1000) + smiling
    with both_services(tmp_path) as stack:
        recorded = filmed(pictures, fps=FPS, sound=voice(corpus / "speech" / speech))
        word_ms, smile_ms = await first_word_and_smile(stack, recorded)
    assert smile_ms == pytest.approx(MOMENT_MS, abs=EDGE_MS)
    assert word_ms == pytest.approx(MOMENT_MS, abs=EDGE_MS)
    assert word_ms == pytest.approx(smile_ms, abs=EDGE_MS)

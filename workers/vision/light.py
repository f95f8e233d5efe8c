"""Whether a picture is good enough to measure on: light, backlight, clipping, blur. Pure."""

from __future__ import annotations

from typing import Final

from talkup.v1 import analysis_pb2

from workers.vision.nets import Floats
from workers.vision.pictures import Picture, sharpness, total

DARK: Final = 50.0
"""Mean luma of the face, or of the picture where there is none, of 255."""

BACKLIT: Final = 2.2
"""Luma around the face over luma of the face; 0.6 to 1.2 on the portraits and clips."""

CLIPPED: Final = 0.3
"""Share of the face's pixels at 250 and above."""

BLURRED: Final = 0.02
"""See `pictures.sharpness`: 0.07 and more on 17 sharp faces, at most 0.021 after a Gaussian of 2 % of their height."""


def judge(luma: Picture, box: Floats | None) -> analysis_pb2.PictureQuality:
    """The quality of a grey picture; `box` is the face's x, y, width, height in pixels."""
    whole = total(luma)
    quality = analysis_pb2.PictureQuality(luma=analysis_pb2.Measure(value=whole / luma.size, confidence=1.0))
    face = None if box is None else _cut(luma, box)
    if face is None or face.size == 0:
        if quality.luma.value < DARK:
            quality.reasons.append("too_dark")
        quality.ok = not quality.reasons
        return quality
    inside = total(face) / face.size
    around = (whole - inside * face.size) / max(1, luma.size - face.size)
    sharp = sharpness(face)
    quality.backlight_ratio.value, quality.backlight_ratio.confidence = around / max(inside, 1.0), 0.9
    quality.sharpness.value, quality.sharpness.confidence = sharp, min(1.0, face.shape[0] / 80)
    verdicts = {
        "too_dark": inside < DARK,
        "backlit": around / max(inside, 1.0) > BACKLIT,
        "too_bright": float((face >= 250).mean()) > CLIPPED,
        "blurred": sharp < BLURRED,
    }
    quality.reasons.extend(reason for reason, found in verdicts.items() if found)
    quality.ok = not quality.reasons
    return quality


def _cut(luma: Picture, box: Floats) -> Picture:
    height, width = luma.shape
    x, y = max(0, int(box[0])), max(0, int(box[1]))
    return luma[y : min(height, int(box[1] + box[3])), x : min(width, int(box[0] + box[2]))]

"""The words of a report in each of its languages: one catalogue, with the same keys in every language.

Texts name what was measured. They hold no verdict: nothing in a report is good, bad, too much or too little.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.report.texts_en import ENGLISH
from gateway.report.texts_fr import FRENCH

TEXTS: Final[Mapping[str, Mapping[str, str]]] = {"en": ENGLISH, "fr": FRENCH}
"""By language (BCP 47), then by key."""

DEFAULT_LANGUAGE: Final = "en"
LANGUAGES: Final = tuple(TEXTS)

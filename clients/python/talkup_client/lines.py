"""Finals as lines of plain text, as they arrive: a line per sentence, an empty line between paragraphs. Pure."""

from __future__ import annotations

from talkup_client.cues import PAUSE_MS, ends_sentence, joined
from talkup_client.events import TranscriptUpdate

PARAGRAPH_MS = 2_000
"""A pause of this length begins a paragraph."""

LINE_CHARS = 300
"""Where nobody sets full stops, as in some languages, a line ends here."""


class LineWriter:
    """Makes lines of the finals of one stream, in their order. A line is there as soon as its sentence is over."""

    def __init__(self) -> None:
        self._sentence: list[TranscriptUpdate] = []
        self._end_ms: int | None = None

    def add(self, final: TranscriptUpdate) -> str:
        """What to write now: whole lines, or nothing."""
        if not final.text.strip():
            return ""
        pause_ms = 0 if self._end_ms is None else final.start_ms - self._end_ms
        lines = self.end() if pause_ms > PAUSE_MS else ""
        if pause_ms > PARAGRAPH_MS:
            lines += "\n"
        self._sentence.append(final)
        self._end_ms = final.end_ms
        if ends_sentence(final.text) or len(joined(self._sentence)) >= LINE_CHARS:
            lines += self.end()
        return lines

    def end(self) -> str:
        """The line that has begun; empty if none has."""
        text = joined(self._sentence)
        self._sentence = []
        return f"{text}\n" if text else ""

"""Text for readers: cues in lines of 42 columns, plain text in paragraphs, several recordings in one document."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from talkup_client import captions
from talkup_client.captions import Part
from talkup_client.cues import Cue
from talkup_client.events import TranscriptUpdate
from talkup_client.layout import LINE_COLUMNS, columns, laid_out
from talkup_client.lines import LineWriter


def said(*words: tuple[int, int, str]) -> list[TranscriptUpdate]:
    return [
        TranscriptUpdate("s", number, 1, True, text, len(text), 0.9, "en", start, end)
        for number, (start, end, text) in enumerate(words, start=1)
    ]


def test_a_long_cue_has_two_lines_of_similar_length() -> None:
    text = "Ask not what your country can do for you, ask what you can do for it."
    (cue,) = laid_out(Cue(0, 5_000, text))
    assert cue == Cue(0, 5_000, "Ask not what your country can do for you,\nask what you can do for it.")
    assert laid_out(Cue(0, 9, "short")) == [Cue(0, 9, "short")]


def test_a_text_of_more_than_two_lines_becomes_cues_that_share_its_time() -> None:
    cues = laid_out(Cue(1_000, 4_000, "word " * 24))
    assert [cue.text.count("\n") for cue in cues] == [1, 0]
    assert (cues[0].start_ms, cues[-1].end_ms) == (1_000, 4_000)
    assert cues[0].end_ms == cues[1].start_ms


@given(st.lists(st.sampled_from(["ask", "why?", "my,", "a" * 50, "言葉は。", "ü"]), min_size=1, max_size=40))
def test_lines_keep_their_width_and_every_letter(words: list[str]) -> None:
    text = " ".join(words)
    lines = [line for cue in laid_out(Cue(0, 1_000, text)) for line in cue.text.split("\n")]
    assert "".join("".join(lines).split()) == "".join(words)
    assert all(columns(line) <= LINE_COLUMNS + 2 for line in lines)  # a full stop stays with its character


SPEECH = said(
    (0, 400, "And so, my"),
    (500, 900, "fellow Americans."),
    (1_000, 1_500, "Ask not"),
    (1_600, 2_000, "what."),
    (4_500, 5_000, "A new thought"),
    (6_500, 7_000, "after a pause"),
)


def test_a_line_is_written_when_its_sentence_is_over() -> None:
    writer = LineWriter()
    assert [writer.add(final) for final in SPEECH] == [
        "",
        "And so, my fellow Americans.\n",
        "",
        "Ask not what.\n",
        "\n",
        "A new thought\n",
    ]
    assert (writer.end(), writer.end()) == ("after a pause\n", "")
    assert captions.as_txt(SPEECH).count("\n\n") == 1


def test_text_without_full_stops_comes_in_lines_too() -> None:
    finals = said(*((at * 100, at * 100 + 100, "word " * 10) for at in range(20)))
    writer = LineWriter()
    written = [writer.add(final) for final in finals]
    assert any(written[:10])
    assert max(map(len, "".join(written).splitlines())) < 360


def test_several_recordings_are_one_document() -> None:
    parts = [Part("a --> b\n.wav", SPEECH[:2]), Part("c.wav", SPEECH[2:4], offset_ms=60_000)]
    vtt = captions.as_one("vtt", parts)
    assert vtt.count("WEBVTT") == 1
    assert vtt.startswith("WEBVTT\n\nNOTE a -> b .wav\n\n00:00:00.000 --> 00:00:00.900\n")
    assert "NOTE c.wav\n\n00:01:01.000 --> 00:01:02.000\nAsk not what.\n" in vtt
    srt = captions.as_one("srt", parts)
    assert [block.splitlines()[0] for block in srt.split("\n\n") if block.strip()] == ["1", "2"]
    files = json.loads(captions.as_one("json", parts))
    assert [(each["file"], each["text"]) for each in files] == [
        ("a --> b\n.wav", "And so, my fellow Americans."),
        ("c.wav", "Ask not what."),
    ]

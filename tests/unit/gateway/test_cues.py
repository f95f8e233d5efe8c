"""Captions: the gateway and the client make the same cuts, and no word is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from talkup_client import captions
from talkup_client import cues as client
from talkup_client import layout as client_layout
from talkup_client.events import TranscriptUpdate

from gateway import cues as gateway
from gateway import layout

PIECES = st.lists(
    st.tuples(
        st.integers(0, 3_000),
        st.integers(0, 4_000),
        st.sampled_from(["and so", "my fellow Americans.", "ask", "why?", " ", "a" * 50, "言葉。", "言葉"]),
        st.sampled_from(["en", "ja"]),
    ),
    max_size=20,
)


def placed(raw: list[tuple[int, int, str, str]]) -> list[gateway.Piece]:
    pieces, clock = [], 0
    for gap, length, text, language in raw:
        pieces.append(gateway.Piece(clock + gap, clock + gap + length, text, language))
        clock += gap + length
    return pieces


def update(number: int, piece: gateway.Piece) -> TranscriptUpdate:
    return TranscriptUpdate(
        stream_id="s",
        segment_id=number,
        revision=1,
        is_final=True,
        text=piece.text,
        stable_chars=len(piece.text),
        confidence=1.0,
        language=piece.language,
        start_ms=piece.start_ms,
        end_ms=piece.end_ms,
        words=(),
    )


@given(PIECES)
def test_gateway_and_client_make_the_same_cuts(raw: list[tuple[int, int, str, str]]) -> None:
    pieces = placed(raw)
    updates = [update(number, piece) for number, piece in enumerate(pieces, start=1)]
    assert [cue[:3] for cue in gateway.cues(pieces)] == [tuple(cue) for cue in client.cues(updates)]
    assert [line[:3] for line in gateway.sentences(pieces)] == [tuple(line) for line in client.sentences(updates)]


@given(PIECES)
def test_no_word_is_lost_and_cues_keep_their_bounds(raw: list[tuple[int, int, str, str]]) -> None:
    pieces = placed(raw)
    letters = "".join("".join(piece.text.split()) for piece in pieces)
    for cut in (list(gateway.cues(pieces)), list(gateway.sentences(pieces))):
        assert "".join("".join(line.text.split()) for line in cut) == letters
    for cue in gateway.cues(pieces):
        whole = any(piece.start_ms == cue.start_ms and piece.end_ms == cue.end_ms for piece in pieces)
        assert whole or (len(cue.text) <= gateway.CUE_CHARS and cue.end_ms - cue.start_ms <= gateway.CUE_MS)


@given(PIECES, PIECES)
def test_every_cue_is_shown_and_they_stand_in_order(
    one: list[tuple[int, int, str, str]], other: list[tuple[int, int, str, str]]
) -> None:
    cut = [*gateway.cues(placed(one)), *gateway.cues(placed(other))]
    shown = gateway.in_order(cut)
    assert [cue.start_ms for cue in shown] == sorted(cue.start_ms for cue in cut)
    for before, after in zip(sorted(cut, key=lambda cue: cue.start_ms), shown, strict=True):
        assert after.end_ms > after.start_ms
        assert before in (after, after._replace(end_ms=after.start_ms))


@given(PIECES)
def test_gateway_and_client_make_the_same_lines(raw: list[tuple[int, int, str, str]]) -> None:
    for cue in gateway.cues(placed(raw)):
        lines = layout.laid_out(cue)
        assert [line[:3] for line in lines] == [tuple(line) for line in client_layout.laid_out(client.Cue(*cue[:3]))]
        assert all(layout.columns(row) <= layout.LINE_COLUMNS + 2 for line in lines for row in line.text.split("\n"))


@given(PIECES)
def test_gateway_and_client_show_the_same_cues(raw: list[tuple[int, int, str, str]]) -> None:
    pieces = placed(raw)
    made = client.cues([update(number, piece) for number, piece in enumerate(pieces, start=1)])
    assert [cue[:3] for cue in gateway.in_order(gateway.cues(pieces))] == [tuple(cue) for cue in client.shown(made)]


def test_a_word_without_a_duration_is_shown_up_to_the_next_cue_or_a_second() -> None:
    words = [gateway.Piece(at, at, f"{at}.", "en") for at in (0, 400, 5_000)]
    assert [cue.end_ms for cue in gateway.in_order(gateway.cues(words))] == [400, 1_400, 6_000]
    written = captions.as_vtt([update(number, word) for number, word in enumerate(words, start=1)])
    assert [line.partition(" --> ")[2] for line in written.splitlines() if "-->" in line] == [
        "00:00:00.400",
        "00:00:01.400",
        "00:00:06.000",
    ]


def test_short_finals_make_sentences() -> None:
    said = [(0, 400, "And so my"), (500, 900, "fellow Americans."), (1000, 1500, "ASK NOT"), (4000, 4200, "what")]
    pieces = [gateway.Piece(start, end, text, "en") for start, end, text in said]
    lines = [line.text for line in gateway.sentences(pieces)]
    assert lines == ["And so my fellow Americans.", "ASK NOT", "what"]
